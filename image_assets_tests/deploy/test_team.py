"""A team's deployment for real: PostgreSQL, a code server, webserver and daemon; and each of them dies once.

It takes some minutes, a PostgreSQL and the extra ``postgres``, so it runs where IMAGE_ASSETS_POSTGRES names the
folder of PostgreSQL's programs:

    IMAGE_ASSETS_POSTGRES=/usr/lib/postgresql/15/bin python -m pytest image_assets_tests/deploy
"""

import importlib.util
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from image_assets.core.sharding import shard_names
from image_assets.pipeline.detect import detect
from image_assets_tests.deploy.postgres import Postgres
from image_assets_tests.deploy.team import CODE, DAEMON, WEBSERVER, Team
from image_assets_tests.end_to_end.test_dagster_dev import (
    digest,
    digest_from_scratch,
    is_done,
    run_workers,
    wait_until_settled,
)
from image_assets_tests.images import image_bytes
from image_assets_tests.servers import Server, s3_client

PROGRAMS = os.environ.get("IMAGE_ASSETS_POSTGRES")
SHARDS = shard_names(8)
IMAGES = 60

pytestmark = [
    pytest.mark.skipif(PROGRAMS is None, reason="IMAGE_ASSETS_POSTGRES does not name PostgreSQL's programs"),
    pytest.mark.skipif(importlib.util.find_spec("dagster_postgres") is None, reason="needs image-assets[postgres]"),
]


def test_a_team_deployment_outlives_each_of_its_parts(tmp_path: Path, s3: Server) -> None:
    bucket = s3.new_bucket()
    with Postgres(Path(str(PROGRAMS))) as postgres:
        (tmp_path / "team").mkdir()
        place = f"s3://{bucket}/{{}}?endpoint_url={quote(s3.endpoint, safe='')}"
        project = Team(
            tmp_path / "team",
            postgres,
            s3,
            source={"path": place.format("raw")},
            store=place.format("store"),
            num_shards=len(SHARDS),
            image={"width_px": 16, "height_px": 16},
            features={"extractor": "colour-moments"},
            trigger={"interval_s": 1, "max_attempts": 3, "backoff_s": 1},
        )
        upload(s3, bucket, range(IMAGES))
        with project as team:
            backfill, lost = a_backfill_outlives_its_code_server(team)
            index_and_vectors_follow_by_the_sensor(team)
            assert digest(team) == digest_from_scratch(team, "after-backfill")
            what_runs_print_is_in_the_bucket_and_in_the_ui(team, s3, backfill)
            a_restart_of_postgres_delays_and_loses_nothing(team, postgres, s3, bucket)
            assert digest(team) == digest_from_scratch(team, "after-restart")
            assert [run.id for run in team.runs() if run.status == "FAILURE"] == [lost]
            a_run_outlives_an_orderly_restart_of_the_code_server(team, s3, bucket)
            a_backup_is_restored_and_a_lost_database_is_filled_by_one_run(team, postgres)
    assert team.left_over == []
    # Nothing is kept beside the database and the buckets, so each service may run on another machine.
    assert not (tmp_path / "team/storage").exists()
    assert not (tmp_path / "team/history").exists()


def a_backfill_outlives_its_code_server(team: Team) -> tuple[str, str]:
    """Return the backfill's id and that of the run that was killed."""
    team.set_sensor(on=False)
    backfill = team.launch_backfill(["image_shards"], SHARDS)
    team.start(DAEMON)
    team.wait_until(lambda: detect(team.settings).heads, "a shard of the backfill is committed")
    assert len(run_workers(team)) == 1
    team.kill(CODE)
    done = dict(detect(team.settings).heads)
    assert len(done) < len(SHARDS)
    (killed,) = team.runs()
    assert killed.status == "STARTED"
    team.start(CODE)
    # A lost run is reported after a minute, and Dagster looks at a backfill every half.
    team.wait_until(lambda: team.backfill_status(backfill) == "COMPLETED_SUCCESS", "the backfill ends", 300)
    again, first = team.runs()
    assert (first.id, first.status) == (killed.id, "FAILURE")
    assert (again.status, again.tags["dagster/parent_run_id"]) == ("SUCCESS", killed.id)
    heads = detect(team.settings).heads
    assert sorted(heads) == SHARDS
    # Each shard was committed exactly once.
    assert {head.number for head in heads.values()} == {1}
    assert {shard: heads[shard] for shard in done} == done
    return backfill, killed.id


def index_and_vectors_follow_by_the_sensor(team: Team) -> None:
    team.set_sensor(on=True)
    wait_until_settled(team)
    assert team.events("feature_vectors")[0].metadata["embedded"] == IMAGES


def what_runs_print_is_in_the_bucket_and_in_the_ui(team: Team, s3: Server, backfill: str) -> None:
    run = next(run for run in team.runs() if run.tags.get("dagster/backfill") == backfill and run.status == "SUCCESS")
    assert "Materialized value team image_shards" in team.printed(run.id)
    objects = s3_client(s3).list_objects_v2(Bucket=team.log_bucket)["Contents"]
    assert all(item["Key"].startswith("dagster-logs/storage/") for item in objects)


def a_restart_of_postgres_delays_and_loses_nothing(team: Team, postgres: Postgres, s3: Server, bucket: str) -> None:
    postgres.stop()
    upload(s3, bucket, range(IMAGES, IMAGES + 3))
    postgres.start()
    wait_until_settled(team)
    assert sum(head.images for head in detect(team.settings).heads.values()) == IMAGES + 3
    run_id = team.materialize("image_shards", SHARDS[0], SHARDS[-1])
    team.wait_until(lambda: is_done(team, run_id), "a run by hand after the restart")


def a_run_outlives_an_orderly_restart_of_the_code_server(team: Team, s3: Server, bucket: str) -> None:
    before = len(team.runs())
    # Not in two runs, the first of which would be over before the last upload is.
    team.set_sensor(on=False)
    upload(s3, bucket, range(100, 100 + IMAGES))
    team.set_sensor(on=True)
    team.wait_until(lambda: len(team.runs()) > before and team.runs()[0].status == "STARTED", "a run starts")
    team.stop(CODE)
    assert team.runs()[0].status == "SUCCESS"
    team.start(CODE)
    wait_until_settled(team)


def a_backup_is_restored_and_a_lost_database_is_filled_by_one_run(team: Team, postgres: Postgres) -> None:
    runs, heads = [run.id for run in team.runs()], detect(team.settings).heads
    postgres.backup(team.folder / "dagster.dump")
    exchange_database(team, postgres, team.folder / "dagster.dump")
    assert [run.id for run in team.runs()][-len(runs) :] == runs
    exchange_database(team, postgres, None)
    assert [run.status for run in team.runs()] == ["SUCCESS"]
    assert [team.events("image_shards", shard)[0].metadata["decoded"] for shard in SHARDS] == [0] * len(SHARDS)
    assert detect(team.settings).heads == heads


def exchange_database(team: Team, postgres: Postgres, backup: Path | None) -> None:
    team.stop(DAEMON)
    team.stop(WEBSERVER)
    postgres.lose(backup)
    team.start(WEBSERVER)
    team.start(DAEMON)
    team.wait_until(team.answers, "the web server answers")
    wait_until_settled(team)


def upload(s3: Server, bucket: str, numbers: range) -> None:
    client = s3_client(s3)
    for number in numbers:
        # Large enough that a run over all of them is killed in its middle.
        body = image_bytes(number, size=(2400, 1800))
        client.put_object(Bucket=bucket, Key=f"raw/{'ab'[number % 2]}/{number}.jpg", Body=body)
