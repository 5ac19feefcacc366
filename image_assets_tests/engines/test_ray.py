"""A run on Ray: a cluster of its own leaves nothing behind, a lost worker or machine loses nothing, errors are a line.

``RAY_ALL=1`` adds what takes long.
"""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from image_assets.core.errors import EngineError, MissingExtraError, StoreError
from image_assets.engines import ray_cluster as module
from image_assets.engines.cluster import ClusterEngine
from image_assets.engines.ray_cluster import RayCluster
from image_assets.engines.ray_task import task_function
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.verify import verify_dataset
from image_assets.transforms.base import Colour, Pixels, Transform
from image_assets_tests.engines import work
from image_assets_tests.engines.marking import MARK, marked
from image_assets_tests.engines.real_ray import PATIENCE_S, on_tasks
from image_assets_tests.images import make_settings_for, write_images
from image_assets_tests.servers import free_port

needs_ray = pytest.mark.skipif(
    module.importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'image_assets[ray]'"
)
slow = pytest.mark.skipif("RAY_ALL" not in os.environ, reason="takes long: RAY_ALL=1 runs it")
MEMORY = 512 * 2**20
IMAGES = 240


class Slow(Transform):
    """Takes its time; ends its process on a red image."""

    sleep_s: float = 0.0
    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "before_resize"
    random: ClassVar[bool] = False

    def apply(self, pixels: Pixels, rng: np.random.Generator, background: Colour, /) -> Pixels:
        time.sleep(self.sleep_s)
        if (np.abs(pixels.astype(int) - (255, 0, 0)) < 5).all():
            os.abort()
        return pixels


def ray_settings(folder, address=None, **overrides):
    """Return settings for a run on Ray; what its images are made into is the same for all ``address``es."""
    options = {"workers": 2, "limits": {"max_memory_bytes": MEMORY}, **overrides}
    return make_settings_for(folder, engine={"kind": "ray", "address": address}, **options)


def engine_on(address=None, *, workers=2, memory_bytes=MEMORY):
    """Return an engine without a dataset."""
    return ClusterEngine(
        "ray", lambda: RayCluster(address, workers, memory_bytes), item_timeout_s=30, memory_bytes=MEMORY
    )


@pytest.fixture
def place(monkeypatch):
    """A folder for temporary files, whose name marks each process that a test starts; nothing may be left of both."""
    folder = tempfile.mkdtemp(prefix="t-", dir="/tmp")
    monkeypatch.setenv(MARK, folder)
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", folder)
    yield Path(folder)
    for process in marked(folder):
        if process.pid != os.getpid():
            process.kill()
    shutil.rmtree(folder)


def state_of_process():
    return dict(os.environ), [signal.getsignal(number) for number in signal.valid_signals()], sys.excepthook


@needs_ray
def test_a_cluster_of_its_own_does_a_run_and_is_gone_with_it(tmp_path, place, capfd):
    write_images(tmp_path / "raw", 40)
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (255, 0, 0)).save(buffer, "PNG")
    (tmp_path / "raw/a/guilty.png").write_bytes(buffer.getvalue())
    options = {"transforms": [{f"{__name__}:Slow": {}}], "workers": 2}
    expected = run_dataset(make_settings_for(tmp_path, store="local", **options)).index.head
    before = state_of_process()
    threads = threading.active_count()
    settings = ray_settings(tmp_path, **options)
    assert run_dataset(settings).index.head.digest == expected.digest
    assert expected.rows == 40
    (entry,) = quarantine_summary(settings)["quarantine"]
    assert (entry["key"], entry["reason"]) == ("a/guilty.png", "decoder_crashed")
    assert [process for process in marked(str(place)) if process.pid != os.getpid()] == []
    assert list(place.iterdir()) == []
    assert state_of_process() == before
    assert threading.active_count() == threads
    # The command line prints JSON there.
    assert capfd.readouterr() == ("", "")


@needs_ray
@pytest.mark.parametrize(("sent", "left"), [(signal.SIGINT, 0), (signal.SIGKILL, 1)])
def test_a_run_that_is_ended_takes_its_cluster_along(tmp_path, place, sent, left):
    write_images(tmp_path / "raw", IMAGES)
    settings = ray_settings(tmp_path, transforms=[{f"{__name__}:Slow": {"sleep_s": 0.05}}])
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_none=True)))
    with (tmp_path / "said").open("wb") as said:
        run = subprocess.Popen(
            [sys.executable, "-m", "image_assets", "run", "--config", str(config)], stdin=subprocess.DEVNULL,
            stdout=said, stderr=said, env={**os.environ, MARK: str(tmp_path)},
        )  # fmt: skip
    until = time.monotonic() + PATIENCE_S
    while not on_tasks(marked(str(tmp_path))):
        assert run.poll() is None, (tmp_path / "said").read_text()
        assert time.monotonic() < until
        time.sleep(0.05)
    run.send_signal(sent)
    run.wait(PATIENCE_S)
    _, alive = psutil.wait_procs(marked(str(tmp_path)), timeout=PATIENCE_S * left)
    assert alive == []
    # A killed run leaves the run's own folders, which `vacuum` removes, and none of Ray's.
    folders = [path.name for path in place.iterdir()]
    assert [name for name in folders if not (left and name.startswith("image-assets-scratch-"))] == []
    assert "Traceback" not in (tmp_path / "said").read_text()


