"""What each tool makes of a folder that changes: ``python -m image_assets_tests.benchmarks.peers.changes --help``.

One photograph is turned upside down under its old name, another renamed, a third deleted, a fourth cut short; after
each the tool runs again over the folder with what it keeps, and its output is read back.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from image_assets_tests.benchmarks.files import SAMPLE_PHOTOS, imagenet_like
from image_assets_tests.benchmarks.peers.outputs import OutputImage
from image_assets_tests.benchmarks.peers.registry import PEERS, YARDSTICK
from image_assets_tests.benchmarks.peers.rounds import Contender, prepare_contenders, run_tool, turn_upside_down
from image_assets_tests.benchmarks.peers.scripts.job import TALLY
from image_assets_tests.benchmarks.peers.usage import RunFailedError

Hashes = dict[str, str]  # key of an image, and the SHA-256 of its bytes


def main() -> None:
    """Let every tool live through the changes, and print the table."""
    parser = argparse.ArgumentParser(description="What each tool makes of a folder that changes.")
    parser.add_argument("--photos", type=Path, default=SAMPLE_PHOTOS, help="photographs to cut the files from")
    parser.add_argument("--images", type=int, default=250)
    tools = sorted(set(PEERS) - {YARDSTICK})
    parser.add_argument("--only", nargs="+", choices=tools, default=tools, metavar="TOOL")
    options = parser.parse_args()
    print(f"| tool | first run | {' | '.join(CHANGES)} |\n| --- | {'--- | ' * (len(CHANGES) + 1)}")
    for contender in prepare_contenders({name: PEERS[name] for name in PEERS if name in options.only}):
        with tempfile.TemporaryDirectory(prefix="peers-") as workspace:
            folder = Path(workspace) / "photos"
            shutil.copytree(imagenet_like(options.images, options.photos), folder)
            cells = [contender.failure] if contender.failure else live_through(contender, folder, Path(workspace))
        print(f"| {contender.peer.title} {contender.version} | {' | '.join(cells)} |", flush=True)


def live_through(contender: Contender, folder: Path, own: Path) -> list[str]:
    """Return what the tool did in its first run and after each change, in words; the folder is changed."""
    cells = [_run(contender, folder, own)]
    for change in CHANGES.values():
        before = hashes_below(folder)
        change(folder)
        cells.append(_run(contender, folder, own, before))
    return cells


def judge(rows: Iterable[OutputImage], before: Hashes, now: Hashes) -> str:
    """Return what is wrong with an output about the files that just changed; ``right`` if nothing is.

    A file that is no image any more has the hash "" in ``now``.
    """
    found = {row.key: row.sha256 for row in rows}
    touched = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    faults = [_fault(found.get(key), now.get(key)) for key in touched or sorted(now)]
    counts = {fault: faults.count(fault) for fault in faults if fault}
    return ", ".join(f"{count} {fault}" for fault, count in counts.items()) or "right"


def hashes_below(folder: Path) -> Hashes:
    """Return the hashes of the photographs, "" for one that was cut short."""
    hashes = {}
    for path in sorted(folder.rglob("*.jpg")):
        raw = path.read_bytes()
        whole = raw.endswith(b"\xff\xd9")
        hashes[path.relative_to(folder).as_posix()] = hashlib.sha256(raw).hexdigest() if whole else ""
    return hashes


def _fault(found: str | None, wanted: str | None) -> str:
    """Return what is wrong with one row: the hash it has, None without a row, against the one it should have."""
    if not wanted:  # deleted, or no image any more
        return "" if found is None else "row of what is no more"
    if found is None:
        return "missing"
    return "" if found == wanted else "stale"


def _run(contender: Contender, folder: Path, own: Path, before: Hashes | None = None) -> str:
    tally, output = own / "tally", own / "output"
    tally.unlink(missing_ok=True)
    failed = False
    try:
        run_tool(contender, folder, own, {TALLY: str(tally)})
    except RunFailedError as error:
        failed = True
        print(f"{contender.peer.title}: {error}", file=sys.stderr, flush=True)
    assert contender.peer.read is not None
    rows = list(contender.peer.read(output))
    if failed:  # what it was about to do to the other files is not known
        done = tally.stat().st_size if tally.exists() else 0
        return f"the run fails: {done:,} done, {len(rows):,} rows"
    done = contender.peer.processed(own / "log", tally)
    return f"{done:,} done, {len(rows):,} rows, {judge(rows, before or {}, hashes_below(folder))}"


def _leave(folder: Path) -> None:
    """Change nothing."""


def _turn(folder: Path) -> None:
    turn_upside_down(_one(folder, 2))


def _rename(folder: Path) -> None:
    path = _one(folder, 3)
    path.rename(path.with_name("renamed.jpg"))


def _delete(folder: Path) -> None:
    _one(folder, 4).unlink()


def _cut(folder: Path) -> None:
    path = _one(folder, 5)
    path.write_bytes(path.read_bytes()[:-2000])


def _one(folder: Path, place: int) -> Path:
    """Return the photograph at one ``place``-th of the sorted names: another for each change."""
    paths = sorted(folder.rglob("*.jpg"))
    return paths[len(paths) // place]


CHANGES: dict[str, Callable[[Path], None]] = {
    "nothing changed": _leave,
    "one file changed": _turn,
    "one file renamed": _rename,
    "one file deleted": _delete,
    "one file cut short": _cut,
}


if __name__ == "__main__":
    main()
