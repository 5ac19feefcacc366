"""What a worker does with a task: read, hash, look up, render, write segments; only manifest rows travel back."""

import hashlib
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from image_assets.core.errors import DecodeError, SourceFileError, VanishedError
from image_assets.core.forgetting import forgotten_mark
from image_assets.core.manifest import Counts
from image_assets.core.planning import KEPT, is_reencoded, way_of
from image_assets.core.sample import FAILED, OK
from image_assets.engines.base import Beat
from image_assets.pipeline.claims import Claim
from image_assets.pipeline.far_lookups import refuse_unseen_places
from image_assets.pipeline.outputs import Row, StoredOutputs, made_outputs
from image_assets.pipeline.recipe import renderer_for
from image_assets.pipeline.task_rows import TaskRows, rows_of
from image_assets.pipeline.tasks import Known, RunContext, Task, TaskResult
from image_assets.sources import build_source
from image_assets.sources.base import PrefetchingSource
from image_assets.storage.segments import SegmentImage, write_segment
from image_assets.storage.store import Store

# A segment is cut here, so that a worker holds about twice this much of outputs.
SEGMENT_BYTES = 16 * 2**20
_REMEMBERED_OUTPUTS = 50_000
_DETAIL_CHARACTERS = 500


class Preprocessor:
    """The function that an engine runs over tasks. Sent once to each worker; what it opens stays there."""

    def __init__(self, context: RunContext, known: Known) -> None:
        self._context = context
        self._known = known
        self._tools: _Tools | None = None

    def __call__(self, task: Task, beat: Beat) -> TaskResult:
        """Process one task.

        Raises:
            StoreError: a segment cannot be written or read.
        """
        started_at = time.monotonic()
        if self._tools is None:
            self._tools = _Tools(self._context)
        batch = _Batch(self._tools, self._context, self._known, task)
        batch.prefetch(task.work)
        for position, work in enumerate(rows_of(task.work)):
            beat(position)
            batch.take(work)
        return batch.result(time.monotonic() - started_at)

    @property
    def forgotten(self) -> frozenset[str]:
        """The marks of forgotten bytes that the workers know."""
        return self._known.forgotten

    def blame(self, task: Task, reason: str, detail: str) -> TaskResult:
        """Return the result of a task whose one image ended its worker; the image is read and hashed, not decoded."""
        if self._tools is None:
            self._tools = _Tools(self._context)
        batch = _Batch(self._tools, self._context, self._known, task, verdict=DecodeError(reason, detail))
        batch.take(task.work.to_pylist()[0])
        return batch.result(0.0)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tools": None}


class _Tools:
    """What a worker opens once, and what it made in this run."""

    def __init__(self, context: RunContext) -> None:
        if context.witness is not None:
            refuse_unseen_places(context.settings)
        self.source = build_source(context.settings.source)
        self.store = Store(context.settings.store, create=context.witness is None)
        self.renderer = renderer_for(context.settings, context.recipe_id)
        self.outputs = StoredOutputs(self.store, context.recipe_id)
        # Where the outputs of bytes lie that this worker made: copies in later tasks find them here.
        self.made: dict[str, tuple[str, int]] = {}

    def remember(self, sha256: str, segment: str, row: int) -> None:
        """Note where the outputs of some bytes lie; the oldest of very many are forgotten."""
        self.made[sha256] = (segment, row)
        if len(self.made) > _REMEMBERED_OUTPUTS:
            self.made.pop(next(iter(self.made)))


class _DeferredError(Exception):
    """The bytes are another task's."""

    def __init__(self, owner: int) -> None:
        super().__init__(f"task {owner} has these bytes")
        self.owner = owner


