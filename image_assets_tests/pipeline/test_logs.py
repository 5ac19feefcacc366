"""The pipeline's own log file: what it says, when it is rotated, and that no line is lost."""

import logging
import multiprocessing
import re

import pytest

from image_assets.checks.base import Verdict
from image_assets.core.errors import StoreError
from image_assets.core.manifest import Counts
from image_assets.pipeline.detect import detect
from image_assets.pipeline.logs import LOGGER, log_listing, log_shard, pipeline_log
from image_assets.pipeline.preprocess import ShardReport
from image_assets_tests.images import write_images
from image_assets_tests.storage.rows import SHARD, manifest

FULL_BYTES = 5 * 2**20


def lines_of(path):
    """The lines without their time."""
    found = [re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (.*)", line) for line in path.read_text().splitlines()]
    return [match[1] for match in found]


@pytest.fixture
def logs(tmp_path):
    folder = tmp_path / "store/logs"
    folder.mkdir(parents=True)
    return folder


def test_lines_of_the_block_are_in_the_file_and_others_are_not(settings, logs):
    with pipeline_log(settings()) as path:
        LOGGER.info("inside %d", 1)
        logging.getLogger("image_assets.pipeline").error("日本")
    LOGGER.info("outside")
    with pipeline_log(settings()):
        LOGGER.debug("too small")
        LOGGER.warning("later")
    assert path == logs / "pipeline.log"
    assert lines_of(path) == ["INFO tiny inside 1", "ERROR tiny 日本", "WARNING tiny later"]


def log_half_a_character(settings):
    with pipeline_log(settings):
        LOGGER.info("half \udcff")


def test_a_name_that_is_no_text_is_written_escaped(settings, logs):
    # In a process of its own: pytest cannot send a report with half a character in it.
    process = multiprocessing.get_context("spawn").Process(target=log_half_a_character, args=(settings(),))
    process.start()
    process.join()
    assert lines_of(logs / "pipeline.log") == ["INFO tiny half \\udcff"]


def test_the_block_ends_the_log_when_it_fails(settings, logs):
    with pytest.raises(ZeroDivisionError), pipeline_log(settings()):
        LOGGER.info("before %d", 1 // 0)
    LOGGER.info("after")
    assert lines_of(logs / "pipeline.log") == []


def test_a_store_that_is_no_folder_logs_where_the_run_is(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pipeline_log(settings(store="memory:///")) as path:
        LOGGER.info("here")
    assert path == tmp_path / "logs/pipeline.log"
    assert lines_of(path) == ["INFO tiny here"]


def test_a_log_that_cannot_be_written_is_named(settings, logs):
    logs.rmdir()
    logs.write_text("no folder")
    with pytest.raises(StoreError, match=rf"log {logs}/pipeline\.log cannot be written: .*; make its folder writable"):
        pipeline_log(settings()).__enter__()


@pytest.mark.parametrize(("size_bytes", "rotated"), [(FULL_BYTES - 1, False), (FULL_BYTES, True)])
def test_a_full_log_is_put_aside_when_a_run_starts(settings, logs, size_bytes, rotated):
    (logs / "pipeline.log").write_bytes(b"x" * size_bytes)
    with pipeline_log(settings()):
        LOGGER.info("new")
        LOGGER.info("x" * FULL_BYTES)  # never in the middle of a run
        LOGGER.info("last")
    assert (logs / "pipeline.log.1").exists() == rotated
    assert not (logs / "pipeline.log.2").exists()
    assert (logs / "pipeline.log").read_text().endswith("last\n")


def test_five_old_files_are_kept_the_newest_ones(settings, logs):
    for run in range(8):
        with pipeline_log(settings()):
            LOGGER.info("run %d", run)
            LOGGER.info("x" * FULL_BYTES)
    first_lines = {path.name: lines_of(path)[0] for path in logs.glob("pipeline.log*")}
    assert first_lines == {
        "pipeline.log": "INFO tiny run 7",
        **{f"pipeline.log.{number}": f"INFO tiny run {7 - number}" for number in range(1, 6)},
    }


def test_a_gap_among_the_old_files_loses_none(settings, logs):
    for name in ("pipeline.log.1", "pipeline.log.3"):
        (logs / name).write_text(name)
    (logs / "pipeline.log").write_bytes(b"x" * FULL_BYTES)
    with pipeline_log(settings()):
        LOGGER.info("new")
    assert (logs / "pipeline.log.2").read_text() == "pipeline.log.1"
    assert (logs / "pipeline.log.4").read_text() == "pipeline.log.3"


RUNS, LINES, LINE_BYTES = 15, 20, 20_000


def write_lines(options, writer, barrier):
    barrier.wait()
    for run in range(RUNS):
        with pipeline_log(options):
            for line in range(LINES):
                LOGGER.info("%d-%d-%d %s.", writer, run, line, "x" * LINE_BYTES)


def test_two_processes_lose_no_line_and_mix_none_while_the_log_is_rotated(settings, logs):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    writers = [context.Process(target=write_lines, args=(settings(), writer, barrier)) for writer in range(2)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0, 0]
    files = sorted(logs.glob("pipeline.log*"))
    assert len(files) > 1
    found = [
        re.fullmatch(rf"INFO tiny (\S+) x{{{LINE_BYTES}}}\.", line)[1] for path in files for line in lines_of(path)
    ]
    assert sorted(found) == sorted(
        f"{writer}-{run}-{line}" for writer in range(2) for run in range(RUNS) for line in range(LINES)
    )


def report(**changes):
    rows = manifest(3, statuses=["ok", "failed", "failed"], keys=["a", "b\nc", "日本"])
    failures = rows.rows.filter([False, True, True])
    given = {"counts": Counts(new=3, failed=2, decoded=1), "verdicts": (), "published": True, "failures": failures}
    return ShardReport(shard=SHARD, head=rows.head, **{**given, **changes})


COUNTED = "new 3, changed 0, kept 0, moved 0, removed 0, failed 2, decoded 1"
FAILED_LINES = [
    "WARNING tiny failed 'b\\nc': truncated (None)",  # a line break in a name breaks no line
    "WARNING tiny failed '日本': truncated (None)",
]
WARNS = Verdict("failed_fraction", passed=False, sentence="Two failed.", severity="warn")
STOPS = Verdict("complete", passed=False, sentence="One is missing.")
PASSES = Verdict("segments_readable", passed=True, sentence="All are sound.")


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"unchanged": True}, []),
        ({}, [*FAILED_LINES, f"INFO tiny shard {SHARD} committed: {COUNTED}"]),
        (
            {"published": False, "verdicts": (WARNS, STOPS, PASSES)},
            [
                *FAILED_LINES,
                f"INFO tiny shard {SHARD} REFUSED: {COUNTED}",
                f"WARNING tiny shard {SHARD} check failed_fraction: Two failed.",
                f"ERROR tiny shard {SHARD} check complete: One is missing.",
            ],
        ),
    ],
)
def test_a_shard_is_logged_with_its_failures_and_what_its_checks_found(settings, changes, lines):
    with pipeline_log(settings()) as path:
        log_shard(report(**changes))
    assert lines_of(path) == lines


def test_a_listing_is_logged_with_what_it_left_out(settings, tmp_path):
    write_images(tmp_path / "raw", 3)
    (tmp_path / "raw/notes.txt").write_text("no image")
    (tmp_path / "raw/linked").symlink_to(tmp_path)
    state = detect(settings())
    with pipeline_log(settings()) as path:
        log_listing(state)
    lines = lines_of(path)
    note = f"linked folder '{tmp_path}/raw/linked' not followed; set source.follow_symlinks to follow it"
    assert lines == ["INFO tiny listed 3 images, ignored 1 other files", f"WARNING tiny skipped {note}"]
