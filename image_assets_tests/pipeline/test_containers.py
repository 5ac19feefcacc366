"""Datasets over archives and tables: the same outputs as from files, each container read once, nothing deleted."""

import io
import os
import random
import shutil
from dataclasses import asdict

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from image_assets.core.errors import SourceError
from image_assets.core.listing import UNKNOWN_SIZE
from image_assets.core.planning import twin_sizes
from image_assets.pipeline import run as run_module
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.sources import build_tree
from image_assets.sources.local_tree import LocalTree
from image_assets_tests.containers import image_table, write_hub_layout, write_parquet, write_tar, write_zip
from image_assets_tests.counting import CountingEngine, bytes_read, count_in_this_process
from image_assets_tests.images import image_bytes, make_settings_for

COUNTED = ("new", "changed", "kept", "moved", "removed", "decoded", "failed")


def images_of(numbers):
    """{name: bytes} of some images in two folders, which are their labels."""
    return {f"{'ab'[position % 2]}/{position:03d}.jpg": image_bytes(number) for position, number in enumerate(numbers)}


def write_folder(path, images):
    for name, data in images.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def table_of(images):
    return image_table(list(images.values()), [name[0] for name in images])


# kind: (path, how the images get there, further settings)
KINDS = {
    "folder": ("raw", write_folder, {}),
    "tar": ("x.tar", write_tar, {}),
    "tgz": ("x.tgz", lambda path, images: write_tar(path, images, mode="w:gz"), {}),
    "zip": ("x.zip", write_zip, {}),
    "parquet": ("x.parquet", lambda path, images: write_parquet(path, table_of(images), rows_a_group=5), {}),
    "huggingface": ("hub", lambda path, images: write_hub_layout(path, table_of(images)), {"kind": "huggingface"}),
}
CONTAINERS = [kind for kind in KINDS if kind != "folder"]


class Place:
    """One source of images and a dataset over it."""

    def __init__(self, folder, kind, **options):
        self.folder, self.options = folder, options
        self.path, self._write, self.source = KINDS[kind]
        self._times = 0

    def put(self, images):
        """Replace the container by one of these images, as an upload does."""
        if self.path == "raw":
            shutil.rmtree(self.folder / "raw", ignore_errors=True)
        self._times += 1
        fresh = self.folder / f"new{self._times}-{self.path}"
        self._write(fresh, images)
        if (self.folder / self.path).is_dir():
            shutil.rmtree(self.folder / self.path)
        fresh.replace(self.folder / self.path)

    def settings(self, **more):
        checks = {"failed_fraction": {"error": 1.0}, "lost_fraction": {"error": 1.0}}
        options = {"store": f"store-{self.path}", "checks": checks, **self.options, **more}
        return make_settings_for(self.folder, source={"path": self.path, **self.source}, **options)

    def run(self, **more):
        """Run as planned and return the counts."""
        planned = plan_dataset(self.settings(**more)).counts
        report = run_dataset(self.settings(**more))
        assert asdict(planned) == asdict(report.counts) | {"failed": 0}
        return {name: count for name in COUNTED if (count := getattr(report.counts, name))}

    def outputs(self, **more):
        """The outputs and labels of the newest index, in order."""
        store = self.settings(**more).store
        table = pq.read_table(f"{store}/index.parquet", columns=["output_sha256", "label"])
        return sorted((row["output_sha256"], row["label"] or "") for row in table.to_pylist())


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_images_give_the_same_outputs_and_labels_wherever_they_lie(tmp_path, workers):
    images = images_of([*range(14), 3, 4])
    found = {}
    for kind in KINDS:
        place = Place(tmp_path, kind, workers=workers)
        place.put(images)
        assert place.run() == {"new": 16, "decoded": 14}, kind
        assert place.run() == {"kept": 16}, kind
        found[kind] = place.outputs()
    assert all(outputs == found["folder"] for outputs in found.values())


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_container_that_is_uploaded_again_with_one_changed_image_decodes_one(tmp_path, kind):
    place = Place(tmp_path, kind, workers=0)
    place.put(images_of(range(20)))
    place.run()
    place.put(images_of([*range(7), 99, *range(8, 20)]))
    assert place.run() == {"changed": 1, "kept": 19, "decoded": 1}
    assert place.run() == {"kept": 20}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_row_put_in_front_decodes_one_image(tmp_path, kind):
    place = Place(tmp_path, kind, workers=0)
    place.put(images_of(range(9)))
    place.run()
    place.put(images_of([99, *range(9)]))
    counts = place.run()
    assert counts["decoded"] == 1
    assert place.run() == {"kept": 10}


@pytest.mark.parametrize("seed", range(int(os.environ.get("CONTAINER_HISTORIES", "1"))))
@pytest.mark.parametrize("kind", ["tar", "zip", "parquet", "huggingface"])
def test_after_any_uploads_the_dataset_equals_one_made_from_scratch(tmp_path, kind, seed):
    draw = random.Random(seed)
    place = Place(tmp_path, kind)
    numbers = [draw.randrange(12) for _ in range(8)]
    known: set[int] = set()
    for step in range(4):
        place.put(images_of(numbers))
        options = {"num_shards": draw.choice([1, 4, 7])}
        counts = place.run(**options)
        assert counts.get("decoded", 0) == len(set(numbers) - known)
        known |= set(numbers)
        scratch = f"scratch{step}"
        digest = run_dataset(place.settings(store=scratch)).index.head.digest
        assert run_dataset(place.settings(**options)).index.head.digest == digest
        draw.shuffle(numbers)
        numbers = numbers[draw.randrange(3) :] + [draw.randrange(12) for _ in range(draw.randrange(4))]


