"""What was forgotten: the marks of bytes that must not come back, and the receipts of what was removed."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from image_assets.core.errors import StoreError
from image_assets.storage import layout
from image_assets.storage.store import Store

_BLOCK_BYTES = 2**20


def forgotten_marks(store: Store) -> frozenset[str]:
    """Return the marks (:func:`image_assets.core.forgetting.forgotten_mark`) of all forgotten bytes.

    Raises:
        StoreError: the store does not answer or a receipt is damaged.
    """
    marks: set[str] = set()
    for path in receipt_paths(store):
        marks.update(read_receipt(store, path)["marks"])
    return frozenset(marks)


def receipt_paths(store: Store) -> list[str]:
    """Return the paths of all receipts, oldest first.

    Raises:
        StoreError: the store does not answer.
    """
    return sorted(file.path for file in store.list(layout.FORGOTTEN) if layout.is_receipt(file.path))


def is_forgetting_pending(store: Store) -> bool:
    """Return whether an act of forgetting was interrupted and is not finished.

    Raises:
        StoreError: the store does not answer or a receipt is damaged.
    """
    return any("pending" in read_receipt(store, path) for path in receipt_paths(store))


def read_receipt(store: Store, path: str) -> dict[str, Any]:
    """Return the content of a receipt.

    Raises:
        StoreError: it is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(store.get(path).to_pybytes())
        return {**content, "marks": [str(mark) for mark in content["marks"]]}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} in store {store.url} is damaged: {error!r}; restore it from a backup") from error


def create_receipt(store: Store, content: Mapping[str, Any]) -> str:
    """Write a new receipt under the next free number and return its path.

    Raises:
        StoreError: it cannot be written.
    """
    number = max((int(PurePosixPath(path).stem) for path in receipt_paths(store)), default=0) + 1
    data = _to_json(content)
    # As of a commit: a store that answered late may have taken a first try.
    while not store.put_if_absent(path := layout.receipt(number), data) and store.get(path).to_pybytes() != data:
        number += 1
    return path


def write_receipt(store: Store, path: str, content: Mapping[str, Any]) -> None:
    """Write a receipt, over an unfinished one of the same name.

    Raises:
        StoreError: it cannot be written.
    """
    store.put(path, _to_json(content))


def file_sha256(store: Store, path: str) -> str:
    """Return the sha256 of a file's bytes as they are now, a block in memory at a time.

    Raises:
        StoreError: it does not exist or cannot be read.
    """
    digest = hashlib.sha256()
    with store.open(path) as file, store.translating("read", path):
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Step:
    """What an unfinished act of forgetting does to one file; ``sha256`` is that of the file as it was found.

    ``rows`` go from it. ``renamed_to`` is the path of what stays, where names follow from contents.
    """

    path: str
    sha256: str
    rows: int
    renamed_to: str | None


class Journal:
    """Notes beside an unfinished receipt of what is done, one file a note: a killed act loses none of them."""

    def __init__(self, store: Store, receipt_path: str) -> None:
        self._store = store
        self._receipt_path = receipt_path

    def note(self, path: str, *, rows: int = 0, renamed_to: str | None = None) -> None:
        """Note what is about to be done to a file; the first note of a file stays.

        Raises:
            StoreError: the file cannot be read or the note not written.
        """
        step = Step(path, file_sha256(self._store, path), rows, renamed_to)
        name = hashlib.sha256(path.encode()).hexdigest()[:32]
        self._store.put_if_absent(layout.receipt_step(self._receipt_path, name), _to_json(asdict(step)))

    def steps(self) -> list[Step]:
        """Return the notes, in order of their paths.

        Raises:
            StoreError: one is damaged.
        """
        steps = []
        for path in self._paths():
            try:
                steps.append(Step(**json.loads(self._store.get(path).to_pybytes())))
            except (ValueError, TypeError) as error:
                raise StoreError(f"{path} in store {self._store.url} is damaged: {error!r}; delete it") from error
        return sorted(steps, key=lambda step: step.path)

    def clear(self) -> None:
        """Remove the notes, when the receipt itself says what was done.

        Raises:
            StoreError: one cannot be removed.
        """
        for path in list(self._paths()):
            self._store.delete(path)

    def _paths(self) -> Iterator[str]:
        for file in self._store.list(layout.FORGOTTEN):
            if layout.is_step_of(file.path, self._receipt_path):
                yield file.path


def _to_json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, indent=2).encode() + b"\n"
