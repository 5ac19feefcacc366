"""Duplicates of real datasets: which images are alike, through every history, and in every file that the store has.

The suite tries one history; this tries so many:

    DUPLICATE_HISTORIES=100 python -m pytest image_assets_tests/pipeline/test_duplicates.py -k history
"""

import json
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from image_assets.cli import main
from image_assets.core.errors import DatasetError, StoreError
from image_assets.pipeline.duplicates import build_duplicates, duplicates_summary
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.settings import Settings
from image_assets_tests.images import make_settings_for
from image_assets_tests.kills import KilledError, killed_at_write

ON = {"duplicates": {"enabled": True}, "image": {"width_px": 64, "height_px": 64}, "output": {"quality": 95}}


def put(folder: Path, key: str, number: int, *, size_px: int = 96, **options: Any) -> Path:
    """Write a soft picture that depends on its number; the size, the format and the quality change little of it."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    path = folder / "raw" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BICUBIC).save(path, **options)
    return path


def put_flat(folder: Path, key: str, colour: str) -> None:
    Image.new("RGB", (96, 96), colour).save(folder / "raw" / key)


def put_examples(folder: Path) -> Settings:
    """Three of one picture, two of another, flat ones, and one alone."""
    put(folder, "a/one.png", 1)
    shutil.copy(folder / "raw/a/one.png", folder / "raw/a/one again.png")
    put(folder, "a/one small.jpg", 1, size_px=50, quality=60)
    put(folder, "b/two.jpg", 2)
    put(folder, "b/two larger.png", 2, size_px=200)
    put(folder, "b/alone.jpg", 3)
    for key, colour in (("white", "white"), ("white too", "white"), ("black", "black")):
        put_flat(folder, f"b/{key}.png", colour)
    return make_settings_for(folder, **ON)


EXAMPLES = [
    [("a/one again.png", "exact"), ("a/one small.jpg", "near"), ("a/one.png", "exact")],
    [("b/two larger.png", "near"), ("b/two.jpg", "near")],
    [("b/white too.png", "exact"), ("b/white.png", "exact")],
]


def groups_of(settings: Settings) -> list[list[tuple[str, str]]]:
    groups = duplicates_summary(settings)["groups"]
    return sorted([(image["key"], image["kind"]) for image in group["images"]] for group in groups)


def files_of(settings: Settings) -> dict[str, Any]:
    """What is published, without what the head says of the index's number, and the bytes of what it was made from."""
    store = Path(settings.store)
    table = pq.read_table(store / "duplicates.parquet").replace_schema_metadata(None).to_pydict()
    return {**table, "neighbours": (store / "perceptual/neighbours.parquet").read_bytes()}


def from_scratch(settings: Settings) -> dict[str, Any]:
    """The same of a dataset that is made at once."""
    fresh = settings.model_copy(update={"store": f"{settings.store}-fresh"})
    run_dataset(fresh)
    found = files_of(fresh)
    shutil.rmtree(fresh.store)
    return found


