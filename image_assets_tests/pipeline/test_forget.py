import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from image_assets.core.annotations import AnnotatedImage, Annotation
from image_assets.core.errors import DatasetError
from image_assets.core.geometry import Box
from image_assets.core.sharding import shard_names
from image_assets.pipeline.forget import forget_images, forget_summary
from image_assets.pipeline.logs import pipeline_log
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.verify import verify_dataset
from image_assets.settings import Settings
from image_assets.storage.annotations import append_annotations
from image_assets.storage.identity import open_store
from image_assets.storage.locks import in_use
from image_assets.storage.manifests import latest_commit, read_manifest
from image_assets.storage.store import Store
from image_assets_tests.images import image_bytes, make_settings_for, write_image, write_images

EVERYTHING = {
    "features": {"extractor": "colour-moments"},
    "exports": ["csv", "files", "hdf5", "json", "npy", "parquet"],
    "augment": {"variants": 1},
    "image": {"width_px": 8, "height_px": 8},
    "annotations": {"enabled": True},
}
OTHER_RECIPE = {"output": {"quality": 80}}
SMALL = {**EVERYTHING, "exports": ["csv"], "augment": {"variants": 0}, "num_shards": 1}


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lived_in(folder: Path, **options: object) -> Settings:
    """Return the settings of a dataset with copies, another label, a failed image, two recipes and three snapshots."""
    raw = folder / "raw"
    raw.mkdir(exist_ok=True)
    write_images(raw, 8)
    shutil.copy(raw / "a/0.jpg", raw / "b/copy.jpg")
    shutil.copy(raw / "a/0.jpg", raw / "b/other copy's.jpg")
    (raw / "a/bad.jpg").write_bytes(image_bytes(50)[:200])
    settings = make_settings_for(folder, **options)
    with pipeline_log(settings):
        run_dataset(settings)
        annotate(settings)
        (raw / "c").mkdir()
        (raw / "b/copy.jpg").rename(raw / "c/copy.jpg")
        write_image(raw, "a/late.jpg", 60)
        run_dataset(settings)
        settings = make_settings_for(folder, **{**options, **OTHER_RECIPE})
        run_dataset(settings)
    return settings


def annotate(settings: Settings) -> None:
    """Have two imports say something of every image there is."""
    files = sorted(path for path in Path(settings.source.path).rglob("*.jpg"))
    images = {sha256_of(path): Annotation("cat", Box(1, 1, 9, 9), annotator="somebody") for path in files}
    for project in ("first", "second"):
        said = [AnnotatedImage(sha256, 40, 30, "cvat", project, (each,)) for sha256, each in images.items()]
        append_annotations(open_store(settings), said, imported_at="2026-11-21T10:00:00+00:00")


@dataclass
class Traces:
    """What must not be found after an image was forgotten."""

    texts: set[bytes]

    @classmethod
    def of(cls, settings: Settings, sha256: str, keys: list[str]) -> "Traces":
        texts = {key.encode() for key in keys} | {sha256.encode(), bytes.fromhex(sha256)}
        for path in Path(settings.store).rglob("segments/*/*.parquet"):
            for row in pq.read_table(path).to_pylist():
                if row["sha256"] == sha256:
                    output = row["output_sha256"]
                    data = row["image"]["bytes"]
                    pixels = np.asarray(Image.open(io.BytesIO(data))).tobytes()
                    texts |= {output.encode(), bytes.fromhex(output), data, row["image"]["path"].encode(), pixels}
        for path in Path(settings.store).rglob("vectors/*/*.parquet"):
            for row in pq.read_table(path).to_pylist():
                if row["output_sha256"].encode() in texts:
                    texts.add(np.array(row["vector"], np.float32).tobytes())
        return cls(texts)

    def found_in(self, folder: Path) -> list[tuple[str, bytes]]:
        found = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            haystack = b"\n".join([path.name.encode(), path.read_bytes(), *decoded(path)])
            found += [(path.name, text[:80]) for text in self.texts if text in haystack]
        return found


def decoded(path: Path) -> Iterator[bytes]:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        yield str(table.schema.metadata).encode()
        for column in table.columns:
            yield from leaves(column.combine_chunks())
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            yield from (text for name in arrays.files for text in array_bytes(arrays[name]))
    elif path.suffix == ".h5":
        with h5py.File(path) as file:
            yield from (text for item in file.values() for text in array_bytes(item[()]))


