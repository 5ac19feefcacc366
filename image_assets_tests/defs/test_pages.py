"""What Dagster shows of an asset: sheets, tables, words on each column, a launchpad that refuses what is wrong."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from image_assets.core.column_words import COLUMN_WORDS
from image_assets.core.errors import ConfigError
from image_assets.core.index import INDEX_SCHEMA
from image_assets.core.manifest import MANIFEST_SCHEMA
from image_assets.core.sharding import shard_names
from image_assets.defs.columns import FOLLOWER_SCHEMAS
from image_assets.defs.dataset import dataset_definitions
from image_assets.defs.plain_tables import IN_PLACE, bars, changes_text, plain
from image_assets.pipeline.following import FOLLOWERS
from image_assets.pipeline.run_changes import Change, Changes
from image_assets_tests.defs.keys import keys_in, shard_of
from image_assets_tests.defs.small_daemon import SMALL_SETTINGS, SmallDaemon
from image_assets_tests.images import image_bytes, make_settings_for, write_image

SHARDS = shard_names(4)
FULL: dict[str, Any] = {"duplicates": {"enabled": True}, "quality": {"enabled": True}, "annotations": {"enabled": True}}


def shown(event: dg.AssetMaterialization, name: str) -> str:
    """Return a Markdown text of an event."""
    return str(event.metadata[name].value)


def pictures(text: str) -> list[tuple[str, Image.Image]]:
    """Return the pictures in a text, each with what is said in place of it."""
    found = re.findall(r"!\[([^\]]+)\]\(data:image/webp;base64,([^)]+)\)", text)
    return [(alt, Image.open(io.BytesIO(base64.b64decode(data)))) for alt, data in found]


def test_a_shard_shows_its_images_and_what_changed_and_how_they_are_spread(daemon: SmallDaemon, raw: Path) -> None:
    name = keys_in(SHARDS[1], 1, prefix="b/odd | <i>[x](y)`")[0]
    (raw / name).write_bytes(image_bytes(77))
    bad = keys_in(SHARDS[1], 1, prefix="b/bad")[0]
    (raw / bad).write_bytes(b"no image")
    daemon.materialize(SHARDS[0], SHARDS[3])
    event = daemon.shard_events(SHARDS[1])[0]
    ((alt, picture),) = pictures(shown(event, "contact_sheet"))
    images = event.metadata["images"].value
    assert alt.startswith(f"Contact sheet of shard {SHARDS[1]}&#58; {images} of {images} images. {bad}, ")
    assert picture.width >= 16
    assert f"{bad} (not&#95;an&#95;image)" in shown(event, "contact_sheet")
    changed = shown(event, "what_changed")
    assert changed.startswith(f"**{images} images changed**: 1 failed, {int(str(images)) - 1} new.")
    assert "<i>" not in changed
    assert f"| {plain(name)} | new | b |" in changed
    assert "| `not_an_image` | 1 | no decoder knows the bytes |" in shown(event, "quarantine")
    assert "| below 0.1 MP |" in shown(event, "sizes")
    assert shown(event, "labels").count("\n") == 3
    assert "Of the" in shown(event, "brightness")


def test_a_quiet_run_keeps_the_sheet_and_makes_none(daemon: SmallDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.settle()
    daemon.materialize(SHARDS[0], SHARDS[3])
    newest, first = daemon.shard_events(SHARDS[2])
    for name in ("contact_sheet", "labels", "sizes", "brightness"):
        assert shown(newest, name) == shown(first, name)
    assert shown(newest, "what_changed") == "Nothing changed."
    assert "images_per_sec" in first.metadata
    assert "images_per_sec" not in newest.metadata


def test_the_index_names_what_failed_came_went_and_moved(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    (event,) = daemon.index_events()
    assert "This is the first index." in shown(event, "what_changed")
    (raw / "a/0.jpg").rename(raw / "a/elsewhere.jpg")
    (raw / "b/1.jpg").unlink()
    write_image(raw, "a/2.jpg", 99)
    write_image(raw, "a/new.jpg", 50)
    (raw / "b/3.jpg").write_bytes(b"broken now")
    daemon.settle()
    changed = shown(daemon.index_events()[0], "what_changed")
    assert changed.startswith("**5 images changed**: 1 failed, 1 new, 1 changed, 1 moved, 1 removed.")
    rows = re.findall(r"^\| (\S+\.jpg) \| (\w+) \| (.*) \|$", changed, re.MULTILINE)
    assert [row[:2] for row in rows] == [
        ("b/3.jpg", "failed"),
        ("a/new.jpg", "new"),
        ("a/2.jpg", "changed"),
        ("a/elsewhere.jpg", "moved"),
        ("b/1.jpg", "removed"),
    ]
    assert rows[3][2] == "was a/0.jpg"
    ((alt, _),) = pictures(shown(daemon.index_events()[0], "contact_sheet"))
    # What failed first, then what changed; of the rest a sample.
    assert "12 of 12 images. b/3.jpg, a/" in alt


def test_a_new_label_and_a_repaired_image_are_told_of(instance: dg.DagsterInstance, raw: Path) -> None:
    labels = raw.parent / "labels.csv"
    labels.write_text("filename,label\na/0.jpg,cat\n")
    (raw / "b/1.jpg").write_bytes(b"broken")
    by_file = {"labels": {"kind": "file", "path": "labels.csv"}}
    daemon = SmallDaemon(instance, make_settings_for(raw.parent, **SMALL_SETTINGS, **by_file))
    daemon.settle()
    labels.write_text("filename,label\na/0.jpg,dog\n")
    write_image(raw, "b/1.jpg", 1)
    daemon.settle()
    changed = shown(daemon.index_events()[0], "what_changed")
    assert changed.startswith("**2 images changed**: 1 recovered, 1 relabelled.")
    assert "| b/1.jpg | recovered | was not&#95;an&#95;image |" in changed
    assert "| a/0.jpg | relabelled | cat → dog |" in changed


def test_sheets_are_off_where_nobody_wants_them(instance: dg.DagsterInstance, raw: Path) -> None:
    off = {"contact_sheets": {"shard_images": 0, "index_images": 0}}
    daemon = SmallDaemon(instance, make_settings_for(raw.parent, **SMALL_SETTINGS, **off))
    daemon.settle()
    for event in (daemon.shard_events(shard_of("a/0.jpg"))[0], daemon.index_events()[0]):
        assert "contact_sheet" not in event.metadata
        assert "what_changed" in event.metadata


def test_a_dataset_without_one_output_has_an_index_and_shows_what_failed(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(2):
        (tmp_path / f"raw/{number}.jpg").write_bytes(f"no image {number}".encode())
    daemon = SmallDaemon(instance, make_settings_for(tmp_path, **SMALL_SETTINGS, num_shards=1))
    daemon.settle()
    assert "2 failed" in shown(daemon.shard_events("0-of-1")[0], "what_changed")
    for event in (daemon.shard_events("0-of-1")[0], daemon.index_events()[0]):
        ((alt, _),) = pictures(shown(event, "contact_sheet"))
        assert "2 of 2 images. 1.jpg, 0.jpg" in alt


def test_an_observation_says_what_lies_in_the_source(daemon: SmallDaemon, raw: Path) -> None:
    daemon.tick()
    records = daemon.instance.fetch_observations(daemon.names.raw_listing, limit=1).records
    metadata = records[0].asset_observation.metadata if records[0].asset_observation else {}
    shard = records[0].partition_key
    sizes = [path.stat().st_size for path in raw.rglob("*.jpg") if shard_of(path.relative_to(raw).as_posix()) == shard]
    told = {name: metadata[name].value for name in ("images", "bytes", "images_in_the_source")}
    assert told == {"images": len(sizes), "bytes": sum(sizes), "images_in_the_source": 12}


def test_every_asset_says_what_it_is_where_it_is_and_whose(tmp_path: Path) -> None:
    settings = make_settings_for(tmp_path, **SMALL_SETTINGS, **FULL, owners=["team:vision"], tags={"domain": "shop"})
    graph = dataset_definitions(settings).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert "**Where**" in (node.description or ""), key
        assert "red**" in (node.description or ""), key
        assert node.tags["domain"] == "shop"
        assert list(node.owners) == ["team:vision"]
        assert any(tag.startswith("dagster/kind/") for tag in node.tags)
        assert node.metadata["pipeline_log"].value.endswith("pipeline.log")


def test_every_column_has_a_meaning_and_no_meaning_is_left_over() -> None:
    schemas: list[pa.Schema] = [INDEX_SCHEMA, MANIFEST_SCHEMA, *FOLLOWER_SCHEMAS.values()]
    columns = {field.name for schema in schemas for field in schema}
    assert columns == set(COLUMN_WORDS)
    assert set(FOLLOWER_SCHEMAS) < set(FOLLOWERS)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"owners": ["vision"]}, "an email address or team:NAME"),
        ({"owners": "team:vision"}, r"owners: write a list: \[one, two\] \(found 'team:vision'\)"),
        ({"tags": ["gold"]}, "tags: write names and values"),
        ({"owners": ["team:"]}, "an email address or team:NAME"),
        ({"tags": {"a b": "c"}}, "1 to 63 letters"),
        ({"tags": {"dagster/kind/x": ""}}, "does not begin with dagster/"),
        ({"tags": {"a": "b c"}}, "at most 63 letters"),
    ],
)
def test_an_owner_or_a_tag_that_dagster_would_refuse_is_refused_in_one_line(
    tmp_path: Path, setting: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        make_settings_for(tmp_path, **setting)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, None),
        ({"retry": ["truncated"], "recheck": True, "allow_deletes": True}, None),
        ({"engine": {"workers": 2}}, None),
        ({"engine": {"kind": "local", "workers": 0}}, None),
        ({"engine": {"address": "tcp://scheduler:8786", "workers": 2}}, None),
        ({"engine": {"workers": -1}}, "greater than or equal to 0"),
        ({"engine": {"workers": 4097}}, "less than or equal to 4096"),
        ({"engine": {"kind": "flink"}}, "not in enum type EngineKind got flink"),
        ({"engine": {"kind": "ray"}}, "engine ray needs workers"),  # the settings say 0
        ({"engine": {"address": "scheduler"}}, "is no address of a cluster"),
        ({"engine": {"address": "tcp://a:1", "kind": "ray", "workers": 1}}, "is one of dask, not of ray"),
        ({"retry": ["bad_luck"]}, "not in enum type FailureReason got bad_luck"),
        ({"recheck": "yes"}, 'expected type "Bool"'),
        ({"rechek": True}, 'unexpected config entry "rechek"'),
    ],
)
def test_the_launchpad_refuses_what_is_wrong_before_a_run(
    tmp_path: Path, asked: dict[str, Any], says: str | None
) -> None:
    # Two datasets: the fields of one must not be judged by the settings of the other.
    both = (make_settings_for(tmp_path), make_settings_for(tmp_path, name="other", store="other", workers=3))
    job = dg.Definitions.merge(*map(dataset_definitions, both)).resolve_job_def("tiny_update")
    run_config = {"ops": {"tiny__image_shards": {"config": asked}}}
    if says is None:
        assert dg.validate_run_config(job, run_config)
    else:
        with pytest.raises(dg.DagsterInvalidConfigError, match=says):
            dg.validate_run_config(job, run_config)


def test_every_field_of_the_launchpad_is_described(tmp_path: Path) -> None:
    asset = dataset_definitions(make_settings_for(tmp_path)).resolve_assets_def(dg.AssetKey(["tiny", "image_shards"]))
    schema = asset.op.config_schema.config_type
    assert schema is not None
    for field in schema.fields.values():
        assert field.description
        for inner in getattr(field.config_type, "fields", {}).values():
            assert inner.description


@pytest.mark.parametrize(
    "text", ["a|b", "<script>", "[x](y)", "![x](y)", "`c`", "line\nbreak", "\u202eltr", "*b*", "\ud800"]
)
def test_no_markup_comes_out_of_a_name(text: str) -> None:
    told = plain(text)
    assert not set("|<>`[]()*!\n\u202e") & set(told)
    assert told.isascii()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a/www.evil.example", "a/www`.`evil.example"),
        ("HTTPS://x", "HTTPS`:`//x"),
        ("a@b.c", "a`@`b.c"),
        ("www.@@b.c", "www`.@@`b.c"),  # one run, for two of a mark side by side would be another mark
        ("shirt/3.jpg", "shirt/3.jpg"),
    ],
)
def test_no_link_is_made_of_a_name_either(text: str, told: str) -> None:
    assert plain(text) == told


def test_a_long_name_leaves_room_for_what_is_said_of_it() -> None:
    (row,) = bars("label", [("l" * 200, 3)]).splitlines()[2:]
    assert row == f"| {'l' * 20}…{'l' * 19} | 3 | {'█' * 20} |"


def test_long_tables_are_cut_to_what_dagster_shows_in_place() -> None:
    many = tuple(Change("new", f"a/{'long' * 20}{number}.jpg", "label", None) for number in range(20))
    told = changes_text(Changes({"new": 1000}, many))
    assert len(told) <= IN_PLACE
    assert "| … 989 more" in told


def test_a_bar_is_as_long_as_its_share_and_never_nothing_for_something() -> None:
    table = bars("label", [("a", 1_000_000), ("b", 500_000), ("c", 1), ("d", 0)]).splitlines()
    assert [line.split("|")[3].strip() for line in table[2:]] == ["█" * 20, "█" * 10, "▏", ""]


def test_a_sheet_stays_small_however_noisy_its_images_are(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(20):
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"raw/{number}.png")
    noisy = {"image": {"width_px": 64, "height_px": 64}, "num_shards": 1}
    daemon = SmallDaemon(instance, make_settings_for(tmp_path, **SMALL_SETTINGS, **noisy))
    daemon.settle()
    told = shown(daemon.shard_events("0-of-1")[0], "contact_sheet")
    assert len(told) < 31_000
    images = re.search(r"(\d+) of 20 images", told)
    # Sixteen of them would be half as large again.
    assert images is not None
    assert 8 <= int(images[1]) < 16
