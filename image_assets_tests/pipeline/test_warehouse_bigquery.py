"""The tables of BigQuery, against an emulator (bqemulator, on DuckDB): our wiring, not BigQuery itself."""

import importlib.util
import os
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

from image_assets.core.errors import ConfigError, DatasetError, MissingExtraError, WarehouseError
from image_assets.pipeline import warehouse_bigquery
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.warehouse_bigquery import build_bigquery, own_client
from image_assets_tests.images import make_settings_for, write_image, write_images


def has_client():
    return importlib.util.find_spec("google.cloud") and importlib.util.find_spec("google.cloud.bigquery")


needs_client = pytest.mark.skipif(not has_client(), reason="google-cloud-bigquery is not installed")
PLACE = {"bigquery": {"project": "test-project", "dataset": "photos"}}


@pytest.fixture(scope="module")
def emulator():
    program = shutil.which("bqemulator")
    if program is None:
        pytest.skip("bqemulator is not on the PATH")
    ports = [free_port(), free_port()]
    command = [program, "start", "--rest-port", str(ports[0]), "--grpc-port", str(ports[1]), "--log-level", "error"]
    # It wants an older DuckDB, so it lives in an environment of its own.
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = os.environ.get("BIGQUERY_EMULATOR_HOST")
    os.environ["BIGQUERY_EMULATOR_HOST"] = url = f"http://127.0.0.1:{ports[0]}"
    try:
        wait_for(f"{url}/bigquery/v2/projects/test-project/datasets", process)
        yield url
    finally:
        process.kill()
        process.wait()
        os.environ.pop("BIGQUERY_EMULATOR_HOST")
        if before is not None:
            os.environ["BIGQUERY_EMULATOR_HOST"] = before


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(url, process):
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if process.poll() is not None:
                pytest.skip("bqemulator does not start here")
            time.sleep(0.1)
        else:
            return
    pytest.fail("bqemulator does not answer")


def rows_of(settings, query):
    with own_client(settings.warehouse.bigquery) as client:
        return sorted(tuple(row.values()) for row in client.query(query).result())


@needs_client
def test_tables_hold_what_the_store_holds_and_are_loaded_only_when_it_changed(emulator, tmp_path):
    write_images(tmp_path / "raw", 6)
    (tmp_path / "raw/a/bad.png").write_bytes(b"no image")
    settings = make_settings_for(tmp_path, num_shards=2, warehouse=PLACE)
    run_dataset(settings)
    first = build_bigquery(settings)
    assert first.loaded == first.tables == ("tiny_images", "tiny_manifests")
    assert first.facts["tables_loaded"] == 2
    assert rows_of(settings, "select label, count(*) from photos.tiny_images group by 1") == [("a", 3), ("b", 3)]
    failed = "select key, reason from photos.tiny_manifests where status = 'failed'"
    assert rows_of(settings, failed) == [("a/bad.png", "not_an_image")]
    assert build_bigquery(settings).loaded == ()
    write_image(tmp_path / "raw", "a/new.png", 50)
    run_dataset(settings)
    assert build_bigquery(settings).loaded == first.tables
    assert rows_of(settings, "select count(*) from photos.tiny_images") == [(7,)]
    forget_images(settings, ["a/bad.png"])
    assert "tiny_manifests" in build_bigquery(settings).loaded
    assert rows_of(settings, failed) == []
    with own_client(settings.warehouse.bigquery) as client:
        client.delete_table("test-project.photos.tiny_images")
    assert build_bigquery(settings).loaded == ("tiny_images",)


@needs_client
def test_what_is_wrong_is_said_in_one_line(emulator, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"warehouse\.bigquery is not set"):
        build_bigquery(make_settings_for(tmp_path))
    settings = make_settings_for(tmp_path, warehouse=PLACE)
    with pytest.raises(DatasetError, match="no published dataset"):
        build_bigquery(settings)
    write_images(tmp_path / "raw", 1)
    run_dataset(settings)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(warehouse_bigquery, "_FIRST_ANSWER_S", 0.5)
    with pytest.raises(WarehouseError, match="BigQuery dataset 'photos' cannot be brought up to date: ") as caught:
        build_bigquery(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(bool(has_client()), reason="google-cloud-bigquery is installed")
def test_without_the_client_the_extra_is_named(tmp_path):
    with pytest.raises(MissingExtraError, match=r"pip install 'image_assets\[gcp\]'"):
        build_bigquery(make_settings_for(tmp_path, warehouse=PLACE))
