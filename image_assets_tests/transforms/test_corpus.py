"""Real odd files, when the folder with them is given: what must be decoded is, what must be refused is."""

import csv
import hashlib
from pathlib import Path

import numpy as np

from image_assets.core.errors import DecodeError
from image_assets.core.sample import REASONS
from image_assets.transforms.chain import Renderer
from image_assets.transforms.decode import decode
from image_assets.transforms.orientation import orient
from image_assets_tests.transforms.pictures import some_settings


def test_odd_files_are_decoded_or_refused_as_they_should(corpus: Path) -> None:
    renderer, wrong, reasons = Renderer(some_settings()), [], set()
    with (corpus / "odd" / "truth.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            raw = (corpus / "odd" / row["path"]).read_bytes()
            try:
                renderer.render(raw, hashlib.sha256(raw).hexdigest())
                outcome = "decode"
            except DecodeError as error:
                reasons.add(error.reason)
                outcome = "reject"
            if row["expect"] not in (outcome, "either"):
                wrong.append((row["path"], outcome))
    assert wrong == []
    assert reasons <= set(REASONS)


def test_photos_of_every_orientation_end_up_alike(corpus: Path) -> None:
    settings = some_settings()
    decoded = [decode(path.read_bytes(), settings) for path in sorted((corpus / "orientation").glob("*.jpg"))]
    upright = [orient(each.pixels, each.turn).astype(int) for each in decoded]
    assert {each.facts.orientation for each in decoded} == set(range(1, 9))
    # They were compressed anew after the turn: up to 4 of 255.
    assert all(np.abs(pixels - upright[1]).mean() < 4 for pixels in upright)
