"""The command line as a user meets it: real processes, real exit codes, stdout and stderr apart."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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


def run_json(cli, *arguments):
    done = cli("run", *arguments, "--json", "--features", "none")
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
def test_the_seeds_spelling_with_an_output_of_any_suffix(cli, raw, tmp_path, suffix):
    done = cli("run", "--input", raw, "--output", f"out.{suffix}", "--image_size", "32", "--augment", "True",
               "--features", "none", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["augmentation_applied"] is True
    assert (tmp_path / f"out.{suffix}").stat().st_size > 100
    if suffix == "npz":
        with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
            assert arrays["images"].shape == (12, 32, 32, 3)


def test_pixels_are_normalized_on_request(cli, raw, tmp_path):
    done = cli("run", "--input", raw, "--output", "out.npz", "--normalize", "-1-1", "--features", "none")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
        assert arrays["images"].dtype == np.float32
        assert -1.0 <= arrays["images"].min() < 0.0 < arrays["images"].max() <= 1.0


def test_an_output_folder_is_made_and_gets_the_table_formats(cli, raw, tmp_path):
    assert cli("run", "--input", raw, "--output", "new/out/", "--features", "none").returncode == 0
    assert {path.name for path in (tmp_path / "new/out").iterdir()} == {"index.parquet", "index.csv", "index.json"}


def test_a_bad_image_is_a_partial_failure_and_exit_code_3(cli, raw, tmp_path):
    (raw / "a/bad.jpg").write_bytes(image_bytes(1)[:300])
    code, summary = run_json(cli, "--input", raw, "--store", "s")
    assert (code, summary["pipeline_status"], summary["failed"]) == (3, "partial failure", 1)
    assert "failed 'a/bad.jpg': truncated" in (tmp_path / "s/logs/pipeline.log").read_text()


def test_rubbish_alone_is_a_failure_and_exit_code_1(cli, tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(b"rubbish")
    code, summary = run_json(cli, "--input", ".", "--store", "../s", "--shards", "1")
    assert (code, summary["pipeline_status"], summary["digest"]) == (1, "failure", None)
    assert "5 of 5 images failed" in summary["notes"][0]


def test_plan_status_digest_and_verify_agree_with_run(cli, raw, tmp_path):
    options = ("--input", raw, "--features", "none", "--json")
    plan = json.loads(cli("plan", *options).stdout)
    assert not (tmp_path / "data").exists()
    run = json.loads(cli("run", *options).stdout)
    assert {name: plan[name] for name in ("new", "changed", "kept", "moved", "removed", "decoded")} == {
        name: run[name] for name in ("new", "changed", "kept", "moved", "removed", "decoded")
    }
    assert json.loads(cli("status", *options).stdout)["digest"] == run["digest"]
    assert cli("digest", *options[:-1]).stdout.strip() == run["digest"]
    verify = cli("verify", *options)
    assert (verify.returncode, json.loads(verify.stdout)["problems"]) == (0, [])
    next((tmp_path / "data").rglob("segments/*/*.parquet")).write_bytes(b"x")
    assert cli("verify", *options).returncode == 1


def test_settings_come_from_a_file_and_options_override_it(cli, raw, tmp_path):
    text = "name: shop\nsource: {path: raw}\nstore: kept\npreset: zenml-tutorial\nfeatures: {extractor: none}\n"
    (tmp_path / "shop.yaml").write_text(text)
    done = cli("run", "--config", "shop.yaml", "--shards", "3", "--json")
    summary = json.loads(done.stdout)
    assert (summary["dataset"], summary["shards_total"], summary["output_format"]) == ("shop", 3, "png")
    assert (tmp_path / "kept/index.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "--input", "nowhere"], 2, "--input nowhere does not exist"),
        (["run", "--input", "file.txt"], 2, "--input file.txt is a file, not a folder"),
        (["run"], 2, "no --input and no --config given"),
        (["run", "--config", "missing.yaml"], 2, "settings file missing.yaml does not exist"),
        (["run", "--config", "twice.yaml"], 2, "'name' stands there twice"),
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
        (["run", "--input", "raw", "--preset", "none"], 2, "unknown preset 'none'; known: remux, zenml-tutorial"),
        (["run", "--input", "raw", "--features", "magic"], 2, "'magic'; known: colour-moments"),
        (["run", "--input", "raw", "--image-size", "0"], 2, "image.width_px: Input should be greater than or equal"),
        (["run", "--input", "raw", "--output", "out.xyz"], 2, "out.xyz"),
        (["run", "--input", "raw", "--store", "file.txt"], 1, "store"),
        (["status", "--input", "raw"], 1, "has no index yet; run it first"),
        (["run", "--unknown"], 2, "No such option"),
    ],
)
def test_a_mistake_is_one_line_that_names_it_and_no_traceback(cli, raw, tmp_path, arguments, code, says):
    (tmp_path / "file.txt").write_text("x")
    base = "name: x\nsource: {path: raw}\nstore: s\n"
    (tmp_path / "broken.yaml").write_text("name: [x\n")
    (tmp_path / "twice.yaml").write_text(base + "name: y\n")
    (tmp_path / "date.yaml").write_text(base + "seed: 2020-13-45\n")
    (tmp_path / "typo.yaml").write_text(base + "image: {widht_px: 3}\n")
    (tmp_path / "range.yaml").write_text(base + "output: {quality: 101}\n")
    done = cli(*arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    if says != "No such option":
        assert done.stderr.count("\n") == 1


def test_an_empty_folder_is_an_empty_dataset_said_plainly(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    done = cli("run", "--input", "empty", "--features", "none")
    assert done.returncode == 1
    assert "holds no image" in done.stderr


def test_names_of_all_kinds_come_through(cli, tmp_path):
    for name in ["with space.jpg", "-dash.jpg", "new\nline.jpg", "日本.jpg", "x" * 251 + ".jpg"]:
        write_image(tmp_path / "odd names\n here", name, hash(name) % 1000)
    code, summary = run_json(cli, "--input", "odd names\n here")
    assert (code, summary["images_processed"]) == (0, 5)


def test_ctrl_c_leaves_no_process_and_no_traceback(raw, tmp_path):
    write_images(raw, 3000)
    command = [sys.executable, "-m", "image_assets", "run", "--input", str(raw), "--features", "none"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    shards = tmp_path / "data"
    while not list(shards.rglob("manifests/*.parquet")):
        assert process.poll() is None
    process.send_signal(2)
    _, errors = process.communicate(timeout=30)
    assert process.returncode not in (0, 2, 3)
    assert "Traceback" not in errors
