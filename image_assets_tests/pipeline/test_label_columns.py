"""Extra columns of a label file: kept with the images, beside the source's own, and refused where they contradict."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import ConfigError
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings
from image_assets.storage.mapped_texts import mapped_texts
from image_assets_tests.containers import image_table, write_parquet
from image_assets_tests.images import image_bytes, make_settings_for, write_images

ROWS = {
    "filename": ["a/0.jpg", "b/1.jpg", "a/2.jpg", "gone.jpg"],
    "label": ["cat", None, "dog", "cow"],
    "caption": ["ein Hut", 'x,"y"\n', None, "not here"],
    "size": [1, 2, None, 4],
}


def settings_with(folder: Path, rows: dict[str, Any], *, name: str = "labels.parquet", **options: Any) -> Settings:
    table = pa.table(rows)
    if name.endswith(".csv"):
        pyarrow.csv.write_csv(table, folder / name)
    else:
        pq.write_table(table, folder / name)
    chosen = {"kind": "file", "path": name, "extra_columns": ["caption", "size"]}
    return make_settings_for(folder, **{"labels": chosen, **options})


def extras(settings: Settings) -> dict[str, tuple[str | None, Any]]:
    with open_dataset(settings.store) as dataset:
        rows = dataset.table(["key", "label", "extra"]).to_pylist()
    return {row["key"]: (row["label"], row["extra"] and json.loads(row["extra"])) for row in rows}


@pytest.mark.parametrize(("name", "number"), [("labels.parquet", int), ("labels.csv", str)])
def test_they_are_kept_with_the_images_and_a_change_decodes_nothing(tmp_path: Path, name: str, number: type) -> None:
    write_images(tmp_path / "raw", 4)
    run_dataset(settings_with(tmp_path, ROWS, name=name))
    expected = {
        "a/0.jpg": ("cat", {"caption": "ein Hut", "size": number(1)}),
        "b/1.jpg": (None, {"caption": 'x,"y"\n', "size": number(2)}),
        "a/2.jpg": ("dog", None),
        "b/3.jpg": (None, None),
    }
    settings = make_settings_for(tmp_path, labels={"kind": "file", "path": name, "extra_columns": ["caption", "size"]})
    assert extras(settings) == expected
    settings = settings_with(tmp_path, {**ROWS, "caption": ["other", 'x,"y"\n', None, "not here"]}, name=name)
    plan = plan_dataset(settings)
    report = run_dataset(settings)
    assert (report.counts.decoded, report.counts.relabelled, plan.counts.relabelled) == (0, 1, 1)
    assert extras(settings) == {**expected, "a/0.jpg": ("cat", {"caption": "other", "size": number(1)})}


def test_they_stand_beside_those_of_the_source(tmp_path: Path) -> None:
    table = image_table([image_bytes(number) for number in range(3)], ["a", "b", "c"])
    write_parquet(tmp_path / "x.parquet", table.append_column("licence", pa.array(["CC0", "MIT", None])))
    source = {"path": "x.parquet", "extra_columns": ["licence"]}
    run_dataset(make_settings_for(tmp_path, source=source))
    keys = sorted(extras(make_settings_for(tmp_path)))
    rows = {"filename": keys[1:], "label": ["x", "y"], "caption": ["one", "two"], "size": [1, None]}
    settings = settings_with(tmp_path, rows, source=source)
    run_dataset(settings)
    assert [extra for _, (_, extra) in sorted(extras(settings).items())] == [
        {"licence": "CC0"},
        {"licence": "MIT", "caption": "one", "size": 1},
        {"caption": "two", "size": None},
    ]


def test_a_key_that_stands_there_twice_says_the_same_twice(tmp_path: Path) -> None:
    write_images(tmp_path / "raw", 1)
    twice = {name: [values[0], values[0]] for name, values in ROWS.items()}
    run_dataset(settings_with(tmp_path, twice))
    with pytest.raises(ConfigError, match=r"gives 'a/0\.jpg' more than one row of extra columns; keep one"):
        run_dataset(settings_with(tmp_path, {**twice, "size": [1, 2]}))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"size": None}, "lacks a column of .*correct labels.key_column, labels.label_column and labels.extra_columns"),
        ({"caption": [b"x", b"y", b"z", b""]}, "column 'caption' holds binary.*; correct labels.extra_columns"),
        ({"caption": ["x" * 20_000, "", "", ""]}, "20.* bytes of extra columns, the limit is 16384"),
    ],
)
def test_columns_that_cannot_be_kept_are_refused_in_words(tmp_path: Path, rows: dict[str, Any], says: str) -> None:
    write_images(tmp_path / "raw", 1)
    given = {name: values for name, values in {**ROWS, **rows}.items() if values is not None}
    with pytest.raises(ConfigError, match=says):
        run_dataset(settings_with(tmp_path, given))


def test_settings_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"labels\.extra_columns goes with labels.kind: file"):
        make_settings_for(tmp_path, labels={"extra_columns": ["caption"]})
    with pytest.raises(ConfigError, match=r"'caption' is in source\.extra_columns and in labels\.extra_columns"):
        settings_with(tmp_path, ROWS, source={"path": "x.parquet", "extra_columns": ["caption"]})


def test_texts_come_back_from_many_pieces_in_any_order() -> None:
    texts = [None if number % 7 == 0 else f"text {number}" for number in range(50)]
    with mapped_texts() as writer:
        for first in range(0, 50, 9):
            writer.add(pa.chunked_array([pa.array(texts[first : first + 9], pa.string())]))
        whole = writer.whole()
    wanted = np.random.default_rng(0).integers(0, 50, 200)
    assert whole.take(wanted).to_pylist() == [texts[number] for number in wanted]
    assert whole.take(np.empty(0, np.int64)).to_pylist() == []
