"""PyTorch: a ``DataLoader`` whose two workers do the work on each image, encoding too; the driver writes Parquet."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch.utils.data import DataLoader, Dataset

from image_assets_tests.benchmarks.peers.scripts.job import run_script
from image_assets_tests.benchmarks.peers.scripts.picture import Row, prepare_file

SCHEMA = pa.schema({"key": pa.string(), "label": pa.string(), "sha256": pa.string(), "jpeg": pa.binary()})


class Photos(Dataset[Row]):
    """The finished rows of a folder of photographs."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(map(str, folder.rglob("*.jpg")))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Row:
        return prepare_file(self.paths[index])


def main(folder: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    loader = DataLoader(Photos(folder), batch_size=64, num_workers=2, collate_fn=list)
    with pq.ParquetWriter(output / "photos.parquet", SCHEMA) as writer:
        for rows in loader:
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))


if __name__ == "__main__":
    run_script(main)
