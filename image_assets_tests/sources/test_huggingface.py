"""Hugging Face datasets: subsets, splits, labels, a local copy and the hub."""

import json
import os
import subprocess
import sys

import pytest

from image_assets.core.errors import ConfigError, SourceError
from image_assets.core.split_expressions import parse_split
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source
from image_assets.sources.hub_layout import features_in, files_by_split, read_card
from image_assets_tests.containers import image_table, write_hub_layout, write_parquet
from image_assets_tests.hub_server import hub_server
from image_assets_tests.images import image_bytes

IMAGES = [image_bytes(number) for number in range(10)]
LABELS = ["hat", "shirt"] * 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train", [("train", 0, 10)]),
        ("train[:3]", [("train", 0, 3)]),
        ("train[3:]", [("train", 3, 10)]),
        ("train[2:4]+test", [("train", 2, 4), ("test", 0, 5)]),
        ("train[-3:]", [("train", 7, 10)]),
        ("train[:-3]", [("train", 0, 7)]),
        ("train[-30:100]", [("train", 0, 10)]),
        ("train[5:2]", [("train", 5, 5)]),
        ("train[:50%]", [("train", 0, 5)]),
        ("train[-20%:]", [("train", 8, 10)]),
        ("train[:25%]", [("train", 0, 2)]),  # 2.5 rounds to the even 2, as Python does
        ("train[10:20%]", [("train", 1, 2)]),  # one percent sign counts for both
        ("many[:1%](pct1_dropremainder)", [("many", 0, 2)]),
        ("many[:1%]", [("many", 0, 3)]),
        ("train[:1_0]", [("train", 0, 10)]),
        ("all", [("train", 0, 10), ("test", 0, 5), ("many", 0, 299)]),
    ],
)
def test_split_expressions_mean_what_datasets_documents(text, expected):
    ranges = parse_split(text, {"train": 10, "test": 5, "many": 299})
    assert [(found.split, found.start, found.end) for found in ranges] == expected


@pytest.mark.parametrize("text", ["", "none", "train[", "train[a:b]", "train[:200%]", "train[:1%](odd)", "train[1]",
                                  "train[:1%](pct1_dropremainder)"])  # fmt: skip
def test_other_split_expressions_are_refused(text):
    with pytest.raises(ConfigError, match="split"):
        parse_split(text, {"train": 10})


TABLES = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet",
          "fr/train.parquet", "fr/val.parquet", "extra/deep/x.parquet"]  # fmt: skip


@pytest.mark.parametrize(
    ("configs", "subset", "expected"),
    [
        ([{"data_files": "data/*"}], None, {"train": [TABLES[2], *TABLES[:2]]}),
        ([{"data_files": [{"split": "train", "path": "data/train-*"}]}], None, {"train": TABLES[:2]}),
        ([{"data_files": {"dev": ["extra/**"]}}], None, {"dev": [TABLES[5]]}),
        ([{"data_dir": "fr", "data_files": [{"split": "a", "path": "*.parquet"}]}], None, {"a": TABLES[3:5]}),
        ([{"config_name": "en", "data_files": "data/*"}, {"config_name": "fr", "data_files": "fr/*"}], "fr",
         {"train": TABLES[3:5]}),
        ([{"config_name": "en", "data_files": "data/*"}, {"config_name": "fr", "data_files": "fr/*", "default": True}],
         None, {"train": TABLES[3:5]}),
        (None, "fr", {"train": [TABLES[3]], "validation": [TABLES[4]]}),
        (None, "data", {"test": [TABLES[2]], "train": TABLES[:2]}),
    ],
)  # fmt: skip
def test_the_files_of_a_split_are_those_of_the_card_else_of_the_names(configs, subset, expected):
    assert files_by_split(TABLES, {"configs": configs}, subset) == expected


@pytest.mark.parametrize(
    ("configs", "subset", "error"),
    [
        ([{"config_name": "en", "data_files": "data/*"}, {"config_name": "fr", "data_files": "fr/*"}], None, "en, fr"),
        ([{"config_name": "en", "data_files": "data/*"}], "de", "no subset 'de'"),
        ([{"data_files": "none/*"}], None, "named like none"),
        (None, "de", "no subset 'de'"),
    ],
)
def test_a_subset_that_is_not_there_or_not_clear_is_asked_for(configs, subset, error):
    with pytest.raises((ConfigError, SourceError), match=error):
        files_by_split(TABLES, {"configs": configs}, subset)


def test_a_card_says_what_columns_mean():
    head = b"dataset_info:\n  features:\n  - name: pic\n    dtype: image\n  - name: kind\n    dtype:\n"
    names = b"      class_label:\n        names:\n          '0': hat\n          '10': sock\n          '2': bag\n"
    card = read_card(b"---\n" + head + names + b"---\ntext")
    assert features_in(card, None) == {
        "pic": {"_type": "Image"}, "kind": {"_type": "ClassLabel", "names": ["hat", "bag", "sock"]}
    }  # fmt: skip
    assert read_card(b"# no head") == {}
    with pytest.raises(SourceError, match="not valid YAML"):
        read_card(b"---\na: [\n---\n")


def listed(path, **settings):
    source = build_source(SourceSettings(kind="huggingface", path=str(path), **settings))
    rows = sorted(source.list().table.to_pylist(), key=lambda row: row["key"])
    data = [source.read(row["key"], row["locator"], max_bytes=10**6).data for row in rows]
    return [IMAGES.index(item) for item in data], [row["label"] for row in rows]


@pytest.mark.parametrize(
    ("split", "numbers"),
    [(None, range(10)), ("train[:30%]", range(3)), ("train[4:7]", [4, 5, 6]), ("train[:2]+train[1:3]", [0, 1, 2]),
     ("train[-1:]", [9])],
)  # fmt: skip
def test_the_rows_of_a_split_expression_are_those_of_all_its_files_in_a_row(tmp_path, split, numbers):
    write_hub_layout(tmp_path, image_table(IMAGES, LABELS), files=3)
    assert listed(tmp_path, split=split) == ([*numbers], [LABELS[number] for number in numbers])


def test_a_local_copy_without_card_or_tables_says_so(tmp_path):
    (tmp_path / "0.jpg").write_bytes(IMAGES[0])
    with pytest.raises(SourceError, match="kind: folder"):
        listed(tmp_path)
    write_parquet(tmp_path / "test.parquet", image_table(IMAGES))
    assert listed(tmp_path, split="test")[0] == [*range(10)]
    with pytest.raises(ConfigError, match="no split 'train'"):
        listed(tmp_path, split="train")


def test_a_part_of_a_split_with_a_rotten_file_is_refused_and_all_of_it_is_not(tmp_path):
    write_hub_layout(tmp_path, image_table(IMAGES), files=2)
    (tmp_path / "data/train-00000-of-00002.parquet").write_bytes(b"cut")
    source = build_source(SourceSettings(kind="huggingface", path=str(tmp_path), split="train"))
    assert source.list().num_rows == 6
    with pytest.raises(SourceError, match="a part of 'train' was asked for"):
        listed(tmp_path, split="train[5:]")


@pytest.fixture
def hub():
    pytest.importorskip("huggingface_hub")
    with hub_server() as server:
        yield server


def upload(hub, folder, table):
    write_hub_layout(folder, table)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    hub.datasets["me/tiny"] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def run(hub, folder, path, **environment):
    """Run the command line over a dataset of the hub, as somebody would; return what it says."""
    settings = {"name": "tiny", "source": {"path": path}, "store": "store", "features": {"extractor": "none"},
                "num_shards": 2, "workers": 2, "exports": []}  # fmt: skip
    (folder / "tiny.yaml").write_text(json.dumps(settings))
    told = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run(
        [sys.executable, "-m", "image_assets", "run", "--config", str(folder / "tiny.yaml"), "--json"],
        env={**os.environ, **told, **environment}, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_dataset_of_the_hub_is_downloaded_once_and_followed(hub, tmp_path):
    upload(hub, tmp_path / "one", image_table(IMAGES, LABELS))
    first = run(hub, tmp_path, "hf://me/tiny?split=train")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["decoded"] == 10
    tables = [path for path in hub.downloads if path.endswith(".parquet")]
    assert sorted(tables) == sorted(set(tables))
    upload(hub, tmp_path / "two", image_table([*IMAGES[:9], image_bytes(99)], LABELS))
    hub.downloads.clear()
    again = json.loads(run(hub, tmp_path, "hf://me/tiny?split=train").stdout)
    assert (again["decoded"], again["kept"], again["changed"]) == (1, 9, 1)


def test_a_dataset_that_is_not_on_the_hub_and_one_that_needs_a_token_are_errors_that_say_so(hub, tmp_path):
    missing = run(hub, tmp_path, "hf://me/none")
    assert missing.returncode == 1
    assert "dataset me/none cannot be had from the hub" in missing.stderr
    upload(hub, tmp_path / "one", image_table(IMAGES, LABELS))
    hub.token = "hf_secret"
    assert run(hub, tmp_path, "hf://me/tiny").returncode == 1
    allowed = run(hub, tmp_path, "hf://me/tiny", HF_TOKEN="hf_secret")
    assert allowed.returncode == 0, allowed.stderr
    assert "hf_secret" not in allowed.stdout + allowed.stderr


@pytest.mark.parametrize("path", ["hf://me/tiny?splitt=train", "hf://a/b/c", "hf://"])
def test_urls_of_the_hub_that_cannot_be_read_are_refused(path):
    with pytest.raises(ConfigError):
        build_source(SourceSettings(path=path))
