"""`image-assets metrics`: what it prints, writes and refuses, and a real process that answers and ends."""

import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from image_assets.cli import main
from image_assets.pipeline.run import run_dataset
from image_assets_tests.images import write_images


@pytest.fixture
def folder(settings, tmp_path):
    """A folder of settings files, one of which is of a dataset that was run."""
    write_images(tmp_path / "raw", 3)
    run_dataset(settings())
    folder = tmp_path / "datasets"
    folder.mkdir()
    (folder / "tiny.yaml").write_text("{name: tiny, source: {path: ../raw}, store: ../store, num_shards: 4}\n")
    return folder


def call(*arguments):
    return CliRunner().invoke(main, ["metrics", *map(str, arguments)])


def test_it_prints_what_prometheus_reads(folder):
    answer = call("--datasets", folder)
    assert answer.exit_code == 0
    names = [family.name for family in text_string_to_metric_families(answer.stdout)]
    assert "image_assets_images" in names
    assert len(names) == len(set(names))


def test_it_writes_a_file_and_tells_of_what_is_broken(folder, tmp_path):
    (folder / "broken.yaml").write_text("name: [\n")
    answer = call("--datasets", folder, "--out", tmp_path / "out/all.prom")
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1
    text = (tmp_path / "out/all.prom").read_text()
    assert 'image_assets_up{dataset="broken"} 0' in text
    assert 'image_assets_images{dataset="tiny"} 3' in text


def test_two_files_of_one_dataset_are_none_of_them_up(folder):
    (folder / "again.yaml").write_text((folder / "tiny.yaml").read_text())
    answer = call("--datasets", folder)
    assert answer.exit_code == 1
    assert [line for line in answer.stdout.splitlines() if not line.startswith("#")] == [
        'image_assets_up{dataset="tiny"} 0'
    ]


WRONG = [
    (("--out", "x.prom", "--serve", "127.0.0.1:0"), "give one of the two"),
    (("--serve", "127.0.0.1"), "write host and port"),
    (("--serve", "192.0.2.1:9464"), "choose another"),  # no address of any machine
    (("--config", "no/such.yaml"), "does not exist"),
    (("--datasets", "no/such"), "no settings file"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_what_is_wrong_is_said_in_one_line(folder, arguments, said):
    config = () if "--config" in arguments or "--datasets" in arguments else ("--config", folder / "tiny.yaml")
    answer = call(*config, *arguments)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_process_answers_until_it_is_interrupted(folder):
    command = [sys.executable, "-m", "image_assets", "metrics", "--serve", "127.0.0.1:0", "--datasets", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            line = process.stderr.readline()
            url = line.split()[2].rstrip(";")
            with urllib.request.urlopen(url) as response:
                assert b'image_assets_images{dataset="tiny"} 3' in response.read()
        finally:
            process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest
