"""The whole job on small folders: what is counted, what is read, what is kept, what stops."""

import hashlib
import os
import shutil
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import CommitConflictError, ConfigError, SourceError, StoreError
from image_assets.core.sharding import bucket_range, buckets_of
from image_assets.engines import local_engine
from image_assets.pipeline import run as run_module
from image_assets.pipeline.detect import RunOptions, detect
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.preprocess import preprocess_shards
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.verify import verify_dataset
from image_assets.sources.folder import FolderSource
from image_assets.storage.manifests import latest_commit, read_manifest
from image_assets.storage.store import Store
from image_assets_tests.images import image_bytes, write_image, write_images


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


@pytest.fixture
def reads(monkeypatch):
    """Keys of the raw images read, by really reading them."""
    keys, read = [], FolderSource.read

    def noting(self, key, *arguments, **options):
        keys.append(key)
        return read(self, key, *arguments, **options)

    monkeypatch.setattr(FolderSource, "read", noting)
    return keys


def counts(report, *names):
    return tuple(getattr(report.counts, name) for name in names)


def manifest_rows(settings):
    store = Store(settings.store)
    shards = [f"{number}-of-{settings.num_shards}" for number in range(settings.num_shards)]
    return [
        row
        for shard in shards
        for row in read_manifest(store, shard, latest_commit(store, shard)).rows.to_pylist()
    ]  # fmt: skip


def names_in_shard(number, of, count, suffix="jpg"):
    """Names whose keys all fall into one shard."""
    candidates = [f"a/{number:05d}.{suffix}" for number in range(count * of * 20)]
    first, end = bucket_range(f"{number}-of-{of}")
    found = [name for name, bucket in zip(candidates, buckets_of(candidates), strict=True) if first <= bucket < end]
    return found[:count]


def test_a_first_run_processes_everything(settings, raw):
    write_images(raw, 10)
    report = run_dataset(settings())
    assert counts(report, "new", "changed", "kept", "moved", "removed", "failed", "decoded") == (10, 0, 0, 0, 0, 0, 10)
    assert report.index.head.rows == 10
    assert report.index.head.totals["pipeline_status"] == "success"


def test_nothing_changed_reads_nothing_and_commits_nothing(settings, raw, reads):
    write_images(raw, 10)
    first = run_dataset(settings())
    reads.clear()
    report = run_dataset(settings())
    assert reads == []
    assert counts(report, "kept", "decoded") == (10, 0)
    assert all(shard.unchanged for shard in report.shards)
    assert (report.index.head, report.index.published) == (first.index.head, False)


def test_only_the_touched_shard_runs_and_only_the_new_file_is_read(settings, raw, reads):
    write_images(raw, 20)
    run_dataset(settings())
    reads.clear()
    write_image(raw, "a/one-more.jpg", 99)
    report = run_dataset(settings())
    assert reads == ["a/one-more.jpg"]
    assert sum(not shard.unchanged for shard in report.shards) == 1
    assert counts(report, "new", "kept", "decoded") == (1, 20, 1)


def test_a_rename_a_copy_and_a_touch_are_read_once_and_not_decoded(settings, raw, reads):
    write_images(raw, 6)
    run_dataset(settings())
    reads.clear()
    (raw / "a/0.jpg").rename(raw / "b/renamed.jpg")
    shutil.copyfile(raw / "a/2.jpg", raw / "b/copy.jpg")
    os.utime(raw / "a/4.jpg")
    report = run_dataset(settings())
    assert sorted(reads) == ["a/4.jpg", "b/copy.jpg", "b/renamed.jpg"]
    assert counts(report, "new", "changed", "kept", "moved", "removed", "decoded") == (0, 0, 5, 2, 1, 0)


def test_swapped_names_move(settings, raw):
    write_images(raw, 4)
    run_dataset(settings())
    (raw / "a/0.jpg").rename(raw / "aside")
    (raw / "b/1.jpg").rename(raw / "a/0.jpg")
    (raw / "aside").rename(raw / "b/1.jpg")
    assert counts(run_dataset(settings()), "moved", "kept", "decoded") == (2, 2, 0)


