"""Where a dataset's raw images come from, and where its store is: reachable, writable, honest, with room."""

import errno
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from image_assets.core.errors import ImageAssetsError
from image_assets.core.object_urls import is_object_url
from image_assets.core.words import counted, size
from image_assets.pipeline.doctor.clocks import bucket_clock_finding, skew_finding
from image_assets.pipeline.doctor.credentials import credentials_finding
from image_assets.pipeline.doctor.finding import Finding
from image_assets.pipeline.doctor.leftovers import leftover_findings
from image_assets.settings import Settings, is_url
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source, kind_of
from image_assets.sources.base import SlicedSource
from image_assets.storage import layout
from image_assets.storage.identity import look_into_store
from image_assets.storage.store import Store

# A look at the source ends after this long, whatever there is.
_LOOK_S = 5.0
# Bytes of a JPEG a pixel at quality 90, and of a PNG; with vectors, manifests and what is staged on top.
_BYTES_A_PIXEL = {"jpeg": 0.3, "png": 2.0}
_ON_TOP = 1.5


def source_findings(settings: Settings) -> Iterator[tuple[Finding, int]]:
    """Yield what there is to say of each place of the source, and how many images were seen there."""
    parts = settings.source.parts or (settings.source,)
    for part in parts:
        subject = "source" if len(parts) == 1 else f"source {part.prefix}"
        if is_object_url(part.path):
            credentials = credentials_finding(f"{subject} credentials", part.path)
            yield credentials, 0
            if credentials.level == "fail":
                continue
            yield bucket_clock_finding(f"{subject} clock", part.path), 0
        yield _listed(subject, part, settings.trigger.max_listing_s)


def store_findings(settings: Settings, images: int, *, write: bool) -> Iterator[Finding]:
    """Yield what there is to say of a store: whose it is, whether it can be written, its clock, its room, leftovers.

    Args:
        images: how many images the source has, as far as was seen.
        write: also write a file of some bytes into the store, and take it away again.
    """
    far = is_object_url(settings.store)
    if far:
        credentials = credentials_finding("store credentials", settings.store)
        yield credentials
        if credentials.level == "fail":
            return
        yield bucket_clock_finding("store clock", settings.store)
    try:
        store = look_into_store(settings)
        made = store.exists(layout.STORE)
        yield Finding("store", "ok", f"{settings.store}: {_said_of(settings, made=made)}")
        if far or made:
            yield from _written(store) if write else _not_written(store)
            yield from leftover_findings(settings, store)
        else:
            yield _can_be_made(Path(settings.store), write=write)
    except ImageAssetsError as error:
        yield Finding("store", "fail", str(error), "see the text; `image-assets doctor --config …` asks again")
    if not is_url(settings.store):
        yield _room(settings, images)


def _said_of(settings: Settings, *, made: bool) -> str:
    return f"holds dataset {settings.name!r}" if made else "not run yet; `image-assets run` makes it"


def _listed(subject: str, part: SourceSettings, max_listing_s: float) -> tuple[Finding, int]:
    kind = kind_of(part)
    try:
        if kind in {"folder", "bucket"}:
            return _counted(subject, part, max_listing_s)
        return _looked_at(subject, part, kind), 0
    except ImageAssetsError as error:
        return Finding(subject, "fail", str(error), "correct source.path, or make it readable for this user"), 0


def _counted(subject: str, part: SourceSettings, max_listing_s: float) -> tuple[Finding, int]:
    source = build_source(part)
    begun_at, images, complete = time.monotonic(), 0, True
    if isinstance(source, SlicedSource):
        for rows, _ in source.list_slices(None):
            images += rows.num_rows
            if time.monotonic() - begun_at > _LOOK_S:
                complete = False
                break
    else:
        images = source.list().num_rows
    seconds = time.monotonic() - begun_at
    found = f"{part.path}: {'' if complete else 'at least '}{counted(images, 'image')}, listed in {seconds:.2f} s"
    if complete and not images:
        return Finding(subject, "fail", f"{part.path} holds no image", "correct source.path, or put images there"), 0
    if not complete and part.kind != "urls":
        remedy = (
            f"a look takes longer than {_LOOK_S:.0f} s; sensors go on after trigger.max_listing_s ({max_listing_s:g})"
        )
        return Finding(subject, "ok", found, remedy), images
    return Finding(subject, "ok", found), images


def _looked_at(subject: str, part: SourceSettings, kind: str) -> Finding:
    """Look at what a run alone reads: whether it is there."""
    if not is_url(part.path):
        if not os.path.exists(part.path):  # noqa: PTH110  Path.exists raises where nobody may look
            return Finding(subject, "fail", f"{part.path} does not exist", "correct source.path")
        if not os.access(part.path, os.R_OK):
            return Finding(subject, "fail", f"{part.path} cannot be read by this user", "make it readable")
    build_source(part)
    return Finding(subject, "ok", f"{part.path}: {kind}; what is in it is read by a run, and not by this look")


def _written(store: Store) -> Iterator[Finding]:
    """Write a probe twice: the second time must be refused. Both are gone afterwards."""
    begun_at = time.monotonic()
    if store.folder is None:
        store.refuse_unconditional()
    else:
        path = f"{layout.STAGING}{secrets.token_hex(8)}.probe"
        try:
            first, second = store.put_if_absent(path, b"probe"), store.put_if_absent(path, b"again")
            made_at = (store.folder / path).stat().st_mtime
        finally:
            store.delete(path)
        if not first or second:
            remedy = "use a file system with hard links that are honoured, or a bucket"
            yield Finding("store writing", "fail", "a file that is there was written over", remedy)
            return
        yield skew_finding("store clock", made_at - time.time(), "the store's file system")
    took_ms = (time.monotonic() - begun_at) * 1000
    yield Finding(
        "store writing", "ok", f"a probe was written, refused the second time, and removed ({took_ms:.0f} ms)"
    )


def _not_written(store: Store) -> Iterator[Finding]:
    if store.folder is not None and not os.access(store.folder, os.W_OK):
        yield Finding("store writing", "fail", f"{store.folder} cannot be written by this user", "chown or chmod it")
    else:
        yield Finding("store writing", "ok", "nothing was written (--no-write)")


def _can_be_made(folder: Path, *, write: bool) -> Finding:
    """Look whether a folder could be made, by making another beside it and taking it away again."""
    parent = _existing(folder)
    try:
        if write:
            os.rmdir(tempfile.mkdtemp(prefix=".image-assets-", dir=parent))  # noqa: PTH106
        elif not os.access(parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        found = f"{parent} cannot be written by this user: {error.strerror}"
        return Finding("store writing", "fail", found, "chown or chmod it, or correct store")
    return Finding("store writing", "ok", f"{folder} can be made")


def _room(settings: Settings, images: int) -> Finding:
    free = shutil.disk_usage(_existing(Path(settings.store))).free
    pixels = settings.image.width_px * settings.image.height_px * (1 + settings.augment.variants)
    need = int(images * pixels * _BYTES_A_PIXEL[settings.output.format] * _ON_TOP)
    found = f"{size(free)} free; {counted(images, 'image')} of this recipe: about {size(need)}"
    if need > free:
        return Finding("disk", "fail", found, "put the store where there is room, or make smaller outputs")
    if need > 0.8 * free:
        return Finding("disk", "warn", found, "another recipe needs as much again beside it until `vacuum`")
    return Finding("disk", "ok", found)


def _existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that is there, as far as this user may see."""
    # Path.exists raises where nobody may look, and over a name that is too long.
    return next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))  # noqa: PTH110
