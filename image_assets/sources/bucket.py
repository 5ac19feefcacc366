"""The images below a prefix of a bucket: S3, Google Cloud Storage, Azure, and what speaks like them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.core.listing import LISTING_SCHEMA, Listing, make_listing
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import RawImage
from image_assets.sources.names import image_extensions
from image_assets.sources.object_names import NO_PATH, key_of, keys_of
from image_assets.sources.objects import Objects
from image_assets.sources.prefetch import Ahead, Prefetcher
from image_assets.sources.spool import ListingBuilder

# An answer takes 10 to 100 ms and an image 2 ms of a core: this many requests under way keep a worker busy.
_CONNECTIONS = 16


class BucketSource:
    """The images of a bucket. A version is ETag and size.

    A key is the path below the prefix, NFC; of a name that is no path see :mod:`image_assets.sources.object_names`.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self._objects = Objects(settings.path)
        self._extensions = image_extensions(settings)
        self._ahead = Prefetcher(self._read, Ahead(_CONNECTIONS, _CONNECTIONS, lambda _: ""))

    def list(self) -> Listing:
        """Return a snapshot of the bucket's image files.

        Raises:
            SourceError: the bucket is missing or cannot be listed.
        """
        builder, odd, unseen = ListingBuilder(), [LISTING_SCHEMA.empty_table()], dict[str, str]()
        for objects in self._objects.tables(unseen):
            images = self._images(objects)
            builder.ignored += objects.num_rows - images.num_rows
            builder.add(images.filter(pc.is_null(images["locator"])))
            odd.append(images.filter(pc.is_valid(images["locator"])))
        builder.notes += [
            f"{folder!r} cannot be listed, what the dataset holds of it stays: {why}"
            for folder, why in sorted(unseen.items())
        ]
        listing, others = builder.finish(), pa.concat_tables([*odd, _own_rows(unseen)])
        starts = tuple(sorted(map(_start_of_keys, unseen)))
        return replace(_with_odd_names(listing, others) if others.num_rows else listing, unseen=starts)

    def list_slices(self, after: bytes | None) -> Iterator[tuple[pa.Table, bytes]]:
        """Yield the images in the order of their names, a slice at a time, each with where to go on after it.

        Raises:
            SourceError: the bucket is missing or cannot be listed.
        """
        for objects, last in self._objects.tables_after(after.decode() if after is not None else None):
            images = self._images(objects)
            odd = images.filter(pc.is_valid(images["locator"]))
            if odd.num_rows:
                exact = images.filter(pc.is_null(images["locator"]))
                images = pa.concat_tables([exact, _with_keys(odd, lambda keys: set(filter(self._exists, keys)))])
            yield images, last.encode()

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return one object's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable or too_large).
            VanishedError: it is gone.
        """
        return self._ahead.take(key, locator, max_bytes)

    def prefetch(self, images: Sequence[tuple[str, bytes | None]], *, max_bytes: int) -> None:
        """Begin to read images that will be read soon, in their order."""
        self._ahead.start(images, max_bytes)

    def _images(self, objects: pa.Table) -> pa.Table:
        return _listed(objects.filter(_may_be_image(objects["path"], pa.array(sorted(self._extensions), pa.string()))))

    def _exists(self, path: str) -> bool:
        try:
            self._objects.head(path)
        except VanishedError:
            return False
        except SourceFileError as error:
            raise SourceError(f"source {self._objects.url} does not say whether it has {path!r}: {error}") from error
        return True

    def _read(self, key: str, locator: bytes | None, max_bytes: int) -> RawImage:
        path = locator.decode() if locator is not None else key
        meta, data = self._objects.get(path, max_bytes=max_bytes)
        return RawImage(data, meta.version)


def _may_be_image(paths: pa.ChunkedArray, extensions: pa.Array) -> pa.ChunkedArray:
    """Return which paths are candidates, as :func:`image_assets.sources.names.may_be_image` does one by one."""
    names = pc.utf8_rtrim(paths, "/")
    ending = pc.utf8_lower(pc.struct_field(pc.extract_regex(names, r"(?s)[^/]\.(?P<ending>[^./]*)$"), "ending"))
    return pc.or_(pc.is_null(ending), pc.is_in(ending, value_set=extensions))


def _listed(images: pa.Table) -> pa.Table:
    """Return rows whose key is the path; those with a locator want another one."""
    paths = images["path"]
    is_key = pc.equal(pc.utf8_normalize(paths, "NFC"), paths)
    is_key = pc.and_(is_key, pc.invert(pc.match_substring_regex(paths, NO_PATH)))
    locators = pc.if_else(is_key, pa.scalar(None, pa.binary()), paths.cast(pa.binary()))
    columns = (paths, images["version"], images["size_bytes"], locators)
    return make_listing(*(column.to_pylist() for column in columns))


def _own_rows(unseen: Mapping[str, str]) -> pa.Table:
    """Return a row for each folder that cannot be listed, as if it were an object with a slash at the end."""
    versions = [f"unseen-{hashlib.sha256(why.encode()).hexdigest()[:16]}" for why in unseen.values()]
    return make_listing(unseen, versions, [0] * len(unseen), [folder.encode() for folder in unseen])


def _start_of_keys(folder: str) -> str:
    """Return what the keys of all below a folder begin with."""
    return key_of(f"{folder}x").removesuffix("x")


def _with_odd_names(listing: Listing, odd: pa.Table) -> Listing:
    """Return a listing of exact names with those added that are not their own keys."""
    builder = ListingBuilder()
    builder.ignored, builder.notes = listing.ignored, list(listing.notes)

    def held(keys: set[str]) -> set[str]:
        wanted = pa.array(sorted(keys), pa.string())
        return {
            key for rows in listing.pieces() for key in rows["key"].filter(pc.is_in(rows["key"], wanted)).to_pylist()
        }

    for rows in listing.pieces():
        builder.add(rows)
    builder.add(_with_keys(odd, held))
    return builder.finish()


def _with_keys(odd: pa.Table, held: Callable[[set[str]], set[str]]) -> pa.Table:
    """Return rows of names that are no keys under keys of their own.

    Args:
        held: returns which of some keys are names of objects as they are.
    """
    rows = sorted(odd.to_pylist(), key=lambda row: row["locator"])
    others = [[row[name] for row in rows] for name in ("version", "size_bytes", "locator")]
    return make_listing(keys_of([row["locator"].decode() for row in rows], held), *others)
