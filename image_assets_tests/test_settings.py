"""Settings: each with a meaning and a default, read from a file, checked with words that name what is known."""

import os
import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from image_assets.core.errors import ConfigError
from image_assets.settings import PRESETS, Settings, dataset_name_for, load_settings, make_settings
from image_assets.settings.datasets import find_conflicts, settings_files

SAMPLE = Path(__file__).parent.parent / "data/datasets"
LEAST = {"name": "tiny", "source": {"path": "raw"}, "store": "store"}


def all_fields(section=Settings, prefix=""):
    """Yield (dotted name, field) of every setting, sections left out."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from all_fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


FIELDS = dict(all_fields())


def made(**overrides):
    return make_settings(LEAST, base=Path("/base"), overrides=overrides)


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_says_what_it_means(name):
    assert re.fullmatch(r"\S.{10,}\.", FIELDS[name].description)


def test_only_what_cannot_be_guessed_is_required():
    assert {name for name, field in FIELDS.items() if field.is_required()} == {"name", "source.path", "store"}


def test_every_section_is_documented_and_frozen():
    sections = [
        field.annotation for field in Settings.model_fields.values() if hasattr(field.annotation, "model_fields")
    ]
    assert len(sections) >= 9
    for section in [Settings, *sections]:
        assert section.__doc__
        assert section.model_config["frozen"]
        assert section.model_config["extra"] == "forbid"
    with pytest.raises(ValidationError, match="frozen"):
        made().image.width_px = 3


def test_the_sample_dataset_loads():
    settings = load_settings(SAMPLE / "photos.yaml")
    assert (settings.name, settings.num_shards) == ("photos", 16)
    assert Path(settings.source.path).is_dir()
    assert Path(settings.store) == SAMPLE.parent.resolve() / "store/photos"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_what_it_says(preset):
    settings = made(preset=preset).model_dump(mode="json")
    for section, values in PRESETS[preset].items():
        found = settings[section]
        assert (found if section == "transforms" else {name: found[name] for name in values}) == values


def test_overrides_beat_the_file_and_the_file_beats_the_preset(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(
        "preset: remux\nname: tiny\nsource: {path: raw}\nstore: store\nimage: {width_px: 100, height_px: 101}\n"
    )
    settings = load_settings(file, {"image": {"width_px": 50}, "source": {"follow_symlinks": True}})
    image = settings.image
    assert (image.width_px, image.height_px, image.fit, image.resizer) == (50, 101, "cover", "fast-lanczos3")
    assert (settings.source.path, settings.source.follow_symlinks) == (str(tmp_path / "raw"), True)
    assert settings.transforms == ({"random_crop": {"scale": [0.7, 1.0]}}, "sharpen")
    other = load_settings(file, {"preset": "zenml-tutorial", "transforms": []})
    assert (other.image.fit, other.image.width_px, other.transforms) == ("stretch", 100, ())


def test_presets_and_the_mapping_given_stay_as_they_were():
    before, content = repr(PRESETS), {**LEAST, "preset": "remux", "image": {"width_px": 7}}
    make_settings(content, base=Path("/base"), overrides={"image": {"height_px": 8}})
    assert repr(PRESETS) == before
    assert content == {**LEAST, "preset": "remux", "image": {"width_px": 7}}


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("raw", "/base/raw"),
        ("../up/raw", "/up/raw"),
        (".", "/base"),
        ("/elsewhere/raw", "/elsewhere/raw"),
        ("~/raw", str(Path.home() / "raw")),
        ("a b/ü#%20", "/base/a b/ü#%20"),
        ("s3://bucket/a/../b", "s3://bucket/a/../b"),
        ("file:///data/x", "file:///data/x"),
    ],
)
def test_paths_start_at_the_file_and_urls_stay(path, resolved):
    settings = made(source={"path": path}, store=path, labels={"kind": "file", "path": path})
    assert {settings.source.path, settings.store, settings.labels.path} == {resolved}


def test_relative_paths_do_not_depend_on_where_the_program_runs(tmp_path, monkeypatch):
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets/tiny.yaml").write_text("name: tiny\nsource: {path: raw}\nstore: ../store\n")
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path("sets/tiny.yaml"))
    assert (settings.source.path, settings.store) == (str(tmp_path / "sets/raw"), str(tmp_path / "store"))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"imag": {}}, r"imag: unknown setting; known here: .*, augment, .*, image, .*, workers$"),
        (
            {"image": {"widht_px": 3}},
            r"image\.widht_px: unknown setting; known here: background, fit, frames, height_px, ",
        ),
        ({"checks": {"failed_fraction": {"wrn": 1}}}, r"failed_fraction\.wrn: .* known here: error, min_failed, warn$"),
        ({"preset": "zenml"}, r"unknown preset 'zenml'; known: remux, zenml-tutorial$"),
        ({"preset": ["remux"]}, r"unknown preset \['remux'\]; known: "),
        ({"preset": {}}, r"unknown preset \{\}; known: "),
        ({"image": {"fit": "crop"}}, r"image\.fit: .*'stretch', 'cover' or 'contain' \(found 'crop'\)$"),
        ({"image": {"width_px": 0}}, r"image\.width_px: .*greater than or equal to 1 \(found 0\)$"),
        ({"image": {"background": [0, 0, 256]}}, r"image\.background\.2: .*255 \(found 256\)$"),
        ({"image": None}, r"image: .* \(found None\)$"),
        ({"name": "Photos"}, r"name: .* \(found 'Photos'\)$"),
        ({"name": "a\n"}, r"name: .*\(found 'a\\n'\)$"),
        ({"name": "x" * 64}, r"name: "),
        ({"num_shards": 4097}, r"num_shards: .*4096 \(found 4097\)$"),
        ({"output": {"quality": "good"}}, r"output\.quality: .*\(found 'good'\)$"),
        ({"checks": {"failed_fraction": {"warn": float("nan")}}}, r"failed_fraction\.warn: .*\(found nan\)$"),
        ({"labels": {"kind": "file"}}, r"labels: labels\.path goes with labels\.kind: file"),
        ({"labels": {"path": "x.csv"}}, r"labels: labels\.path goes with labels\.kind: file"),
        ({"exports": "csv"}, r"exports: .*\(found 'csv'\)$"),
        ({"transforms": [3]}, r"transforms\.0"),
        ({1: 2}, r"1: .*\(found 1\)$"),
        ({"image": {"width_px": 0}, "workers": -1}, r"image\.width_px: .*; workers: "),
        ({"store": "~no-such-user/x"}, r"path '~no-such-user/x' cannot be resolved"),
        ({"source": {"path": "a\0b"}}, r"path 'a\\x00b' cannot be resolved: embedded null byte"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found_or_is_known(overrides, says):
    with pytest.raises(ConfigError, match=says) as caught:
        make_settings(LEAST, base=Path("/base"), overrides=overrides)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named():
    with pytest.raises(ConfigError, match=r"^x\.yaml: name: Field required; source: .*; store: Field required$"):
        make_settings({}, base=Path("/base"), origin="x.yaml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no settings"),
        (b"- a\n- b\n", "holds no settings"),
        (b"just words", "holds no settings"),
        (b"name: [", "is not valid YAML"),
        (b"a: b: c", "is not valid YAML"),
        (b"!!python/object/apply:os.getcwd []", "is not valid YAML"),
        (b"name: \xff\xfe", "is not UTF-8"),
        (b"name: tiny\nstoer: x\n", "stoer: unknown setting"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(tmp_path, content, says):
    file = tmp_path / "odd.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{re.escape(str(file))}.*{says}") as caught:
        load_settings(file)
    assert "\n" not in str(caught.value)


def write_dataset(folder, file, *, name="tiny", store=None):
    (folder / file).write_text(f"name: {name}\nsource: {{path: raw}}\nstore: {store or name}\n")


def test_settings_files_are_in_order_of_their_names_and_what_editors_leave_is_none(tmp_path):
    for name in ("b.yml", "c.yaml", "a.yaml", "d.yaml.bak", ".e.yaml", "#f.yaml", "README.md"):
        (tmp_path / name).touch()
    assert [path.name for path in settings_files(tmp_path)] == ["a.yaml", "b.yml", "c.yaml"]


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({}, {"store": "other"}, "have the same name 'tiny'"),
        ({"name": "one", "store": "same"}, {"name": "two", "store": "./x/../same"}, "have the same store '.*/same'"),
    ],
)
def test_two_files_of_one_name_or_store_are_refused(tmp_path, first, second, says):
    write_dataset(tmp_path, "a.yaml", **first)
    write_dataset(tmp_path, "b.yaml", **second)
    conflicts = find_conflicts({path.name: load_settings(path) for path in settings_files(tmp_path)})
    assert [name for name, why in conflicts.items() if re.search(says, why)] == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_a_settings_file_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=rf"no settings file \(\*\.yaml\) in {tmp_path}/{name}; write one"):
        settings_files(tmp_path / name)


def test_a_wrong_file_is_named(tmp_path):
    (tmp_path / "b.yaml").write_text("name: two\n")
    with pytest.raises(ConfigError, match=r"b\.yaml: source: Field required"):
        load_settings(tmp_path / "b.yaml")


ODD_NAMES = ["photos", "日本", "", "1abc", "x" * 200, "A  B", "_", "-x-", "é", "50%", "a\nb", os.fsdecode(b"\xff\xfe")]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_folder_of_any_name_gives_a_valid_dataset_name(tmp_path, name):
    found = dataset_name_for(tmp_path / name)
    assert made(name=found).name == found
    assert dataset_name_for(tmp_path / name) == found


def test_folders_of_one_name_have_names_of_their_own(tmp_path):
    folders = [tmp_path / parent / name for parent in "abc" for name in ODD_NAMES if name]
    assert len({dataset_name_for(folder) for folder in folders}) == len(folders)


def test_a_folder_has_one_name_however_it_is_written(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    name = dataset_name_for(tmp_path / "photos")
    assert name.startswith("photos_")
    assert dataset_name_for(tmp_path / "link") == name
    assert dataset_name_for(tmp_path / "x/../photos") == name
    monkeypatch.chdir(tmp_path / "photos")
    assert dataset_name_for(Path()) == dataset_name_for(Path("../photos/")) == name
