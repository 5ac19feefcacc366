"""What a soak is asked for on its command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# What can be killed, and how often each kind is drawn, relative to the others.
KINDS = {
    "webserver": 2,
    "daemon": 4,
    "code server": 4,
    "run": 6,
    "decoding process": 3,
    "code server and run": 2,
    "everything": 1,
}


@dataclass(frozen=True, slots=True)
class Options:
    """How long, how large, how often something is killed, and what."""

    what: str
    minutes: float
    seed: int
    shards: int
    images: int
    kill_every_s: float
    kinds: tuple[str, ...]
    postgres: str | None
    folder: Path | None


def parse_options(words: Sequence[str]) -> Options:
    """Return what a command line says."""
    parser = argparse.ArgumentParser(prog="python -m image_assets_tests.soak", description=__doc__)
    parser.add_argument("what", choices=["backfill", "uploads"])
    parser.add_argument("--minutes", type=float, default=20.0, help="something is killed for so long [20]")
    parser.add_argument("--seed", type=int, default=1, help="what is killed when, and what is uploaded [1]")
    parser.add_argument("--shards", type=int, help="[backfill 256, uploads 16]")
    parser.add_argument("--images", type=int, default=1000, help="images at the start [1000]")
    parser.add_argument("--kill-every", type=float, default=15.0, metavar="S", help="seconds between kills, on average")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"what is killed [{','.join(KINDS)}]; none: nothing")
    parser.add_argument("--postgres", metavar="URL", help="keep Dagster's state there in place of SQLite")
    parser.add_argument("--folder", type=Path, help="a new folder, which is kept; otherwise kept only after a failure")
    found = parser.parse_args(words)
    kinds = tuple(kind for kind in found.kinds.split(",") if kind != "none")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        parser.error(f"unknown kinds {', '.join(unknown)}; known: {', '.join(KINDS)}")
    shards = found.shards or (256 if found.what == "backfill" else 16)
    return Options(
        found.what, found.minutes, found.seed, shards, found.images, found.kill_every, kinds, found.postgres,
        found.folder,
    )  # fmt: skip
