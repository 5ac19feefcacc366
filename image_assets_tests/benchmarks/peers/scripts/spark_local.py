"""Spark: ``binaryFile``, ``mapInPandas``, Parquet, with ``local[2]``."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession

from image_assets_tests.benchmarks.peers.scripts.job import run_script
from image_assets_tests.benchmarks.peers.scripts.picture import prepare


def main(folder: Path, output: Path) -> None:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", "*.jpg")
    photos = files.load(str(folder)).select("path", "content")
    schema = "key string, label string, sha256 string, jpeg binary"
    photos.mapInPandas(_finish, schema).write.mode("overwrite").parquet(str(output))
    spark.stop()


def _finish(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for batch in batches:
        yield pd.DataFrame([prepare(path, raw) for path, raw in zip(batch["path"], batch["content"], strict=True)])


if __name__ == "__main__":
    run_script(main)
