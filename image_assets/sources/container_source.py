"""The source of images in containers, whatever kind of containers and whatever tree they lie in."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow.compute as pc

from image_assets.core.errors import ContainerError, SourceError, SourceFileError, VanishedError
from image_assets.core.listing import Listing
from image_assets.sources.base import RawImage
from image_assets.sources.container_places import Target, tag_of
from image_assets.sources.containers import REMEMBERED, Container, Held, Listed, Shelf, listing_of
from image_assets.sources.table_spool import TableSpool
from image_assets.sources.trees import Tree, TreeFile

# Files that a worker keeps open: the units of one bucket come one after the other, seldom of more than a few files.
_OPEN_FILES = 8
_LISTING_THREADS = 8


class ContainerSource:
    """The images in the containers of a tree, or in its one container ``only``. Keys are ``path#inner name``."""

    def __init__(self, tree: Tree, shelf: Shelf, only: str | None = None) -> None:
        self._tree = tree
        self._shelf = shelf
        self._only = only
        self._open: OrderedDict[str, Container] = OrderedDict()
        self._places: dict[str, TableSpool] = {}

    def list(self) -> Listing:
        """Return a snapshot of all containers, sorted by (bucket, key).

        Raises:
            SourceError: the tree is missing or cannot be listed, or not one of its containers can.
        """
        files, others = self.files()
        return listing_of(self.listed(files), others)

    def files(self) -> tuple[Sequence[TreeFile], int]:
        """Return the containers of the tree in order of their paths, and the number of other files.

        Raises:
            SourceError: the tree is missing or cannot be listed.
        """
        if self._only is not None:
            return [self._only_file(self._only)], 0
        chosen, others = [], 0
        for file in self._tree.files():
            if self._is_container(file.path):
                chosen.append(file)
            else:
                others += 1
        return sorted(chosen, key=lambda file: file.path), others

    def listed(self, files: Iterable[TreeFile]) -> Iterator[tuple[TreeFile, Listed | ContainerError]]:
        """Yield what each of some containers holds, or why it cannot be listed; a few are under way at a time.

        Raises:
            SourceError: the tree does not answer.
        """
        under_way: deque[tuple[TreeFile, Future[Listed | ContainerError]]] = deque()
        with ThreadPoolExecutor(_LISTING_THREADS) as pool:
            for file in files:
                under_way.append((file, pool.submit(self._listed, file)))
                if len(under_way) > _LISTING_THREADS:
                    first, future = under_way.popleft()
                    yield first, future.result()
            for first, future in under_way:
                yield first, future.result()

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return one image's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
            VanishedError: it is gone.
        """
        target = Target.parse(locator) if locator is not None else self._target_of(key)
        inner = key[len(target.path) + 1 :]
        try:
            return self._read(target, inner, max_bytes)
        except VanishedError:
            # Replaced while it was read: looked for once in what is there now.
            self._forget(target.path)
            return self._read(target, inner, max_bytes)
        except ContainerError as error:
            raise SourceFileError("unreadable", str(error)) from error

    def _read(self, target: Target, inner: str, max_bytes: int) -> RawImage:
        container = self._container(target)
        if not inner:
            # The row of a container that could not be listed.
            container.list()
            raise VanishedError(f"{target.path} can be listed again")
        place = target.place if target.version_tag == tag_of(container.version) else None
        if place is None:
            place = self._place(target.path, inner, container)
        return container.read(place, max_bytes)

    def _place(self, path: str, inner: str, container: Container) -> bytes:
        """Return where an image lies in a container that is not the one that was listed."""
        if path not in self._places:
            self._places[path] = container.list().rows
        for table in self._places[path]:
            if (row := pc.index(table["key"], inner).as_py()) >= 0:
                place: bytes = table["locator"][row].as_py()
                return place
        raise VanishedError(f"{inner} is no longer in {path}")

    def _container(self, target: Target) -> Container:
        if target.path in self._open:
            self._open.move_to_end(target.path)
            return self._open[target.path]
        while len(self._open) >= _OPEN_FILES:
            self._forget(next(iter(self._open)))
        container = self._shelf.open(target.path, self._tree.open(target.path, target.file_locator))
        self._open[target.path] = container
        return container

    def _forget(self, path: str) -> None:
        self._places.pop(path, None)
        if path in self._open:
            self._open.pop(path).close()

    def _listed(self, file: TreeFile) -> Listed | ContainerError:
        remembered = (self._shelf, file.path, file.version)
        if (known := REMEMBERED.find(remembered)) is not None:
            return Listed(file, file.version, known)
        try:
            container = self._shelf.open(file.path, self._tree.open(file.path, file.locator))
        except VanishedError:
            return Listed(file, file.version, Held(TableSpool(), lasting=False))
        except (ContainerError, SourceFileError) as error:
            return _as_container_error(error)
        try:
            held = container.list()
        except (ContainerError, SourceFileError) as error:
            return _as_container_error(error)
        except VanishedError:
            return ContainerError("it was replaced while it was listed")
        finally:
            container.close()
        if held.lasting and container.version == file.version:
            REMEMBERED.add(remembered, held)
        return Listed(file, container.version, held)

    def _is_container(self, path: str) -> bool:
        return path.lower().endswith(self._shelf.suffixes)

    def _only_file(self, path: str) -> TreeFile:
        try:
            reader = self._tree.open(path, None)
        except VanishedError as error:
            where = self._shelf.settings.path.partition("?")[0]
            raise SourceError(f"source {where} does not exist; create it or correct the path") from error
        except SourceFileError as error:
            raise SourceError(f"source {path} cannot be read: {error.detail}") from error
        reader.close()
        return TreeFile(path, reader.version, reader.size_bytes)

    def _target_of(self, key: str) -> Target:
        """Return what a key alone says: its container is what ends like one."""
        pieces = key.split("#")
        for number in range(1, len(pieces) + 1):
            path = "#".join(pieces[:number])
            if self._is_container(path):
                return Target(path, None, b"", None)
        raise VanishedError(f"{key} belongs to no container of the source")


def _as_container_error(error: ContainerError | SourceFileError) -> ContainerError:
    return error if isinstance(error, ContainerError) else ContainerError(error.detail)
