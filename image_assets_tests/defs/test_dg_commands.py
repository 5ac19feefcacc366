"""A fresh project of `create-dagster` and the commands of `dg`, for real; `DG_BIN=/path/to/bin` says where they are."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from image_assets_tests.images import write_images

_BIN = os.environ.get("DG_BIN")
pytestmark = pytest.mark.skipif(
    _BIN is None, reason="set DG_BIN to the bin folder with create-dagster, dg and image_assets"
)


def command(folder: Path, *words: str, fails: bool = False) -> str:
    environment = {
        **os.environ,
        "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
        "DAGSTER_HOME": str(folder),
        "PYTHONPATH": f"{folder}/someones/src",
        "COLUMNS": "300",
    }
    cwd = folder / "someones" if (folder / "someones").exists() else folder
    words = (f"{_BIN}/{words[0]}", *words[1:])
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert (done.returncode != 0) is fails, said
    return said


def test_a_fresh_project_scaffolds_checks_lists_and_launches(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    write_images(tmp_path / "raw", 6)
    command(tmp_path, "create-dagster", "project", "someones", "--no-uv-sync")
    assert "image_assets.ImageDataset" in command(tmp_path, "dg", "list", "components", "--json")
    shape = ("dg", "scaffold", "defs", "image_assets.ImageDataset", "birds", "--pictures", str(tmp_path / "raw"))
    command(tmp_path, *shape)
    file = tmp_path / "someones/src/someones/defs/birds/defs.yaml"
    text = file.read_text().replace("efficientnet-lite0", "none").replace("shards: 16", "shards: 4")
    file.write_text(text)
    assert "validated successfully" in command(tmp_path, "dg", "check", "yaml")
    assert "loaded successfully" in command(tmp_path, "dg", "check", "defs")
    listed = json.loads(command(tmp_path, "dg", "list", "defs", "--json"))
    assert "birds_source_sensor" in json.dumps(listed)
    # The project's own executor: a process for each step.
    shards = ("dg", "launch", "--assets", "birds/image_shards", "--partition-range", "0-of-4...3-of-4")
    assert "Launching subprocess" in (said := command(tmp_path, *shards))
    assert "RUN_SUCCESS" in said
    assert "RUN_SUCCESS" in command(tmp_path, "dg", "launch", "--assets", "birds/training_index")
    assert (tmp_path / "someones/data/store/birds/index.parquet").is_file()
    file.write_text(text.replace("width_px: 224", "widht_px: 224"))
    assert "'widht_px' was unexpected" in command(tmp_path, "dg", "check", "yaml", fails=True)
    assert ": image.widht_px: unknown setting" in command(
        tmp_path, "dg", "check", "defs", "--no-check-yaml", fails=True
    )
