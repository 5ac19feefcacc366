"""A run on Spark: a context of its own leaves nothing behind, a lost worker loses nothing, errors are one line.

``SPARK_ALL=1`` adds what takes long.
"""

import importlib.util
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

import psutil
import pytest
import yaml
from PIL import Image

from image_assets.core.errors import EngineError, MissingExtraError, StoreError
from image_assets.engines import spark_cluster as module
from image_assets.engines import spark_context
from image_assets.engines.cluster import ClusterEngine
from image_assets.engines.spark_cluster import SparkCluster
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.verify import verify_dataset
from image_assets_tests.engines import work
from image_assets_tests.engines.marking import MARK, marked
from image_assets_tests.engines.real_spark import PATIENCE_S, java
from image_assets_tests.images import image_bytes, make_settings_for, write_images
from image_assets_tests.servers import free_port

needs_spark = pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None or java() is None,
    reason="needs pip install 'image_assets[spark]' and Java 17 (apt-get install openjdk-17-jre-headless)",
)
slow = pytest.mark.skipif("SPARK_ALL" not in os.environ, reason="takes long: SPARK_ALL=1 runs it")
HURTING = "image_assets_tests.pipeline.test_decoders_that_hurt:Hurting"


def engine_on(address=None, *, workers=2, host=None):
    """Return an engine without a dataset."""
    return ClusterEngine(
        "spark", lambda: SparkCluster(address, workers, 2**29, host), item_timeout_s=30, memory_bytes=2**29
    )


def refused(address=None, function=work.double, task=(1,), **options):
    """Return what an engine says that cannot do a task there."""
    with pytest.raises(EngineError) as raised, engine_on(address, **options) as engine:
        list(engine.map(function, [list(task)]))
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def place(monkeypatch):
    """A folder for temporary files, whose name marks each process that a test starts; nothing may be left of both."""
    folder = tempfile.mkdtemp(prefix="t-")
    monkeypatch.setenv(MARK, folder)
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", folder)
    yield Path(folder)
    for process in others(folder):
        process.kill()
    shutil.rmtree(folder)


def others(mark):
    return [process for process in marked(str(mark)) if process.pid != os.getpid()]


def state_of_process():
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return dict(os.environ), handlers, list(sys.path), threading.active_count()


@needs_spark
def test_a_context_of_its_own_does_a_run_and_is_gone_with_it(tmp_path, place, capfd):
    write_images(tmp_path / "raw", 40)
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (255, 0, 0)).save(buffer, "PNG")
    (tmp_path / "raw/a/guilty.png").write_bytes(buffer.getvalue())
    options = {"transforms": [{HURTING: {"how": "abort"}}], "workers": 2}
    expected = run_dataset(make_settings_for(tmp_path, store="local", **options)).index.head
    before = state_of_process()
    settings = make_settings_for(tmp_path, engine="spark", **options)
    assert run_dataset(settings).index.head.digest == expected.digest
    assert expected.rows == 40
    (entry,) = quarantine_summary(settings)["quarantine"]
    assert (entry["key"], entry["reason"]) == ("a/guilty.png", "decoder_crashed")
    assert state_of_process() == before
    # A child that was given its last task a moment ago needs one to see that nobody is there.
    assert psutil.wait_procs(others(place), timeout=PATIENCE_S)[1] == []
    assert list(place.iterdir()) == []
    # The command line prints JSON there.
    assert capfd.readouterr() == ("", "")


@needs_spark
def test_a_context_that_the_process_has_is_worked_in_and_stays(place):
    from pyspark import SparkConf, SparkContext

    conf = SparkConf().setMaster("local[2,4]").setAppName("users").set("spark.ui.enabled", "false")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        context = SparkContext(conf=conf)
    try:
        with pytest.raises(StoreError, match="no space left"), engine_on() as engine:
            list(engine.map(work.find_a_full_disk, [[1]] * 5))
        with engine_on("local[2,4]") as engine:
            assert {item.result[0] for item in engine.map(work.double, [[1], [2], [3]])} == {2, 4, 6}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module.metadata, "version", lambda _: "0.0.9")
            assert "this is 0.0.9; install that" in refused()
        assert "task 1 lost its Spark worker, 4 in all" in refused(function=work.kill_the_parent_on_13, task=(13,))
        assert "has a Spark context at local[2,4], and Spark allows one" in refused("spark://127.0.0.1:1")
        assert context.parallelize([1, 2], 2).map(abs).sum() == 3
        # Children that wait for more of a job end by themselves, or with the process that started them.
    finally:
        gateway = SparkContext._gateway
        context.stop()
        gateway.shutdown()
        SparkContext._gateway = SparkContext._jvm = None
        spark_context._end(gateway.proc)
    assert psutil.wait_procs(others(place), timeout=PATIENCE_S)[1] == []


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of images enough for a dozen tasks, and the digest that they come to."""
    folder = tmp_path_factory.mktemp("spark")
    for number in range(300):
        path = folder / "raw" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(number, size=(800, 600)))
    return folder, run_dataset(make_settings_for(folder)).index.head.digest


@needs_spark
def test_workers_that_are_killed_in_the_middle_cost_nothing(source, tmp_path, spark_cluster):
    folder, digest = source
    settings = make_settings_for(folder, store=str(tmp_path / "store"), workers=2, engine=spark_cluster.address)
    victims = [spark_cluster.pythons, spark_cluster.executors]

    def kill(*_):
        if victims:
            victims.pop()()[0].kill()

    report = run_dataset(settings, on_shard=kill)
    assert victims == []
    assert report.index.head.digest == digest
    assert (report.counts.wanted, report.counts.new) == (300, 300)
    assert verify_dataset(settings).problems == ()
    assert psutil.wait_procs(spark_cluster.children(), timeout=PATIENCE_S)[1] == []


@needs_spark
@slow
def test_a_machine_that_is_lost_in_the_middle_costs_nothing(source, tmp_path, spark_cluster):
    folder, digest = source
    settings = make_settings_for(folder, store=str(tmp_path / "store"), workers=2, engine=spark_cluster.address)
    kills = [spark_cluster.kill_worker]
    report = run_dataset(settings, on_shard=lambda *_: kills.pop()() if kills else None)
    spark_cluster.add_worker()
    assert report.index.head.digest == digest
    assert report.counts.new == 300


@needs_spark
@pytest.mark.parametrize(
    ("where", "how"),
    [
        ("here", signal.SIGINT),
        ("here", signal.SIGKILL),
        pytest.param("here, at once", signal.SIGINT, marks=slow),
        pytest.param("cluster", signal.SIGINT, marks=slow),
        pytest.param("cluster", signal.SIGKILL, marks=slow),
    ],
)
def test_a_stopped_run_leaves_no_process_and_no_file(source, tmp_path, place, request, where, how):
    cluster = request.getfixturevalue("spark_cluster") if where == "cluster" else None
    folder, _ = source
    address = "spark" if cluster is None else cluster.address
    settings = make_settings_for(folder, store=str(tmp_path / "store"), workers=2, engine=address)
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_none=True)))
    with (tmp_path / "said").open("wb") as said:
        command = [sys.executable, "-m", "image_assets", "run", "--json", "--config", str(config)]
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)

    def started():
        found = others(place) if cluster is None else [*others(place), *cluster.children()]
        return [process for process in found if process.pid != run.pid]

    wait_for(lambda: run.poll() is not None or is_under_way(started(), where))
    assert run.poll() is None, (tmp_path / "said").read_text()
    processes = started()
    run.send_signal(how)
    run.wait(PATIENCE_S)
    # A child ends with its task, when nobody is there to take the result.
    assert psutil.wait_procs([*processes, *started()], timeout=PATIENCE_S)[1] == []
    assert "Traceback" not in (tmp_path / "said").read_text()
    # A killed run leaves its own folder, which the next one removes, and none of Spark's.
    wait_for(lambda: [each for each in place.iterdir() if not each.name.startswith("image-assets-scratch")] == [])


def is_under_way(processes, where):
    commands = [" ".join(process.cmdline()) for process in processes if process.is_running()]
    if where == "here, at once":
        return any("org.apache.spark" in command for command in commands)
    return sum("image_assets.engines.worker" in command for command in commands) >= 2


def wait_for(condition):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            if condition():
                return
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not come to it")


def test_an_address_where_no_master_can_be_is_refused_in_one_line():
    pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'image_assets[spark]'")
    assert "no Spark master answers at spark://127.0.0.1:" in refused(f"spark://127.0.0.1:{free_port()}")
    assert "no Spark master answers at spark://nowhere.invalid:7077,spark://x" in refused(
        "spark://nowhere.invalid:7077,spark://x"
    )
    assert "is no address of Spark's; known: spark://host:7077" in refused("mesos://127.0.0.1:5050")
    assert "on YARN set engine.host" in refused("yarn")


@needs_spark
@slow
def test_what_answers_and_is_no_master_is_refused_in_one_line(monkeypatch, place):
    monkeypatch.setattr(spark_context, "_REGISTER_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        said = refused(f"spark://127.0.0.1:{mute.getsockname()[1]}")
    assert "does not take the run" in said
    assert "its release must be that of pyspark here" in said
    assert others(place) == []


@needs_spark
@slow
def test_a_cluster_without_a_free_core_is_told_of_after_a_while(monkeypatch, spark_cluster):
    monkeypatch.setattr(module, "_NO_CORE_S", 3.0)
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.5)
    while spark_cluster.workers:
        spark_cluster.kill_worker()
    try:
        assert "has had no core for a task for 3 s" in refused(spark_cluster.address)
    finally:
        spark_cluster.add_worker()
        spark_cluster.add_worker()


@needs_spark
@slow
def test_a_python_that_is_not_on_the_workers_is_named(monkeypatch, spark_cluster):
    monkeypatch.setenv("PYSPARK_PYTHON", "/no/such/python")
    assert "no Python at /no/such/python; set PYSPARK_PYTHON" in refused(spark_cluster.address)


def test_without_java_it_says_what_to_install(tmp_path, monkeypatch, place):
    pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'image_assets[spark]'")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"Java 17 or newer; install it .*openjdk-17") as raised:
        next(iter(engine_on().map(work.double, [[1]])))
    assert "\n" not in str(raised.value)
    assert list(place.iterdir()) == []


def test_without_pyspark_its_install_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'image_assets\[spark\]'"):
        next(iter(engine_on().map(work.double, [[1]])))
