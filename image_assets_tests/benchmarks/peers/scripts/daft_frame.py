"""Daft: ``from_glob_path``, ``download``, a row function with Pillow in processes of its own, ``write_parquet``.

Daft's own image functions are not used: they choose neither the filter nor the JPEG quality.
"""

from pathlib import Path
from typing import Any

import daft
from daft import DataType, col

from image_assets_tests.benchmarks.peers.scripts.job import run_script
from image_assets_tests.benchmarks.peers.scripts.picture import prepare

TEXT = DataType.string()
ROW = DataType.struct({"key": TEXT, "label": TEXT, "sha256": TEXT, "jpeg": DataType.binary()})


@daft.func(return_dtype=ROW, unnest=True, use_process=True)
def finish(path: str, raw: bytes) -> dict[str, Any]:
    return dict(prepare(path, raw))


def main(folder: Path, output: Path) -> None:
    files = daft.from_glob_path(f"{folder}/**/*.jpg")
    raw = files.with_column("raw", col("path").download())
    # In one batch the row function would run on one core.
    raw.into_batches(64).select(finish(col("path"), col("raw"))).write_parquet(str(output), write_mode="overwrite")


if __name__ == "__main__":
    run_script(main)
