"""The main job as a person sees it: `dagster dev` is open, files come and go, nobody clicks."""

import os
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from image_assets.checks import INDEX_CHECKS, SHARD_CHECKS, VECTOR_CHECKS
from image_assets.core.index import combine_data_versions
from image_assets.core.manifest import Counts
from image_assets.core.sharding import shard_names
from image_assets.pipeline.detect import detect
from image_assets.pipeline.run import run_dataset
from image_assets_tests.defs.keys import keys_in, shard_of
from image_assets_tests.end_to_end.dagster_dev import DagsterDev, Event
from image_assets_tests.end_to_end.seen import (
    a_failed_check_says_what_to_do,
    a_shard_shows_its_pictures_and_what_failed,
    looking,
    the_index_says_what_it_is,
    the_numbers_of_shards_are_plotted,
)
from image_assets_tests.images import image_bytes

SHARDS = shard_names(4)
ASSEMBLED = ["training_index", "feature_vectors"]
BACKFILLED = [SHARDS[0], SHARDS[3]]
MAX_ATTEMPTS = 2
# Enough that a run over them is killed in its middle.
BIG_IMAGES = 200


def test_dagster_dev_follows_the_folder(tmp_path: Path, subtests: pytest.Subtests) -> None:
    project = DagsterDev(
        tmp_path,
        "tiny",
        owners=["team:tests"],
        num_shards=4,
        image={"width_px": 16, "height_px": 16},
        features={"extractor": "colour-moments"},
        trigger={"interval_s": 1, "max_attempts": MAX_ATTEMPTS, "backoff_s": 1},
    )
    for number in range(12):
        drop(project, f"{'ab'[number % 2]}/{number}.jpg", image_bytes(number))
    with project as dev:
        everything_is_made_without_a_click(dev)
        one_new_image_costs_one_shard(dev)
        edits_renames_and_deletes_are_counted_as_such(dev)
        a_corrupt_image_warns_and_leaves_the_index(dev)
        # Before anything else runs: a page shows the last result of a check, of whichever shard it is.
        with subtests.test("in a browser"):
            a_person_sees_it(dev)
        # Dagster looks at a backfill every 30 s, so other things are seen meanwhile.
        backfill = dev.launch_backfill(["image_shards", *ASSEMBLED], BACKFILLED)
        a_rotten_shard_keeps_its_last_good_state_until_it_is_repaired(dev)
        the_backfill_has_one_run_a_range(dev, backfill)
        a_range_asked_for_by_hand_is_one_run(dev)
        a_killed_run_is_done_again_by_itself(dev)
        the_backfill_ends_with_one_run_for_index_and_vectors(dev, backfill)
        assert dev.stale_partitions("image_shards") == []
    assert dev.left_over == []
    # All that stays is below data/: what Dagster knows and the dataset itself.
    made = {"dagster-dev.log", "dagster.yaml", "workspace.yaml", "data", "after-edits", "after-kill"}
    assert {path.name for path in tmp_path.iterdir()} == made
    assert (tmp_path / "data/dagster/storage").is_dir()
    warnings = [line for line in dev.log().splitlines() if "Warning" in line and "SupersessionWarning" not in line]
    assert warnings == []


def everything_is_made_without_a_click(dev: DagsterDev) -> None:
    wait_until_settled(dev)
    assert [run.status for run in dev.runs()] == ["SUCCESS"]
    assert [len(dev.events("image_shards", shard)) for shard in SHARDS] == [1, 1, 1, 1]
    assert done_since(dev, {}) == Counts(new=12, decoded=12, hashed=12)
    for check in SHARD_CHECKS:
        assert dev.check_partitions("image_shards", check) == {"succeeded": SHARDS}
    assert dev.check_states("training_index") == dict.fromkeys(INDEX_CHECKS, "SUCCEEDED")
    assert dev.check_states("feature_vectors") == dict.fromkeys(VECTOR_CHECKS, "SUCCEEDED")
    assert dev.events("feature_vectors")[0].metadata["embedded"] == 12


def one_new_image_costs_one_shard(dev: DagsterDev) -> None:
    before = seen(dev)
    key = keys_in(SHARDS[2], 1, prefix="a/new")[0]
    drop(dev, key, image_bytes(100))
    wait_until_settled(dev)
    touched = [shard for shard in SHARDS if len(dev.events("image_shards", shard)) > before[shard]]
    assert touched == [SHARDS[2]]
    assert done_since(dev, before) == Counts(new=1, kept=held(dev, SHARDS[2]) - 1, decoded=1, hashed=1)
    assert key in index_keys(dev)
    assert dev.events("feature_vectors")[0].metadata["embedded"] == 1


