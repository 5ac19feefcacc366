"""Images inside tar and zip archives, local or in a bucket, also in WebDataset's layout."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from image_assets.core.errors import ContainerError, SourceFileError
from image_assets.core.listing import make_listing, with_column
from image_assets.settings import SourceSettings, is_url
from image_assets.sources.base import RawImage
from image_assets.sources.build_tree import tree_of_containers
from image_assets.sources.container_source import ContainerSource
from image_assets.sources.containers import Container, Held
from image_assets.sources.gzip_stream import GzipStream
from image_assets.sources.kinds import ARCHIVE_SUFFIXES, GZIP_SUFFIXES
from image_assets.sources.members import Archive, Member, Told, name_in_key, sample_of, told_in
from image_assets.sources.names import image_extensions, may_be_image
from image_assets.sources.read_ahead import ReadAhead
from image_assets.sources.tar_archive import TarArchive
from image_assets.sources.trees import TreeReader
from image_assets.sources.zip_archive import ZipArchive

# Members that begin in one of these ranges are one unit: read in one go, by one worker.
UNIT_BYTES = 16 * 2**20
_MOST_MEMBERS = 5_000_000
_MOST_LABEL_BYTES = 64 * 2**10
_LABEL_PARTS = ("cls", "json")


def archive_source(settings: SourceSettings) -> ContainerSource:
    """Return the source of one archive, or of all archives below a folder or prefix."""
    tree, only = tree_of_containers(settings, ARCHIVE_SUFFIXES)
    return ContainerSource(tree, ArchiveShelf(settings), only)


@dataclass(frozen=True, slots=True)
class ArchiveShelf:
    """Archives. The inner name of a key is the member's; a version is the archive's and the member's place."""

    settings: SourceSettings
    suffixes: tuple[str, ...] = ARCHIVE_SUFFIXES

    def open(self, path: str, reader: TreeReader) -> Container:
        """Return an open archive; whether it is one shows when it is listed."""
        if path.lower().endswith(GZIP_SUFFIXES):
            stream = GzipStream(reader)
            return ArchiveContainer(path, stream, TarArchive(stream, stream), self)
        far = is_url(self.settings.path)
        listing = ReadAhead(reader) if far else reader
        reading = ReadAhead(reader, UNIT_BYTES) if far else reader
        kind: Callable[[TreeReader, TreeReader], Archive] = TarArchive
        if path.lower().endswith(".zip"):
            kind = ZipArchive
        return ArchiveContainer(path, reader, kind(listing, reading), self)


class ArchiveContainer:
    """One open archive."""

    def __init__(self, path: str, reader: TreeReader, archive: Archive, shelf: ArchiveShelf) -> None:
        self.version = reader.version
        self._path = path
        self._reader = reader
        self._archive = archive
        self._extensions = image_extensions(shelf.settings)
        self._fields = shelf.settings.extra_columns
        # What can be had in its order only is one unit.
        self._unit_bytes = UNIT_BYTES if reader.size_bytes >= 0 else None

    def list(self) -> Held:
        """Return the members that may be images.

        Raises:
            ContainerError: it is damaged, truncated, no archive, or holds too many members.
            SourceFileError, VanishedError: it cannot be read, or is gone.
        """
        found = _Found()
        for number, member in enumerate(self._archive.members()):
            if number >= _MOST_MEMBERS:
                raise ContainerError(f"more than {_MOST_MEMBERS} members; cut it into several archives")
            self._take(member, found)
        versions = [self._version(place) for place in found.places]
        units = [self._unit(offset) for offset in found.offsets]
        table = make_listing(found.keys, versions, found.sizes, found.places, units)
        table = with_column(table, "label", pa.array(found.labels_of_keys(), pa.string()))
        table = with_column(table, "extra", pa.array(found.extras_of_keys(), pa.string()))
        table, doubled = _last_of_each(table)
        notes = (f"{doubled} members have the name of a later one, which is taken",) if doubled else ()
        return Held(table, found.ignored, notes)

    def read(self, place: bytes, max_bytes: int) -> RawImage:
        """Return one member's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable or too_large).
            VanishedError: the archive is gone, or was replaced.
        """
        return RawImage(self._archive.data(place, max_bytes), self._version(place))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _take(self, member: Member, found: "_Found") -> None:
        name = name_in_key(member.name)
        if name is None:
            return
        if may_be_image(name.rpartition("/")[2], self._extensions):
            found.add(name, member)
            return
        found.ignored += 1
        sample, part = sample_of(name)
        if part in _LABEL_PARTS and member.size_bytes <= _MOST_LABEL_BYTES:
            try:
                data = self._archive.data(member.place, _MOST_LABEL_BYTES)
            except SourceFileError:
                return
            try:
                found.add_told(sample, part, told_in(part, data, self._fields))
            except ValueError as error:
                raise ContainerError(f"{name}: {error}; correct source.extra_columns") from error

    def _version(self, place: bytes) -> str:
        return f"{self.version}:{place.hex().lstrip('0')}"

    def _unit(self, offset: int) -> str:
        return f"{self._path}#{offset // self._unit_bytes if self._unit_bytes else 0}"


class _Found:
    """What a look at an archive has found so far."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.sizes: list[int] = []
        self.places: list[bytes] = []
        self.offsets: list[int] = []
        self.ignored = 0
        self._labels: dict[str, str] = {}
        self._extras: dict[str, str] = {}

    def add(self, name: str, member: Member) -> None:
        self.keys.append(name)
        self.sizes.append(member.size_bytes)
        self.places.append(member.place)
        self.offsets.append(member.offset)

    def add_told(self, sample: str, part: str, told: Told) -> None:
        """Note what a neighbour says of a sample; the label of a ``.cls`` wins over that of a ``.json``."""
        if told.label is not None and (part == "cls" or sample not in self._labels):
            self._labels[sample] = told.label
        if told.extra is not None:
            self._extras[sample] = told.extra

    def labels_of_keys(self) -> list[str | None]:
        """Return each image's label: what its neighbour says, else its folder in the archive."""
        return [self._labels.get(sample_of(key)[0]) or _folder(key) for key in self.keys]

    def extras_of_keys(self) -> list[str | None]:
        """Return what each image's neighbour says of it beside the label."""
        return [self._extras.get(sample_of(key)[0]) for key in self.keys]


def _folder(name: str) -> str | None:
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else None


def _last_of_each(table: pa.Table) -> tuple[pa.Table, int]:
    """Return the rows without those whose key comes again later, and how many these are."""
    numbered = pa.table({"key": table["key"], "number": pa.array(range(table.num_rows), pa.int64())})
    last = numbered.group_by("key", use_threads=False).aggregate([("number", "max")])["number_max"]
    doubled = table.num_rows - len(last)
    return (table.take(last), doubled) if doubled else (table, 0)
