"""The command line as a user meets it: real processes, real exit codes, stdout and stderr apart."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from image_assets.cli import main
from image_assets_tests.containers import write_tar
from image_assets_tests.images import image_bytes, write_image, write_images

PROMISED = {
    "dataset", "pipeline_status", "images_processed", "new", "changed", "kept", "moved", "removed", "failed", "decoded",
    "embedded", "shards_total", "shards_run", "digest", "processing_time_sec", "peak_memory_bytes",
}  # fmt: skip
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    write_images(folder, 6)
    return folder


@pytest.fixture
def cli(tmp_path):
    """Run the program in ``tmp_path``; return the finished process."""

    def run(*arguments, module=("-m", "image_assets")):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, *module, *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture
def cli_here(tmp_path, monkeypatch):
    """Call the program in ``tmp_path`` without a process of its own, which takes a tenth of the time."""
    monkeypatch.chdir(tmp_path)
    return called_here


def called_here(*arguments):
    done = CliRunner().invoke(main, list(map(str, arguments)), prog_name="image-assets")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def run_json(cli, *arguments):
    # Without workers, which have tests of their own and take half of the time.
    done = cli("run", *arguments, "--json", "--features", "none", "--workers", "0")
    assert done.stdout.count("\n") == 1, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_run_prints_one_json_object_with_all_that_is_promised(cli, raw):
    code, summary = run_json(cli, "--input", raw)
    assert code == 0
    assert set(summary) >= PROMISED
    assert (summary["new"], summary["decoded"], summary["images_processed"]) == (6, 6, 6)
    assert summary["peak_memory_bytes"] > 10_000_000
    code, again = run_json(cli, "--input", raw)
    assert (again["kept"], again["decoded"], again["shards_run"]) == (6, 0, 0)
    assert again["digest"] == summary["digest"]


def test_run_prints_a_table_for_people_and_no_progress_bar_into_a_pipe(cli, raw):
    done = cli("run", "--input", raw, "--features", "none")
    assert done.returncode == 0
    assert "images_processed      6" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet", "npz", "h5"])
def test_the_seeds_spelling_with_an_output_of_any_suffix(cli_here, raw, tmp_path, suffix):
    done = cli_here("run", "--input", raw, "--output", f"out.{suffix}", "--image_size", "32", "--augment", "True",
                    "--features", "none", "--workers", "0", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["augmentation_applied"] is True
    assert (tmp_path / f"out.{suffix}").stat().st_size > 100
    if suffix == "npz":
        with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
            assert arrays["images"].shape == (12, 32, 32, 3)


def test_pixels_are_normalized_on_request(cli_here, raw, tmp_path):
    done = cli_here("run", "--input", raw, "--output", "out.npz", "--normalize", "-1-1", "--features", "none")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
        assert arrays["images"].dtype == np.float32
        assert -1.0 <= arrays["images"].min() < 0.0 < arrays["images"].max() <= 1.0


def test_an_output_folder_is_made_and_gets_the_table_formats(cli_here, raw, tmp_path):
    assert cli_here("run", "--input", raw, "--output", "new/out/", "--features", "none").returncode == 0
    assert {path.name for path in (tmp_path / "new/out").iterdir()} == {"index.parquet", "index.csv", "index.json"}


def test_a_bad_image_is_a_partial_failure_and_exit_code_3(cli, raw, tmp_path):
    (raw / "a/bad.jpg").write_bytes(image_bytes(1)[:300])
    code, summary = run_json(cli, "--input", raw, "--store", "s")
    assert (code, summary["pipeline_status"], summary["failed"]) == (3, "partial failure", 1)
    assert "failed 'a/bad.jpg': truncated" in (tmp_path / "s/logs/pipeline.log").read_text()


def test_rubbish_alone_is_a_failure_and_exit_code_1(cli_here, tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(b"rubbish")
    code, summary = run_json(cli_here, "--input", ".", "--store", "../s", "--shards", "1")
    assert (code, summary["pipeline_status"], summary["digest"]) == (1, "failure", None)
    assert "5 of 5 images failed" in summary["notes"][0]


def test_plan_status_digest_and_verify_agree_with_run(cli_here, raw, tmp_path):
    options = ("--input", raw, "--features", "none", "--json")
    plan = json.loads(cli_here("plan", *options).stdout)
    assert not (tmp_path / "data").exists()
    run = json.loads(cli_here("run", *options).stdout)
    assert {name: plan[name] for name in ("new", "changed", "kept", "moved", "removed", "decoded")} == {
        name: run[name] for name in ("new", "changed", "kept", "moved", "removed", "decoded")
    }
    assert json.loads(cli_here("status", *options).stdout)["digest"] == run["digest"]
    assert cli_here("digest", *options[:-1]).stdout.strip() == run["digest"]
    verify = cli_here("verify", *options)
    assert (verify.returncode, json.loads(verify.stdout)["problems"]) == (0, [])
    next((tmp_path / "data").rglob("segments/*/*.parquet")).write_bytes(b"x")
    assert cli_here("verify", *options).returncode == 1


def test_a_folder_of_archives_is_named_as_one(cli_here, tmp_path):
    (tmp_path / "packed").mkdir()
    write_tar(tmp_path / "packed/one.tar", {"a/1.jpg": image_bytes(1), "a/2.jpg": image_bytes(2)})
    assert "holds no image (1 files of other kinds)" in cli_here("run", "--input", "packed").stderr
    code, summary = run_json(cli_here, "--input", "packed", "--kind", "archives")
    assert (code, summary["new"]) == (0, 2)


def test_settings_come_from_a_file_and_options_override_it(cli_here, raw, tmp_path):
    text = "name: shop\nsource: {path: raw}\nstore: kept\npreset: zenml-tutorial\nfeatures: {extractor: none}\n"
    (tmp_path / "shop.yaml").write_text(text)
    done = cli_here("run", "--config", "shop.yaml", "--shards", "3", "--json")
    summary = json.loads(done.stdout)
    assert (summary["dataset"], summary["shards_total"], summary["output_format"]) == ("shop", 3, "png")
    assert (tmp_path / "kept/index.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "--input", "nowhere"], 2, "--input nowhere does not exist"),
        (["run", "--input", "none.tar"], 2, "--input none.tar does not exist"),
        (["run", "--input", "raw", "--kind", "tabels"], 2, "unknown source 'tabels'; known: auto, archives"),
        (["run", "--input", "raw", "--kind", "several"], 2, "written as a list of places"),
        (["run", "--input", "date.yaml"], 2, "--input date.yaml is a file, not a folder"),
        (["run", "--input", "file.txt"], 1, "none of its 1 lines is an http or https URL"),
        (["run", "--input", "https://example.org/1.jpg"], 2, "is no folder and no bucket"),
        (["run"], 2, "no --input and no --config given"),
        (["run", "--config", "missing.yaml"], 2, "settings file missing.yaml does not exist"),
        (["run", "--config", "twice.yaml"], 2, "'name' stands there twice"),
        (["run", "--config", "tab.yaml"], 2, "indent with spaces, YAML takes no tabs"),
        (["run", "--config", "latin.yaml"], 2, "is not UTF-8 (byte 6); save it as UTF-8"),
        (["run", "--config", "date.yaml"], 2, "date.yaml is not valid YAML"),
        (["run", "--input", ""], 2, "an empty path was given"),
        (["run", "--input", "raw", "--store", ""], 2, "an empty path was given"),
        (["run", "--input", "~nobody-of-that-name/x"], 2, "~nobody-of-that-name"),
        (["plan", "--input", "raw", "--features", "typo"], 2, "unknown feature extractor 'typo'"),
        (["run", "--config", "raw"], 2, "settings file raw is a folder"),
        (["run", "--config", "broken.yaml"], 2, "settings file broken.yaml is not valid YAML"),
        (["run", "--config", "typo.yaml"], 2, "typo.yaml: image.widht_px: unknown setting; known here: background"),
        (["run", "--config", "range.yaml"], 2, "range.yaml: output.quality: Input should be less than or equal to 100"),
        (["run", "--input", "raw", "--augment", "perhaps"], 2, "--augment takes True or False"),
        (["run", "--input", "raw", "--engine", "slurm"], 2, "--engine: unknown engine 'slurm'; known: auto, inline"),
        (["run", "--input", "raw", "--engine", "dask", "--workers", "0"], 2, "engine dask needs workers"),
        (["run", "--input", "raw", "--preset", "none"], 2, "unknown preset 'none'; known: remux, zenml-tutorial"),
        (["run", "--input", "raw", "--features", "magic"], 2, "'magic'; known: colour-moments"),
        (["run", "--input", "raw", "--image-size", "0"], 2, "image.width_px: Input should be greater than or equal"),
        (["run", "--input", "raw", "--output", "out.xyz"], 2, "out.xyz"),
        (["run", "--input", "raw", "--format", "files"], 2, "say how --output is written"),
        (["run", "--input", "raw", "--format", "files", "--output", "raw/out"], 2, "which is the dataset's own"),
        (["run", "--input", "raw", "--store", "file.txt"], 1, "store"),
        (["status", "--input", "raw"], 1, "has no index yet; run it first"),
        (["init", ""], 2, "an empty path was given"),
        (["init", "raw", "--store", ""], 2, "an empty path was given"),
        (["init", "raw", "--out", "raw", "--force"], 2, "raw is a folder; name the file"),
        (["init", "kept/segments"], 2, "what is made, not raw images"),
        (["run", "--unknown"], 2, "No such option"),
    ],
)
def test_a_mistake_is_one_line_that_names_it_and_no_traceback(cli_here, raw, tmp_path, arguments, code, says):
    (tmp_path / "file.txt").write_text("x")
    for folder in ("kept/segments", "kept/shards"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "kept/store.json").write_text("{}")
    base = "name: x\nsource: {path: raw}\nstore: s\n"
    (tmp_path / "broken.yaml").write_text("name: [x\n")
    (tmp_path / "tab.yaml").write_text("name: x\nsource:\n\tpath: raw\n")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    (tmp_path / "twice.yaml").write_text(base + "name: y\n")
    (tmp_path / "date.yaml").write_text(base + "seed: 2020-13-45\n")
    (tmp_path / "typo.yaml").write_text(base + "image: {widht_px: 3}\n")
    (tmp_path / "range.yaml").write_text(base + "output: {quality: 101}\n")
    done = cli_here(*arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    if says != "No such option":
        assert done.stderr.count("\n") == 1


def test_an_empty_folder_is_an_empty_dataset_said_plainly(cli_here, tmp_path):
    (tmp_path / "empty").mkdir()
    done = cli_here("run", "--input", "empty", "--features", "none")
    assert done.returncode == 1
    assert "holds no image" in done.stderr


def test_names_of_all_kinds_come_through(cli, tmp_path):
    for name in ["with space.jpg", "-dash.jpg", "new\nline.jpg", "日本.jpg", "x" * 251 + ".jpg"]:
        write_image(tmp_path / "odd names\n here", name, hash(name) % 1000)
    code, summary = run_json(cli, "--input", "odd names\n here")
    assert (code, summary["images_processed"]) == (0, 5)


def test_ctrl_c_leaves_no_process_and_no_traceback(raw, tmp_path):
    write_images(raw, 1500)
    command = [sys.executable, "-m", "image_assets", "run", "--input", str(raw), "--features", "none"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    shards = tmp_path / "data"
    while not list(shards.rglob("manifests/*.parquet")):
        assert process.poll() is None
    process.send_signal(2)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.startswith("image-assets: interrupted in `preprocess` after ")
    assert errors.endswith("goes on with the rest\n")
    assert "Traceback" not in errors


ODD_NAMES = [
    "new\nline.jpg",
    "-dash.jpg",
    "日本 é.jpg",
    "tab\t.jpg",
    "x" * 251 + ".jpg",
    "\u202eleft.jpg",
    "esc\x1b[31m.jpg",
]


def write_odd(folder):
    """One good image, and bad ones under names that are hard to print."""
    write_images(folder, 1)
    for number, name in enumerate(ODD_NAMES):
        (folder / name).write_bytes(image_bytes(number)[: 200 + number])


@pytest.fixture
def lenient(tmp_path):
    """A settings file under which bad images stop nothing."""
    text = "name: odd\nsource: {path: odd}\nstore: s\nfeatures: {extractor: none}\nworkers: 0\nexports: []\n"
    path = tmp_path / "odd.yaml"
    path.write_text(f"{text}checks: {{failed_fraction: {{error: 1.0}}}}\n")
    return path


def test_quarantine_is_one_json_object_with_exactly_what_is_promised(cli_here, lenient, tmp_path):
    write_odd(tmp_path / "odd")
    assert cli_here("run", "--config", lenient).returncode == 3
    done = cli_here("quarantine", "--config", lenient, "--json")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    summary = json.loads(done.stdout)
    assert (set(summary), summary["dataset"]) == ({"dataset", "quarantine"}, "odd")
    assert [entry["key"] for entry in summary["quarantine"]] == sorted(ODD_NAMES)
    for entry in summary["quarantine"]:
        assert list(entry) == ["key", "reason", "detail", "sha256", "first_seen", "last_seen", "attempts"]
        assert (entry["reason"], entry["attempts"], len(entry["sha256"])) == ("truncated", 1, 64)


def test_quarantine_prints_one_line_an_image_whatever_its_name(cli_here, lenient, tmp_path):
    write_odd(tmp_path / "odd")
    cli_here("run", "--config", lenient)
    done = cli_here("quarantine", "--config", lenient)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(lines)) == (0, "", 1 + len(ODD_NAMES))
    assert lines[0].split() == ["key", "reason", "attempts", "first_seen", "last_seen", "detail"]
    assert all("truncated" in line for line in lines[1:])
    assert {line.split("  ")[0] for line in lines[1:]} == {
        r"new\nline.jpg", "-dash.jpg", "日本 é.jpg", r"tab\t.jpg", "x" * 251 + ".jpg", r"\u202eleft.jpg",
        r"esc\x1b[31m.jpg",
    }  # fmt: skip


def test_quarantine_and_retry_take_reasons(cli_here, lenient, tmp_path):
    write_odd(tmp_path / "odd")
    (tmp_path / "odd/text.jpg").write_bytes(b"<html>")
    (tmp_path / "odd/png.jpg").write_bytes(image_bytes(50, kind="PNG"))
    cli_here("run", "--config", lenient)
    options = ("--config", lenient, "--json", "--reason", "not_an_image")
    retried = cli_here("retry", *options)
    assert (retried.returncode, json.loads(retried.stdout)["decoded"]) == (3, 1)
    listed = json.loads(cli_here("quarantine", *options, "--reason", "wrong_extension").stdout)["quarantine"]
    assert [(entry["key"], entry["attempts"]) for entry in listed] == [("png.jpg", 0), ("text.jpg", 2)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["quarantine", "--reason", "magic"], 2, "unknown reason 'magic'; known: zero_bytes"),
        (["retry", "--reason", "magic"], 2, "unknown reason 'magic'; known: zero_bytes"),
        (["retry", "--reason", ""], 2, "unknown reason ''; known: zero_bytes"),
        (["reshard", "--to", "0"], 2, "0 shards are not possible; give 1 to 4096"),
        (["reshard", "--to", "4097"], 2, "4097 shards are not possible; give 1 to 4096"),
        (["reshard", "--to", "-1"], 2, "-1 shards are not possible; give 1 to 4096"),
    ],
)
def test_a_mistake_in_looking_after_a_dataset_is_one_line(cli_here, lenient, raw, arguments, code, says):
    before = lenient.read_text()
    for where in (("--config", lenient), ("--input", raw)):
        done = cli_here(*arguments, *where)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
        assert says in done.stderr
    assert lenient.read_text() == before


@pytest.mark.parametrize("arguments", [["retry"], ["reshard"], ["reshard", "--to", "many"]])
def test_what_a_command_cannot_do_without_is_asked_for(cli_here, raw, arguments):
    done = cli_here(*arguments, "--input", raw)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage:" in done.stderr


def test_reshard_writes_the_number_into_the_settings_file_and_the_next_run_has_nothing_to_do(cli_here, raw, tmp_path):
    config = tmp_path / "shop.yaml"
    text = "# a shop\nname: shop\nsource: {path: raw}\nstore: kept\nnum_shards: 16 # few\nfeatures: {extractor: none}\n"
    config.write_text(text)
    before = json.loads(cli_here("run", "--config", config, "--json").stdout)
    # Nothing of the source is needed.
    raw.rename(tmp_path / "aside")
    done = cli_here("reshard", "--config", config, "--to", "64", "--json")
    (tmp_path / "aside").rename(raw)
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["from_shards"], summary["to_shards"], summary["decoded"]) == (0, 16, 64, 0)
    assert summary["digest"] == before["digest"]
    assert config.read_text() == text.replace("16", "64")
    after = json.loads(cli_here("run", "--config", config, "--json").stdout)
    assert (after["shards_total"], after["shards_run"], after["decoded"]) == (64, 0, 0)
    assert after["digest"] == before["digest"]


def test_a_folder_without_a_settings_file_stays_at_the_number_that_it_was_given(cli_here, raw, tmp_path):
    _, before = run_json(cli_here, "--input", raw)
    assert before["shards_total"] == 16
    done = cli_here("reshard", "--input", raw, "--to", "5", "--features", "none")
    assert (done.returncode, "to_shards       5" in done.stdout) == (0, True), done.stderr
    _, after = run_json(cli_here, "--input", raw)
    assert (after["shards_total"], after["shards_run"], after["decoded"]) == (5, 0, 0)
    assert after["digest"] == before["digest"]
    _, given = run_json(cli_here, "--input", raw, "--shards", "3")
    assert (given["shards_total"], given["decoded"]) == (3, 0)


def test_a_lost_source_stops_run_and_plan_in_one_line_that_names_the_way_on(cli_here, raw):
    run_json(cli_here, "--input", raw)
    for path in sorted(raw.rglob("*.jpg"))[:4]:
        path.unlink()
    for command in ("run", "plan"):
        done = cli_here(command, "--input", raw, "--features", "none", "--json")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "lacks 4 of the images; the dataset holds 6 (67%, allowed are 30%)" in done.stderr
        assert "--allow-deletes" in done.stderr
    plan = json.loads(cli_here("plan", "--input", raw, "--features", "none", "--json", "--allow-deletes").stdout)
    code, summary = run_json(cli_here, "--input", raw, "--allow-deletes")
    assert (code, plan["removed"], summary["removed"], summary["images_processed"]) == (0, 4, 4, 2)