def leaves(column: pa.Array) -> Iterator[bytes]:
    if pa.types.is_struct(column.type):
        for child in column.flatten():
            yield from leaves(child)
    elif pa.types.is_fixed_size_list(column.type):
        yield column.flatten().to_numpy().tobytes()
    elif pa.types.is_list(column.type):
        yield from leaves(column.flatten())
    else:
        yield from (item if isinstance(item, bytes) else str(item).encode() for item in column.to_pylist())


def array_bytes(values: object) -> Iterator[bytes]:
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        yield array.tobytes()
    else:
        yield from (item if isinstance(item, bytes) else str(item).encode() for item in array.reshape(-1).tolist())


def content_of(settings: Settings, snapshot: int, without: set[str] = frozenset()) -> list[tuple[object, ...]]:
    with open_dataset(settings.store, snapshot=snapshot) as dataset:
        rows = dataset.table(["key", "variant", "label", "output_sha256"]).to_pylist()
        return [
            (*row.values(), dataset.image(at).tobytes(), dataset.vector(at).tobytes())
            for at, row in enumerate(rows)
            if row["key"] not in without
        ]


def state_of(folder: Path) -> dict[str, object]:
    """Return every file of a store; of receipts all but the times."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")):
        name = path.relative_to(folder).as_posix()
        found[name] = path.read_bytes()
        if name.startswith("forgotten/"):
            receipt = json.loads(path.read_bytes())
            found[name] = {name: receipt[name] for name in receipt if not name.endswith("_at")}
    return found


COPIES = ["a/0.jpg", "b/copy.jpg", "b/other copy's.jpg", "c/copy.jpg"]


@pytest.mark.parametrize("by", ["key of a copy", "bytes in capitals"])
def test_no_trace_is_left_of_a_forgotten_image(tmp_path, by):
    settings = lived_in(tmp_path, **EVERYTHING)
    sha256 = sha256_of(tmp_path / "raw/a/0.jpg")
    traces = Traces.of(settings, sha256, COPIES)
    assert len({text for _, text in traces.found_in(tmp_path / "store")}) > 20
    before = {number: content_of(settings, number, set(COPIES)) for number in (1, 2, 3)}
    name = {"key of a copy": "b/copy.jpg", "bytes in capitals": sha256.upper()}[by]
    report = forget_images(settings, [name])
    assert traces.found_in(tmp_path / "store") == []
    assert {number: content_of(settings, number) for number in (1, 2, 3)} == before
    assert verify_dataset(settings).problems == ()
    assert (report.forgotten_images, report.only_blocked) == (1, ())
    assert report.still_in_source == ("a/0.jpg", "b/other copy's.jpg", "c/copy.jpg")


def test_a_forgotten_dataset_equals_one_made_without_the_image(tmp_path):
    settings = lived_in(tmp_path, **EVERYTHING)
    for key in ("a/0.jpg", "b/other copy's.jpg", "c/copy.jpg"):
        (tmp_path / "raw" / key).unlink()
    forget_images(settings, ["a/0.jpg"])
    forgotten = content_of(settings, 3)
    report = run_dataset(settings)
    assert (report.counts.decoded, report.embedded, report.index.published) == (0, 0, False)
    assert all(shard.unchanged for shard in report.shards)
    shutil.copytree(tmp_path / "raw", tmp_path / "fresh/raw")
    fresh = make_settings_for(tmp_path / "fresh", **{**EVERYTHING, **OTHER_RECIPE})
    made = run_dataset(fresh)
    assert report.index.head.digest == made.index.head.digest
    assert forgotten == content_of(fresh, 1)
    for name in ("images_processed", "corrupted_images"):
        assert report.index.head.totals[name] == made.index.head.totals[name]
    exports = tmp_path / "store/exports"
    for path in (path for path in exports.rglob("*") if path.is_file()):
        other = (tmp_path / "fresh/store/exports" / path.relative_to(exports)).read_bytes()
        assert (
            path.suffix == ".parquet" or path.read_bytes().replace(b'"index_number": 3', b'"index_number": 1') == other
        )


def test_a_failed_image_is_forgotten_with_its_log_lines_alone(tmp_path):
    settings = lived_in(tmp_path, **EVERYTHING)
    log = tmp_path / "store/logs/pipeline.log"
    before = log.read_text().splitlines()
    traces = Traces.of(settings, sha256_of(tmp_path / "raw/a/bad.jpg"), ["a/bad.jpg"])
    assert {name for name, _ in traces.found_in(tmp_path / "store")} >= {"pipeline.log", "00000001.parquet"}
    (tmp_path / "raw/a/bad.jpg").unlink()
    report = forget_images(settings, ["a/bad.jpg"])
    assert traces.found_in(tmp_path / "store") == []
    assert log.read_text().splitlines() == [line for line in before if "a/bad.jpg" not in line]
    assert (report.forgotten_images, report.still_in_source) == (1, ())
    after = run_dataset(settings)
    assert all(shard.unchanged for shard in after.shards)
    assert (after.index.published, after.index.head.totals["corrupted_images"]) == (False, 0)


def test_an_unreadable_image_goes_by_its_key(tmp_path, settings):
    options = settings(limits={"max_file_bytes": 5000}, num_shards=1)
    write_images(tmp_path / "raw", 3)
    (tmp_path / "raw/a/large.jpg").write_bytes(bytes(6000))
    run_dataset(options)
    report = forget_images(options, ["a/large.jpg"])
    assert Traces({b"a/large.jpg"}).found_in(tmp_path / "store") == []
    assert (report.forgotten_images, report.rows_removed, report.still_in_source) == (0, 1, ("a/large.jpg",))


def test_a_refused_manifest_forgets_too(tmp_path, settings):
    options = settings(num_shards=1, checks={"failed_fraction": {"min_failed": 1}})
    for number in range(4):
        path = tmp_path / f"raw/{number}.jpg"
        path.write_bytes(b"no image %d" % number if number else image_bytes(number))
    assert not run_dataset(options).shards[0].published
    sha256 = sha256_of(tmp_path / "raw/1.jpg")
    report = forget_images(options, [sha256])
    assert Traces({b"1.jpg", sha256.encode()}).found_in(tmp_path / "store") == []
    assert report.still_in_source == ("1.jpg",)


@pytest.mark.parametrize("name", ["again.jpg", "a/0.jpg"])
def test_forgotten_bytes_do_not_come_back(tmp_path, settings, name):
    options = settings(**EVERYTHING)
    path = write_images(tmp_path / "raw", 6)[0]
    data, sha256 = path.read_bytes(), sha256_of(path)
    run_dataset(options)
    traces = Traces.of(options, sha256, ["a/0.jpg"])
    path.unlink()
    forget_images(options, ["a/0.jpg"])
    (tmp_path / "raw" / name).write_bytes(data)
    report = run_dataset(options)
    assert (report.counts.decoded, report.embedded) == (0, 0)
    failed = [row for shard in report.shards for row in shard.failures.to_pylist()]
    assert [(row["key"], row["reason"], row["sha256"]) for row in failed] == [(name, "forgotten", None)]
    traces.texts.discard(name.encode())
    assert traces.found_in(tmp_path / "store") == []
    # The row without bytes goes as well; and as long as the file is there, it comes again.
    assert forget_images(options, [name]).still_in_source == (name,)
    assert Traces({name.encode()}).found_in(tmp_path / "store") == []


def test_bytes_that_the_store_never_held_are_blocked(tmp_path, settings):
    options = settings(num_shards=1)
    write_images(tmp_path / "raw", 3)
    run_dataset(options)
    before = state_of(tmp_path / "store")
    sha256 = hashlib.sha256(image_bytes(99)).hexdigest()
    summary = forget_summary(options, [sha256])
    assert summary == {
        "dataset": "tiny", "forgotten_images": 0, "rows_removed": 0, "files_rewritten": 0, "files_removed": 0,
        "receipt": "forgotten/00000001.json", "still_in_source": [], "only_blocked": [sha256],
    }  # fmt: skip
    after = state_of(tmp_path / "store")
    assert {name: after[name] for name in before} == before
    assert forget_summary(options, [sha256])["receipt"] is None
    write_image(tmp_path / "raw", "new.jpg", 99)
    assert run_dataset(options).counts.failed == 1


@pytest.mark.parametrize("names", [["a/1.jpg"], ["a/0.jpg", "0" * 63], ["a/0.jpg", ""], ["g" * 64]])
def test_an_unknown_name_changes_nothing(tmp_path, settings, names):
    options = settings(num_shards=1)
    write_images(tmp_path / "raw", 3)
    run_dataset(options)
    before = state_of(tmp_path / "store")
    with pytest.raises(DatasetError, match=re.escape(repr(names[-1]))):
        forget_images(options, names)
    assert state_of(tmp_path / "store") == before


def test_a_name_that_is_a_key_is_no_hash(tmp_path, settings):
    options = settings(num_shards=1)
    paths = write_images(tmp_path / "raw", 3)
    odd = sha256_of(paths[0])
    (tmp_path / "raw" / odd).write_bytes(image_bytes(77))
    run_dataset(options)
    assert forget_images(options, [odd]).still_in_source == (odd,)
    with open_dataset(options.store) as dataset:
        assert sorted(dataset.table(["key"])["key"].to_pylist()) == ["a/0.jpg", "a/2.jpg", "b/1.jpg"]


def test_a_key_stands_for_all_bytes_it_ever_had_and_copies_keep_their_other_bytes(tmp_path, settings):
    options = settings(num_shards=2)
    raw = tmp_path / "raw"
    write_images(raw, 4)
    run_dataset(options)
    shutil.copy(raw / "a/0.jpg", raw / "b/copy.jpg")
    write_image(raw, "a/0.jpg", 40)
    run_dataset(options)
    old = sha256_of(raw / "b/copy.jpg")
    write_image(raw, "b/copy.jpg", 41)
    run_dataset(options)
    (raw / "a/0.jpg").unlink()
    traces = {b"a/0.jpg", old.encode(), hashlib.sha256(image_bytes(40)).hexdigest().encode()}
    report = forget_images(options, ["a/0.jpg"])
    assert Traces(traces).found_in(tmp_path / "store") == []
    assert (report.forgotten_images, report.still_in_source) == (2, ())
    with open_dataset(options.store) as dataset:
        assert "b/copy.jpg" in dataset.table(["key"])["key"].to_pylist()
    assert run_dataset(options).counts.kept == 4


def test_the_same_output_of_other_bytes_stays(tmp_path, settings):
    options = settings(**SMALL)
    write_images(tmp_path / "raw", 3)
    # Bytes after the end of a JPEG change no pixel.
    data = (tmp_path / "raw/a/0.jpg").read_bytes()
    (tmp_path / "raw/twin.jpg").write_bytes(data + b"more")
    run_dataset(options)
    (tmp_path / "raw/a/0.jpg").unlink()
    before = content_of(options, 1, {"a/0.jpg"})
    forget_images(options, ["a/0.jpg"])
    assert content_of(options, 1) == before
    assert run_dataset(options).embedded == 0


def test_the_only_image_can_be_forgotten(tmp_path, settings):
    options = settings(**{**SMALL, "exports": EVERYTHING["exports"]})
    write_images(tmp_path / "raw", 1)
    run_dataset(options)
    traces = Traces.of(options, sha256_of(tmp_path / "raw/a/0.jpg"), ["a/0.jpg"])
    forget_images(options, ["a/0.jpg"])
    # What is empty now is gone through as well.
    assert forget_images(options, ["0" * 64, sha256_of(tmp_path / "raw/a/0.jpg")]).forgotten_images == 0
    assert forget_images(options, []).receipt is None
    assert traces.found_in(tmp_path / "store") == []
    assert list((tmp_path / "store").glob("segments/*/*")) == []
    with open_dataset(options.store) as dataset:
        assert len(dataset) == 0


def test_other_layouts_and_exports_no_longer_wanted_are_cleaned(tmp_path, settings):
    write_images(tmp_path / "raw", 6)
    options = settings(**EVERYTHING)
    run_dataset(options)
    options = settings(**{**EVERYTHING, "num_shards": 2, "exports": ["csv"], "features": {"extractor": "none"}})
    run_dataset(options)
    traces = Traces.of(options, sha256_of(tmp_path / "raw/a/0.jpg"), ["a/0.jpg"])
    forget_images(options, ["a/0.jpg"])
    assert traces.found_in(tmp_path / "store") == []
    assert sorted(path.name for path in (tmp_path / "store/exports").iterdir()) == ["exports.json", "index.csv"]
    run_dataset(settings(**EVERYTHING))
    assert verify_dataset(settings(**EVERYTHING)).problems == ()


def test_the_rows_of_other_images_stay_as_they_were_in_their_order(tmp_path, settings):
    # Segments of more than one row group, so that images change theirs.
    options = settings(num_shards=1, image={"width_px": 4, "height_px": 4}, augment={"variants": 3})
    write_images(tmp_path / "raw", 60)
    run_dataset(options)
    gone = [sha256_of(tmp_path / "raw/a" / f"{number}.jpg") for number in (0, 20, 58)]
    before = segments_in(tmp_path / "store")
    forget_images(options, gone)
    after = segments_in(tmp_path / "store")
    assert sorted(after.values(), key=str) == sorted(
        ([row for row in rows if row["sha256"] not in gone] for rows in before.values()), key=str
    )
    for path in after:
        assert path.stem == sha256_of(path)
        groups = pq.ParquetFile(path).metadata
        assert [groups.row_group(at).num_rows for at in range(groups.num_row_groups - 1)] == [64]
    assert verify_dataset(options).problems == ()


def segments_in(store: Path) -> dict[Path, list[dict[str, object]]]:
    return {path: pq.read_table(path).to_pylist() for path in sorted(store.glob("segments/*/*.parquet"))}


def test_two_datasets_do_not_touch_each_other(tmp_path):
    one, other = (lived_in_other(tmp_path / name, name) for name in ("one", "other"))
    before = state_of(tmp_path / "other/store")
    forget_images(one, ["a/0.jpg"])
    assert state_of(tmp_path / "other/store") == before
    assert run_dataset(other).counts.failed == 0


def lived_in_other(folder: Path, name: str) -> Settings:
    (folder / "raw").mkdir(parents=True)
    write_images(folder / "raw", 4)
    settings = make_settings_for(folder, **{**SMALL, "name": name})
    run_dataset(settings)
    return settings


def test_the_receipt_says_what_happened_to_each_file(tmp_path, settings):
    options = settings(**SMALL)
    write_images(tmp_path / "raw", 4)
    run_dataset(options)
    store = tmp_path / "store"
    before = {path.relative_to(store).as_posix(): sha256_of(path) for path in store.rglob("*") if path.is_file()}
    summary = forget_summary(options, ["a/0.jpg"])
    receipt = json.loads((store / summary["receipt"]).read_text())
    assert sorted(receipt) == [
        "files",
        "finished_at",
        "format_version",
        "images",
        "marks",
        "rows_removed",
        "started_at",
    ]
    for entry in receipt["files"]:
        assert entry["sha256_before"] == before.pop(entry["path"])
        now = store / entry.get("new_path", entry["path"])
        assert entry["sha256_after"] == (sha256_of(now) if entry["action"] == "rewritten" else None)
        assert now.exists() == (entry["action"] == "rewritten")
    # What the receipt does not name is as it was.
    assert {path: sha256_of(store / path) for path in before} == before
    assert (len(receipt["marks"]), receipt["images"]) == (1, 1)
    assert summary["files_rewritten"] + summary["files_removed"] == len(receipt["files"])
    # Segment, manifest, index, its vector in a chunk and in the aligned file.
    assert receipt["rows_removed"] == summary["rows_removed"] == 5


def test_a_store_without_locks_is_gone_through_until_nothing_is_found(tmp_path, settings):
    write_images(tmp_path / "raw", 5)
    options = settings(**SMALL)
    run_dataset(options)
    url = options.model_copy(update={"store": (tmp_path / "store").as_uri()})
    traces = Traces.of(options, sha256_of(tmp_path / "raw/a/0.jpg"), ["a/0.jpg"])
    report = forget_images(url, ["a/0.jpg"])
    assert (report.forgotten_images, report.still_in_source) == (1, ("a/0.jpg",))
    assert traces.found_in(tmp_path / "store") == []
    assert verify_dataset(options).problems == ()


def test_a_source_that_cannot_be_listed_is_no_hindrance(tmp_path, settings):
    options = settings(num_shards=1)
    write_images(tmp_path / "raw", 3)
    run_dataset(options)
    shutil.rmtree(tmp_path / "raw")
    report = forget_images(options, ["a/0.jpg"])
    assert (report.forgotten_images, report.still_in_source) == (1, ())


def test_it_waits_for_runs_under_way(tmp_path, settings):
    options = settings(num_shards=1)
    write_images(tmp_path / "raw", 3)
    run_dataset(options)
    store = Store(options.store)
    with in_use(store):
        forgetting = threading.Thread(target=forget_images, args=(options, ["a/0.jpg"]))
        forgetting.start()
        forgetting.join(0.3)
        shard = shard_names(1)[0]
        assert forgetting.is_alive()
        assert read_manifest(store, shard, latest_commit(store, shard)).rows.num_rows == 3
    forgetting.join()
    assert read_manifest(store, shard, latest_commit(store, shard)).rows.num_rows == 2


BOTH = ["a/0.jpg", "a/bad.jpg"]


class KilledError(BaseException):
    """Nobody catches it."""


@dataclass
class Fuse:
    """Lets some calls that change a store through, and ends the next one before it did its work."""

    left: int
    store: Path

    def wrap(self, function):
        def call(*args, **kwargs):
            if function is obstore.delete or any(str(self.store) in str(item) for item in args[:2]):
                self.left -= 1
                if self.left < 0:
                    raise KilledError
            return function(*args, **kwargs)

        return call


@pytest.fixture
def small(tmp_path) -> Settings:
    return lived_in(tmp_path, **SMALL)


def test_killed_anywhere_and_done_again_it_ends_the_same(tmp_path, small, monkeypatch):
    store, backup = tmp_path / "store", tmp_path / "backup"
    shutil.copytree(store, backup)
    forget_images(small, BOTH)
    wanted = state_of(store)
    kills, every = 0, int(os.environ.get("KILL_EVERY", "26"))
    while True:
        shutil.rmtree(store)
        shutil.copytree(backup, store)
        fuse = Fuse(kills, store)
        with monkeypatch.context() as patch:
            for module, name in ((os, "replace"), (os, "link"), (os, "unlink"), (obstore, "delete")):
                patch.setattr(module, name, fuse.wrap(getattr(module, name)))
            try:
                forget_images(small, BOTH)
                break
            except KilledError:
                kills += every
        # Without names it finishes what was begun; with them it may also have to begin.
        forget_images(small, [] if list((store / "forgotten").glob("*.json")) else BOTH)
        assert state_of(store) == wanted
    assert kills > 30


KILLED = """
import os, sys
from image_assets.pipeline.forget import forget_images
from image_assets.settings import Settings
left = int(sys.argv[2])
def fused(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return function(*args, **kwargs)
    return call
os.replace, os.link = fused(os.replace), fused(os.link)
forget_images(Settings.model_validate_json(sys.argv[1]), ["a/0.jpg", "a/bad.jpg"])
"""


def test_a_process_that_dies_leaves_what_the_same_call_finishes(tmp_path, small):
    store, backup = tmp_path / "store", tmp_path / "backup"
    shutil.copytree(store, backup)
    forget_images(small, BOTH)
    wanted = state_of(store)
    for left in (1, 6, 14):
        shutil.rmtree(store)
        shutil.copytree(backup, store)
        command = [sys.executable, "-c", KILLED, small.model_dump_json(), str(left)]
        assert subprocess.run(command, check=False).returncode == 9
        forget_images(small, BOTH)
        assert state_of(store) == wanted


def test_a_run_between_the_kill_and_the_end_does_no_harm(tmp_path, small, monkeypatch):
    store, backup = tmp_path / "store", tmp_path / "backup"
    traces = Traces.of(small, sha256_of(tmp_path / "raw/a/0.jpg"), COPIES)
    for key in ("a/0.jpg", "b/other copy's.jpg", "c/copy.jpg"):
        (tmp_path / "raw" / key).unlink()
    shutil.copytree(store, backup)
    for kills in range(1, 26, 3):
        shutil.rmtree(store)
        shutil.copytree(backup, store)
        fuse = Fuse(kills, store)
        with monkeypatch.context() as patch:
            for module, name in ((os, "replace"), (os, "link")):
                patch.setattr(module, name, fuse.wrap(getattr(module, name)))
            with pytest.raises(KilledError):
                forget_images(small, BOTH)
        run_dataset(small)
        forget_images(small, [])
        assert traces.found_in(store) == []
        assert verify_dataset(small).problems == ()
        assert run_dataset(small).counts.decoded == 0