def edits_renames_and_deletes_are_counted_as_such(dev: DagsterDev) -> None:
    before = seen(dev)
    raw = Path(dev.settings.source.path)
    renamed = keys_in(SHARDS[3], 1, prefix="b/renamed")[0]
    drop(dev, "a/0.jpg", image_bytes(101))
    (raw / "b/1.jpg").rename(raw / renamed)
    (raw / "a/2.jpg").unlink()
    wait_until_settled(dev)
    did = done_since(dev, before)
    assert (did.new, did.changed, did.moved, did.removed, did.failed, did.decoded) == (0, 1, 1, 2, 0, 1)
    assert digest(dev) == digest_from_scratch(dev, "after-edits")


def a_corrupt_image_warns_and_leaves_the_index(dev: DagsterDev) -> None:
    before = seen(dev)
    shard = shard_of("a/4.jpg")
    drop(dev, "a/4.jpg", image_bytes(4)[:200])
    wait_until_settled(dev)
    assert done_since(dev, before).failed == 1
    result = dev.check_result("image_shards", "failed_fraction", shard)
    assert (result["success"], result["severity"]) == (False, "WARN")
    assert result["failed_fraction"] == 1 / held(dev, shard)
    assert dev.check_partitions("image_shards", "failed_fraction")["failed"] == [shard]
    assert "a/4.jpg" not in index_keys(dev)
    assert "truncated" in dev.events("image_shards", shard)[0].metadata["failed_now"]


def a_person_sees_it(dev: DagsterDev) -> None:
    with looking(dev) as page:
        a_shard_shows_its_pictures_and_what_failed(dev, page, shard_of("a/4.jpg"), "a/4.jpg")
        the_numbers_of_shards_are_plotted(dev, page)
        the_index_says_what_it_is(dev, page)
        a_failed_check_says_what_to_do(dev, page)


def a_rotten_shard_keeps_its_last_good_state_until_it_is_repaired(dev: DagsterDev) -> None:
    rotten, good = SHARDS[2], SHARDS[1]
    events, runs, keys = seen(dev), dev.runs(), index_keys(dev)
    corrupt = keys_in(rotten, 9, prefix="mixed/rotten")
    healthy = keys_in(good, 1, prefix="mixed/healthy")[0]
    drop_folder(dev, "mixed", {**{key: key.encode() for key in corrupt}, healthy: image_bytes(102)})
    gave_up = f"gave up on {rotten} after the last attempt"
    dev.wait_until(lambda: str(dev.last_tick()["skipReason"]).startswith(gave_up), "the sensor gives up")
    assert [run.status for run in dev.runs()[: -len(runs)]].count("FAILURE") == MAX_ATTEMPTS
    assert len(dev.events("image_shards", rotten)) == events[rotten]
    result = dev.check_result("image_shards", "failed_fraction", rotten)
    assert (result["success"], result["severity"], result["failed_images"]) == (False, "ERROR", len(corrupt))
    assert rotten in dev.check_partitions("image_shards", "failed_fraction")["failed"]
    assert index_keys(dev) == keys | {healthy}

    for number, key in enumerate(corrupt):
        drop(dev, key, image_bytes(110 + number))
    wait_until_settled(dev)
    assert index_keys(dev) == keys | {healthy, *corrupt}
    assert rotten in dev.check_partitions("image_shards", "failed_fraction")["succeeded"]


def the_backfill_has_one_run_a_range(dev: DagsterDev, backfill: str) -> None:
    dev.wait_until(lambda: len(ended_runs(dev, backfill)) >= len(BACKFILLED), "the ranges of the backfill end")
    runs = ended_runs(dev, backfill)
    assert set(runs.values()) == {"SUCCESS"}
    reported = [{event.run_id for event in dev.events("image_shards", shard)} & set(runs) for shard in SHARDS]
    assert [len(runs) for runs in reported] == [1, 0, 0, 1]
    # Told anew about an unchanged shard, the UI keeps what its checks found, the warning too.
    states = {check: dev.check_partitions("image_shards", check) for check in SHARD_CHECKS}
    assert states.pop("failed_fraction")["failed"] == [shard_of("a/4.jpg")]
    assert all(state == {"succeeded": SHARDS} for state in states.values())


def a_range_asked_for_by_hand_is_one_run(dev: DagsterDev) -> None:
    run_id = dev.materialize("image_shards", SHARDS[1], SHARDS[3])
    dev.wait_until(lambda: is_done(dev, run_id), "the run by hand ends")
    assert [dev.events("image_shards", shard)[0].run_id == run_id for shard in SHARDS] == [False, True, True, True]


