"""A store in a bucket and its copy in a folder, so that what judges folders judges buckets."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from image_assets.storage import layout
from image_assets.storage.store import Store

_REQUESTS = 8


def upload_store(folder: Path, url: str) -> None:
    """Copy the files of a store in a folder, all but its lock and logs, into a bucket."""
    store = Store(url)
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    wanted = [path for path in paths if path != layout.LOCK and not path.startswith(layout.LOGS)]
    with ThreadPoolExecutor(_REQUESTS) as pool:
        list(pool.map(lambda path: store.put(path, (folder / path).read_bytes()), wanted))


def download_store(url: str, folder: Path) -> Path:
    """Copy every file of a store in a bucket into a folder, which is made or made anew, and return it."""
    store = Store(url)

    def fetch(path: str) -> None:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(store.get(path).to_pybytes())

    with ThreadPoolExecutor(_REQUESTS) as pool:
        list(pool.map(fetch, [file.path for file in store.list("")]))
    return folder
