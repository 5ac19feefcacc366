"""The commands that look after a dataset, as a user meets them: snapshots, diff, vacuum, gc, forget."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from image_assets import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.settings import load_settings
from image_assets_tests.images import write_image, write_images
from image_assets_tests.test_cli import called_here

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def shop(tmp_path):
    """Three snapshots of a dataset with a settings file: first seven images, then changes, then a new label."""
    raw = tmp_path / "raw"
    write_images(raw, 7)
    (tmp_path / "shop.yaml").write_text(
        "name: shop\nsource: {path: raw}\nstore: store\nnum_shards: 2\nimage: {width_px: 16, height_px: 16}\n"
        "features: {extractor: colour-moments}\nworkers: 0\n"
    )
    run_dataset(load_settings(tmp_path / "shop.yaml"))
    (raw / "a/0.jpg").rename(raw / "a/renamed.jpg")
    (raw / "b/1.jpg").unlink()
    write_image(raw, "a/2.jpg", 92)
    write_image(raw, "b/new.jpg", 93)
    run_dataset(load_settings(tmp_path / "shop.yaml"))
    (raw / "c").mkdir()
    (raw / "a/4.jpg").rename(raw / "c/4.jpg")
    run_dataset(load_settings(tmp_path / "shop.yaml"))
    return tmp_path


def called(folder, *arguments):
    with chdir(folder):
        return called_here(*arguments, "--config", "shop.yaml")


def said(folder, *arguments):
    done = called(folder, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


def files_below(folder):
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def test_snapshots_are_listed_and_told_apart(shop):
    numbers = [item["number"] for item in said(shop, "snapshots")["snapshots"]]
    assert numbers == [1, 2, 3]
    first = said(shop, "diff", 1, 2)
    assert first["added"] == ["b/new.jpg"]
    assert first["removed"] == ["b/1.jpg"]
    assert first["changed"] == ["a/2.jpg"]
    assert first["moved"] == [{"from": "a/0.jpg", "to": "a/renamed.jpg"}]
    second = said(shop, "diff", 2, 3)
    assert second["moved"] == [{"from": "a/4.jpg", "to": "c/4.jpg"}]
    assert second["relabelled"] == [{"key": "c/4.jpg", "from": "a", "to": "c"}]
    table = called(shop, "diff", 1, 2).stdout
    assert "added    b/new.jpg" in table
    assert "moved    -          a/0.jpg  a/renamed.jpg" in table


def test_an_unknown_snapshot_is_named_with_those_that_exist(shop):
    done = called(shop, "diff", 1, 9)
    assert done.returncode == 1
    assert done.stderr.startswith("image-assets: no snapshot 9 in ")
    assert done.stderr.count("\n") == 1


def test_vacuum_removes_what_it_says_and_a_run_after_it_does_nothing(shop):
    digest = said(shop, "digest")["digest"]
    before = files_below(shop / "store")
    promised = said(shop, "vacuum", "--keep", 1, "--dry-run")
    assert files_below(shop / "store") == before
    assert promised["snapshots_removed"] == [1, 2]
    assert {file["path"] for file in promised["removed"]} <= set(before)
    done = said(shop, "vacuum", "--keep", 1)
    after = files_below(shop / "store")
    assert sum(before.values()) - sum(after.values()) == done["net_freed_bytes"]
    assert not any(path.endswith(("/00000001.parquet", "/00000002.parquet")) for path in after if "index/" in path)
    again = said(shop, "run")
    assert (again["decoded"], again["embedded"], again["digest"]) == (0, 0, digest)
    assert said(shop, "verify")["problems"] == []


def test_gc_takes_leftovers_and_no_snapshot(shop):
    (shop / "store/tmp").mkdir(exist_ok=True)
    (shop / "store/tmp/0123456789abcdef.part").write_bytes(b"x" * 100)
    done = said(shop, "gc")
    assert [file["path"] for file in done["removed"]] == ["tmp/0123456789abcdef.part"]
    assert (done["freed_bytes"], done["snapshots_kept"]) == (100, [1, 2, 3])


def test_forget_leaves_nothing_and_lets_nothing_back_in(shop):
    raw = shop / "raw"
    shutil.copyfile(raw / "a/renamed.jpg", shop / "kept aside.jpg")
    done = said(shop, "forget", "a/renamed.jpg")
    assert done["forgotten_images"] == 1
    assert done["still_in_source"] == ["a/renamed.jpg"]
    (raw / "a/renamed.jpg").unlink()
    shutil.copyfile(shop / "kept aside.jpg", raw / "a/back.jpg")
    assert called(shop, "run").returncode == 3
    (entry,) = said(shop, "quarantine")["quarantine"]
    assert (entry["key"], entry["reason"], entry["sha256"]) == ("a/back.jpg", "forgotten", None)
    with open_dataset(shop / "shop.yaml", snapshot=1) as dataset:
        assert "a/0.jpg" not in dataset.table(["key"])["key"].to_pylist()
    assert said(shop, "verify")["problems"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("forget", "nobody.jpg"), 1, "nobody.jpg"),
        (("vacuum", "--keep", "0"), 2, "keep"),
        (("vacuum", "--older-than", "soon"), 2, "soon"),
        (("quarantine", "--reason", "bad luck"), 2, "bad luck"),
        (("retry", "--reason", "wrong_extension"), 2, "wrong_extension"),
        (("reshard", "--to", "0"), 2, "0 shards are not possible"),
    ],
)
def test_a_mistake_is_answered_in_one_line(shop, arguments, code, says):
    done = called(shop, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_says_that_a_forgetting_was_interrupted(shop):
    (shop / "store/forgotten").mkdir()
    pending = {"format_version": 1, "marks": [], "pending": {"keys": ["a/6.jpg"], "sha256": [], "held": []}}
    (shop / "store/forgotten/00000001.json").write_text(json.dumps(pending))
    assert said(shop, "run")["notes"] == ["`image-assets forget` was interrupted; call it again to finish it"]
    said(shop, "forget")
    assert said(shop, "run")["notes"] == []


def test_a_reader_who_has_enough_ends_the_program_without_a_word():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "image_assets", "snapshots", "--help"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=REPOSITORY, timeout=120, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
