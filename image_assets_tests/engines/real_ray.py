"""A Ray cluster of two nodes as a team would start it, on the loopback of this machine."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from image_assets_tests.engines.marking import MARK, marked
from image_assets_tests.servers import free_port

# More than a start takes on a slow and busy machine.
PATIENCE_S = 120.0


@contextmanager
def real_ray(*, cores: int = 2) -> Iterator["RealRay"]:
    """Start a head with a Ray Client port and a second node; when the block ends nothing of them is left."""
    # Ray's sockets lie in it, and their names must be short.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    cluster = RealRay(folder, cores)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def on_tasks(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those of Ray's worker processes that are on a task of a run."""
    return [process for process in processes if _command(process)[:1] == ["ray::image_assets"]]


class RealRay:
    """Two nodes with so many cores each; ``address`` is for Ray Client, ``head`` for a driver on one of the nodes."""

    def __init__(self, folder: Path, cores: int) -> None:
        self._folder = folder
        self._cores = cores
        self._started = 1
        self.head = f"127.0.0.1:{free_port()}"
        self.address = f"ray://127.0.0.1:{free_port()}"

    def start(self) -> None:
        (self._folder / "ray").mkdir()
        with (self._folder / "said").open("wb") as out:
            command = [sys.executable, "-c", "from image_assets_tests.engines.real_ray import host; host()"]
            command += [str(self._cores), *(a.rpartition(":")[2] for a in (self.head, self.address))]
            self._host = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True, env=self._environment()
            )
        self._await_nodes(1)
        self.add_worker()

    def add_worker(self) -> None:
        """Start a node beside those that there are."""
        self._started += 1
        self._host.stdin.write(b"add\n")
        self._host.stdin.flush()
        self._await_nodes(self._started)

    @property
    def workers(self) -> list[int]:
        """The processes of Ray that run tasks, on all nodes; Ray starts them when it needs them."""
        return [p.pid for p in self.processes() if _command(p)[:1] in (["ray::image_assets"], ["ray::IDLE"])]

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return len(self._raylets())

    def kill_worker(self) -> None:
        """End the youngest node as a machine ends that loses its power; ``add_worker`` starts another."""
        for process in self.last_node():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def last_node(self) -> list[psutil.Process]:
        """The processes of the youngest node."""
        node = max(self._raylets(), key=psutil.Process.create_time)
        return [node, *node.children(recursive=True)]

    def processes(self) -> list[psutil.Process]:
        """Every process that came of this cluster, its tasks' included."""
        return marked(str(self._folder))

    def stop(self) -> None:
        while left := self.processes():
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._host.wait()
            psutil.wait_procs(left, timeout=5)
        self._host.stdin.close()

    def _raylets(self) -> list[psutil.Process]:
        return [process for process in self.processes() if "--raylet_socket_name" in " ".join(_command(process)[1:2])]

    def _await_nodes(self, number: int) -> None:
        said = self._folder / "said"
        until = time.monotonic() + PATIENCE_S
        while said.read_bytes().count(b"node is up") < number:
            assert self._host.poll() is None, said.read_text()
            assert time.monotonic() < until, said.read_text()
            time.sleep(0.1)

    def _environment(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        ours = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(self._folder)}
        # The head forks to start the server of a client, which does not always live with the handlers of gRPC.
        ours |= {"GRPC_ENABLE_FORK_SUPPORT": "0"}
        # A busy machine starts such a server slowly.
        ours |= {"RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": str(int(PATIENCE_S))}
        # A lost node is noticed after this five times: 15 s by default.
        ours |= {"RAY_health_check_period_ms": "500"}
        # It lets everything listen at the loopback alone.
        ours |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        return {**plain, **ours, "PYTHONPATH": os.pathsep.join(sys.path), MARK: str(self._folder)}


def host() -> None:
    """In a process of its own: start a head, then a node for each line that comes in."""
    from ray.cluster_utils import Cluster

    cores, port, client_port = sys.argv[1:]
    cluster = Cluster()
    node = {"num_cpus": int(cores), "memory": int(cores) * 2**30, "object_store_memory": 100 * 2**20}
    node["node_ip_address"] = "127.0.0.1"
    head = {"gcs_server_port": int(port), "ray_client_server_port": int(client_port), "include_dashboard": False}
    cluster.add_node(**node, **head)
    print("node is up", flush=True)
    for _ in sys.stdin:
        cluster.add_node(**node)
        print("node is up", flush=True)


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []
