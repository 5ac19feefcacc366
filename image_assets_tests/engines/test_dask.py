"""Dask, here and as a real cluster: what dies costs little, what ends leaves nothing, what is wrong says so."""

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import psutil
import pytest
import yaml
from PIL import Image

from image_assets.core.errors import EngineError, MissingExtraError, StoreError
from image_assets.engines import ENGINES
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.verify import verify_dataset
from image_assets_tests.engines import work
from image_assets_tests.engines.real_dask import real_dask
from image_assets_tests.images import image_bytes, make_settings_for, write_images
from image_assets_tests.servers import free_port

# More than anything here takes on a slow machine; nothing waits that long when all is well.
PATIENCE_S = 90.0
SLOW = pytest.mark.skipif(not os.environ.get("DASK_SLOW"), reason="half a minute; set DASK_SLOW=1")
dask = pytest.mark.usefixtures("_dask")


@pytest.fixture
def _dask():
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'image_assets[dask]'")


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """A folder of its own for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def children():
    return set(psutil.Process().children(recursive=True))


def dask_engine(tmp_path, address=None, **options):
    return ENGINES["dask"](make_settings_for(tmp_path, **{"workers": 2, **options}, engine=address or "dask"))


@dask
def test_without_an_address_it_works_in_this_process_quietly_and_leaves_nothing(tmp_path, temp, capfd):
    write_images(tmp_path / "raw", 12)
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (255, 0, 0)).save(buffer, "PNG")
    (tmp_path / "raw/a/guilty.png").write_bytes(buffer.getvalue())
    hurting = "image_assets_tests.pipeline.test_decoders_that_hurt:Hurting"
    settings = make_settings_for(tmp_path, workers=2, engine="dask", transforms=[{hurting: {"how": "abort"}}])
    before = children()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = run_dataset(settings)
    assert report.index.head.rows == 12
    (entry,) = quarantine_summary(settings)["quarantine"]
    assert (entry["key"], entry["reason"]) == ("a/guilty.png", "decoder_crashed")
    assert children() == before
    assert list(temp.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@dask
def test_what_is_asleep_is_ended_with_an_error_and_with_ctrl_c(tmp_path, temp):
    before = children()
    with pytest.raises(StoreError), dask_engine(tmp_path) as engine:
        list(engine.map(work.sleep_on_13_and_find_a_full_disk, [[13], [1]]))
    threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt), dask_engine(tmp_path) as engine:
        list(engine.map(work.sleep_on_13, [[13], [13], [13]]))
    assert children() == before
    assert list(temp.iterdir()) == []


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of images enough for a dozen tasks, and the digest that they come to."""
    folder = tmp_path_factory.mktemp("dask")
    for number in range(160):
        path = folder / "raw" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(number, size=(800, 600)))
    return folder, run_dataset(make_settings_for(folder)).index.head.digest


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(source, tmp_path, dask_cluster):
    folder, digest = source
    settings = make_settings_for(folder, store=str(tmp_path / "store"), workers=2, engine=dask_cluster.address)
    killed = []

    def kill(*_):
        if not killed:
            killed.append(dask_cluster.kill_worker())

    report = run_dataset(settings, on_shard=kill)
    dask_cluster.add_worker()
    assert killed
    assert report.index.head.digest == digest
    assert (report.counts.wanted, report.counts.new) == (160, 160)
    assert verify_dataset(settings).problems == ()
    assert dask_cluster.children() == []


