"""Clean-up of real datasets: nothing that is kept changes by a byte, and every byte that goes is accounted for."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from image_assets.core.errors import ConfigError, DatasetError, ImageAssetsError, StoreError
from image_assets.pipeline import compaction
from image_assets.pipeline.pixels import StoredImages
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, VacuumReport, parse_age, vacuum_dataset, vacuum_summary
from image_assets.pipeline.verify import verify_dataset
from image_assets.settings import Settings
from image_assets.storage.indexes import latest_index, read_index_head
from image_assets.storage.segments import SEGMENT_SCHEMA
from image_assets.storage.store import Store
from image_assets_tests.images import make_settings_for, write_image, write_images

ALL = Retention()
NEWEST = Retention(keep=1)
LONG_AGO = 2 * 3600
FULL: dict[str, Any] = {"features": {"extractor": "colour-moments"}, "exports": ["csv", "json"]}
ORPHAN = f"segments/{'a' * 16}/{'b' * 64}.parquet"


@pytest.fixture(autouse=True)
def own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of this test's own: clean-up looks into it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def vacuum(options: Settings, retention: Retention = ALL, *, compact: bool = False) -> VacuumReport:
    """Clean up, and see that the account is right to the byte."""
    before = sum(sizes(options).values())
    report = vacuum_dataset(options, retention, compact=compact, dry_run=False)
    assert before - sum(sizes(options).values()) == report.freed_bytes - report.written_bytes
    return report


def sizes(options: Settings) -> dict[str, int]:
    walk = os.walk(options.store)
    paths = [Path(folder) / name for folder, _, names in walk for name in names]
    return {path.relative_to(options.store).as_posix(): path.stat().st_size for path in paths}


def contents(options: Settings) -> dict[str, tuple[bytes, int]]:
    found = {path: Path(options.store) / path for path in sizes(options)}
    return {path: (file.read_bytes(), file.stat().st_mtime_ns) for path, file in found.items()}


def age(options: Settings, seconds: float = LONG_AGO) -> None:
    """Make every file of a store older."""
    for path in sizes(options):
        at = time.time() - seconds
        os.utime(Path(options.store) / path, (at, at))


def snapshot_bytes(options: Settings, number: int) -> list[tuple[Any, ...]]:
    """What a snapshot says and holds, as it is stored, but for where it lies."""
    head = read_index_head(Store(options.store), number)
    with (
        open_dataset(options.store, snapshot=number) as dataset,
        StoredImages(Store(options.store), head.recipe_id) as it,
    ):
        rows = dataset.table().to_pylist()
        return [(tuple(sorted(strip(row).items())), it.encoded(row["segment"], row["row"])) for row in rows]


def strip(row: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) for name, value in row.items() if name not in {"segment", "row"}}


def snapshots(options: Settings) -> list[int]:
    return sorted(int(path.stem) for path in Path(options.store, "index").glob("*.parquet"))


def count_segments(options: Settings) -> int:
    return len(list(Path(options.store).glob("segments/*/*.parquet")))


def plant(options: Settings, path: str, data: bytes = b"x" * 1000) -> Path:
    target = Path(options.store, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return target


def live_through(options: Settings, raw: Path) -> None:
    """Five snapshots: images come, change, go and come back."""
    write_images(raw, 12)
    run_dataset(options)
    write_image(raw, "a/0.jpg", 100)
    run_dataset(options)
    (raw / "b/1.jpg").unlink()
    run_dataset(options)
    write_images(raw, 4, first=20)
    run_dataset(options)
    write_image(raw, "b/1.jpg", 1)
    write_images(raw, 6, first=30)
    run_dataset(options)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2592000), ("12h", 43200), ("45m", 2700), ("90s", 90), ("0s", 0), (" 1d ", 86400)]
)
def test_an_age_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "30", "30w", "-1d", "1.5h", "1d12h", "٣d", "1" * 400 + "d"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no age; give a number and d, h, m or s"):
        parse_age(text)


@pytest.mark.parametrize("wrong", [{"keep": 0}, {"keep": -1}, {"older_than_s": -1.0}, {"older_than_s": float("nan")}])
def test_a_retention_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Retention(**wrong)


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (ALL, {1, 2, 5}),
        (Retention(keep=1), {5}),
        (Retention(keep=2), {2, 5}),
        (Retention(keep=9), {1, 2, 5}),
        (Retention(older_than_s=25), {2, 5}),
        (Retention(older_than_s=0), {5}),  # the newest stays however old
        (Retention(keep=1, older_than_s=25), {2, 5}),
        (Retention(keep=3, older_than_s=0), {1, 2, 5}),
    ],
)
def test_snapshots_stay_by_number_or_by_age(retention: Retention, kept: set[int]) -> None:
    assert retention.kept({1: 30.0, 2: 20.0, 5: 10.0}) == kept


@pytest.mark.parametrize(
    ("keep", "stay", "compact"),
    [(1, [5], True), (2, [4, 5], False), (4, [2, 3, 4, 5], True), (None, [1, 2, 3, 4, 5], False)],
)
def test_kept_snapshots_read_the_same_and_the_others_are_gone(
    settings: Callable[..., Settings], raw: Path, keep: int | None, stay: list[int], compact: bool
) -> None:
    options = settings(**FULL)
    live_through(options, raw)
    before = {number: snapshot_bytes(options, number) for number in stay}
    report = vacuum(options, Retention(keep=keep), compact=compact)
    after = {number: number for number in report.snapshots_kept}
    if report.written_segments and keep is not None:
        # Compaction put 6 in the place of 5.
        after = {5 if number == 6 else number: number for number in report.snapshots_kept}
    assert {number: snapshot_bytes(options, after[number]) for number in stay} == before
    assert snapshots(options) == list(report.snapshots_kept)
    assert verify_dataset(options).problems == ()
    for number in set(range(1, 6)) - set(report.snapshots_kept):
        with pytest.raises(DatasetError):
            open_dataset(options.store, snapshot=number)


def test_only_what_was_kept_is_left(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings(**FULL)
    live_through(options, raw)
    digest = read_index_head(Store(options.store), 5).digest
    vacuum(options, NEWEST)
    head = read_index_head(Store(options.store), 5)
    assert head.digest == digest
    manifests = {f"shards/{shard}/manifests/{number:08d}.parquet" for shard, number in head.commits.items()}
    with open_dataset(options.store) as dataset:
        segments = {f"segments/{head.recipe_id}/{name}.parquet" for name in dataset.table()["segment"].to_pylist()}
    left = set(sizes(options))
    assert {path for path in left if path.startswith(("shards/", "segments/", "index/"))} == {
        *manifests,
        *segments,
        "index/00000005.parquet",
    }
    assert {"store.json", ".lock", "index.parquet", "feature_vectors.parquet", "exports/index.csv"} < left


@pytest.mark.parametrize("compact", [False, True])
def test_a_run_afterwards_has_nothing_to_do(settings: Callable[..., Settings], raw: Path, compact: bool) -> None:
    options = settings(**FULL)
    live_through(options, raw)
    vacuum(options, NEWEST, compact=compact)
    before = contents(options)
    report = run_dataset(options)
    assert (report.counts.decoded, report.counts.hashed, report.embedded) == (0, 0, 0)
    assert (report.index.published, report.followed["feature_vectors"].published) == (False, False)
    assert {path: it for path, it in contents(options).items() if not path.startswith("logs/")} == before


def test_a_second_one_finds_nothing(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings(**FULL)
    live_through(options, raw)
    vacuum(options, NEWEST, compact=True)
    before = contents(options)
    again = vacuum(options, NEWEST, compact=True)
    assert (again.removed, again.compacted_segments, again.written_bytes, again.note) == ((), 0, 0, "")
    assert contents(options) == before


def test_a_dry_run_changes_nothing_and_tells_what_the_real_one_does(
    settings: Callable[..., Settings], raw: Path
) -> None:
    options = settings(**FULL)
    live_through(options, raw)
    plant(options, ORPHAN)
    before = contents(options)
    dry = vacuum_summary(options, Retention(keep=2), compact=True, dry_run=True)
    assert contents(options) == before
    wet = vacuum_summary(options, Retention(keep=2), compact=False, dry_run=False)
    assert dry["compacted_segments"] > 0
    assert {**dry, "dry_run": False, "compacted_segments": 0} == wet
    assert wet["removed"] == sorted(wet["removed"], key=lambda file: file["path"])
    assert wet["removed_files"] == len(wet["removed"]) > 3
    assert wet["net_freed_bytes"] == wet["freed_bytes"] == sum(file["size_bytes"] for file in wet["removed"])


def test_a_dry_run_makes_no_lock_file(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings()
    live_through(options, raw)
    Path(options.store, ".lock").unlink()
    vacuum_dataset(options, NEWEST, compact=False, dry_run=True)
    assert not Path(options.store, ".lock").exists()


LEFTOVERS = [
    ORPHAN,
    f"segments/{'0' * 16}/{'c' * 64}.parquet",
    "tmp/0123456789abcdef.part",
    "index/00000001.parquet#1",
    "index.parquet#3",
    "store.json#1",
    f"segments/{'a' * 16}/{'b' * 64}.parquet#12",
    "shards/0-of-4/manifests/00000002.parquet#1",
    "shards/0-of-4/rejected.parquet#1",
    f"vectors/{'d' * 16}/{'e' * 64}.parquet#1",
    "exports/index.csv#1",
    "shards/1-of-7/manifests/00000001.parquet",  # another number of shards, never published
    "shards/1-of-7/rejected.parquet",
]
FOREIGN = [
    ".DS_Store",
    "index/.DS_Store",
    "index/._00000001.parquet",
    "index/1.parquet",
    "index/notes.txt#1",
    "notes#1",
    "mine/0123456789abcdef.part",
    "tmp/.DS_Store",
    "tmp/deep/0123456789abcdef.part",
    "segments/README",
    f"segments/{'a' * 16}/{'b' * 64}.parquet.bak",
    f"segments/{'b' * 64}.parquet",
    "shards/0-of-4/.DS_Store",
    "shards/mine/manifests/00000001.parquet",
    "shards/0-of-4/manifests/x/00000001.parquet",
    f"vectors/{'a' * 64}.parquet",
    "exports/mine.csv",
    "logs/mine.log",
    "models/model.onnx",
    "forgotten/00000001.json",
]


def test_leftovers_go_and_foreign_files_stay(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings(**FULL)
    write_images(raw, 6)
    run_dataset(options)
    for path in LEFTOVERS:
        plant(options, path)
    for path in FOREIGN:
        plant(options, path, b"{}" if "forgotten" not in path else b'{"marks": []}')
    report = vacuum(options)
    assert [file.path for file in report.removed] == sorted(LEFTOVERS)
    assert report.freed_bytes == 1000 * len(LEFTOVERS)
    assert set(FOREIGN) < set(sizes(options))
    assert verify_dataset(options).problems == ()


def test_emptied_folders_go(settings: Callable[..., Settings], raw: Path) -> None:
    write_images(raw, 6)
    run_dataset(settings(image={"width_px": 8}, num_shards=2))
    run_dataset(settings())
    Path(settings().store, "shards/5-of-9/manifests").mkdir(parents=True)
    vacuum(settings(), NEWEST)
    left = {path.name for top in ("shards", "segments") for path in Path(settings().store, top).iterdir()}
    assert left == {f"{number}-of-4" for number in range(4)} | {read_index_head(Store(settings().store), 2).recipe_id}
    assert Path(settings().store, "tmp").is_dir()


def test_segments_of_an_old_recipe_go_with_its_last_snapshot(settings: Callable[..., Settings], raw: Path) -> None:
    write_images(raw, 8)
    run_dataset(settings(image={"width_px": 8}))
    run_dataset(settings())
    old = read_index_head(Store(settings().store), 1).recipe_id
    assert vacuum(settings(), Retention(keep=2)).removed == ()
    assert list(Path(settings().store, "segments", old).iterdir())
    vacuum(settings(), NEWEST)
    assert not Path(settings().store, "segments", old).exists()
    assert run_dataset(settings()).counts.decoded == 0


def test_both_layouts_stay_until_the_new_one_is_published(settings: Callable[..., Settings], raw: Path) -> None:
    write_images(raw, 8)
    run_dataset(settings())
    before = snapshot_bytes(settings(), 1)
    assert vacuum(settings(num_shards=2), NEWEST).removed == ()
    run_dataset(settings(num_shards=2))
    removed = {file.path.split("/")[0] for file in vacuum(settings(num_shards=2), NEWEST).removed}
    assert removed == {"index", "shards"}
    assert snapshot_bytes(settings(), 2) == before
    # And back: the commits of that time are gone, the images are not.
    assert run_dataset(settings()).counts.decoded == 0


def test_a_refused_manifest_stays_with_its_images_until_it_is_stale(
    settings: Callable[..., Settings], raw: Path
) -> None:
    options = settings(num_shards=1)
    write_images(raw, 4)
    run_dataset(options)
    for number in range(3):
        (raw / f"a/bad{number}.jpg").write_bytes(b"not an image")
    write_image(raw, "b/new.jpg", 50)
    assert not run_dataset(options).shards[0].published
    assert vacuum(options, NEWEST, compact=True).removed == ()
    assert run_dataset(options).counts.decoded == 0
    for path in raw.glob("a/bad*"):
        path.unlink()
    assert run_dataset(options).counts.decoded == 0
    assert "shards/0-of-1/rejected.parquet" in {file.path for file in vacuum(options).removed}


def test_vectors_go_with_the_last_image_that_has_them(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings(**FULL)
    write_images(raw, 2)
    run_dataset(options)
    for path in raw.rglob("*.jpg"):
        path.unlink()
    write_images(raw, 2, first=10)
    run_dataset(settings(**FULL, checks={"lost_fraction": {"error": 1.0}}))
    chunks = set(Path(options.store).glob("vectors/*/*.parquet"))
    assert len(chunks) == 2
    assert not [file for file in vacuum(options).removed if file.path.startswith("vectors/")]
    vacuum(options, NEWEST)
    assert len(chunks.intersection(Path(options.store).glob("vectors/*/*.parquet"))) == 1
    assert verify_dataset(options).problems == ()


def test_a_chunk_of_mostly_dead_vectors_is_written_anew(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings(**FULL, checks={"lost_fraction": {"error": 1.0}})
    write_images(raw, 10)
    run_dataset(options)
    for number in range(6):
        (raw / f"{'ab'[number % 2]}/{number}.jpg").unlink()
    run_dataset(options)
    with open_dataset(options.store) as dataset:
        vectors = dataset.vectors()
    vacuum(options, NEWEST, compact=True)
    (chunk,) = Path(options.store).glob("vectors/*/*.parquet")
    assert pq.read_metadata(chunk).num_rows == 4
    with open_dataset(options.store) as dataset:
        assert (dataset.vectors() == vectors).all()
    Path(options.store, "feature_vectors.parquet").unlink()
    assert run_dataset(options).embedded == 0


@pytest.mark.parametrize("variants", [0, 3])
def test_compaction_gathers_images_and_changes_none(
    settings: Callable[..., Settings], raw: Path, variants: int
) -> None:
    options = settings(**FULL, augment={"variants": variants}, checks={"failed_fraction": {"error": 1.0}})
    live_through(options, raw)
    shutil.copy(raw / "a/2.jpg", raw / "b/copy.jpg")  # in another shard, perhaps
    (raw / "b/bad.jpg").write_bytes(b"no image")
    write_images(raw, 70, first=100)
    run_dataset(options)
    before, many = snapshot_bytes(options, 6), count_segments(options)
    digest = read_index_head(Store(options.store), 6).digest
    report = vacuum(options, NEWEST, compact=True)
    assert (report.snapshots_kept, report.snapshots_removed) == ((7,), (1, 2, 3, 4, 5, 6))
    assert (report.written_segments, count_segments(options)) == (1, 1)
    assert 1 < report.compacted_segments <= many
    assert read_index_head(Store(options.store), 7).digest == digest
    assert snapshot_bytes(options, 7) == before
    assert verify_dataset(options).problems == ()
    again = run_dataset(options)
    assert (again.counts.decoded, again.embedded, again.index.published) == (0, 0, False)


def test_a_compacted_segment_looks_like_any_other(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings(augment={"variants": 2}, num_shards=2)
    live_through(options, raw)
    write_images(raw, 60, first=100)
    run_dataset(options)
    (one, *_) = Path(options.store).glob("segments/*/*.parquet")
    schema, size_statistics = pq.read_schema(one), pq.read_metadata(one).row_group(0).column(0).compression
    vacuum(options, NEWEST, compact=True)
    (path,) = Path(options.store).glob("segments/*/*.parquet")
    assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()
    assert pq.read_schema(path).equals(schema, check_metadata=True)
    facts = pq.read_metadata(path)
    groups = [facts.row_group(number).num_rows for number in range(facts.num_row_groups)]
    assert groups[:-1] == [64] * (len(groups) - 1)
    assert len(groups) > 3
    assert facts.row_group(0).column(0).compression == size_statistics
    rows = pq.read_table(path).to_pylist()
    assert [row["variant"] for row in rows] == [0, 1, 2] * (len(rows) // 3)
    assert pq.read_table(path).schema.names == SEGMENT_SCHEMA.names


def test_new_segments_are_cut_when_full_and_follow_the_keys(
    settings: Callable[..., Settings], raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = settings()
    live_through(options, raw)
    monkeypatch.setattr(compaction, "FULL_BYTES", 5000)
    before = snapshot_bytes(options, 5)
    report = vacuum(options, NEWEST, compact=True)
    assert report.written_segments == count_segments(options) > 2
    assert snapshot_bytes(options, 6) == before
    with open_dataset(options.store) as dataset:
        places = [(row["segment"], row["row"]) for row in dataset.table(["segment", "row"]).to_pylist()]
    names = list(dict.fromkeys(name for name, _ in places))
    assert places == sorted(places, key=lambda place: (names.index(place[0]), place[1]))


def test_one_small_segment_alone_is_left_and_a_mostly_dead_one_is_not(
    settings: Callable[..., Settings], raw: Path
) -> None:
    options = settings(num_shards=1, checks={"lost_fraction": {"error": 1.0}})
    write_images(raw, 11)
    run_dataset(options)
    for number in range(5):
        (raw / f"{'ab'[number % 2]}/{number}.jpg").unlink()
    run_dataset(options)
    assert vacuum(options, NEWEST, compact=True).compacted_segments == 0  # 5 of 11 are dead
    (raw / "b/5.jpg").unlink()
    run_dataset(options)
    report = vacuum(options, NEWEST, compact=True)
    assert (report.compacted_segments, report.written_segments) == (1, 1)
    (path,) = Path(options.store).glob("segments/*/*.parquet")
    assert pq.read_metadata(path).num_rows == 5


def test_what_an_older_kept_snapshot_names_is_not_moved(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings()
    write_images(raw, 12)
    run_dataset(options)
    shared = {path.name for path in Path(options.store).glob("segments/*/*.parquet")}
    write_images(raw, 12, first=20)
    run_dataset(options)
    report = vacuum(options, Retention(keep=2), compact=True)
    assert report.snapshots_kept == (1, 3)
    assert {path.name for path in Path(options.store).glob("segments/*/*.parquet")} > shared
    assert report.compacted_segments > 1


def test_where_all_snapshots_are_kept_compaction_only_adds(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings()
    live_through(options, raw)
    report = vacuum(options, ALL, compact=True)
    assert (report.removed, report.snapshots_kept) == ((), (1, 2, 3, 4, 5, 6))
    assert report.note == "all snapshots are kept, so what was compacted stays too"
    assert vacuum(options, ALL, compact=True).compacted_segments == 0


@pytest.mark.parametrize("change", [{"num_shards": 2}, {"features": {"extractor": "colour-moments"}}])
def test_what_a_run_has_not_caught_up_with_is_not_compacted(
    settings: Callable[..., Settings], raw: Path, change: dict[str, Any]
) -> None:
    live_through(settings(), raw)
    report = vacuum(settings(**change), NEWEST, compact=True)
    assert (report.compacted_segments, report.snapshots_kept) == (0, (5,))
    assert re.match("nothing was compacted: .* run the dataset first", report.note)


def test_damage_is_not_copied(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings()
    live_through(options, raw)
    before = snapshots(options)
    damaged = max(Path(options.store).glob("segments/*/*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(damaged.read_bytes())
    data[200] ^= 1
    damaged.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        vacuum_dataset(options, NEWEST, compact=True, dry_run=False)
    assert snapshots(options) == before


def test_a_store_that_is_not_there_is_not_made(settings: Callable[..., Settings]) -> None:
    summary = vacuum_summary(settings(), NEWEST, compact=True, dry_run=False)
    assert (summary["removed"], summary["snapshots_kept"], summary["freed_bytes"]) == ([], [], 0)
    assert summary["note"] == f"there is no dataset in {settings().store}"
    assert not Path(settings().store).exists()


def test_a_folder_that_is_no_store_is_left_alone(settings: Callable[..., Settings]) -> None:
    plant(settings(), ORPHAN)
    assert vacuum(settings(), NEWEST, compact=True).removed == ()
    assert list(sizes(settings())) == [ORPHAN]


def test_another_datasets_store_is_refused(settings: Callable[..., Settings], raw: Path) -> None:
    write_images(raw, 2)
    run_dataset(settings())
    with pytest.raises(StoreError, match="holds dataset 'tiny', not 'other'"):
        vacuum_dataset(settings(name="other"), NEWEST, compact=False, dry_run=False)


def test_a_snapshot_without_its_manifest_stays_readable(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings(**FULL)
    live_through(options, raw)
    before = snapshot_bytes(options, 1)
    for path in Path(options.store).glob("shards/*/manifests/00000001.parquet"):
        path.unlink()
    vacuum(options)
    assert snapshot_bytes(options, 1) == before


def test_a_damaged_manifest_that_is_kept_stops_everything(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings()
    live_through(options, raw)
    plant(options, "shards/0-of-4/manifests/00000001.parquet", b"damaged")
    before = contents(options)
    with pytest.raises(StoreError, match=r"0-of-4/manifests/00000001\.parquet"):
        vacuum_dataset(options, ALL, compact=False, dry_run=False)
    assert contents(options) == before


def test_scratch_folders_of_killed_processes_go(
    settings: Callable[..., Settings], raw: Path, own_scratch: Path
) -> None:
    options = settings()
    write_images(raw, 2)
    run_dataset(options)
    dead = own_scratch / "image-assets-scratch-dead"
    dead.mkdir()
    (dead / "contents.npy").write_bytes(b"x" * 123)
    assert vacuum_dataset(options, ALL, compact=False, dry_run=True).scratch_bytes == 123
    report = vacuum(options)
    assert (report.scratch_bytes, report.freed_bytes, dead.exists()) == (123, 0, False)


class TornError(OSError):
    """What a test breaks a file operation off with."""


def break_off(patch: pytest.MonkeyPatch, name: str, after: int) -> None:
    """Let a function of the operating system fail from its call number ``after`` on."""
    real, calls = getattr(os, name), iter(range(10**9))

    def failing(*args: Any, **options: Any) -> Any:
        if next(calls) >= after:
            raise TornError(5, "broken off")
        return real(*args, **options)

    patch.setattr(os, name, failing)


@pytest.mark.parametrize("function", ["unlink", "link", "replace"])
def test_broken_off_anywhere_it_leaves_nothing_dangling_and_is_run_again(
    settings: Callable[..., Settings], raw: Path, function: str
) -> None:
    options = settings(**FULL)
    live_through(options, raw)
    plant(options, ORPHAN)
    before = {number: snapshot_bytes(options, number) for number in (4, 5)}
    aside = raw.parent / "aside"
    shutil.copytree(options.store, aside)
    for after in range(0, 100, int(os.environ.get("KILL_EVERY", "16"))):
        shutil.rmtree(options.store)
        shutil.copytree(aside, options.store)
        with pytest.MonkeyPatch.context() as patch:
            break_off(patch, function, after)
            try:
                vacuum_dataset(options, Retention(keep=2), compact=True, dry_run=False)
            except (ImageAssetsError, TornError):
                done = False
            else:
                done = True
        for number in snapshots(options):
            assert snapshot_bytes(options, number) == before.get(number, snapshot_bytes(options, number))
        assert snapshot_bytes(options, latest_index(Store(options.store))) == before[5]
        if not done:
            vacuum(options, Retention(keep=2), compact=True)
            assert snapshot_bytes(options, latest_index(Store(options.store))) == before[5]
            assert verify_dataset(options).problems == ()
            again = run_dataset(options)
            assert (again.counts.decoded, again.embedded) == (0, 0)
        if done:
            assert after > 2
            return
    pytest.fail("it never ended")


HOLD = """
import sys
from image_assets.storage.locks import in_use
from image_assets.storage.store import Store
with in_use(Store(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(settings: Callable[..., Settings]) -> Iterator[Callable[[], None]]:
    """Have another process use the store until the test ends."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, settings().store], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"

    yield start
    for process in started:
        process.communicate()


def test_beside_a_run_only_old_files_go_and_no_contents(
    settings: Callable[..., Settings], raw: Path, hold: Callable[[], None]
) -> None:
    options = settings(**FULL)
    live_through(options, raw)
    plant(options, ORPHAN)
    old = plant(options, "tmp/0123456789abcdef.part")
    age(options)
    young = plant(options, "tmp/fedcba9876543210.part")
    hold()
    report = vacuum(options, NEWEST, compact=True)
    assert (report.careful, report.compacted_segments) == (True, 0)
    assert report.note.startswith("a run is under way")
    assert report.snapshots_removed == (1, 2, 3, 4)
    assert {file.path.split("/")[0] for file in report.removed} == {"index", "shards", "tmp"}
    assert (old.exists(), young.exists(), Path(options.store, ORPHAN).exists()) == (False, True, True)
    assert verify_dataset(options).problems == ()


def test_beside_a_run_what_was_of_use_a_moment_ago_stays(
    settings: Callable[..., Settings], raw: Path, hold: Callable[[], None]
) -> None:
    options = settings(**FULL)
    write_images(raw, 8)
    run_dataset(options)
    write_image(raw, "a/0.jpg", 100)
    run_dataset(options)
    age(options)
    write_image(raw, "a/0.jpg", 101)
    run_dataset(options)
    hold()
    # Snapshot 2 is old, and was the newest until a moment ago.
    report = vacuum(options, NEWEST)
    assert (report.snapshots_kept, report.snapshots_removed) == ((2, 3), (1,))
    assert snapshot_bytes(options, 2)


def test_a_file_from_the_future_is_young(
    settings: Callable[..., Settings], raw: Path, hold: Callable[[], None]
) -> None:
    options = settings()
    write_images(raw, 2)
    run_dataset(options)
    plant(options, "tmp/0123456789abcdef.part")
    age(options, -LONG_AGO)
    hold()
    assert vacuum(options, NEWEST).removed == ()


def test_an_object_store_is_cleaned_of_what_is_old(settings: Callable[..., Settings], raw: Path) -> None:
    folder = settings(**FULL)
    options = settings(**FULL, store=Path(folder.store).as_uri())
    Path(folder.store).mkdir()
    live_through(options, raw)
    plant(folder, ORPHAN)
    before = snapshot_bytes(folder, 5)
    assert vacuum_dataset(options, NEWEST, compact=True, dry_run=False).removed == ()
    plant(folder, "shards/0-of-9/manifests/00000001.parquet")
    age(folder)
    sizes_before = sum(sizes(folder).values())
    report = vacuum_dataset(options, NEWEST, compact=True, dry_run=False)
    assert sizes_before - sum(sizes(folder).values()) == report.freed_bytes > 0
    assert report.note.startswith("an object store has no locks")
    assert not Path(folder.store, ORPHAN).exists()
    assert snapshot_bytes(folder, 5) == before
    assert run_dataset(options).counts.decoded == 0


OPERATIONS = st.tuples(
    st.sampled_from(["write", "write", "write", "delete", "rename", "copy", "spoil", "recipe", "shards"]),
    st.integers(0, 7),
    st.integers(0, 11),
)
RUNS = st.lists(st.lists(OPERATIONS, min_size=1, max_size=4), min_size=1, max_size=5)
RETENTIONS = st.builds(Retention, st.none() | st.integers(1, 4), st.none() | st.sampled_from([0.0, 1e9]))


def change(raw: Path, overrides: dict[str, Any], operation: tuple[str, int, int]) -> None:
    kind, place, number = operation
    path = raw / f"{'ab'[place % 2]}/{place}.jpg"
    other = raw / f"a/{number}-other.jpg"
    if kind == "write":
        write_image(raw, path.relative_to(raw).as_posix(), number)
    elif kind == "recipe":
        overrides["image"] = {"width_px": 8 + number % 2}
    elif kind == "shards":
        overrides["num_shards"] = 1 + number % 4
    elif kind == "spoil":
        path.write_bytes(b"spoilt %d" % number)
    elif path.exists() and kind == "delete":
        path.unlink()
    elif path.exists():
        (shutil.copy if kind == "copy" else shutil.move)(path, other)


@given(runs=RUNS, retention=RETENTIONS, compact=st.booleans())
@hypothesis_settings(
    max_examples=int(os.environ.get("VACUUM_HISTORIES", "8")),
    derandomize="VACUUM_HISTORIES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_after_any_history_and_retention_every_kept_snapshot_reads_the_same(
    runs: list[list[tuple[str, int, int]]], retention: Retention, compact: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, raw = Path(name), Path(name, "raw")
        overrides: dict[str, Any] = {
            "checks": {"failed_fraction": {"error": 0.9}, "lost_fraction": {"error": 1.0}},
            "features": {"extractor": "colour-moments"},
        }
        write_images(raw, 8)
        for operations in runs:
            for operation in operations:
                change(raw, overrides, operation)
            write_image(raw, "a/always.jpg", 99)
            options = make_settings_for(folder, **overrides)
            run_dataset(options)
        before = {number: snapshot_bytes(options, number) for number in snapshots(options)}
        report = vacuum(options, retention, compact=compact)
        newest = max(before)
        for number in report.snapshots_kept:
            assert snapshot_bytes(options, number) == before[min(number, newest)]
        wanted = retention.kept(dict.fromkeys(before, 1.0))
        assert wanted - {newest} == set(report.snapshots_kept) - {newest, newest + 1}
        assert verify_dataset(options).problems == ()
        again = run_dataset(options)
        assert (again.counts.decoded, again.embedded) == (0, 0)
        assert snapshot_bytes(options, max(snapshots(options))) == before[newest]
        leftovers = vacuum(options, retention, compact=compact)
        assert not [file for file in leftovers.removed if file.path.startswith("segments/")]