def test_a_changed_file_is_decoded_again(settings, raw):
    write_images(raw, 4)
    run_dataset(settings())
    write_image(raw, "a/0.jpg", 77)
    report = run_dataset(settings())
    assert counts(report, "new", "changed", "kept", "decoded") == (0, 1, 3, 1)


def test_a_relabel_reads_nothing(settings, raw, tmp_path, reads):
    write_images(raw, 4)
    labels = tmp_path / "labels.csv"
    options = {"labels": {"kind": "file", "path": "labels.csv"}}
    labels.write_text("filename,label\na/0.jpg,cat\nb/1.jpg,dog\n")
    before = run_dataset(settings(**options))
    reads.clear()
    labels.write_text("filename,label\na/0.jpg,dog\nb/1.jpg,dog\n")
    report = run_dataset(settings(**options))
    assert reads == []
    assert counts(report, "kept", "relabelled", "decoded") == (4, 1, 0)
    assert report.index.head.digest != before.index.head.digest
    assert {row["key"]: row["label"] for row in manifest_rows(settings(**options))} == {
        "a/0.jpg": "dog",
        "a/2.jpg": None,
        "b/1.jpg": "dog",
        "b/3.jpg": None,
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "does not exist"),
        ("file,label\na,b\n", "lacks a column"),
        ("filename,label\nx.jpg,a\nx.jpg,b\n", "more than one label"),
        ("filename,label\nx.jpg,\nx.jpg,b\n", "more than one label"),
        ("filename,label\n./a/0.jpg,x\n", "names none of the 1 images"),
        ('filename,label\n"x', "cannot be read|lacks a column|CSV"),
    ],
)
def test_a_wrong_label_file_is_an_error_that_names_it(settings, raw, tmp_path, text, says):
    write_images(raw, 1)
    if text is not None:
        (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ConfigError, match=rf"labels\.csv.*({says})"):
        run_dataset(settings(labels={"kind": "file", "path": "labels.csv"}))


def test_only_an_empty_field_of_a_label_file_is_no_label(settings, raw, tmp_path):
    write_images(raw, 3)
    (tmp_path / "labels.csv").write_text("filename,label\na/0.jpg,NA\nb/1.jpg,null\na/2.jpg,\n")
    options = settings(labels={"kind": "file", "path": "labels.csv"})
    run_dataset(options)
    assert {row["key"]: row["label"] for row in manifest_rows(options)} == {
        "a/0.jpg": "NA",
        "b/1.jpg": "null",
        "a/2.jpg": None,
    }


@pytest.mark.parametrize("wrong", [{"features": {"extractor": "typo"}}, {"exports": ["xml"]}])
def test_a_plug_in_that_does_not_exist_is_refused_before_any_work(settings, raw, tmp_path, wrong):
    write_images(raw, 1)
    with pytest.raises(ConfigError, match=r"unknown .*known: "):
        run_dataset(settings(**wrong))
    assert not (tmp_path / "store/shards").exists()


def test_a_recipe_change_decodes_everything_once_and_hashes_nothing(settings, raw, monkeypatch):
    write_images(raw, 6)
    run_dataset(settings())
    other = settings(output={"quality": 50})
    no_hash = SimpleNamespace(sha256=lambda _: pytest.fail("hashed again"))
    monkeypatch.setattr("image_assets.pipeline.work.hashlib", no_hash)
    report = run_dataset(other)
    monkeypatch.undo()
    assert counts(report, "changed", "decoded") == (6, 6)
    back = run_dataset(settings())
    assert counts(back, "changed", "decoded") == (6, 0)


def test_another_number_of_shards_decodes_nothing_and_gives_the_same_digest(settings, raw):
    write_images(raw, 20)
    before = run_dataset(settings())
    report = run_dataset(settings(num_shards=7))
    assert counts(report, "kept", "decoded", "removed") == (20, 0, 0)
    assert report.index.head.digest == before.index.head.digest


