"""Small pictures of rows and of failed images."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from image_assets.core.errors import ConfigError
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import RunOptions, run_dataset
from image_assets.pipeline.thumbnails import (
    FailedImage,
    contact_sheet,
    thumbnail_of_output,
    thumbnails_of_failed,
    thumbnails_of_rows,
)
from image_assets.settings import Settings
from image_assets.storage.identity import open_store
from image_assets_tests.images import image_bytes, write_images


def test_each_row_gets_its_own_picture_in_the_order_asked_for(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    write_images(tmp_path / "raw", 9)
    made = settings()
    run_dataset(made, RunOptions())
    with open_dataset(made.store) as dataset:
        rows = dataset.table().take([8, 0, 3, 0])
        thumbnails = thumbnails_of_rows(open_store(made), dataset.head.recipe_id, rows, 12)
        for number, row in enumerate((8, 0, 3, 0)):
            with Image.open(io.BytesIO(thumbnails[number].data)) as picture:
                assert picture.size == (12, 12) == (thumbnails[number].width_px, thumbnails[number].height_px)
                shrunk = Image.fromarray(dataset.image(row)).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
                seen = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
                assert max(abs(a - b) for a, b in zip(shrunk, seen, strict=True)) < 16
    assert thumbnails[1] == thumbnails[3]


def test_a_failed_image_shows_what_is_left_of_it_and_nothing_of_what_it_is_not(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    write_images(tmp_path / "raw", 4)
    whole = image_bytes(50, size=(400, 300))
    (tmp_path / "raw/half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "raw/other.jpg").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "raw/words.jpg").write_bytes(b"no image at all, however one looks at it")
    made = settings(checks={"failed_fraction": {"error": 1.0}})
    run_dataset(made, RunOptions())
    failed = [
        FailedImage(entry["key"], entry["sha256"], entry["reason"]) for entry in quarantine_summary(made)["quarantine"]
    ]
    # Its bytes are others now: what failed is not what would be shown.
    (tmp_path / "raw/other.jpg").write_bytes(whole)
    half, other, words = thumbnails_of_failed(made.model_copy(update={"workers": 1}), failed, 40)
    assert half is not None
    assert (half.width_px, half.height_px) == (40, 30)
    assert (other, words) == (None, None)


def test_nothing_of_an_original_but_its_pixels_is_in_a_picture() -> None:
    exif, profile = Image.Exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif[0x010F] = "whose camera"
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, format="JPEG", exif=exif, icc_profile=profile, xmp=b"<x>whose</x>")
    data = thumbnail_of_output(buffer.getvalue(), 20).data
    assert not any(word in data for word in (b"whose", b"EXIF", b"ICCP", b"XMP"))


def test_a_contact_sheet_has_a_square_for_each_picture() -> None:
    red, blue = (thumbnail_of_output(_png(colour), 20) for colour in ("red", "blue"))
    sheet = contact_sheet([red, red, blue], 2, 20)
    with Image.open(io.BytesIO(sheet.data)) as picture:
        assert picture.size == (44, 44)
        # The third is alone in the second line.
        assert [max(range(3), key=picture.getpixel(at).__getitem__) for at in ((10, 10), (34, 10), (10, 34))] == [
            0,
            0,
            2,
        ]
    with pytest.raises(ConfigError):
        contact_sheet([], 4, 20)


def _png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(buffer, format="PNG")
    return buffer.getvalue()
