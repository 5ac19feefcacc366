from pathlib import Path

import pytest

from image_assets.core.errors import StoreError
from image_assets.features.model_cache import cached_model

MODEL = bytes(range(256)) * 100


def never_built() -> bytes:
    raise AssertionError("the cache should have had it")


def kept_file(cache_dir: Path) -> Path:
    (path,) = cache_dir.iterdir()
    return path


def test_a_model_is_built_once_and_then_read(tmp_path: Path) -> None:
    cache_dir = tmp_path / "a" / "b"
    assert cached_model(cache_dir, "net-1", lambda: MODEL) == MODEL
    assert cached_model(cache_dir, "net-1", never_built) == MODEL
    assert kept_file(cache_dir).read_bytes() == MODEL


@pytest.mark.parametrize(
    "damaged",
    [b"", MODEL[:-1], MODEL + b"x", b"y" + MODEL[1:]],
    ids=["emptied", "cut short", "too long", "one byte changed"],
)
def test_a_damaged_file_is_built_anew(tmp_path: Path, damaged: bytes) -> None:
    cached_model(tmp_path, "net-1", lambda: MODEL)
    kept_file(tmp_path).write_bytes(damaged)
    assert cached_model(tmp_path, "net-1", lambda: MODEL) == MODEL
    assert kept_file(tmp_path).read_bytes() == MODEL


def test_what_a_killed_process_left_half_written_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "net-1.0123.partial").write_bytes(MODEL[:50])
    assert cached_model(tmp_path, "net-1", lambda: MODEL) == MODEL


def test_models_of_other_stems_are_not_confused(tmp_path: Path) -> None:
    cached_model(tmp_path, "net-1", lambda: MODEL)
    assert cached_model(tmp_path, "net-10", lambda: b"other") == b"other"
    assert cached_model(tmp_path, "net-1", never_built) == MODEL


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise ValueError("bad weights")

    with pytest.raises(ValueError, match="bad weights"):
        cached_model(tmp_path, "net-1", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="name a folder that can be written"):
        cached_model(tmp_path / "file" / "models", "net-1", lambda: MODEL)
