"""Nothing that an installation brings asks for more than its notice to be kept."""

import tomllib

import pytest

from image_assets_tests.security.licences import PAGE, ROOT, installed_packages, words_not_allowed

CONSTRAINTS = ROOT / "image_assets_tests/constraints.txt"
EXTRAS = sorted(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
# Packages of extras that are not permissive, and why they may be there; data/SECURITY.md says it to users.
KNOWN = {
    "psycopg2-binary": "LGPL with exceptions, used as a library; extra postgres",
    "psycopg2": "the same",
}


@pytest.mark.parametrize(
    "extras", [(), *((extra,) for extra in EXTRAS)], ids=lambda extras: "".join(extras) or "default"
)
def test_every_licence_is_known_and_permissive(extras: tuple[str, ...]) -> None:
    found = {package.name: words_not_allowed(package.licence) for package in installed_packages(extras)}
    odd = {name: words for name, words in found.items() if words and not (extras and name in KNOWN)}
    # What only develops and tests the package is given to nobody.
    assert extras == ("dev",) or odd == {}


def test_every_package_of_the_default_install_is_in_the_table() -> None:
    # With other versions than those that the tests are run with, others may come along.
    pinned = {line.split(";")[0].strip() for line in CONSTRAINTS.read_text().splitlines()}
    usual = [package.name for package in installed_packages() if f"{package.name}=={package.version}" in pinned]
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith("| ")]
    named = {name.strip() for row in rows for cell in row.split("|") for name in cell.split(",")}
    assert set(usual) <= named, "run python -m image_assets_tests.security.licences --write"
    assert len(usual) > 50


@pytest.mark.parametrize(
    ("licence", "odd"),
    [
        ("MIT", set()),
        ("MIT OR GPL-3.0-only", set()),
        ("MIT AND (Zlib AND CC0-1.0)", set()),
        ("GPL-2.0-or-later", {"GPL-2.0-or-later"}),
        ("MIT AND AGPL-3.0-only", {"AGPL-3.0-only"}),
        (None, {"unknown"}),
    ],
)
def test_what_is_not_permissive_is_told(licence: str | None, odd: set[str]) -> None:
    assert words_not_allowed(licence) == odd
