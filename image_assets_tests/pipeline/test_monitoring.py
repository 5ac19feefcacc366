"""What Prometheus and OpenTelemetry are told: the store's state, in formats that their own parsers take."""

import os
import socket
import stat
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from image_assets.core.errors import ConfigError, SourceError
from image_assets.pipeline.monitoring.endpoint import Endpoint, parse_place
from image_assets.pipeline.monitoring.exposition import Sample, exposition
from image_assets.pipeline.monitoring.names import HELP
from image_assets.pipeline.monitoring.readings import Reader
from image_assets.pipeline.monitoring.watching import Watch
from image_assets.pipeline.run import run_dataset
from image_assets_tests.images import write_image, write_images
from image_assets_tests.serving import served

ODD = 'a"b\\c\nd é \udc80'


def told(settings, *, with_source=False):
    """Return the numbers of a dataset by name and labels, as Prometheus' own parser reads them."""
    text = exposition(Reader(settings, with_source).read(), HELP)
    return values_of(text)


def values_of(text):
    found = {}
    for family in parse_text(text):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "dataset"}
            found[(sample.name.removeprefix("image_assets_"), *sorted(labels.values()))] = sample.value
    return found


@pytest.mark.parametrize(("parse", "openmetrics"), [(parse_text, False), (parse_openmetrics, True)])
def test_odd_texts_and_numbers_come_back_as_they_are(parse, openmetrics):
    samples = [Sample("m", float("inf"), {"l": ODD}), Sample("m", 1e300), Sample("n", 1.5, {"l": "2"})]
    families = list(
        parse(
            exposition(samples, {"m": 'quote " back\\slash\nline', "n": "N.", "unused": "U."}, openmetrics=openmetrics)
        )
    )
    assert [(family.name, family.type) for family in families] == [("m", "gauge"), ("n", "gauge")]
    assert families[0].documentation == 'quote " back\\slash\nline'
    read = {sample.labels.get("l"): sample.value for sample in families[0].samples}
    assert read == {None: 1e300, 'a"b\\c\nd é \\udc80': float("inf")}


def test_names_and_help_follow_prometheus_rules():
    for name, text in HELP.items():
        assert name.startswith("image_assets_")
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))
        assert text.endswith(".")


def test_the_numbers_are_those_of_the_store(settings, tmp_path):
    write_images(tmp_path / "raw", 12)
    (tmp_path / "raw/a/x.jpg").write_bytes(b"")
    (tmp_path / "raw/a/y.jpg").write_bytes(b"no image")
    made = settings(
        features={"extractor": "colour-moments"},
        duplicates={"enabled": True},
        checks={"failed_fraction": {"error": 0.9}},
    )
    before = told(made)
    assert (before["images",], before["committed_shards",], before["up",]) == (0, 0, 1)
    report = run_dataset(made)
    now = told(made, with_source=True)
    assert (now["images",], now["failed_images", "zero_bytes"], now["failed_images", "not_an_image"]) == (12, 1, 1)
    assert now["failed_images", "bomb"] == 0
    assert (now["last_run_images", "new"], now["last_run_decoded_images",]) == (14, report.counts.decoded)
    assert (now["index_rows",], now["feature_vectors",], now["snapshots",], now["unindexed_shards",]) == (12, 12, 1, 0)
    assert now["failing_checks", "failed_fraction", "image_shards", "warn"] > 0
    assert now["failing_checks", "error", "row_count", "training_index"] == 0
    assert (now["source_up",], now["pending_shards",]) == (1, 0)
    assert abs(now["last_commit_timestamp_seconds",] - time.time()) < 600


def test_a_refused_shard_and_what_waits_show_and_a_lost_source_too(settings, tmp_path):
    write_images(tmp_path / "raw", 12)
    run_dataset(settings())
    strict = settings(checks={"failed_fraction": {"warn": 0.0, "error": 0.0, "min_failed": 1}})
    (tmp_path / "raw/a/0.jpg").write_bytes(b"no image")
    assert told(strict, with_source=True)["pending_shards",] == 1
    run_dataset(strict)
    now = told(strict)
    assert (now["refused_shards",], now["images",], now["failed_images", "not_an_image"]) == (1, 12, 0)
    (tmp_path / "raw").rename(tmp_path / "away")
    now = told(strict, with_source=True)
    assert now["source_up",] == 0
    assert ("pending_shards",) not in now


def test_no_key_no_label_and_no_shard_is_told_however_many_there_are(settings, tmp_path):
    for number in range(8):
        write_image(tmp_path / "raw", f"label{number}/k'\"{number}.jpg", number)
    many = settings(num_shards=32)
    run_dataset(many)
    text = exposition(Reader(many).read(), HELP)
    assert "-of-32" not in text
    assert "label1" not in text
    assert len(text.splitlines()) < 250


