"""A few lines of YAML must not become more than the machine holds, in settings files and in cards of datasets."""

import pytest

from image_assets.core.errors import ConfigError, SourceError
from image_assets.settings import load_settings
from image_assets.sources.hub_layout import read_card

# Nine aliases of nine aliases …: i stands for 9 ** 9 texts.
LAUGHS = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join(['*' + before] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "bomb",
    [LAUGHS, LAUGHS + "name: *i\n", LAUGHS + "transforms: [{flip: {direction: *i}}]\n", MERGES, "name: &a [*a]\n"],
    ids=["nowhere", "name", "parameter", "merges", "itself"],
)
def test_settings_that_multiply_are_refused_in_one_short_line(bomb, tmp_path):
    (tmp_path / "bomb.yaml").write_text(bomb)
    with pytest.raises(
        ConfigError, match=r"bomb\.yaml is not valid YAML: (it holds more|a value holds itself)"
    ) as caught:
        load_settings(tmp_path / "bomb.yaml")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("use", ["configs:\n- {config_name: *i, data_files: *i}\n", "dataset_info: {features: *i}\n"])
def test_a_card_that_multiplies_is_refused(use):
    with pytest.raises(SourceError, match="values once its aliases"):
        read_card(f"---\n{LAUGHS}{use}---\n".encode())


def test_aliases_that_do_not_multiply_are_read(tmp_path):
    text = "name: tiny\nsource: {path: raw}\nstore: store\nimage: &size {width_px: 32}\noutput: {format: png}\n"
    (tmp_path / "fine.yaml").write_text(text + "transforms: [{flip: &f {direction: vertical}}, {flip: *f}]\n")
    settings = load_settings(tmp_path / "fine.yaml")
    assert settings.transforms[0] == settings.transforms[1] == {"flip": {"direction": "vertical"}}
