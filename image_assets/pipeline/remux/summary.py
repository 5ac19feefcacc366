"""What the command line says of a remux: a plain dictionary, ready for JSON."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from image_assets.pipeline.memory import PeakMemory
from image_assets.pipeline.progress import stage
from image_assets.pipeline.remux.options import RemuxOptions
from image_assets.pipeline.remux.running import OnRows, run_remux


def remux_summary(options: RemuxOptions) -> dict[str, Any]:
    """Run a remux and return what to say of it.

    Raises:
        ImageAssetsError: something is wrong with more than single images.
        OSError: the disk is full, or the folder cannot be written.
    """
    with _system_memory(), PeakMemory() as memory, _told() as on_rows:
        report = run_remux(options, on_rows)
    return {
        "rows": report.rows,
        "parts": report.parts,
        "quarantined": report.quarantined,
        "resumed_parts": report.resumed_parts,
        "peak_memory_bytes": memory.peak_bytes,
        "seconds": round(report.seconds, 3),
        "out_dir": str(options.out_dir),
    }


@contextmanager
def _system_memory() -> Iterator[None]:
    """Have Arrow give memory back at once; its own pool keeps it (measured: 35 MB of 250 in all processes)."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


@contextmanager
def _told() -> Iterator[OnRows]:
    """Yield what tells whoever listens how many rows are done."""
    with stage("remux", "images") as told:
        before = 0

        def on_rows(done: int, total: int) -> None:
            nonlocal before
            if told.total is None:
                # What was there already is no part of the rate.
                told.set_total(total - done)
            else:
                told.advance(done - before)
            before = done

        yield on_rows