@pytest.mark.parametrize(("kind", "suffix"), [("archives", "tar"), ("archives", "zip"), ("tables", "parquet")])
def test_a_rotten_upload_deletes_nothing_stops_nothing_and_is_seen(tmp_path, kind, suffix):
    write = {"tar": write_tar, "zip": write_zip}.get(suffix, lambda path, images: write_parquet(path, table_of(images)))
    (tmp_path / "raw").mkdir()
    one, two = tmp_path / f"raw/one.{suffix}", tmp_path / f"raw/two.{suffix}"
    write(one, images_of(range(6)))
    write(two, images_of(range(10, 16)))
    settings = make_settings_for(
        tmp_path, source={"path": "raw", "kind": kind}, checks={"failed_fraction": {"error": 1}}
    )
    before = run_dataset(settings).index.head.digest
    whole = one.read_bytes()
    one.write_bytes(whole[: len(whole) // 2])
    write(two, images_of([*range(10, 15), 99]))

    planned = plan_dataset(settings).counts
    counts = run_dataset(settings).counts
    # The container itself is the one failed row.
    assert (counts.new, counts.changed, counts.kept, counts.decoded, counts.failed) == (1, 1, 11, 1, 1)
    assert asdict(planned) == asdict(counts) | {"failed": 0}
    assert run_dataset(settings).counts.kept == 13

    one.write_bytes(whole)
    write(two, images_of(range(10, 16)))
    report = run_dataset(settings)
    assert (report.counts.removed, report.counts.decoded, report.index.head.rows) == (1, 0, 12)
    assert report.index.head.digest == before


def test_what_a_rotten_upload_held_stays_with_its_prefix_labels_and_another_number_of_shards(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_parquet(tmp_path / name / "x.parquet", image_table([image_bytes(n) for n in range(4)]))
    write_parquet(tmp_path / "one/y.parquet", image_table([image_bytes(n) for n in range(4, 8)]))
    parts = [{"path": name, "prefix": f"{name}/", "kind": "tables"} for name in ("one", "two")]
    options = {"source": parts, "checks": {"failed_fraction": {"error": 1}}}
    first = run_dataset(make_settings_for(tmp_path, **options)).index.head
    (tmp_path / "one/x.parquet").write_bytes(b"cut")
    report = run_dataset(make_settings_for(tmp_path, num_shards=3, **options))
    assert (report.counts.kept, report.counts.decoded, report.counts.removed) == (12, 0, 0)
    assert report.index.head.digest == first.digest


def test_rows_that_were_cut_into_other_groups_are_not_taken_for_lost(tmp_path):
    images = [image_bytes(number) for number in range(20)]
    path = write_parquet(tmp_path / "x.parquet", image_table(images), rows_a_group=5)
    settings = make_settings_for(tmp_path, source={"path": "x.parquet"})
    run_dataset(settings)
    write_parquet(path, image_table(images), rows_a_group=2)
    counts = run_dataset(settings).counts
    assert (counts.decoded, counts.kept + counts.moved) == (0, 20)
    write_parquet(path, image_table(images[:9]), rows_a_group=2)
    with pytest.raises(SourceError, match="lacks 11 of the images"):
        run_dataset(settings)


def test_of_copies_of_unknown_size_one_is_decoded_also_when_the_other_is_a_file(tmp_path):
    images = images_of(range(30))
    write_folder(tmp_path / "raw", images)
    write_parquet(tmp_path / "x.parquet", table_of(images), rows_a_group=3)
    parts = [{"path": "raw", "prefix": "files/"}, {"path": "x.parquet", "prefix": "rows/"}]
    settings = make_settings_for(tmp_path, source=parts, workers=2, num_shards=16)
    planned = plan_dataset(settings).counts
    counts = run_dataset(settings).counts
    assert (counts.new, counts.decoded) == (60, 30)
    assert asdict(planned) == asdict(counts)


def test_sizes_that_are_unknown_may_be_those_of_any_image():
    assert twin_sizes(np.array([5, 7, 5, 9])).tolist() == [5]
    assert twin_sizes(np.array([5, 7, UNKNOWN_SIZE])).tolist() == [UNKNOWN_SIZE, 5, 7]


def test_another_quality_reads_a_table_again_and_hashes_none(tmp_path):
    place = Place(tmp_path, "parquet")
    place.put(images_of(range(10)))
    place.run()
    other = place.settings(output={"quality": 50})
    planned, counts = plan_dataset(other).counts, run_dataset(other).counts
    assert planned == counts
    assert (counts.reencoded, counts.hashed) == (10, 0)
    assert counts.read_bytes == sum(map(len, images_of(range(10)).values()))


def large_images(number):
    """Noise, so that nothing compresses it: half a megabyte each."""
    return {f"{n:03d}.png": image_bytes_of_noise(n) for n in range(number)}


def image_bytes_of_noise(number):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (400, 440, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "parquet"])
def test_a_container_is_read_once_by_all_workers_together(tmp_path, monkeypatch, kind):
    images = large_images(80)
    shuffled = dict(random.Random(1).sample(sorted(images.items()), len(images)))
    write = {"tar": write_tar, "zip": write_zip}.get(kind, lambda path, images: write_parquet(path, table_of(images)))
    path = write(tmp_path / f"x.{kind}", shuffled)
    log = tmp_path / "read.log"
    monkeypatch.setattr(build_tree, "LocalTree", LocalTree)
    monkeypatch.setattr(run_module, "build_engine", lambda settings, _: CountingEngine(settings, log))
    count_in_this_process(log)
    settings = make_settings_for(tmp_path, source={"path": path.name}, workers=2, num_shards=4)
    assert run_dataset(settings).counts.decoded == 80
    assert bytes_read(log)[path.name] <= 1.05 * path.stat().st_size