@needs_ray
@slow
def test_an_error_of_a_task_ends_a_cluster_of_its_own(place):
    with pytest.raises(StoreError, match="no space left"), engine_on() as engine:
        list(engine.map(work.find_a_full_disk, [[1]] * 5))
    assert [process for process in marked(str(place)) if process.pid != os.getpid()] == []
    assert list(place.iterdir()) == []


@pytest.fixture
def whole_cluster(ray_cluster):
    """The cluster, with two nodes again after the test."""
    yield ray_cluster
    if ray_cluster.nodes < 2:
        ray_cluster.add_worker()


def test_a_killed_worker_and_a_lost_machine_cost_nothing(tmp_path, whole_cluster):
    write_images(tmp_path / "raw", IMAGES)
    options = {"num_shards": 16, "transforms": [{f"{__name__}:Slow": {"sleep_s": 0.03}}]}
    expected = run_dataset(make_settings_for(tmp_path, store="local", workers=2, **options)).index.head
    first, killed = threading.Event(), []

    def kill():
        first.wait(PATIENCE_S)
        until = time.monotonic() + PATIENCE_S
        while not killed and time.monotonic() < until:
            killed.extend(on_tasks(whole_cluster.last_node())[:1])
            time.sleep(0.02)
        whole_cluster.kill_worker()
        while len(killed) < 2 and time.monotonic() < until:
            killed.extend(on_tasks(whole_cluster.processes())[:1])
            time.sleep(0.02)
        killed[-1].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    settings = ray_settings(tmp_path, whole_cluster.address, workers=4, **options)
    report = run_dataset(settings, on_shard=lambda *_: first.set())
    killer.join()
    assert len(set(killed)) == 2
    assert report.index.head.digest == expected.digest
    assert report.counts.new == IMAGES
    assert verify_dataset(settings).problems == ()


def test_a_task_that_takes_every_worker_along_ends_the_run_with_a_line(ray_cluster):
    lost = pytest.raises(EngineError, match="task 2 lost 4 Ray workers one after the other, the last with Worker")
    with engine_on(ray_cluster.address) as engine, lost:
        list(engine.map(work.kill_the_parent_on_13, [[1], [13]]))
    assert on_tasks(ray_cluster.processes()) == []


@slow
def test_a_driver_on_a_machine_of_the_cluster(ray_cluster, monkeypatch):
    # All of this cluster is at the loopback.
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    with engine_on(ray_cluster.head) as engine:
        assert sorted(item.result[0] for item in engine.map(work.double, [[1], [2]])) == [2, 4]


@slow
def test_a_cluster_without_a_machine_large_enough_is_refused(ray_cluster, monkeypatch):
    monkeypatch.setattr(module, "_GROW_S", 0.0)
    refused = pytest.raises(EngineError, match="none of the 2 machines of the Ray cluster has a core and 35,184,")
    with engine_on(ray_cluster.address, memory_bytes=2**45) as engine, refused:
        list(engine.map(work.double, [[1]]))


@needs_ray
@pytest.mark.parametrize("form", ["ray://127.0.0.1:{}", "127.0.0.1:{}"])
def test_an_address_where_nobody_listens_is_a_line(form):
    address = form.format(free_port())
    with pytest.raises(EngineError, match=f"^no Ray cluster at {address}: Connection refused; start one[^\n]*$"):
        RayCluster(address, 1, MEMORY)


@needs_ray
@pytest.mark.parametrize("address", ["somewhere", "ray://head", "head:none", "http://head:80"])
def test_what_is_no_address_of_ray_is_a_line(address):
    with pytest.raises(EngineError, match="is no address of Ray; known forms: "):
        RayCluster(address, 1, MEMORY)


@needs_ray
def test_something_else_that_listens_is_not_waited_for_for_ever(monkeypatch, place):
    monkeypatch.setattr(module, "_CLIENT_S", 3.0)
    silence = pytest.raises(EngineError, match="does not answer as Ray does")
    with socket.create_server(("127.0.0.1", 0)) as silent, silence:
        RayCluster(f"ray://127.0.0.1:{silent.getsockname()[1]}", 1, MEMORY)
    assert [process for process in marked(str(place)) if process.pid != os.getpid()] == []


def test_without_ray_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'image_assets\[ray\]'"):
        RayCluster(None, 1, MEMORY)


def test_a_worker_with_another_version_says_so():
    kind, said = task_function("0.0")(b"", b"")
    assert kind == "error"
    assert said.startswith(f"the worker on {socket.gethostname()} has image_assets ")
    assert said.endswith(", the run has 0.0; install it there")
