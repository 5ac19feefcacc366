"""Images behind URLs that a list names."""

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.core.listing import UNKNOWN_SIZE, Listing, make_listing, with_column
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import RawImage
from image_assets.sources.http_client import HttpClient
from image_assets.sources.prefetch import Ahead, Prefetcher
from image_assets.sources.spool import ListingBuilder
from image_assets.sources.url_list import url_batches
from image_assets.sources.validators import VersionBook

_LISTED = "listed"


class UrlSource:
    """The images of a list of URLs. A key is host and path; a version is what is known without asking a server.

    That is the expected sha256, or else that the URL is listed: what is behind it is taken to stay the same. With
    ``http.validators`` it is the ETag (or the time and length) that its server named last.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        http = settings.http
        self._client = HttpClient(http)
        self._ahead = Prefetcher(self._fetch, Ahead(http.connections, http.per_host, _host_of))

    def list(self) -> Listing:
        """Return a snapshot of the list.

        Raises:
            SourceError: the list is missing, cannot be read or holds no URL, or the file of validators cannot be used.
            ConfigError: the list lacks a column or contradicts itself.
        """
        builder = ListingBuilder()
        lines = urls = 0
        validators = self._settings.http.validators
        with VersionBook(Path(validators), self._settings.http) if validators else nullcontext() as book:
            for batch in url_batches(self._settings):
                builder.add(self._listed(batch, book))
                lines, urls = lines + batch.num_rows, urls + batch["fault"].null_count
        if lines and not urls:
            raise SourceError(
                f"list of URLs {self._settings.path}: none of its {lines} lines is an http or https URL (without a "
                "password in it); correct it, or source.path"
            )
        return builder.finish()

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return the bytes behind one URL.

        Raises:
            SourceFileError: they cannot be had (unreadable, too_large, private_address, opted_out, wrong_content).
            VanishedError: the list does not name it.
        """
        return self._ahead.take(key, locator, max_bytes)

    def prefetch(self, images: Sequence[tuple[str, bytes | None]], *, max_bytes: int) -> None:
        """Begin to fetch images that will be read soon, in their order."""
        self._ahead.start(images, max_bytes)

    def _listed(self, batch: pa.Table, book: VersionBook | None) -> pa.Table:
        """Return URLs in LISTING_SCHEMA."""
        versions = pc.fill_null(batch["sha256"], _LISTED)
        if book is not None:
            # What must have a certain sha256 does not change.
            asked = batch.filter(pc.and_(pc.is_null(batch["sha256"]), pc.is_null(batch["fault"])))
            known = book.versions(self._client, asked["url"].to_pylist())
            pairs = zip(batch["url"].to_pylist(), versions.to_pylist(), strict=True)
            versions = pa.chunked_array([[known.get(url, version) for url, version in pairs]], pa.string())
        # What a line that is no URL says stays in the list: it may be a password.
        places = pc.binary_join_element_wise(
            pc.if_else(pc.is_valid(batch["fault"]), "", batch["url"]),
            pc.fill_null(batch["sha256"], ""),
            pc.fill_null(batch["fault"], versions),
            "\n",
        )
        keys = batch["key"].to_pylist()
        sizes = [UNKNOWN_SIZE] * len(keys)
        table = make_listing(keys, versions.to_pylist(), sizes, places.cast(pa.binary()).to_pylist())
        return with_column(with_column(table, "label", batch["label"]), "extra", batch["extra"])

    def _fetch(self, key: str, locator: bytes | None, max_bytes: int) -> RawImage:
        if locator is None:
            raise VanishedError(f"{key} is not in the list")
        url, expected, listed = _place(locator)
        if not url:
            raise SourceFileError("unreadable", listed)
        fetched = self._client.fetch(url, max_bytes)
        if expected and hashlib.sha256(fetched.data).hexdigest() != expected:
            raise SourceFileError("wrong_content", "the sha256 of what came is not the one in the list")
        known = listed in {_LISTED, expected} or fetched.validators.version() == listed
        if known or self._still(url, listed):
            return RawImage(fetched.data, listed)
        # Changed after it was listed: an impossible version makes the next look at the source read it again.
        return RawImage(fetched.data, "changed-while-read")

    def _still(self, url: str, listed: str) -> bool:
        """Return whether the server still says of a URL what it said when it was listed.

        Some say one thing when they are asked and another when they send.
        """
        try:
            now = self._client.validators(url)
        except SourceFileError:
            return False
        return now is not None and now.version() == listed


def _place(locator: bytes) -> tuple[str, str, str]:
    """Return what a locator holds: URL, expected sha256 or nothing, version; or nothing, nothing, why it is no URL."""
    url, sha256, rest = locator.decode().split("\n", 2)
    return url, sha256, rest


def _host_of(locator: bytes | None) -> str:
    url = _place(locator)[0] if locator is not None else ""
    return url.partition("://")[2].partition("/")[0]
