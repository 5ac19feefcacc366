"""A Spark context of a run's own: its JVM started without a word, and ended with all that it wrote to disk."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import psutil

from image_assets.core.errors import EngineError, MissingExtraError
from image_assets.engines.asking import own_address

if TYPE_CHECKING:
    from pyspark import SparkConf, SparkContext

# A master that accepts a connection and does not take the run by then is none, or one of another release. Spark tries
# as long.
_REGISTER_S, _REACH_S, _STOP_S = 60.0, 5.0, 10.0
# So often a task may lose its worker.
_LOSSES = 4
_BY_PYSPARK = ("SPARK_AUTH_SOCKET_TIMEOUT", "SPARK_BUFFER_SIZE")
# Beside an executor's heap: Python, image_assets and its libraries, before the first image.
_PYTHON_BYTES = 400 * 2**20
# The JVMs only pass bytes on, for which Java's quicker compiler is enough. Measured, processor seconds of a start and
# of 200 empty tasks: 5 and 7 in place of 9 and 13.
_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_NO_JAVA = ("JAVA_HOME", "/java:", "UnsupportedClassVersion")
_OURS = "spark.image_assets.run"


def own_context(address: str | None, workers: int, memory_bytes: int, host: str | None) -> "OwnContext":
    """Start a Spark context for a run; arguments as of :class:`image_assets.engines.spark_cluster.SparkCluster`.

    Raises:
        EngineError: there is no cluster at the address, or it does not take the run.
        MissingExtraError: there is no Java.
    """
    if address is not None and address.startswith("local"):
        address = None
    if address is not None and address != "yarn" and not address.startswith(("spark://", "k8s://")):
        raise EngineError(
            f"{address!r} is no address of Spark's; known: spark://host:7077, k8s://https://host:443, yarn"
        )
    if address == "yarn" and host is None:
        raise EngineError("on YARN set engine.host to the name or address under which its machines reach this one")
    _refuse_unreachable(address)
    here = host or own_address(address)
    settings = {"spark.driver.host": here}
    # A name given by hand may be one of a router's, and it is listened at all addresses that this machine has.
    settings["spark.driver.bindAddress"] = "0.0.0.0" if host else here  # noqa: S104
    return OwnContext({**settings, **_settings(address, workers, memory_bytes)})


def refuse_other(context: "SparkContext", address: str | None) -> None:
    """Accept a context that this process has already.

    Raises:
        EngineError: it is another run's, or not at the address.
    """
    if context.getConf().get(_OURS) is not None:
        raise EngineError("this process has another run on Spark, and Spark allows one; wait, or start a process")
    if address is not None and address != context.master:
        raise EngineError(
            f"this process has a Spark context at {context.master}, and Spark allows one; stop it, or leave out "
            f"engine.address ({address}) to work in it"
        )


class OwnContext:
    """The one Spark context that this process has, from its start to its end."""

    def __init__(self, settings: dict[str, str]) -> None:
        """Start it; as :func:`own_context`."""
        self._folder = tempfile.mkdtemp(prefix="image-assets-spark-")
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  as long as the JVM, which writes to it
        self._before = {name: os.environ.get(name) for name in _BY_PYSPARK}
        self._gateway: Any = None
        self._gateway_before: tuple[Any, Any] = (None, None)
        self._context: SparkContext | None = None
        try:
            self._launch(settings)
            self.context = self._context = self._start(settings)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the context and its JVM, and leave this process as it was."""
        ended = self.ended()
        try:
            if self._context is not None:
                if ended is not None:
                    # To stop what is gone only prints that it is.
                    self._context._jsc = None
                self._context.stop()
            if self._gateway is not None:
                self._gateway.shutdown()
        finally:
            self._forget()
            if self._gateway is not None:
                _end(self._gateway.proc)
            else:
                self._end_launch()
            self._errors.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def ended(self) -> str | None:
        """Return the last words of the JVM when it is gone, else None."""
        gone = self._gateway is not None and self._gateway.proc is not None and self._gateway.proc.poll() is not None
        return self.last_words() if gone else None

    def last_words(self) -> str:
        """Return what the JVM said last of an error."""
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 2**14))
        lines = [line.strip() for line in self._errors.read().decode("utf-8", "replace").splitlines()]
        telling = [line for line in lines if any(word in line for word in ("Exception", "Error", *_NO_JAVA))]
        return (telling or lines or ["it said nothing"])[-1][:300]

    def _launch(self, settings: dict[str, str]) -> None:
        """Start the JVM. It ends when this process does, whose end of a pipe is its input."""
        from pyspark import SparkConf
        from pyspark.errors import PySparkException
        from pyspark.java_gateway import launch_gateway

        # Without any handler, what py4j logs of a connection that ends would be printed.
        logging.getLogger("py4j").addHandler(logging.NullHandler())
        settings |= {
            "spark.local.dir": self._folder,
            "spark.driver.extraJavaOptions": f"{_JVM} -XX:-UsePerfData -Djava.io.tmpdir={self._folder}",
        }
        # What only a JVM that is not started yet can be told.
        first = ("spark.driver.memory", "spark.driver.extraJavaOptions", "spark.local.dir")
        conf = SparkConf(loadDefaults=False).setAll([(name, settings[name]) for name in first])
        launch: Callable[..., Any] = launch_gateway
        try:
            self._gateway = launch(conf, {"stdout": subprocess.DEVNULL, "stderr": self._errors})
        except (PySparkException, OSError) as error:
            words = self.last_words()
            if any(word in words for word in _NO_JAVA):
                raise MissingExtraError(
                    "Spark needs Java 17 or newer; install it (Debian: apt-get install openjdk-17-jre-headless) "
                    f"or set JAVA_HOME to where it is ({words})"
                ) from error
            raise EngineError(f"Spark's JVM could not start: {words}") from error
        # The JVM deletes it after all that was in it, so also when this process is killed.
        self._gateway.jvm.java.io.File(self._folder).deleteOnExit()

    def _end_launch(self) -> None:
        """End a JVM that was interrupted before it was reached: only its command line says that it is ours."""
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if any(self._folder in argument for argument in process.cmdline()):
                    process.kill()
                    process.wait(_STOP_S)

    def _start(self, settings: dict[str, str]) -> "SparkContext":
        from py4j.protocol import Py4JError
        from pyspark import SparkConf, SparkContext, __version__
        from pyspark.errors import PySparkException

        conf = SparkConf(_jvm=self._gateway.jvm)
        _fill(conf, settings)
        address = settings["spark.master"]
        watch = threading.Timer(_REGISTER_S, self._gateway.proc.kill)
        watch.daemon = True
        handler = signal.getsignal(signal.SIGINT)
        # A JVM whose context was stopped may be there, and is taken up again by whoever asks next.
        self._gateway_before = SparkContext._gateway, SparkContext._jvm
        SparkContext._gateway, SparkContext._jvm = self._gateway, self._gateway.jvm
        try:
            if address.startswith("spark://"):
                watch.start()
            context = SparkContext(conf=conf)
        except (Py4JError, PySparkException, OSError, ValueError) as error:
            late = watch.finished.is_set()
            why = f"no answer in {_REGISTER_S:g} s" if late else self.ended() or first_line(error)
            raise EngineError(
                f"Spark at {address} does not take the run: {why}; its release must be that of pyspark here "
                f"({__version__}), and what its master logs says more"
            ) from error
        finally:
            watch.cancel()
            # PySpark takes Ctrl-C for itself.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, handler)
        named = conf.get("spark.pyspark.python", os.environ.get("PYSPARK_PYTHON"))
        context.pythonExec = named if named and not address.startswith("local") else sys.executable
        return context

    def _forget(self) -> None:
        """Undo what PySpark leaves in this process."""
        from pyspark import SparkContext

        if self._gateway is not None and SparkContext._gateway is self._gateway:
            SparkContext._gateway, SparkContext._jvm = self._gateway_before
        for name, value in self._before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        sys.path[:] = [place for place in sys.path if not place.startswith(self._folder)]


