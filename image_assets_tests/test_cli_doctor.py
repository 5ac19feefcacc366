"""`image-assets doctor` on what is really wrong: folders, buckets, credentials, clocks, room, leftovers, Dagster."""

import json
import os
import tempfile
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from image_assets.cli import main
from image_assets.pipeline.doctor.clocks import bucket_clock_finding, skew_finding
from image_assets.pipeline.doctor.environment import environment_findings
from image_assets.pipeline.doctor.instance import instance_findings
from image_assets.pipeline.run import run_dataset
from image_assets_tests.images import image_bytes, make_settings_for, write_images
from image_assets_tests.servers import SECRET, s3_client
from image_assets_tests.serving import served

WIDE = {"COLUMNS": "120"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # What others' killed runs left on this machine is not what is looked for.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    write_images(tmp_path / "raw", 3)
    return tmp_path


def write_settings(here, **more):
    content = {"name": "shop", "source": {"path": str(here / "raw")}, "store": str(here / "kept"), **more}
    (here / "shop.yaml").write_text(json.dumps(content))
    return here / "shop.yaml"


def examined(path, *arguments):
    """Return the doctor's exit code, and (level, what was found, what to do) by what was looked at, of the dataset."""
    done = CliRunner().invoke(main, ["doctor", "--config", str(path), "--no-dagster", "--json", *arguments])
    assert done.stdout.count("\n") == 1, done.stderr
    told = json.loads(done.stdout)["findings"]
    found = {
        line["subject"]: (line["level"], line["found"], line["remedy"]) for line in told if "dataset" in line["of"]
    }
    assert SECRET not in done.output
    assert all(line["remedy"] for line in told if line["level"] != "ok")
    return done.exit_code, found


def test_a_dataset_that_is_well_is_well_and_nothing_of_it_is_changed(here):
    path = write_settings(here)
    code, found = examined(path)
    assert (code, {level for level, _, _ in found.values()}) == (0, {"ok"}), found
    assert not (here / "kept").exists()
    run_dataset(make_settings_for(here, name="shop", store=str(here / "kept")))
    before = {file: file.stat().st_mtime_ns for file in (here / "kept").rglob("*") if file.is_file()}
    code, found = examined(path)
    assert code == 0
    assert "refused the second time, and removed" in found["store writing"][1]
    assert "within 1 s" in found["store clock"][1]
    assert {file: file.stat().st_mtime_ns for file in (here / "kept").rglob("*") if file.is_file()} == before
    assert "nothing was written" in examined(path, "--no-write")[1]["store writing"][1]


def test_for_people_each_line_says_what_to_do(here):
    done = CliRunner().invoke(main, ["doctor", "--config", str(write_settings(here, source={"path": "no"}))], env=WIDE)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  fail  source "))
    assert "does not exist" in " ".join(line.strip() for line in lines[at : at + 4])
    assert any(line.strip().startswith("> correct source.path") for line in lines[at + 1 : at + 5])
    assert lines[-1].endswith("to think about")
    assert max(map(len, lines)) <= 120


def nothing(here):
    """The settings alone are wrong."""


def file_in_the_way(here):
    (here / "kept").write_text("x")


@pytest.mark.parametrize(
    ("prepare", "more", "subject", "says"),
    [
        # Not even root may.
        (nothing, {"store": "/proc/kept"}, "store writing", "/proc cannot be written by this user"),
        (file_in_the_way, {}, "store", "kept"),
        # So many pixels take more than any disk has.
        (
            nothing,
            {"image": {"width_px": 16384, "height_px": 16384}, "augment": {"variants": 1000}},
            "disk",
            "of this recipe: about",
        ),
        # Longer than any name may be: to ask whether it exists is an error already.
        (nothing, {"store": "s" * 300}, "store", "too long"),
        (nothing, {"source": {"path": "s" * 300 + ".tar"}}, "source", "does not exist"),
        (nothing, {"source": {"path": "empty"}}, "source", "holds no image"),
        (nothing, {"source": {"path": "gone.tar"}}, "source", "does not exist"),
        (nothing, {"similarity": {"approximate": True}}, "extra similar", "not installed, and similarity.approximate"),
        (nothing, {"num_shards": 0}, "settings", "num_shards"),
        (nothing, {"store": "gs://b/x"}, "store credentials", "does not exist"),
        (nothing, {"store": "az://b/x"}, "store credentials", "account is not named"),
    ],
)
def test_what_is_wrong_fails_with_its_remedy(here, monkeypatch, prepare, more, subject, says):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    monkeypatch.delenv("AZURE_STORAGE_ENDPOINT", raising=False)
    if subject == "extra similar":
        monkeypatch.setattr("image_assets.pipeline.doctor.needs.find_spec", lambda _: None)
    (here / "empty").mkdir()
    prepare(here)
    code, found = examined(write_settings(here, **more))
    assert (code, found[subject][0]) == (1, "fail"), found
    assert says in found[subject][1]


def test_leftovers_and_refused_shards_are_named(here):
    settings = make_settings_for(here, name="shop", store=str(here / "kept"), num_shards=1)
    run_dataset(settings)
    staged = here / "kept/tmp/x.part"
    staged.parent.mkdir(exist_ok=True)
    staged.write_bytes(b"half")
    os.utime(staged, (time.time() - 7200,) * 2)
    for number in range(9):
        (here / f"raw/bad{number}.jpg").write_bytes(image_bytes(number)[:100])
    run_dataset(settings)
    code, found = examined(write_settings(here, num_shards=2))
    assert code == 0
    assert "1 half-written file (4 B)" in found["leftovers"][1]
    assert "1 shards were refused" in found["refused shards"][1]
    assert "has 1 shards, the settings say 2" in found["shards"][1]


def test_two_datasets_in_one_place_are_a_fault_of_both(here):
    folder = here / "data/datasets"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        content = {"name": name, "source": {"path": "../../raw"}, "store": "../store/same"}
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    done = CliRunner().invoke(main, ["doctor", "--no-dagster"], env=WIDE)
    assert (done.exit_code, done.stdout.count("have the same store")) == (1, 2)


def test_a_bucket_is_asked_who_may_what_and_never_a_secret_is_told(here, s3, monkeypatch):
    bucket = s3.new_bucket()
    s3_client(s3).put_object(Bucket=bucket, Key="raw/a/1.jpg", Body=image_bytes(1))
    place = {"source": {"path": s3.url(bucket, "raw")}, "store": s3.url(bucket, "store")}
    code, found = examined(write_settings(here, **place))
    assert (code, {level for level, _, _ in found.values()}) == (0, {"ok"}), found
    assert "environment variables AWS_ACCESS_KEY_ID" in found["store credentials"][1]
    assert "1 image" in found["source"][1]
    assert "refused the second time" in found["store writing"][1]
    assert [item["Key"] for item in s3_client(s3).list_objects_v2(Bucket=bucket)["Contents"]] == ["raw/a/1.jpg"]
    code, found = examined(write_settings(here, **{**place, "store": s3.url("nowhere", "x")}))
    assert (code, found["store"][0], "NoSuchBucket" in found["store"][1]) == (1, "fail", True), found
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(here / "none"))
    code, found = examined(write_settings(here, **place))
    assert (code, found["source credentials"][0]) == (1, "fail")
    assert "no AWS credentials" in found["source credentials"][1]


