"""What is said before a large export is written."""

from pathlib import Path

import pytest

from image_assets.formats import FORMATS
from image_assets.formats.base import ExportOptions
from image_assets.pipeline import export_size
from image_assets.pipeline.export_size import size_note
from image_assets.pipeline.exporting import ExportTarget, export_dataset
from image_assets.pipeline.run import run_dataset
from image_assets_tests.formats.readers import AVAILABLE
from image_assets_tests.images import make_settings_for, write_images


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("dataset")
    write_images(folder / "raw", 12)
    settings = make_settings_for(folder, image={"width_px": 64, "height_px": 48})
    run_dataset(settings)
    return settings.store


@pytest.mark.parametrize(("normalization", "real"), [("none", "float32"), ("0-1", "float32"), ("0-1", "float16")])
@pytest.mark.parametrize("name", AVAILABLE)
def test_the_estimate_is_near_what_is_written(
    name: str, normalization: str, real: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if FORMATS[name].encoded and normalization != "none":
        pytest.skip("encoded images are not normalised")
    output = f"{tmp_path}/out{FORMATS[name].suffix}"
    target = ExportTarget.parse(output, ExportOptions(True, normalization, real), name)  # type: ignore[arg-type]
    said: list[float] = []
    monkeypatch.setattr(export_size, "_LARGE_BYTES", 0)
    monkeypatch.setattr(export_size, "size", lambda size_bytes: said.append(size_bytes) or "so much")
    assert size_note(store, target) is not None
    (path,) = export_dataset(store, target)
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    assert 0.5 < said[0] / sum(file.stat().st_size for file in files) < 2


def test_a_large_one_is_told_in_one_line_and_a_small_one_is_not(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = ExportTarget.parse(f"{tmp_path}/out.h5", ExportOptions(normalization="0-1"))
    assert size_note(store, target) is None
    monkeypatch.setattr(export_size, "_LARGE_BYTES", 100_000)
    note = size_note(store, target)
    assert note is not None
    assert note.startswith(
        "writing about 445 kB, out.h5 most of it; encoded (.tar, .tfrecord, .hf.parquet) the 12 images"
    )
