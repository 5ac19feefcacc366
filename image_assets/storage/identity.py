"""Which dataset a store belongs to, and in which format: ``store.json``, written once."""

import json

from image_assets.core.errors import DatasetError, StoreError
from image_assets.core.heads import FORMAT_VERSION, refuse_newer
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.store import Store


def open_store(settings: Settings) -> Store:
    """Return a dataset's store, marked as its own when it is new.

    Raises:
        StoreError: it belongs to another dataset, is from a newer version, cannot be written, or is in a bucket
            without conditional writes.
    """
    store = Store(settings.store)
    mark = json.dumps({"format_version": FORMAT_VERSION, "dataset": settings.name}).encode()
    new = not store.exists(layout.STORE)
    if new:
        # What bears the mark has passed, so a bucket is asked once.
        store.refuse_unconditional()
    if not new or not store.put_if_absent(layout.STORE, mark):
        _refuse_other(store, settings)
        if store.get(layout.STORE).to_pybytes() != mark:
            # From now on there will be files in it that an older version cannot read: it shall say so at once.
            store.put(layout.STORE, mark)
    return store


def open_made_store(settings: Settings) -> Store:
    """Return the store of a dataset that was run; of one that was not, nothing is created.

    Raises:
        DatasetError: there is none.
        StoreError: as :func:`open_store`.
    """
    if not look_into_store(settings).exists(layout.STORE):
        raise no_index_error(settings)
    return open_store(settings)


def no_index_error(settings: Settings) -> DatasetError:
    """Return the error of a dataset of which nothing was published yet."""
    return DatasetError(
        f"dataset {settings.name!r} in {settings.store} has no index yet; run it first (`image-assets run`, or "
        "materialize image_shards in Dagster)"
    )


def look_into_store(settings: Settings) -> Store:
    """Return a dataset's store for reading; nothing is created, and one that is not there looks empty.

    Raises:
        StoreError: it belongs to another dataset, or is from a newer version.
    """
    store = Store(settings.store, create=False)
    if store.exists(layout.STORE):
        _refuse_other(store, settings)
    return store


def read_identity(store: Store) -> str:
    """Return the name of the dataset that a store holds.

    Raises:
        StoreError: it holds none, is damaged, or is from a newer version.
    """
    try:
        content = json.loads(store.get(layout.STORE).to_pybytes())
        refuse_newer(int(content["format_version"]), f"store {store.url}")
        return str(content["dataset"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise StoreError(
            f"{layout.STORE} in store {store.url} is damaged: {error!r}; delete it and run again"
        ) from error


def _refuse_other(store: Store, settings: Settings) -> None:
    found = read_identity(store)
    if found != settings.name:
        raise StoreError(f"store {store.url} holds dataset {found!r}, not {settings.name!r}; use another store")
