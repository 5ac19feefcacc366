"""A small dataset that has something to show in every part of a report."""

import html
import re
import shutil
from pathlib import Path

from PIL import Image, ImageFilter

from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings
from image_assets_tests.images import image_bytes, make_settings_for, write_images

# What strangers may call a folder, and with it a label.
EVIL = '<script>document.title="taken"<'
EVERYTHING = {
    "duplicates": {"enabled": True},
    "quality": {"enabled": True, "min_images": 4},
    "splits": {"method": "fractions"},
    "checks": {"failed_fraction": {"error": 1.0}},
    "image": {"width_px": 48, "height_px": 48},
}


def reported_on(folder: Path, **options: object) -> Settings:
    """Return the settings of a dataset of two snapshots with odd names, copies, bad and failed images."""
    raw = folder / "raw"
    raw.mkdir()
    write_images(raw, 12)
    settings = make_settings_for(folder, **{**EVERYTHING, **options})
    run_dataset(settings)
    shutil.copy(raw / "a/0.jpg", raw / "b/copy.jpg")
    evil, right_to_left = raw / EVIL, raw / "فستان"
    evil.mkdir()
    right_to_left.mkdir()
    (evil / "x\"' onerror='document.title=1' \u202egpj.jpg").write_bytes(image_bytes(70))
    (right_to_left / f"{'ص' * 120}.jpg").write_bytes(image_bytes(71))
    (raw / "two\nlines `code`|*.jpg").write_bytes(image_bytes(72))
    with Image.open(raw / "a/2.jpg") as picture:
        picture.filter(ImageFilter.GaussianBlur(1)).save(raw / "a/nearly.jpg")
    Image.new("RGB", (40, 30), "white").save(raw / "b/white.jpg")
    whole = image_bytes(50, size=(400, 300))
    (raw / "b/half & <b>.jpg").write_bytes(whole[: len(whole) // 2])
    (raw / "b/words.jpg").write_bytes(b"no image at all, however one looks at it")
    run_dataset(settings)
    return settings


def text_of(page: bytes | str) -> str:
    """Return what a page says, without its markup and its pictures."""
    text = page if isinstance(page, str) else page.decode()
    body = text[text.index("<body") :]
    return " ".join(
        html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<script.*?</script>", "", body, flags=re.S))).split()
    )