def test_a_bad_image_is_a_row_with_a_reason_and_is_not_decoded_again(settings, raw):
    write_images(raw, 30)
    (raw / "a/bad.jpg").write_bytes(image_bytes(1)[:300])
    (raw / "a/text.jpg").write_bytes(b"<html>not found</html>")
    (raw / "a/empty.jpg").write_bytes(b"")
    report = run_dataset(settings(num_shards=1))
    assert counts(report, "new", "failed") == (33, 3)
    rows = {row["key"]: row for row in manifest_rows(settings(num_shards=1)) if row["status"] == "failed"}
    assert {key: row["reason"] for key, row in rows.items()} == {
        "a/bad.jpg": "truncated",
        "a/text.jpg": "not_an_image",
        "a/empty.jpg": "zero_bytes",
    }
    assert rows["a/bad.jpg"]["sha256"] == hashlib.sha256(image_bytes(1)[:300]).hexdigest()
    assert report.index.head.totals["corrupted_images"] == 3
    (raw / "a/bad.jpg").rename(raw / "b/still-bad.jpg")
    again = run_dataset(settings(num_shards=1))
    assert counts(again, "moved", "decoded", "removed", "failed") == (1, 0, 1, 1)


def test_a_repaired_image_comes_in(settings, raw):
    write_images(raw, 10)
    (raw / "a/bad.jpg").write_bytes(image_bytes(1)[:300])
    run_dataset(settings())
    write_image(raw, "a/bad.jpg", 50)
    report = run_dataset(settings())
    assert counts(report, "changed", "failed", "decoded") == (1, 0, 1)
    assert report.index.head.rows == 11


def test_an_image_gone_between_listing_and_reading_is_as_if_never_listed(settings, raw, monkeypatch):
    write_images(raw, 5)
    read = FolderSource.read

    def deleting(self, key, *arguments, **options):
        if key == "a/2.jpg":
            (raw / key).unlink(missing_ok=True)
        return read(self, key, *arguments, **options)

    monkeypatch.setattr(FolderSource, "read", deleting)
    report = run_dataset(settings())
    assert counts(report, "new", "failed") == (4, 0)
    assert all(verdict.passed for shard in report.shards for verdict in shard.verdicts)


def test_a_rotten_shard_publishes_nothing_and_the_others_go_on(settings, raw):
    options = settings(num_shards=2)
    good = names_in_shard(0, 2, 4) + names_in_shard(1, 2, 4)
    for number, name in enumerate(good):
        write_image(raw, name, number)
    first = run_dataset(options)
    for name in names_in_shard(0, 2, 8)[4:]:
        (raw / name).write_bytes(b"rubbish")
    more = names_in_shard(1, 2, 5)[4]
    write_image(raw, more, 90)
    report = run_dataset(options)
    rotten, sound = report.shards
    assert (rotten.published, sound.published) == (False, True)
    blocking = [verdict for verdict in rotten.verdicts if verdict.blocks]
    assert [verdict.check for verdict in blocking] == ["failed_fraction"]
    assert "4 of 8 images failed (50.0%)" in blocking[0].sentence
    assert report.index.head.rows == first.index.head.rows + 1
    assert latest_commit(Store(options.store), "0-of-2") == 1
    again = run_dataset(options)
    assert counts(again, "decoded") == (0,)
    for number, name in enumerate(names_in_shard(0, 2, 8)[4:]):
        write_image(raw, name, 100 + number)
    assert run_dataset(options).index.head.rows == 13


def test_a_folder_of_rubbish_alone_is_a_failure_without_an_index(settings, raw):
    for number in range(20):
        (raw / f"{number}.jpg").write_bytes(b"rubbish")
    report = run_dataset(settings(num_shards=1))
    assert report.index is None
    assert not any(shard.published for shard in report.shards)


def test_an_emptied_source_deletes_nothing_unless_confirmed(settings, raw):
    write_images(raw, 5)
    run_dataset(settings())
    shutil.rmtree(raw)
    raw.mkdir()
    with pytest.raises(SourceError, match="the dataset holds 5: nothing is deleted"):
        run_dataset(settings())
    report = run_dataset(settings(), RunOptions(allow_deletes=True))
    assert (counts(report, "removed"), report.index.head.rows) == ((5,), 0)


def test_an_empty_source_of_a_new_dataset_is_named(settings, raw):
    (raw / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match=f"{raw} holds no image .1 files of other kinds"):
        run_dataset(settings())


def test_a_store_of_another_dataset_is_refused(settings, raw):
    write_images(raw, 1)
    run_dataset(settings())
    with pytest.raises(StoreError, match="holds dataset 'tiny', not 'other'"):
        run_dataset(settings(name="other"))


