"""A remux that is killed anywhere goes on where it was, and ends with the bytes of one that was not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from image_assets.core.errors import ConfigError
from image_assets.pipeline.remux.journal import JOURNAL
from image_assets.pipeline.remux.publishing import MANIFEST
from image_assets_tests.pipeline.remuxes import image_rows, read_parts, remux, write_dataset, write_parquet, written

# Of the moments at which it can be killed the suite tries every second one.
EVERY = int(os.environ.get("KILL_EVERY", "2"))
_FILE_EVENTS = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.listdir", "fcntl.flock"}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "dataset", bad=(3, 15, 16))


def killed_after(events: int, dataset: Path, out_dir: Path) -> bool:
    """Run a remux in a child that kills itself at so many events; return whether it came to that.

    An event is whatever Python does to files (it tells so just before), and each step of the progress.
    """
    child = os.fork()
    if not child:
        left = events

        def count(event: str, args: Any) -> None:
            nonlocal left
            if event == "rows" or (event in _FILE_EVENTS and str(out_dir) in str(args)):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            from image_assets.pipeline.remux.running import run_remux
            from image_assets_tests.pipeline.remuxes import options_for

            options = options_for(dataset, out_dir, resume=True)
            run_remux(options, lambda done, total: count("rows", ()))
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -signal.SIGKILL}
    return code != 0


def test_killed_at_any_file_or_row_it_ends_with_the_same_bytes(dataset, tmp_path):
    remux(dataset, tmp_path / "whole")
    events = 0
    while killed_after(events, dataset, tmp_path / f"killed-{events}"):
        remux(dataset, tmp_path / f"killed-{events}", resume=True)
        assert written(tmp_path / f"killed-{events}") == written(tmp_path / "whole"), f"killed at event {events}"
        events += EVERY
    assert events > 25
    assert written(tmp_path / f"killed-{events}") == written(tmp_path / "whole")


def test_killed_again_and_again_no_row_is_missing_or_there_twice(dataset, tmp_path):
    remux(dataset, tmp_path / "whole")
    events = 6
    while killed_after(events, dataset, tmp_path / "out"):
        events += 1
    assert written(tmp_path / "out") == written(tmp_path / "whole")


def test_the_manifest_is_the_last_file(dataset, tmp_path):
    events = 0
    while killed_after(events, dataset, tmp_path / f"killed-{events}"):
        if (tmp_path / f"killed-{events}" / MANIFEST).exists():
            assert len(read_parts(tmp_path / f"killed-{events}")) == 20
        events += 1
    assert (tmp_path / f"killed-{events}" / MANIFEST).exists()


@pytest.mark.parametrize("left", [1, 30, -1])  # bytes of the last line; -1: all but its end
def test_half_a_line_in_the_journal_is_a_part_to_make_again(left, dataset, tmp_path):
    remux(dataset, tmp_path / "whole")
    remux(dataset, tmp_path / "out")
    journal = tmp_path / "out" / JOURNAL
    *lines, last = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines) + last[:left])
    assert remux(dataset, tmp_path / "out", resume=True).resumed_parts == 2
    assert written(tmp_path / "out") == written(tmp_path / "whole")


def test_a_part_that_is_gone_or_cut_is_made_again(dataset, tmp_path):
    remux(dataset, tmp_path / "out")
    before = {name: digest for name, digest in written(tmp_path / "out").items() if name != JOURNAL}
    (tmp_path / "out" / "part-00000.parquet").unlink()
    os.truncate(tmp_path / "out" / "part-00002.parquet", 100)
    assert remux(dataset, tmp_path / "out", resume=True).resumed_parts == 1
    assert {name: digest for name, digest in written(tmp_path / "out").items() if name != JOURNAL} == before


def test_resuming_what_is_done_decodes_nothing(dataset, tmp_path):
    remux(dataset, tmp_path / "out")
    before = written(tmp_path / "out")
    report = remux(dataset, tmp_path / "out", resume=True)
    assert (report.rows, report.quarantined, report.resumed_parts) == (20, 3, 3)
    assert written(tmp_path / "out") == before


def test_workers_and_batches_may_change_in_between(dataset, tmp_path):
    remux(dataset, tmp_path / "whole")
    killed_after(9, dataset, tmp_path / "out")
    remux(dataset, tmp_path / "out", resume=True, num_workers=2, batch_size=3)
    assert written(tmp_path / "out") == written(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seed": 1}, "seed was 0"),
        ({"rows_per_shard": 5}, "rows_per_shard was 10"),
        ({"jpeg_quality": 80}, "recipe output was"),
        ({"split": "test"}, "--resume: "),
        ({"names": "hub"}, 'names was "part"'),
        ({"extra_cols": ()}, "columns was"),
    ],
)
def test_other_settings_are_refused(options, says, dataset, tmp_path):
    remux(dataset, tmp_path / "out")
    before = written(tmp_path / "out")
    with pytest.raises(ConfigError) as refusal:
        remux(dataset, tmp_path / "out", resume=True, **options)
    assert says in str(refusal.value)
    assert "another --out-dir" in str(refusal.value)
    assert written(tmp_path / "out") == before


def test_another_input_is_refused(dataset, tmp_path):
    remux(dataset, tmp_path / "out")
    write_parquet(dataset / "data" / "train-00001-of-00002.parquet", image_rows(12, first=500))
    with pytest.raises(ConfigError, match=r"input data/train-00001-of-00002\.parquet was .* and is"):
        remux(dataset, tmp_path / "out", resume=True)


def test_a_folder_with_something_in_it_is_refused(dataset, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(ConfigError, match=r"mine\.txt"):
            remux(dataset, tmp_path / "out", resume=resume)
    remux(dataset, tmp_path / "other")
    with pytest.raises(ConfigError, match="go on with it with --resume"):
        remux(dataset, tmp_path / "other")


def started(dataset: Path, out_dir: Path) -> "subprocess.Popen[bytes]":
    """Start a remux by command line and return it when its first part is there."""
    command = [sys.executable, "-m", "image_assets", "remux", "--dataset", str(dataset), "--out-dir", str(out_dir)]
    child = subprocess.Popen(
        [*command, "--rows-per-shard", "16", "--batch-size", "2", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    give_up_at = time.monotonic() + 60
    while not (out_dir / "part-00000.parquet").exists() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    return child


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_interrupted_with_workers_it_says_so_and_goes_on(how, code, tmp_path):
    dataset = write_parquet(tmp_path / "t.parquet", image_rows(1200))
    child = started(dataset, tmp_path / "out")
    child.send_signal(how)
    printed, complaint = child.communicate(timeout=60)
    assert (child.returncode, printed) == (code, b"")
    if how == signal.SIGINT:
        assert complaint.decode() == (
            f"image-assets: interrupted; go on with --resume and --out-dir {tmp_path / 'out'}\n"
        )
        assert not list((tmp_path / "out").glob(".image-assets-*"))
    parts = len(list((tmp_path / "out").glob("part-*")))
    assert 0 < parts < 75
    report = remux(dataset, tmp_path / "out", resume=True, rows_per_shard=16, num_workers=2, batch_size=32)
    assert report.resumed_parts in {parts, parts - 1}
    assert [row["note"] for row in read_parts(tmp_path / "out")] == [f"n{number}" for number in range(1200)]