def first_line(error: BaseException) -> str:
    """Return the line of an error that says what happened, without the calls that led there."""
    lines = [line.strip().removeprefix(": ") for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("at ", "An error occurred while calling"))]
    return (told or [type(error).__name__])[0][:500]


def _settings(address: str | None, workers: int, memory_bytes: int) -> dict[str, str]:
    """Return Spark's settings for a run; those with a ? stand back behind those of a spark-defaults.conf."""
    settings = {
        "spark.app.name": "image_assets",
        "spark.master": address or f"local[{workers},{_LOSSES}]",
        "spark.cores.max": str(workers),
        "spark.task.cpus": "1",
        "spark.task.maxFailures": str(_LOSSES),
        "spark.speculation": "false",
        "spark.python.worker.reuse": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.driver.memory": "640m",
        "?spark.executor.memory": "512m",
        "?spark.executor.extraJavaOptions": _JVM,
        _OURS: "true",
    }
    if address is None:
        # Its Python processes import from where this one does.
        settings["spark.executorEnv.PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    elif not address.startswith("spark://"):
        beside = (memory_bytes + _PYTHON_BYTES) // 2**20
        settings |= {"?spark.executor.instances": str(workers), "?spark.executor.memoryOverhead": f"{beside}m"}
    return settings


def _fill(conf: "SparkConf", settings: dict[str, str]) -> None:
    for name, value in settings.items():
        if name.startswith("?"):
            conf.setIfMissing(name[1:], value)
        else:
            conf.set(name, value)


def _refuse_unreachable(address: str | None) -> None:
    """Accept that something listens at one of the masters of an address.

    Raises:
        EngineError: nothing does.
    """
    if address is None or not address.startswith("spark://"):
        return
    reason: object = None
    for place in address.removeprefix("spark://").split(","):
        host, _, port = place.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
        except (OSError, ValueError) as error:
            reason = error
        else:
            return
    raise EngineError(f"no Spark master answers at {address} ({reason}); start it, or set engine.address")


def _end(process: "subprocess.Popen[bytes] | None") -> None:
    """End a JVM: it stops by itself when its input ends, or is killed."""
    if process is None or process.stdin is None:
        return
    with suppress(OSError):
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    process.kill()
    process.wait()
