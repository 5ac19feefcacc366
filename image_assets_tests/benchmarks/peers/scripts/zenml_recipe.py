"""ZenML: a pipeline of three steps, list, preprocess, save, on the local orchestrator with its artifact store.

The shape of its guides: the step that looks at the file system is not cached, as the documentation asks for; the next
is cached by the content of the listing. A step is any Python: the two threads are this script's (Pillow decodes without
Python's lock; processes would each import ZenML again).
"""

import shutil
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Annotated

import pandas as pd
from zenml import pipeline, step

from image_assets_tests.benchmarks.peers.scripts.job import run_script
from image_assets_tests.benchmarks.peers.scripts.picture import prepare_file


@step(enable_cache=False)
def list_photos(folder: str) -> Annotated[list[str], "listing"]:
    """Return a line a file: its path, size and time of change, so that a changed file is another listing."""
    stats = ((path, path.stat()) for path in sorted(Path(folder).rglob("*.jpg")))
    return [f"{path}|{stat.st_size}|{stat.st_mtime_ns}" for path, stat in stats]


@step
def preprocess(listing: list[str]) -> Annotated[pd.DataFrame, "photos"]:
    """Return a row a file; ZenML keeps the frame as Parquet in its artifact store."""
    paths = [line.rsplit("|", 2)[0] for line in listing]
    with ThreadPool(2) as pool:
        return pd.DataFrame(pool.imap(prepare_file, paths, chunksize=32))


@step
def save(photos: pd.DataFrame, output: str) -> None:
    """Write the finished rows where they are wanted."""
    shutil.rmtree(output, ignore_errors=True)
    Path(output).mkdir(parents=True)
    photos.to_parquet(Path(output) / "photos.parquet", index=False)


@pipeline(enable_cache=True)
def photos_pipeline(folder: str, output: str) -> None:
    """List, preprocess, save."""
    save(preprocess(list_photos(folder)), output)


def main(folder: Path, output: Path) -> None:
    photos_pipeline(str(folder), str(output))


if __name__ == "__main__":
    run_script(main)
