"""What a worker does with a task: read, hash, look up, render, write segments; only manifest rows travel back."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from image_assets.core.errors import DecodeError, SourceFileError, VanishedError
from image_assets.core.manifest import FACT_FIELDS, MANIFEST_SCHEMA
from image_assets.core.sample import FAILED, OK, Rendered
from image_assets.engines.base import Beat
from image_assets.settings import Settings
from image_assets.sources import build_source
from image_assets.storage.contents import ContentIndex, Found
from image_assets.storage.segments import SegmentImage, read_segment, write_segment
from image_assets.storage.store import Store
from image_assets.transforms.chain import Renderer

# A segment is cut here, so that a worker holds about twice this much of outputs.
SEGMENT_BYTES = 16 * 2**20

NEW, CHANGED, KEPT, MOVED = "new", "changed", "kept", "moved"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """Some images of one shard; ``work`` has WORK_SCHEMA."""

    shard: str
    work: pa.Table


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What became of a task's images: manifest rows, without those that vanished, and how many took which way."""

    rows: pa.Table
    outcomes: dict[str, int]
    failed: int
    decoded: int
    vanished: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Bytes that are known to have no output."""

    reason: str
    detail: str


class Preprocessor:
    """The function that an engine runs over tasks. Sent once to each worker; what it opens stays there."""

    def __init__(
        self, settings: Settings, recipe_id: str, contents: ContentIndex, failures: Mapping[str, Failure]
    ) -> None:
        self._settings = settings
        self._recipe_id = recipe_id
        self._contents = contents
        self._failures = dict(failures)
        self._tools: _Tools | None = None

    def __call__(self, task: Task, beat: Beat) -> TaskResult:
        """Process one task.

        Raises:
            StoreError: a segment cannot be written or read.
        """
        if self._tools is None:
            self._tools = _Tools(self._settings, self._recipe_id)
        batch = _Batch(self._tools, self._contents, self._failures)
        for position, work in enumerate(task.work.to_pylist()):
            beat(position)
            batch.take(work)
        return batch.result()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tools": None}


class _Tools:
    """What a worker opens once."""

    def __init__(self, settings: Settings, recipe_id: str) -> None:
        self.recipe_id = recipe_id
        self.source = build_source(settings.source)
        self.store = Store(settings.store)
        self.renderer = Renderer(settings)
        self.max_bytes = settings.limits.max_file_bytes
        # Where the outputs lie that this worker made or adopted in this run: copies in later tasks find them here.
        self.made: dict[str, Found] = {}
        self._segments: dict[str, list[Row]] = {}

    def remember(self, sha256: str, found: Found) -> None:
        """Note where the outputs of some bytes lie; the oldest of very many are forgotten."""
        self.made[sha256] = found
        if len(self.made) > _REMEMBERED_OUTPUTS:
            self.made.pop(next(iter(self.made)))

    def outputs_at(self, found: Found) -> Row:
        """Return the manifest columns of outputs that lie in a segment."""
        if found.segment not in self._segments:
            if len(self._segments) >= _CACHED_SEGMENTS:
                self._segments.pop(next(iter(self._segments)))
            self._segments[found.segment] = read_segment(self.store, self.recipe_id, found.segment).to_pylist()
        rows = self._segments[found.segment]
        last = found.row + 1
        while last < len(rows) and rows[last]["variant"] > 0:
            last += 1
        return _output_columns(found.segment, found.row, rows[found.row : last])


_CACHED_SEGMENTS = 16
_REMEMBERED_OUTPUTS = 50_000


@dataclass(slots=True)
class _Batch:
    """The images of one task on their way."""

    tools: _Tools
    contents: ContentIndex
    failures: dict[str, Failure]
    rows: list[Row] = field(default_factory=list)
    waiting: dict[str, tuple[SegmentImage, list[Row]]] = field(default_factory=dict)
    waiting_bytes: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys((NEW, CHANGED, KEPT, MOVED), 0))
    failed: int = 0
    decoded: int = 0
    vanished: int = 0

    def take(self, work: Row) -> None:
        row: Row = {name: work[name] for name in ("key", "bucket", "version", "size_bytes", "label")}
        row |= {"variants": 0, "output_bytes": 0, "sha256": work["before_sha256"] if work["same_bytes"] else None}
        try:
            how = self._process(work, row)
        except VanishedError:
            self.vanished += 1
            return
        except (SourceFileError, DecodeError) as error:
            row |= {"status": FAILED, "reason": error.reason, "detail": error.detail[:500]}
            how = CHANGED if work["known_key"] else NEW
            if isinstance(error, DecodeError):
                self.decoded += 1
                self.failures[row["sha256"]] = Failure(error.reason, error.detail[:500])
        self.rows.append(row)
        self.outcomes[how] += 1
        self.failed += row["status"] == FAILED and how != KEPT

    def result(self) -> TaskResult:
        self._flush()
        rows = pa.Table.from_pylist(self.rows, schema=MANIFEST_SCHEMA)
        return TaskResult(rows, self.outcomes, self.failed, self.decoded, self.vanished)

    def _process(self, work: Row, row: Row) -> str:
        """Fill in the row and return how the image went.

        Raises:
            VanishedError, SourceFileError, DecodeError: as the source and the decoder say.
        """
        data: bytes | None = None
        if row["sha256"] is None:
            data = self._read(work, row)
        if (how := self._reuse(work, row)) is not None:
            return how
        if data is None:
            data = self._read(work, row)
            if row["version"] != work["version"] and (how := self._reuse(work, row)) is not None:
                return how
        self._add(SegmentImage(row["sha256"], self.tools.renderer.render(data, row["sha256"])), row)
        self.decoded += 1
        if work["before_sha256"] == row["sha256"]:
            return how_same(work)
        return CHANGED if work["known_key"] else NEW

    def _read(self, work: Row, row: Row) -> bytes:
        raw = self.tools.source.read(work["key"], work["locator"], max_bytes=self.tools.max_bytes)
        # Bytes known from the last commit need no hash, unless the file changed after it was listed.
        if row["sha256"] is None or raw.version != work["version"]:
            row["sha256"] = hashlib.sha256(raw.data).hexdigest()
        row["version"], row["size_bytes"] = raw.version, len(raw.data)
        return raw.data

    def _reuse(self, work: Row, row: Row) -> str | None:
        """Fill in the row from bytes that are already processed and return how it went, or None when they are not."""
        sha256, live = row["sha256"], True
        if sha256 in self.waiting:
            # A copy inside this very task: it gets its columns when the segment is written.
            self.waiting[sha256][1].append(row)
            row["status"] = OK
        elif sha256 in self.tools.made:
            row |= self.tools.outputs_at(self.tools.made[sha256])
        elif (failure := self.failures.get(sha256)) is not None:
            row |= {"status": FAILED, "reason": failure.reason, "detail": failure.detail}
        elif (found := self.contents.find(sha256)) is not None:
            row |= self.tools.outputs_at(found)
            live = found.live
            if not live:
                # From now on these bytes are part of the dataset: a copy that follows is moved.
                self.tools.remember(sha256, found)
        else:
            return None
        return _how_known(work, sha256, live=live)

    def _add(self, image: SegmentImage, row: Row) -> None:
        row["status"] = OK
        self.waiting[image.sha256] = (image, [row])
        self.waiting_bytes += sum(len(output.data) for output in image.rendered.outputs)
        if self.waiting_bytes >= SEGMENT_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self.waiting:
            return
        name = write_segment(self.tools.store, self.tools.recipe_id, [image for image, _ in self.waiting.values()])
        first = 0
        for image, rows in self.waiting.values():
            columns = _columns_of(name, first, image.rendered)
            for row in rows:
                row.update(columns)
            self.tools.remember(image.sha256, Found(name, first, live=True))
            first += len(image.rendered.outputs)
        self.waiting, self.waiting_bytes = {}, 0


def how_same(work: Row) -> str:
    """Return how an image went whose key holds the bytes that it held: a new recipe is a change, no more is not."""
    return KEPT if work["same_recipe"] else CHANGED


def _how_known(work: Row, sha256: str, *, live: bool) -> str:
    if work["known_key"] and work["before_sha256"] == sha256:
        return how_same(work)
    if live:
        return MOVED
    return CHANGED if work["known_key"] else NEW


def _columns_of(segment: str, first: int, rendered: Rendered) -> Row:
    facts = rendered.facts.as_dict()
    rows = [
        {"output_sha256": output.sha256, "width_px": output.width_px, "height_px": output.height_px,
         "format": output.format, "output_bytes": len(output.data), **facts}
        for output in rendered.outputs
    ]  # fmt: skip
    return _output_columns(segment, first, rows)


def _output_columns(segment: str, first: int, rows: list[Row]) -> Row:
    plain = rows[0]
    return {
        "status": OK,
        "segment": segment,
        "row": first,
        "variants": len(rows),
        "output_sha256": [row["output_sha256"] for row in rows],
        "output_bytes": sum(row["output_bytes"] for row in rows),
        **{name: plain[name] for name in ("width_px", "height_px", "format", *_FACT_NAMES)},
    }


_FACT_NAMES = tuple(field.name for field in FACT_FIELDS)
