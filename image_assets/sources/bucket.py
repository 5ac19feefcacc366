"""The images below a prefix of a bucket: S3, Google Cloud Storage, Azure, and what speaks like them."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.core.listing import LISTING_SCHEMA, Listing, make_listing
from image_assets.settings import SourceSettings
from image_assets.sources.base import RawImage
from image_assets.sources.names import escaped, image_extensions
from image_assets.sources.objects import Objects
from image_assets.sources.prefetch import Ahead, Prefetcher
from image_assets.sources.spool import ListingBuilder

# An answer takes 10 to 100 ms and an image 2 ms of a core: this many requests under way keep a worker busy.
_CONNECTIONS = 16


class BucketSource:
    """The images of a bucket. A key is the path below the prefix, NFC; a version is ETag and size."""

    def __init__(self, settings: SourceSettings) -> None:
        self._objects = Objects(settings.path)
        self._extensions = image_extensions(settings)
        self._ahead = Prefetcher(self._read, Ahead(_CONNECTIONS, _CONNECTIONS, lambda _: ""))

    def list(self) -> Listing:
        """Return a snapshot of the bucket's image files.

        Raises:
            SourceError: the bucket is missing or cannot be listed.
        """
        builder, odd = ListingBuilder(), [LISTING_SCHEMA.empty_table()]
        for objects in self._objects.tables():
            images = self._images(objects)
            builder.ignored += objects.num_rows - images.num_rows
            builder.add(images.filter(pc.is_null(images["locator"])))
            odd.append(images.filter(pc.is_valid(images["locator"])))
        listing, others = builder.finish(), pa.concat_tables(odd)
        return _with_odd_names(listing, others) if others.num_rows else listing

    def list_slices(self, after: bytes | None) -> Iterator[tuple[pa.Table, bytes]]:
        """Yield the images in the order of their names, a slice at a time, each with where to go on after it.

        Raises:
            SourceError: the bucket is missing or cannot be listed.
        """
        for objects, last in self._objects.tables_after(after.decode() if after is not None else None):
            images = self._images(objects)
            odd = images.filter(pc.is_valid(images["locator"]))
            if odd.num_rows:
                taken = {key for key in odd["key"].to_pylist() if self._exists(key)}
                exact = images.filter(pc.is_null(images["locator"]))
                images = pa.concat_tables([exact, _without_collisions(odd, taken)])
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
    ending = pc.utf8_lower(pc.struct_field(pc.extract_regex(paths, r"(?s)[^/]\.(?P<ending>[^./]*)$"), "ending"))
    return pc.or_(pc.is_null(ending), pc.is_in(ending, value_set=extensions))


def _listed(images: pa.Table) -> pa.Table:
    paths = images["path"]
    keys = pc.utf8_normalize(paths, "NFC")
    locators = pc.if_else(pc.equal(keys, paths), pa.scalar(None, pa.binary()), paths.cast(pa.binary()))
    columns = (keys, images["version"], images["size_bytes"], locators)
    return make_listing(*(column.to_pylist() for column in columns))


def _with_odd_names(listing: Listing, odd: pa.Table) -> Listing:
    """Return a listing of exact names with those that are not NFC added."""
    builder, taken = ListingBuilder(), set()
    builder.ignored = listing.ignored
    wanted = odd["key"].combine_chunks()
    for rows in listing.pieces():
        taken.update(rows["key"].filter(pc.is_in(rows["key"], value_set=wanted)).to_pylist())
        builder.add(rows)
    builder.add(_without_collisions(odd, taken))
    return builder.finish()


def _without_collisions(odd: pa.Table, taken: set[str]) -> pa.Table:
    """Return rows of names that are not NFC in which no two share a key, nor one with an object of that exact name.

    The name that is NFC already has it, else the first in the order of bytes; of the others every byte outside ASCII
    is written ``%XX``.

    Args:
        taken: those of their keys that are names of objects as they are.
    """
    taken = set(taken)
    rows = sorted(odd.to_pylist(), key=lambda row: row["locator"])
    keys = []
    for row in rows:
        keys.append(escaped(row["locator"]) if row["key"] in taken else row["key"])
        taken.add(row["key"])
    others = [[row[name] for row in rows] for name in ("version", "size_bytes", "locator")]
    return make_listing(keys, *others)