@pytest.mark.parametrize(("ahead_s", "level"), [(0, "ok"), (300, "warn"), (-7200, "fail")])
def test_a_clock_that_is_wrong_is_told(ahead_s, level):
    class Server(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response_only(403)
            self.send_header("Date", formatdate(time.time() + ahead_s, usegmt=True))
            self.end_headers()

    with served(ThreadingHTTPServer(("127.0.0.1", 0), Server)) as server:
        url = f"s3://b?endpoint_url=http://127.0.0.1:{server.server_port}"
        finding = bucket_clock_finding("clock", url)
    assert (finding.level, bool(finding.remedy)) == (level, level != "ok"), finding
    gone = bucket_clock_finding("clock", url)
    assert (gone.level, "did not answer" in gone.found) == ("warn", True)


def test_the_direction_of_a_wrong_clock_is_that_of_this_machine():
    assert "1,000 s behind the store" in skew_finding("clock", 1000.0, "the store").found
    assert "1,000 s ahead of the store" in skew_finding("clock", -1000.0, "the store").found


def test_this_machine_is_described_without_a_dataset():
    found = {finding.subject: finding for finding in environment_findings()}
    assert {"python", "packages", "extras", "decoders", "memory", "processors", "open files"} <= set(found)
    assert "Pillow" in found["decoders"].found


def test_dagster_is_asked_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert [finding.level for finding in instance_findings()] == ["warn"]
    monkeypatch.setenv("DAGSTER_HOME", "relative")
    assert [finding.level for finding in instance_findings()] == ["fail"]
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    found = list(instance_findings())
    assert [finding.level for finding in found] == ["ok", "ok"], found
    assert "none has run with this instance" in found[1].found
