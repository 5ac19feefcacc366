"""DataChain: a folder with ``delta``, one function in two processes, a saved dataset, which is written as Parquet."""

from pathlib import Path

import datachain

from image_assets_tests.benchmarks.peers.scripts.job import run_script
from image_assets_tests.benchmarks.peers.scripts.picture import prepare


def main(folder: Path, output: Path) -> None:
    files = datachain.read_storage(
        folder.resolve().as_uri(),
        update=True,
        delta=True,
        delta_on="file.path",
        delta_compare=["file.etag", "file.size", "file.last_modified"],
    )
    photos = files.filter(datachain.C("file.path").glob("*.jpg")).settings(parallel=2)
    columns = {"key": str, "label": str, "sha256": str, "jpeg": bytes}
    rows = photos.map(_finish, output=columns).save("photos")
    output.mkdir(parents=True, exist_ok=True)
    rows.select(*columns).to_parquet(str(output / "photos.parquet"))


def _finish(file: datachain.File) -> tuple[str, str, str, bytes]:
    row = prepare(file.path, file.read())
    return row["key"], row["label"], row["sha256"], row["jpeg"]


if __name__ == "__main__":
    run_script(main)