@dataclass(slots=True)
class _Batch:
    """The images of one task on their way."""

    tools: _Tools
    context: RunContext
    known: Known
    task: Task
    # What decoding would come to, when that was seen already.
    verdict: DecodeError | None = None
    rows: TaskRows = field(default_factory=TaskRows)
    waiting: dict[str, tuple[SegmentImage, list[Row]]] = field(default_factory=dict)
    waiting_bytes: int = 0
    claimed: set[str] = field(default_factory=set)
    deferred: list[tuple[Row, int]] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Counts.__slots__, 0))
    vanished: int = 0
    lost: int = 0

    def prefetch(self, works: pa.Table) -> None:
        """Let a source that can begin to read what will be read: all whose outputs are not known to exist."""
        if isinstance(self.tools.source, PrefetchingSource):
            find = self.known.contents.find
            reads = (work for work in rows_of(works) if work["sha256"] is None or find(work["sha256"]) is None)
            images = [(work["key"], work["locator"]) for work in reads]
            self.tools.source.prefetch(images, max_bytes=self.context.settings.limits.max_file_bytes)

    def take(self, work: Row) -> None:
        row: Row = {name: work[name] for name in ("key", "bucket", "version", "size_bytes", "label", "extra", "sha256")}
        row |= {"variants": 0, "output_bytes": 0, "attempts": 0}
        decoded = self.totals["decoded"]
        try:
            self._process(work, row)
        except VanishedError:
            if self._is_elsewhere(work):
                unseen = f"the worker on {socket.gethostname()} does not see it, the run does"
                self._fail(work, row, SourceFileError("busy", unseen))
            else:
                self._release(row["sha256"])
                self.vanished += 1
                self.lost += work["known_key"]
                return
        except _DeferredError as other:
            known = {"sha256": row["sha256"], "version": row["version"], "size_bytes": row["size_bytes"]}
            self.deferred.append(({**work, **known}, other.owner))
            return
        except (SourceFileError, DecodeError) as error:
            self._fail(work, row, error)
        live, processed = self._was_known(row["sha256"])
        how = way_of(work, row["sha256"], live=live)
        self.totals["reencoded"] += not processed and is_reencoded(work, row["sha256"])
        self.rows.append(row, final=not self.waiting)
        self.totals[how] += 1
        # A failure that was known and stays is no news of this run; one that was tried again is.
        self.totals["failed"] += row["status"] == FAILED and (how != KEPT or self.totals["decoded"] > decoded)

    def result(self, busy_sec: float) -> TaskResult:
        self._flush()
        totals = Counts(**self.totals)
        return TaskResult(self.rows.table(), totals, self.vanished, busy_sec, self.lost, tuple(self.deferred))

    def _is_elsewhere(self, work: Row) -> bool:
        """Return whether an image that is gone for this worker is there for the run: it must not be dropped."""
        witness = self.context.witness
        return witness is not None and witness.sees(work["key"], work["locator"])

    def _process(self, work: Row, row: Row) -> None:
        """Fill in the row.

        Raises:
            VanishedError, SourceFileError, DecodeError: as the source and the decoder say.
            _DeferredError: another task is working on the same bytes.
        """
        data: bytes | None = None
        if row["sha256"] is None:
            data = self._read(work, row)
        if self._reuse(row) or self._is_taken(work, row):
            return
        sha256 = row["sha256"]
        if data is None:
            data = self._read(work, row)
            if row["sha256"] != sha256:
                # It changed after it was listed.
                self._release(sha256)
                sha256 = row["sha256"]
                if self._reuse(row) or self._is_taken(work, row):
                    return
        self.totals["decoded"] += 1
        if self.verdict is not None:
            raise self.verdict
        self._add(SegmentImage(sha256, self.tools.renderer.render(data, sha256)), row)

    def _read(self, work: Row, row: Row) -> bytes:
        limit = self.context.settings.limits.max_file_bytes
        raw = self.tools.source.read(work["key"], work["locator"], max_bytes=limit)
        self.totals["read_bytes"] += len(raw.data)
        # Bytes known from the last commit need no hash, unless the file changed after it was listed.
        if row["sha256"] is None or raw.version != row["version"]:
            row["sha256"] = hashlib.sha256(raw.data).hexdigest()
            self.totals["hashed"] += 1
        row["version"], row["size_bytes"] = raw.version, len(raw.data)
        return raw.data

    def _reuse(self, row: Row) -> bool:
        """Fill in the row from bytes that are processed already and return whether they are.

        Raises:
            SourceFileError: these bytes were forgotten.
        """
        sha256 = row["sha256"]
        if self.known.forgotten and forgotten_mark(sha256) in self.known.forgotten:
            # Not even their hash is kept.
            row["sha256"] = None
            raise SourceFileError("forgotten", "removed by `image-assets forget`; delete the file from the source")
        if sha256 in self.waiting:
            # A copy inside this very task: it gets its columns when the segment is written.
            self.waiting[sha256][1].append(row)
            row["status"] = OK
        elif sha256 in self.tools.made:
            row |= self.tools.outputs.at(*self.tools.made[sha256])
        elif (found := self.known.contents.find(sha256)) is not None:
            # Before what is known to fail: an image that was tried again with success may still be noted there too.
            row |= self.tools.outputs.at(found.segment, found.row)
        elif (failure := self.known.failures.get(sha256)) is not None:
            row |= {"status": FAILED, "reason": failure.reason, "detail": failure.detail}
            row |= {"first_seen": failure.first_seen, "attempts": failure.attempts}
        else:
            return False
        return True

    def _is_taken(self, work: Row, row: Row) -> bool:
        """Claim the bytes, or fill in the row from what another task made of them and return True.

        Raises:
            DecodeError: another task could not decode them.
            _DeferredError: another task is still working on them.
        """
        sha256 = row["sha256"]
        if not work["twin"] and row["version"] == work["version"]:
            return False
        claim: Claim | None = self.context.claims.take(sha256, self.task.number, self.task.lost)
        if claim is None:
            self.claimed.add(sha256)
            return False
        if claim.segment is not None and claim.row is not None:
            row |= self.tools.outputs.at(claim.segment, claim.row)
        elif claim.reason is not None:
            raise DecodeError(claim.reason, claim.detail or "")
        else:
            raise _DeferredError(claim.owner)
        return True

    def _fail(self, work: Row, row: Row, error: SourceFileError | DecodeError) -> None:
        detail = error.detail[:_DETAIL_CHARACTERS]
        first_seen, attempts = self._history(work, row["sha256"])
        row |= {"status": FAILED, "reason": error.reason, "detail": detail}
        row |= {"first_seen": first_seen, "attempts": attempts + 1}
        if isinstance(error, SourceFileError):
            # Nothing is wrong with bytes that could not be read this time: their copies must not be taken to fail.
            self._release(row["sha256"])
            row["sha256"] = None
            if error.reason == "busy":
                # A version that no listing has: what the next run finds differs, and it tries again.
                row["version"] = "busy"
        elif row["sha256"] in self.claimed:
            self.context.claims.failed(row["sha256"], error.reason, detail)

    def _history(self, work: Row, sha256: str | None) -> tuple[str, int]:
        """Return since when these bytes are known to fail, and how often they were tried."""
        if work["known_key"] and work["before_sha256"] == sha256 and work["first_seen"] is not None:
            return work["first_seen"], work["attempts"] or 0
        if sha256 is not None and (tried := self.known.tried.get(sha256)) is not None:
            return tried.first_seen, tried.attempts
        return self.context.started_at, 0

    def _release(self, sha256: str | None) -> None:
        """Let others have bytes that this task claimed and could not read."""
        if sha256 in self.claimed:
            self.claimed.discard(sha256)
            self.context.claims.release(sha256)

    def _was_known(self, sha256: str | None) -> tuple[bool, bool]:
        """Return whether the dataset held these bytes before the run, and whether they were processed at all."""
        if sha256 is None:
            return False, True
        found = self.known.contents.find(sha256)
        failed = sha256 in self.known.failures
        return failed or (found is not None and found.live), failed or found is not None

    def _add(self, image: SegmentImage, row: Row) -> None:
        row["status"] = OK
        self.waiting[image.sha256] = (image, [row])
        self.waiting_bytes += sum(len(output.data) for output in image.rendered.outputs)
        if self.waiting_bytes >= SEGMENT_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self.waiting:
            return
        images = [image for image, _ in self.waiting.values()]
        name = write_segment(self.tools.store, self.context.recipe_id, images)
        first = 0
        claimed = []
        for image, rows in self.waiting.values():
            columns = made_outputs(name, first, image.rendered)
            for row in rows:
                row.update(columns)
            self.tools.remember(image.sha256, name, first)
            if image.sha256 in self.claimed:
                claimed.append((image.sha256, name, first))
            first += len(image.rendered.outputs)
        if claimed:
            self.context.claims.made(claimed)
        self.waiting, self.waiting_bytes = {}, 0