def test_groups_are_images_of_the_same_bytes_and_images_that_look_alike(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    summary = duplicates_summary(settings)
    assert (summary["images"], summary["exact"], summary["near"], summary["flat"]) == (9, 4, 3, 3)
    assert groups_of(settings) == EXAMPLES
    distances = {image["key"]: image["distance_bits"] for group in summary["groups"] for image in group["images"]}
    assert {distances[key] for key in ("a/one.png", "a/one again.png", "b/white.png")} == {0}
    assert max(distances.values()) <= 8


def test_every_row_of_the_index_has_one_in_its_order_and_variants_say_what_their_image_does(tmp_path):
    put_examples(tmp_path)
    settings = make_settings_for(tmp_path, **ON, augment={"variants": 2})
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        index = dataset.table(["id", "key", "variant"])
    duplicates = pq.read_table(Path(settings.store, "duplicates.parquet"))
    assert duplicates["id"].to_pylist() == index["id"].to_pylist()
    told: dict[str, set[Any]] = {}
    for row, key in zip(duplicates.to_pylist(), index["key"].to_pylist(), strict=True):
        told.setdefault(key, set()).add((row["group"], row["kind"], row["distance_bits"]))
    assert {len(of_image) for of_image in told.values()} == {1}
    assert told["b/alone.jpg"] == {(None, None, None)}
    plain = {key: one for key, one, variant in zip(*index.select(["key", "id", "variant"]).columns, strict=True)
             if variant.as_py() == 0}  # fmt: skip
    ones = {str(one) for key, one in plain.items() if str(key).startswith("a/")}
    assert {group for key in ("a/one.png", "a/one small.jpg") for group, _, _ in told[key]} == {min(ones)}


def test_only_new_images_are_hashed_and_an_index_that_stays_costs_nothing(tmp_path):
    settings = put_examples(tmp_path).model_copy(update={"duplicates": Settings.model_fields["duplicates"].default})
    run_dataset(settings)
    assert not Path(settings.store, "duplicates.parquet").exists()
    # Seven: copies, and the two white ones, have one output.
    assert (build_duplicates(settings).hashed, build_duplicates(settings).published) == (7, False)
    put(tmp_path, "c/new.png", 3, size_px=70)
    (tmp_path / "raw/a/one.png").rename(tmp_path / "raw/a/renamed.png")
    run_dataset(settings)
    report = build_duplicates(settings)
    assert (report.hashed, report.published, report.head.groups) == (1, True, 4)


def test_another_distance_searches_anew_and_hashes_nothing(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    before = files_of(settings)
    exact = settings.model_copy(update={"duplicates": settings.duplicates.model_copy(update={"distance_bits": 0})})
    report = build_duplicates(exact)
    assert (report.hashed, report.published) == (0, True)
    assert files_of(exact) != before
    build_duplicates(settings)
    assert files_of(settings) == before


@pytest.mark.parametrize("seed", range(int(os.environ.get("DUPLICATE_HISTORIES", "1"))))
def test_after_any_history_duplicates_are_those_of_a_dataset_from_scratch(tmp_path, seed):
    chance = random.Random(seed)
    settings = make_settings_for(tmp_path, **ON, checks={"lost_fraction": {"error": 1.0}})
    put(tmp_path, "a/first.png", 0)
    for step in range(4):
        for _ in range(5):
            key = f"{chance.choice('ab')}/{chance.randrange(8)}.{chance.choice(['png', 'jpg'])}"
            put(tmp_path, key, chance.randrange(4), size_px=chance.choice([50, 64, 96]))
        there = sorted((tmp_path / "raw").rglob("*.*"))
        for path in chance.sample(there, min(3, len(there) - 1)):
            path.unlink()
        with suppress(KilledError), killed_at_write(chance.randrange(12), after=chance.random() < 0.5):
            run_dataset(settings)
        run_dataset(settings)
        if step % 2:
            vacuum_dataset(settings, Retention(keep=1), compact=True, dry_run=False)
            run_dataset(settings)
        found = files_of(settings)
        assert found == from_scratch(settings)
        # The index has the same groups.
        assert pq.read_table(Path(settings.store, "index.parquet"))["group"].to_pylist() == found["group"]


def test_killed_at_any_write_the_next_call_ends_the_same(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    whole = files_of(settings)
    # A chunk of hashes, what is near what, the groups.
    for writes in range(3):
        for after in (False, True):
            shutil.rmtree(Path(settings.store, "perceptual"))
            Path(settings.store, "duplicates.parquet").unlink()
            with pytest.raises(KilledError), killed_at_write(writes, after=after):
                build_duplicates(settings)
            assert build_duplicates(settings).hashed == (7 if (writes, after) == (0, False) else 0)
            assert files_of(settings) == whole


def test_hashes_go_with_the_last_image_that_has_them(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    for key in ("a/one.png", "b/two.jpg", "b/two larger.png", "b/alone.jpg", "b/black.png"):
        (tmp_path / "raw" / key).unlink()
    run_dataset(settings.model_copy(update={"checks": make_settings_for(
        tmp_path, checks={"lost_fraction": {"error": 1.0}}).checks}))  # fmt: skip
    vacuum_dataset(settings, Retention(keep=1), compact=True, dry_run=False)
    (chunk,) = Path(settings.store).glob("perceptual/*/*.parquet")
    with open_dataset(settings.store) as dataset:
        outputs = dataset.table(["output_sha256"])["output_sha256"].to_pylist()
    assert sorted(pq.read_table(chunk)["output_sha256"].to_pylist()) == sorted(set(outputs))
    assert groups_of(settings) == [[("a/one again.png", "near"), ("a/one small.jpg", "near")], EXAMPLES[2]]


@pytest.mark.parametrize("enabled", [True, False])
def test_what_is_forgotten_is_in_no_hash_and_in_no_group(tmp_path, enabled):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        rows = dataset.table(["key", "id", "output_sha256"]).to_pylist()
    row = next(row for row in rows if row["key"] == "b/two.jpg")
    table = pq.read_table(next(Path(settings.store).glob("perceptual/*/*.parquet"))).to_pydict()
    number = dict(zip(table["output_sha256"], table["hash"], strict=True))[row["output_sha256"]]
    other = settings.duplicates.model_copy(update={"enabled": enabled})
    forget_images(settings.model_copy(update={"duplicates": other}), ["b/two.jpg"])
    left = [path for path in Path(settings.store).rglob("*.parquet") if "duplicates" in path.name
            or path.parent.name == "perceptual" or path.parent.parent.name == "perceptual"]  # fmt: skip
    assert len(left) == (3 if enabled else 1)
    for path in left:
        found = {value for column in pq.read_table(path).columns for value in column.to_pylist()}
        assert found.isdisjoint({row["id"], row["output_sha256"], number}), path
    assert groups_of(settings) == [EXAMPLES[0], EXAMPLES[2]]


def test_a_damaged_file_is_named(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    for name in ("duplicates.parquet", "perceptual/neighbours.parquet"):
        Path(settings.store, name).write_bytes(b"no table")
        with pytest.raises(StoreError, match=f"{name} is damaged"):
            build_duplicates(settings)
        Path(settings.store, name).unlink()
        Path(settings.store, "duplicates.parquet").unlink(missing_ok=True)


def test_without_an_index_there_are_no_duplicates(tmp_path):
    with pytest.raises(DatasetError, match="no index"):
        build_duplicates(make_settings_for(tmp_path))


def called(settings_file: Path, *arguments: str) -> str:
    done = CliRunner().invoke(main, ["duplicates", "--config", str(settings_file), *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_lists_groups_for_people_and_as_json(tmp_path):
    settings = put_examples(tmp_path)
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(settings.model_dump(mode="json", exclude_unset=True)))
    run_dataset(settings)
    header, *lines = called(file).splitlines()
    assert header.split() == ["group", "kind", "distance_bits", "key"]
    assert sorted(line.split(maxsplit=3)[3] for line in lines) == [key for group in EXAMPLES for key, _ in group]
    assert json.loads(called(file, "--json")) == duplicates_summary(settings)
