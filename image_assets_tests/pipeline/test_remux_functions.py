"""A user's function sees batches of decoded images, and whatever is wrong with it is one clear error."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from image_assets.core.errors import ConfigError
from image_assets_tests.pipeline.remuxes import read_parts, remux, write_dataset, written

HERE = "image_assets_tests.pipeline.test_remux_functions"


def shrink(batch):
    return {"image": [image.resize((8, 6)) for image in batch["image"]]}


def mark(batch):
    """Paint each image in the colour of its label, as an array, and change the other columns."""
    images = [np.full((4, 4, 3), 255 * label, np.uint8) for label in batch["label"]]
    return {"image": images, "note": [note.upper() for note in batch["note"]], "label": [1] * len(images)}


def keep_file(batch):
    def encoded(image):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    return {"image": [encoded(image) for image in batch["image"]]}


def noise(batch, rngs):
    return {"image": [rng.integers(0, 256, (4, 4, 3), np.uint8) for rng in rngs]}


def count(batch):
    return {"note": [f"{len(batch['image'])} images"] * len(batch["image"])}


def fewer(batch):
    return {"image": batch["image"][1:]}


def more_columns(batch):
    return {"score": [1.0] * len(batch["image"])}


def no_dict(batch):
    return batch["image"]


def floats(batch):
    return {"image": [np.zeros((4, 4, 3)) for _ in batch["image"]]}


def texts(batch):
    return {"label": ["many"] * len(batch["label"])}


def fail(batch):
    raise RuntimeError("out of paint")


def die(batch):
    os.abort()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "dataset", bad=(3,))


def test_it_gets_images_and_gives_images(dataset, tmp_path):
    remux(dataset, tmp_path / "out", function=f"{HERE}:shrink")
    sizes = {Image.open(io.BytesIO(row["image"]["bytes"])).size for row in read_parts(tmp_path / "out")}
    assert sizes == {(8, 6)}


def test_it_may_change_other_columns_within_their_types(dataset, tmp_path):
    remux(dataset, tmp_path / "out", function=f"{HERE}:mark", image_format="png")
    rows = read_parts(tmp_path / "out")
    assert [row["note"] for row in rows] == [f"N{number}" for number in range(23) if number != 3]
    assert {row["label"] for row in rows} == {1}
    painted = [np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))[0, 0, 0] for row in rows]
    assert painted == [255 * (number % 2) for number in range(23) if number != 3]


def test_it_may_encode_itself(dataset, tmp_path):
    remux(dataset, tmp_path / "out", function=f"{HERE}:keep_file")
    assert all(row["image"]["bytes"].startswith(b"\x89PNG") for row in read_parts(tmp_path / "out"))


def test_a_bad_image_never_reaches_it(dataset, tmp_path):
    remux(dataset, tmp_path / "out", function=f"{HERE}:count", batch_size=4)
    notes = [row["note"] for row in read_parts(tmp_path / "out")]
    # Batches of four from the beginning of each part of ten; the first lacks the bad image.
    assert notes == [f"{n} images" for n in (3, 4, 2, 4, 4, 2, 3) for _ in range(n)]
    assert pq.read_table(tmp_path / "out" / "quarantine.parquet")["row"].to_pylist() == [3]


@pytest.mark.parametrize("how", [{"batch_size": 9}, {"num_workers": 2}])
def test_its_generators_belong_to_images(how, dataset, tmp_path):
    remux(dataset, tmp_path / "one", function=f"{HERE}:noise")
    remux(dataset, tmp_path / "other", function=f"{HERE}:noise", **how)
    assert read_parts(tmp_path / "one") == read_parts(tmp_path / "other")


@pytest.mark.parametrize("how", [{"function": f"{HERE}:mark"}, {"batch_size": 5}])
def test_resuming_with_another_function_or_batch_is_refused(how, dataset, tmp_path):
    remux(dataset, tmp_path / "out", function=f"{HERE}:shrink")
    before = written(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"function|batch_size"):
        remux(dataset, tmp_path / "out", resume=True, **{"function": f"{HERE}:shrink", **how})
    assert written(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fewer", "returned 2 values of 'image' for 3 rows on rows 0 to 3; rows can be neither added nor removed"),
        ("more_columns", "returned unknown columns 'score' on rows 0 to 3; known: image, label, note"),
        ("no_dict", "returned a list on rows 0 to 3; return a dict of lists"),
        ("floats", "returned a float64 array of shape (4, 4, 3)"),
        ("texts", "gave column 'label' values that are not int64, on rows 0 to 3"),
        ("fail", "raised RuntimeError on rows 0 to 3: out of paint"),
        ("missing", "cannot be imported"),
        ("HERE", "is a str, not a callable"),
    ],
)
def test_what_is_wrong_with_it_is_said(name, says, dataset, tmp_path):
    with pytest.raises(ConfigError) as refusal:
        remux(dataset, tmp_path / "out", function=f"{HERE}:{name}")
    assert says in str(refusal.value)


def test_one_that_ends_its_worker_is_named_with_its_rows(dataset, tmp_path):
    with pytest.raises(ConfigError, match=r"ended its worker on rows 0 to 3 \(decoder_crashed: SIGABRT"):
        remux(dataset, tmp_path / "out", function=f"{HERE}:die", num_workers=1)