def a_killed_run_is_done_again_by_itself(dev: DagsterDev) -> None:
    runs, first = len(dev.runs()), detect(dev.settings).heads
    big = image_bytes(103, size=(2400, 1800))
    # A comment after the first marker makes each one another image to the platform.
    comments = [b"\xff\xfe\x00\x06" + b"%04d" % number for number in range(BIG_IMAGES)]
    long = {f"big/{number}.jpg": big[:2] + comment + big[2:] for number, comment in enumerate(comments)}
    drop_folder(dev, "big", long)
    dev.wait_until(lambda: detect(dev.settings).heads != first, "a shard of the long run is committed")
    (worker,) = run_workers(dev)
    worker.kill()
    (killed,) = [run for run in dev.runs() if run.job == "tiny_update" and not run.ended]
    done = {shard: head for shard, head in detect(dev.settings).heads.items() if head != first[shard]}
    assert len(done) < len(SHARDS)
    wait_until_settled(dev)
    statuses = {run.id: run.status for run in dev.runs()[:-runs] if run.job == "tiny_update"}
    assert statuses.pop(killed.id) == "FAILURE"
    assert set(statuses.values()) == {"SUCCESS"}
    last = detect(dev.settings).heads
    assert {shard: last[shard].number for shard in done} == {shard: head.number for shard, head in done.items()}
    assert long.keys() <= index_keys(dev)
    assert digest(dev) == digest_from_scratch(dev, "after-kill")


def the_backfill_ends_with_one_run_for_index_and_vectors(dev: DagsterDev, backfill: str) -> None:
    dev.wait_until(lambda: len(ended_runs(dev, backfill)) == 3, "the backfill comes to index and vectors")
    runs = ended_runs(dev, backfill)
    assert set(runs.values()) == {"SUCCESS"}
    assembled = [{event.run_id for event in dev.events(asset)} & set(runs) for asset in ASSEMBLED]
    assert assembled[0] == assembled[1]
    assert len(assembled[0]) == 1


def wait_until_settled(dev: DagsterDev) -> None:
    """Wait until shards, index and vectors are what the folder wants and Dagster was told so."""
    dev.wait_until(lambda: is_settled(dev), "shards, index and vectors follow the folder")


def is_settled(dev: DagsterDev) -> bool:
    state = detect(dev.settings)
    if state.touched() or state.index is None or not all(run.ended for run in dev.runs()):
        return False
    committed = combine_data_versions({shard: head.data_version for shard, head in state.heads.items()}, {})
    index, vectors = dev.events("training_index")[:1], dev.events("feature_vectors")[:1]
    told = [event.metadata[name] for events, name in ((index, "digest"), (vectors, "index_digest")) for event in events]
    return state.index.data_version == committed and told == [state.index.digest] * 2


def ended_runs(dev: DagsterDev, backfill: str) -> dict[str, str]:
    """Return the status of each run of a backfill that ended."""
    return {run.id: run.status for run in dev.runs() if run.tags.get("dagster/backfill") == backfill and run.ended}


def is_done(dev: DagsterDev, run_id: str) -> bool:
    return any(run.id == run_id and run.ended for run in dev.runs())


def seen(dev: DagsterDev) -> dict[str, int]:
    """Return how many materializations each shard has."""
    return {shard: len(dev.events("image_shards", shard)) for shard in SHARDS}


def done_since(dev: DagsterDev, before: dict[str, int]) -> Counts:
    """Return what the runs after ``before`` did, by the metadata of their materializations."""
    total = Counts()
    for shard in SHARDS:
        events = dev.events("image_shards", shard)
        for event in events[: len(events) - before.get(shard, 0)]:
            total += counts_of(event)
    return total


def counts_of(event: Event) -> Counts:
    # What was read is as large as the files happen to be.
    return Counts(**{name: event.metadata[name] for name in Counts.__dataclass_fields__ if name != "read_bytes"})


def held(dev: DagsterDev, shard: str) -> int:
    """Return how many raw images a shard's last commit has."""
    return detect(dev.settings).heads[shard].images


def index_keys(dev: DagsterDev) -> set[str]:
    return set(pq.read_table(Path(dev.settings.store) / "index.parquet", columns=["key"])["key"].to_pylist())


def digest(dev: DagsterDev) -> str:
    index = detect(dev.settings).index
    assert index is not None
    return index.digest


def digest_from_scratch(dev: DagsterDev, name: str) -> str:
    """Return the digest of a run without Dagster over the same folder into an empty store."""
    fresh = dev.settings.model_copy(update={"store": str(dev.folder / name)})
    report = run_dataset(fresh)
    assert report.index is not None
    return report.index.head.digest


def run_workers(dev: DagsterDev) -> list[psutil.Process]:
    """Return the processes that execute runs at present: the parents of the decoding processes."""
    decoding = [process for process in dev.processes() if any("engines.worker" in word for word in process.cmdline())]
    return list({parent for process in decoding if (parent := process.parent()) is not None})


def drop(dev: DagsterDev, key: str, data: bytes) -> None:
    """Put a file into the source folder whole, as a copying program that knows its trade does."""
    path = Path(dev.settings.source.path) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.part")
    hidden.write_bytes(data)
    os.replace(hidden, path)  # noqa: PTH105


def drop_folder(dev: DagsterDev, name: str, files: dict[str, bytes]) -> None:
    """Put a folder of files into the source at once, so that one look at it sees all of them or none."""
    raw = Path(dev.settings.source.path)
    for key, data in files.items():
        drop(dev, f".{key}", data)
    (raw / f".{name}").rename(raw / name)
