"""Asking a store with SQL: what there is to ask, that nothing else can be reached, and that memory is bounded."""

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from image_assets.checks.base import Verdict
from image_assets.cli import main
from image_assets.core.errors import ConfigError, DatasetError
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.warehouse import asking
from image_assets.pipeline.warehouse_views import views_script
from image_assets.storage.store import Store
from image_assets.storage.verdicts import keep_verdicts
from image_assets_tests.images import image_bytes, make_settings_for, write_images
from image_assets_tests.servers import s3_client

# A folder whose name means something to SQL and to who looks for files by patterns.
ODD = "st*[1]'x"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warehouse")
    write_images(folder / "raw", 6)
    (folder / "raw/a/bad.png").write_bytes(b"no image")
    settings = make_settings_for(folder, num_shards=2, store=ODD, duplicates={"enabled": True})
    run_dataset(settings)
    return settings


def ask(settings, query):
    with asking(settings, query) as answer:
        return answer.columns, list(answer.rows)


def test_each_table_answers(settings):
    assert ask(settings, "select label, count(*) n from images group by 1 order by 1") == (
        ("label", "n"),
        [("a", 3), ("b", 3)],
    )
    failed = "select shard, key, reason from manifests where status = 'failed'"
    ((shard, *rest),) = ask(settings, failed)[1]
    assert shard in ("0-of-2", "1-of-2")
    assert rest == ["a/bad.png", "not_an_image"]
    assert ask(settings, "select count(*) from images join duplicates using (id)")[1] == [(6,)]
    assert ask(settings, "select number, rows from snapshots")[1] == [(1, 6)]
    judged = "select distinct subject from check_results where \"check\" in ('complete', 'unique_ids')"
    assert sorted(ask(settings, judged)[1]) == [("0-of-2",), ("1-of-2",), ("training_index",)]
    tables = {name for (name,) in ask(settings, "show tables")[1]}
    assert tables >= {"images", "manifests", "duplicates", "snapshots"}
    assert "neighbours" not in tables


@pytest.mark.parametrize(
    "query",
    [
        "copy images to '{out}'",
        "attach '{out}' as other",
        "create table more as select 1",
        "set enable_external_access = true",
        "install httpfs",
        "pragma database_list",
        "select 1; select 2",
        "",
        "-- nothing",
    ],
)
def test_what_does_not_read_is_refused_as_wrong_use(settings, query, tmp_path):
    with pytest.raises(ConfigError, match="sql takes one statement that reads"):
        ask(settings, query.format(out=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select * from read_text('{secret}')", "Cannot access file"),
        ("select * from '{secret}'", "Cannot access file"),
        ("select * from read_csv('http://127.0.0.1:9/x.csv')", "Error: "),
        ("select * from glob('/etc/*')", "Cannot access file"),
        ("select * from read_parquet('{store}/store.json')", "Cannot access file"),
        ("select getenv('HOME')", "getenv does not exist"),
        ("explain analyze copy images to '{secret}.copy'", "Cannot access file"),
        ("selec 1", "syntax error"),
        ("select colour from images", '"colour" not found in FROM clause! Candidate bindings'),
        ("select * from nowhere", "Table with name nowhere does not exist"),
    ],
)
def test_nothing_outside_is_reached_and_an_error_is_one_line(settings, query, says, tmp_path):
    (tmp_path / "secret.csv").write_text("word\nhush\n")
    names = {"secret": tmp_path / "secret.csv", "store": settings.store.replace("'", "''")}
    with pytest.raises(DatasetError, match=says) as caught:
        ask(settings, query.format(**names))
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_a_store_without_an_index_has_nothing_to_ask(tmp_path):
    settings = make_settings_for(tmp_path)
    with pytest.raises(DatasetError, match="no published dataset"):
        ask(settings, "select 1")
    assert not Path(settings.store).exists()


def test_what_the_checks_said_can_be_asked(settings):
    verdict = Verdict("row_count", False, "1 of 2 rows.", "warn", {"rows": 1})
    keep_verdicts(Store(settings.store), 7, {"training_index": [verdict]}, at=datetime.now(UTC))
    query = "select subject, \"check\", severity, (numbers->>'rows')::int from check_results where index_number = 7"
    assert ask(settings, query)[1] == [("training_index", "row_count", "warn", 1)]


def test_the_views_file_works_in_any_duckdb_and_shows_the_newest_state(settings):
    with duckdb.connect() as connection:
        connection.execute(views_script(settings))
        assert connection.execute("select count(*) from images").fetchall() == [(6,)]
        assert connection.execute("select count(*), min(shard) from manifests").fetchall() == [(7, "0-of-2")]
        assert connection.execute("select rows from snapshots").fetchall() == [(6,)]


def test_a_bucket_is_asked_like_a_folder(s3, tmp_path):
    bucket = s3.new_bucket()
    for number in range(3):
        s3_client(s3).put_object(Bucket=bucket, Key=f"raw/a/{number}.jpg", Body=image_bytes(number))
    settings = make_settings_for(
        tmp_path, num_shards=2, source={"path": s3.url(bucket, "raw")}, store=s3.url(bucket, "store")
    )
    run_dataset(settings)
    assert ask(settings, "select count(*) from images join manifests using (key)")[1] == [(3,)]
    script = views_script(settings)
    assert f"read_parquet(['s3://{bucket}/store/index.parquet'])" in script
    assert f"ENDPOINT '{s3.endpoint.removeprefix('http://')}', USE_SSL false, URL_STYLE 'path'" in script


@pytest.mark.parametrize(
    ("how", "printed"),
    [
        ((), "label  n\na      3\nb      3\n"),
        (("--csv",), "label,n\na,3\nb,3\n"),
        (("--json",), '{"columns": ["label", "n"], "rows": [["a", 3], ["b", 3]]}\n'),
    ],
)
def test_the_command_prints_a_table_csv_or_json(settings, how, printed, tmp_path):
    query = "select label, count(*) n from images group by 1 order by 1"
    done = run_command(settings, tmp_path, query, *how)
    assert (done.exit_code, done.stdout, done.stderr) == (0, printed, "")


def test_the_command_says_what_is_wrong_in_one_line(settings, tmp_path):
    done = run_command(settings, tmp_path, "select * from read_text('/etc/passwd')")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("image-assets: Permission Error: Cannot access file")
    done = run_command(settings, tmp_path)
    assert (done.exit_code, done.stderr) == (2, "image-assets: give a query, or --write-views FILE.sql\n")


def test_what_json_has_no_word_for_is_written_so_that_it_can_be_read(settings, tmp_path):
    query = "select 'nan'::float, [1.5, 'inf'::float], {'a': 'x'::blob}, date '2026-01-02', null"
    done = run_command(settings, tmp_path, query, "--json")
    assert json.loads(done.stdout)["rows"] == [[None, [1.5, None], {"a": "78"}, "2026-01-02", None]]


def run_command(settings, folder, *arguments):
    content = {"name": settings.name, "source": {"path": settings.source.path}, "store": settings.store}
    (folder / "c.yaml").write_text(json.dumps(content))
    return CliRunner().invoke(main, ["sql", *arguments, "--config", str(folder / "c.yaml")])