def test_each_run_leaves_a_file_also_one_that_fails(settings, tmp_path):
    write_images(tmp_path / "raw", 4)
    place = tmp_path / "metrics" / "tiny.prom"
    made = settings(monitoring={"textfile": "metrics/tiny.prom"})
    run_dataset(made)
    assert values_of(place.read_text())["images",] == 4
    # The exporter is another user.
    assert stat.S_IMODE(place.stat().st_mode) == 0o666 & ~_umask()
    place.unlink()
    (tmp_path / "raw").rename(tmp_path / "away")
    with pytest.raises(SourceError):
        run_dataset(made)
    assert values_of(place.read_text())["images",] == 4
    assert [path.name for path in place.parent.iterdir()] == ["tiny.prom"]


def test_a_file_that_cannot_be_written_fails_no_run(settings, tmp_path, caplog):
    write_images(tmp_path / "raw", 2)
    (tmp_path / "file").write_text("")
    assert run_dataset(settings(monitoring={"textfile": "file/tiny.prom"})).index.head.rows == 2
    assert "metrics were not written: metrics " in caplog.text
    with pytest.raises(ConfigError, match=r"monitoring\.textfile"):
        settings(monitoring={"textfile": "tiny.txt"})


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def serving(watch, limit_s=5.0):
    return served(Endpoint(("127.0.0.1", 0), watch, limit_s))


def ask(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        return response.headers["Content-Type"], response.read().decode()


def write_settings(folder, name, store):
    (folder / f"{name}.yaml").write_text(f"{{name: {name}, source: {{path: ../raw}}, store: {store}, num_shards: 4}}\n")


def test_the_endpoint_tells_of_all_datasets_and_of_broken_ones_that_they_are_not_up(settings, tmp_path):
    write_images(tmp_path / "raw", 3)
    run_dataset(settings())
    folder = tmp_path / "datasets"
    folder.mkdir()
    write_settings(folder, "tiny", "../store")
    (folder / "broken.yaml").write_text("name: [\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/store.json").write_text("{")
    write_settings(folder, "damaged", "../other")
    lines = []
    with serving(Watch([folder], lines.append)) as endpoint:
        kind, text = ask(endpoint.url)
        assert kind == "text/plain; version=0.0.4; charset=utf-8"
        up = {
            f.samples[n].labels["dataset"]: f.samples[n].value
            for f in parse_text(text)
            if f.name == "image_assets_up"
            for n in range(3)
        }
        assert up == {"tiny": 1, "broken": 0, "damaged": 0}
        assert sum(line.startswith("image_assets_images{") for line in text.splitlines()) == 1
        kind, text = ask(endpoint.url, Accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
        assert kind.startswith("application/openmetrics-text")
        assert len(list(parse_openmetrics(text))) > 20
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(endpoint.url.replace("/metrics", "/../etc/passwd"))
        # A file that was added, and one that was mended, count from the next time on.
        (folder / "broken.yaml").unlink()
        write_settings(folder, "new", "../new")
        assert 'image_assets_up{dataset="new"} 1' in ask(endpoint.url)[1]
    # What is wrong is said once, in a line each, and not with every answer.
    assert len(lines) == 2
    assert all("\n" not in line for line in lines)


def test_a_store_that_does_not_answer_holds_up_no_other(settings, tmp_path, monkeypatch):
    write_images(tmp_path / "raw", 3)
    run_dataset(settings())
    folder = tmp_path / "datasets"
    folder.mkdir()
    write_settings(folder, "tiny", "../store")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "x"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        write_settings(folder, "silent", "s3://bucket/store")
        lines = []
        with serving(Watch([folder], lines.append)) as endpoint:
            begun = time.monotonic()
            text = ask(endpoint.url, **{"X-Prometheus-Scrape-Timeout-Seconds": "1.0"})[1]
            assert time.monotonic() - begun < 5
    assert 'image_assets_up{dataset="silent"} 0' in text
    assert 'image_assets_up{dataset="tiny"} 1' in text
    assert "did not answer in 0.5 s" in lines[0]


@pytest.mark.parametrize(
    ("text", "place"), [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:1", ("::1", 1)), (":7", ("127.0.0.1", 7))]
)
def test_a_place_is_host_and_port(text, place):
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["9464", "host", "host:x", "host:99999", "http://host:1", "a@host:1", "host:1/x", ""])
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match="write host and port"):
        parse_place(text)
