"""``image-assets remux`` as a user meets it, and tables that lie elsewhere than in a folder."""

import json
import os
import subprocess
import sys

import boto3
import pytest

from image_assets.core.errors import ConfigError, SourceError
from image_assets.pipeline.remux.columns import choose_columns
from image_assets.pipeline.remux.inputs import Dataset
from image_assets.pipeline.remux.options import RemuxOptions
from image_assets.pipeline.remux.places import Place
from image_assets.pipeline.remux.reading import Cuts, read_slabs, select_rows
from image_assets.pipeline.remux.running import run_remux
from image_assets.settings.sources import SourceSettings
from image_assets.sources.build_tree import build_tree
from image_assets_tests.pipeline.remuxes import image_rows, options_for, read_parts, remux, write_dataset, write_parquet


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "image_assets", "remux", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_json_says_rows_parts_quarantined_memory_and_seconds(tmp_path):
    dataset = write_dataset(tmp_path / "dataset", bad=(3,))
    done = run("--dataset", dataset, "--out-dir", tmp_path / "out", "--rows-per-shard", 10, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert (summary["rows"], summary["parts"], summary["quarantined"]) == (22, 3, 1)
    assert summary["peak_memory_bytes"] > 10_000_000
    assert summary["seconds"] > 0


def test_every_flag_reaches_its_option(tmp_path):
    dataset = write_parquet(tmp_path / "sub" / "train.parquet", image_rows(9)).parent.parent
    done = run(
        *("--dataset", dataset, "--out-dir", tmp_path / "new" / "out", "--subset", "sub", "--split", "train[:7]"),
        *("--batch-size", 2, "--rows-per-shard", 5, "--num-workers", 0, "--seed", 9, "--image-col", "image"),
        *("--label-col", "label", "--extra-cols", "", "--image-format", "png", "--jpeg-quality", 70, "--resume"),
        *("--names", "hub", "--json"),
    )
    # The folder of the parts must not lie in the dataset.
    assert (done.returncode, done.stdout) == (2, "")
    assert "lies in the dataset" in done.stderr
    done = run(
        *("--dataset", dataset / "sub", "--out-dir", tmp_path / "out", "--split", "train[:7]"),
        *("--batch-size", 2, "--rows-per-shard", 5, "--num-workers", 0, "--seed", 9, "--image-col", "image"),
        *("--label-col", "label", "--extra-cols", "", "--image-format", "png", "--jpeg-quality", 70, "--resume"),
        *("--names", "hub", "--json"),
    )
    assert done.returncode == 0, done.stderr
    rows = read_parts(tmp_path / "out")
    assert [sorted(row) for row in rows] == [["image", "label"]] * 7
    assert all(row["image"]["bytes"].startswith(b"\x89PNG") and row["image"]["path"].endswith(".png") for row in rows)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["seed"], manifest["jpeg_quality"], manifest["image_format"]) == (9, 70, "png")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--split", "dev"], 2, "no split 'dev'"),
        (["--dataset", "no/where/at/all"], 1, "neither a folder, a file, nor an id"),
        (["--jpeg-quality", "0"], 2, "output.quality"),
        (["--image-format", "webp"], 2, "'webp' is not one of 'jpeg', 'png'"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(arguments, code, says, tmp_path):
    dataset = write_dataset(tmp_path / "dataset")
    done = run("--dataset", dataset, "--out-dir", tmp_path / "out", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_parts_in_the_dataset_itself_are_refused(tmp_path):
    dataset = write_dataset(tmp_path / "dataset")
    with pytest.raises(ConfigError, match="lies in the dataset"):
        remux(dataset, dataset / "out")


def test_the_cache_of_the_hub_is_read_through_its_links(tmp_path):
    write_parquet(tmp_path / "blobs" / "abc", image_rows(3))
    (tmp_path / "snapshots" / "data").mkdir(parents=True)
    (tmp_path / "snapshots" / "data" / "train-00000-of-00001.parquet").symlink_to(tmp_path / "blobs" / "abc")
    assert remux(tmp_path / "snapshots", tmp_path / "out").rows == 3


def test_only_the_tables_of_the_split_are_looked_at(tmp_path):
    dataset = write_dataset(tmp_path / "dataset")
    (dataset / "data" / "test-00000-of-00001.parquet").write_bytes(b"not yet there")
    assert remux(dataset, tmp_path / "out", split="train").rows == 23
    with pytest.raises(SourceError, match="no readable table"):
        remux(dataset, tmp_path / "other", split="train+test")


def test_a_dataset_in_a_bucket_gives_the_same_parts(s3, tmp_path):
    dataset, bucket = write_dataset(tmp_path / "dataset"), s3.new_bucket()
    client = boto3.client("s3", endpoint_url=s3.endpoint)
    for path in (dataset / "data").iterdir():
        client.put_object(Bucket=bucket, Key=f"places/data/{path.name}", Body=path.read_bytes())
    url = s3.url(bucket, "places")
    run_remux(RemuxOptions(url, tmp_path / "bucket", rows_per_shard=10, num_workers=0), lambda done, total: None)
    remux(dataset, tmp_path / "folder")
    assert read_parts(tmp_path / "bucket") == read_parts(tmp_path / "folder")


def test_a_table_that_changes_between_a_look_and_its_reading_is_refused(tmp_path):
    path = write_parquet(tmp_path / "in" / "train.parquet", image_rows(3))
    place = Place(build_tree(str(path.parent), SourceSettings(path=str(path.parent))), path.parent)
    selection = select_rows(Dataset(place, {"train": [path.name]}), "train")
    write_parquet(path, image_rows(3, first=7))
    os.utime(path, ns=(1, 1))
    columns = choose_columns(selection.pieces[0].table.schema, options_for(path, tmp_path), {})
    with pytest.raises(SourceError, match=r"train\.parquet of the dataset was changed after the remux began"):
        next(read_slabs(place, selection.between(0, 3), columns, Cuts(4, None, 10)))
