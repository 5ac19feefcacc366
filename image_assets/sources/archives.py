"""Images inside tar and zip archives, local or in a bucket, also in WebDataset's layout."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from image_assets.core.errors import ContainerError, SourceFileError
from image_assets.settings import is_url
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import RawImage
from image_assets.sources.build_tree import tree_of_containers
from image_assets.sources.container_source import ContainerSource
from image_assets.sources.containers import Container, Held
from image_assets.sources.found_members import FoundMembers, UnitNames
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
        self._reader = reader
        self._archive = archive
        self._extensions = image_extensions(shelf.settings)
        self._fields = shelf.settings.extra_columns
        # What can be had in its order only is one unit.
        self._names = UnitNames(path, reader.version, UNIT_BYTES if reader.size_bytes >= 0 else None)

    def list(self) -> Held:
        """Return the members that may be images.

        Raises:
            ContainerError: it is damaged, truncated, no archive, or holds too many members.
            SourceFileError, VanishedError: it cannot be read, or is gone.
        """
        ignored = 0
        with closing(FoundMembers(self._names)) as found:
            for number, member in enumerate(self._archive.members()):
                if number >= _MOST_MEMBERS:
                    raise ContainerError(f"more than {_MOST_MEMBERS} members; cut it into several archives")
                ignored += self._take(member, found)
            rows, doubled = found.finish()
        notes = (f"{doubled} members have the name of a later one, which is taken",) if doubled else ()
        return Held(rows, ignored, notes)

    def read(self, place: bytes, max_bytes: int) -> RawImage:
        """Return one member's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable or too_large).
            VanishedError: the archive is gone, or was replaced.
        """
        return RawImage(self._archive.data(place, max_bytes), self._names.version(place))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _take(self, member: Member, found: FoundMembers) -> int:
        """Take what counts of a member; return 1 if it counts for nothing, and is not hidden."""
        name = name_in_key(member.name)
        if name is None:
            return 0
        if may_be_image(name.rpartition("/")[2], self._extensions):
            found.add(name, member)
            return 0
        sample, part = sample_of(name)
        if part in _LABEL_PARTS and member.size_bytes <= _MOST_LABEL_BYTES:
            try:
                data = self._archive.data(member.place, _MOST_LABEL_BYTES)
            except SourceFileError:
                return 1
            try:
                told = told_in(part, data, self._fields)
            except ValueError as error:
                raise ContainerError(f"{name}: {error}; correct source.extra_columns") from error
            found.add_told(sample, part, told)
            return int(told == Told())
        return 1