def test_two_writers_one_wins_and_the_other_plans_again(settings, raw):
    write_images(raw, 8)
    options = settings(num_shards=1)
    early = detect(options)
    write_image(raw, "a/new.jpg", 70)
    winner = run_dataset(options)
    with local_engine(options) as engine, pytest.raises(CommitConflictError):
        list(preprocess_shards(early, ["0-of-1"], engine))
    assert run_dataset(options).index.head.digest == winner.index.head.digest


def test_a_run_that_was_overtaken_lists_again_and_ends_right(settings, raw, monkeypatch):
    write_images(raw, 8)
    options = settings(num_shards=1)
    real, overtaken = run_module.detect, []

    def overtaking(*arguments, **named):
        state = real(*arguments, **named)
        if not overtaken:
            overtaken.append(True)
            write_image(raw, "a/new.jpg", 70)
            monkeypatch.setattr(run_module, "detect", real)
            run_dataset(options)
        return state

    monkeypatch.setattr(run_module, "detect", overtaking)
    assert run_dataset(options).index.head.rows == 9


def test_plan_writes_nothing(settings, raw, tmp_path):
    write_images(raw, 5)
    report = plan_dataset(settings())
    size_bytes = sum(path.stat().st_size for path in raw.rglob("*.jpg"))
    assert (report.counts.new, report.counts.decoded, report.counts.read_bytes) == (5, 5, size_bytes)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_gives_the_same_files(settings, raw, tmp_path, workers):
    write_images(raw, 80)
    options = {"augment": {"variants": 2}, "num_shards": 2}
    run_dataset(settings(**options))
    run_dataset(settings(**options, workers=workers, store=str(tmp_path / "other")))

    def segments(store):
        return sorted(path.name for path in (tmp_path / store / "segments").rglob("*.parquet"))

    assert segments("store") == segments("other")


def test_verify_finds_a_flipped_bit_and_a_recheck_repairs_it(settings, raw, tmp_path):
    write_images(raw, 10)
    run_dataset(settings())
    assert verify_dataset(settings()).problems == ()
    segment = next((tmp_path / "store/segments").rglob("*.parquet"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    assert segment.stem in verify_dataset(settings()).problems[0]
    segment.unlink()
    report = run_dataset(settings(), RunOptions(recheck=True))
    assert counts(report, "kept", "changed") == (10, 0)
    assert 0 < report.counts.decoded < 10
    assert verify_dataset(settings()).problems == ()


@pytest.mark.parametrize("name", ["shards/1-of-4/manifests/00000001.parquet", "feature_vectors.parquet"])
def test_verify_names_a_damaged_file_and_deleting_it_repairs(settings, raw, tmp_path, name):
    write_images(raw, 10)
    options = settings(features={"extractor": "colour-moments"})
    before = run_dataset(options)
    (tmp_path / "store" / name).write_bytes(b"PAR1")
    (problem,) = verify_dataset(options).problems
    assert name in problem
    assert problem.endswith("delete that file and run again")
    (tmp_path / "store" / name).unlink()
    assert run_dataset(options).index.head.digest == before.index.head.digest
    assert verify_dataset(options).problems == ()


def test_index_parquet_left_behind_by_a_killed_run_is_mended(settings, raw, tmp_path):
    write_images(raw, 3)
    run_dataset(settings())
    old = (tmp_path / "store/index.parquet").read_bytes()
    write_image(raw, "a/x.jpg", 60)
    run_dataset(settings())
    (tmp_path / "store/index.parquet").write_bytes(old)
    run_dataset(settings())
    assert pq.read_table(tmp_path / "store/index.parquet").num_rows == 4


def test_vectors_are_made_for_new_content_only_and_follow_the_index(settings, raw):
    write_images(raw, 6)
    options = settings(features={"extractor": "colour-moments"})
    assert run_dataset(options).embedded == 6
    (raw / "a/0.jpg").rename(raw / "b/renamed.jpg")
    write_image(raw, "a/x.jpg", 60)
    report = run_dataset(options)
    assert (report.embedded, report.followed["feature_vectors"].head.rows) == (1, 7)
    assert report.followed["feature_vectors"].index_digest == report.index.head.digest
    assert all(verdict.passed for verdict in report.followed["feature_vectors"].verdicts)
    assert run_dataset(options).embedded == 0
