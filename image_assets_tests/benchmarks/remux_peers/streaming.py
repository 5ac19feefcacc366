"""``load_dataset(streaming=True)``, and a ParquetWriter for what comes out of it: ``streaming.py INPUT FOLDER``."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_dataset

from image_assets_tests.benchmarks.remux_peers.picture import prepare_batch

BATCH_ROWS, PART_ROWS = 32, 10_000
SCHEMA = pa.schema(
    [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())],
    metadata={"huggingface": '{"info": {"features": {"image": {"_type": "Image"}}}}'},
)


def main(source: str, target: str) -> None:
    rows = load_dataset("parquet", data_files=source, split="train", streaming=True)
    writer = None
    for number, batch in enumerate(rows.iter(batch_size=BATCH_ROWS)):
        first = number * BATCH_ROWS
        if writer is None or first % PART_ROWS < BATCH_ROWS:
            if writer is not None:
                writer.close()
            path = Path(target) / f"part-{first // PART_ROWS:05d}.parquet"
            writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        made = prepare_batch(batch, list(range(first, first + len(batch["label"]))))
        writer.write_table(pa.Table.from_pydict(made, schema=SCHEMA))
    if writer is not None:
        writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