@pytest.mark.parametrize(
    ("where", "how"),
    [
        ("here", signal.SIGINT),
        pytest.param("here", signal.SIGKILL, marks=SLOW),
        ("cluster", signal.SIGINT),
        # Its workers are not told, and their children wait for more.
        pytest.param("cluster", signal.SIGKILL, marks=SLOW),
    ],
)
@dask
def test_a_stopped_run_leaves_no_process(source, tmp_path, request, where, how):
    cluster = request.getfixturevalue("dask_cluster") if where == "cluster" else None
    address = "dask" if cluster is None else cluster.address
    folder, _ = source
    settings = make_settings_for(folder, store=str(tmp_path / "store"), workers=2, engine=address)
    process = start(tmp_path, settings)
    workers = wait_for(lambda: found if len(found := busy(process, cluster)) == 2 or process.poll() is not None else ())
    assert process.poll() is None, "it ended before it had workers"
    process.send_signal(how)
    process.wait(PATIENCE_S)
    assert psutil.wait_procs(workers, timeout=PATIENCE_S)[1] == []
    if how == signal.SIGINT:
        assert list((tmp_path / "tmp").iterdir()) == []


def start(folder, settings):
    """Start the tool in a session of its own."""
    (folder / "tmp").mkdir()
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_none=True)))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    command = [sys.executable, "-m", "image_assets", "run", "--json", "--config", str(config)]
    return subprocess.Popen(command, start_new_session=True, env={**os.environ, "TMPDIR": str(folder / "tmp")}, **quiet)


def busy(process, cluster):
    """Return the processes in which images are decoded."""
    try:
        return psutil.Process(process.pid).children(recursive=True) if cluster is None else cluster.children()
    except psutil.NoSuchProcess:
        return []


def wait_for(condition):
    until = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


@dask
def test_what_is_wrong_with_a_cluster_is_said_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "other/dask-0.0.dist-info").mkdir(parents=True)
    (tmp_path / "other/dask-0.0.dist-info/METADATA").write_text("Name: dask\nVersion: 0.0\n")
    # Older releases ask the module.
    (tmp_path / "other/sitecustomize.py").write_text("import dask\ndask.__version__ = '0.0'\n")
    monkeypatch.setattr("image_assets.engines.dask_cluster._NO_WORKER_S", 1.0)
    monkeypatch.setattr("image_assets.engines.dask_cluster._LOOK_EVERY_S", 0.1)
    with real_dask(workers=0, environment={"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}) as cluster:
        assert "has had no worker for 1 s" in refused(tmp_path, cluster.address)
        cluster.add_worker()
        said = refused(tmp_path, cluster.address, work.kill_the_parent_on_13, [13])
        assert "task 1 lost its Dask worker 1 times, the last at tcp://127.0.0.1:" in said
        cluster.kill_worker()
        cluster.add_worker(PYTHONPATH=os.pathsep.join([str(tmp_path / "other"), *sys.path]))
        assert "dask 0.0, distributed" in refused(tmp_path, cluster.address)
        cluster.kill_worker()
        monkeypatch.setattr("image_assets.engines.dask_cluster._NO_WORKER_S", PATIENCE_S)
        threading.Timer(1.0, cluster.kill_scheduler).start()
        assert "is gone" in refused(tmp_path, cluster.address)


def test_workers_with_another_version_of_this_package_say_so(tmp_path, monkeypatch, dask_cluster):
    monkeypatch.setattr("image_assets.engines.dask_cluster.installed_version", lambda: "9.9")
    assert re.search(r"worker on \S+ has image_assets [\d.]+, this is 9.9", refused(tmp_path, dask_cluster.address))


@dask
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "tls://127.0.0.1:{port}", "ucx://127.0.0.1:{port}"])
def test_where_there_is_no_scheduler_one_line_says_so(tmp_path, monkeypatch, address):
    monkeypatch.setattr("image_assets.engines.dask_cluster._CONNECT_S", 1.0)
    assert refused(tmp_path, address.format(port=free_port())).startswith("no Dask scheduler at ")


def refused(tmp_path, address, function=work.double, task=(1,)):
    """Return what an engine says that cannot do a task there."""
    with pytest.raises(EngineError) as raised, dask_engine(tmp_path, address) as engine:
        list(engine.map(function, [list(task)]))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_without_dask_its_install_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'image_assets\[dask\]'"), dask_engine(tmp_path) as engine:
        list(engine.map(work.double, [[1]]))
