"""The command: ``python -m image_assets_tests.benchmarks.peers --help``."""

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from image_assets_tests.benchmarks.files import SAMPLE_PHOTOS, imagenet_like
from image_assets_tests.benchmarks.peers.registry import PEERS
from image_assets_tests.benchmarks.peers.rounds import prepare_contenders, run_rounds
from image_assets_tests.benchmarks.peers.table import table, write_table


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description="The same job done by image_assets and by its peers.")
    parser.add_argument("--photos", type=Path, default=SAMPLE_PHOTOS, help="photographs to cut the files from")
    parser.add_argument("--images", type=int, nargs=2, default=(1000, 4000), metavar=("FEW", "MANY"))
    parser.add_argument("--repeat", type=int, default=2, help="the best of so many is reported")
    parser.add_argument("--only", nargs="+", choices=sorted(PEERS), default=sorted(PEERS), metavar="TOOL")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then too
    few, many = options.images
    if not 100 <= few < many:
        parser.error(f"--images {few} {many}: expected two sizes, at least 100, the smaller first")
    contenders = prepare_contenders({name: PEERS[name] for name in PEERS if name in options.only})
    with tempfile.TemporaryDirectory(prefix="peers-") as workspace:
        folders = [Path(workspace) / f"{count}" for count in (few, many)]
        for folder, count in zip(folders, (few, many), strict=True):
            # A copy: one of its files is changed later.
            shutil.copytree(imagenet_like(count, options.photos), folder)
        run_rounds(contenders, folders, Path(workspace), options.repeat)
    markdown = table(contenders, (few, many), _command())
    print(markdown)
    if options.write:
        write_table(markdown)


def _command() -> str:
    """Return the command as given, but for the place of the photographs, which is this machine's own."""
    arguments = sys.argv[1:]
    if "--photos" in arguments:
        arguments[arguments.index("--photos") + 1] = "FOLDER"
    return shlex.join(["python", "-m", "image_assets_tests.benchmarks.peers", *arguments])


if __name__ == "__main__":
    main()
