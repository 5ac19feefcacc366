"""Dask: a bag of paths, ``map`` in two processes, a data frame, ``to_parquet``."""

from pathlib import Path

import dask
import dask.bag
import pyarrow as pa

from image_assets_tests.benchmarks.peers.scripts.job import run_script
from image_assets_tests.benchmarks.peers.scripts.picture import prepare_file


def main(folder: Path, output: Path) -> None:
    # A bag's own scheduler: a distributed cluster on this machine took longer. Text in place of bytes is not wanted.
    dask.config.set({"scheduler": "processes", "num_workers": 2, "dataframe.convert-string": False})
    paths = dask.bag.from_sequence(sorted(map(str, folder.rglob("*.jpg"))), partition_size=125)
    meta = {"key": object, "label": object, "sha256": object, "jpeg": object}
    schema = pa.schema({"key": pa.string(), "label": pa.string(), "sha256": pa.string(), "jpeg": pa.binary()})
    rows = paths.map(prepare_file).to_dataframe(meta=meta)
    rows.to_parquet(str(output), schema=schema, write_index=False, overwrite=True)


if __name__ == "__main__":
    run_script(main)
