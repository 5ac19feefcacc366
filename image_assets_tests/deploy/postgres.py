"""A real PostgreSQL on 127.0.0.1, in a folder of its own, that a test can stop and start again."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from image_assets_tests.servers import PATIENCE_S, _end_with_parent, free_port

USER, DATABASE = "dagster", "dagster"
# Characters that a URL gives a meaning to.
PASSWORD = "a/b:c@d#e%f$g"


class Postgres:
    """Runs while the ``with`` block does; ``programs`` is the folder of initdb and postgres."""

    def __init__(self, programs: Path) -> None:
        self.port = free_port()
        self._programs = programs

    def __enter__(self) -> "Postgres":
        # It refuses to be root, and who it is then cannot look into the folders of root's tests.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        secret = self._folder / "secret"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self._folder, secret):
                shutil.chown(path, "postgres")
        options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}", "--no-sync", "--no-locale"]
        self._run("initdb", "-D", str(self._data), "--encoding=UTF8", *options)
        self.start()
        self._ask("createdb", DATABASE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start it; return when it takes connections."""
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._data), *settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
                preexec_fn=_end_with_parent, **_other_user(),  # noqa: PLW1509  it only asks the kernel
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        ask = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ask, check=False).returncode:
            assert self._process.poll() is None, (self._folder / "postgres.log").read_text()[-2_000:]
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once for everybody who is connected, as a restart of its machine does."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(PATIENCE_S)

    def backup(self, path: Path) -> None:
        """Write what the documentation calls a backup."""
        self._ask("pg_dump", "-Fc", "-f", str(path), DATABASE)

    def lose(self, backup: Path | None = None) -> None:
        """Replace the database by an empty one, or by a backup."""
        self._ask("dropdb", "--force", DATABASE)
        self._ask("createdb", DATABASE)
        if backup is not None:
            self._ask("pg_restore", "-d", DATABASE, str(backup))

    def environment(self) -> Mapping[str, str]:
        """Return what dagster.postgres.yaml asks the environment for."""
        return {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(self.port),
            "DAGSTER_PG_USER": USER,
            "DAGSTER_PG_PASSWORD": PASSWORD,
            "DAGSTER_PG_DB": DATABASE,
        }

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _ask(self, program: str, *words: str) -> None:
        """Run a client of it, as whoever runs the tests."""
        command = [str(self._programs / program), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, *words]
        done = subprocess.run(
            command, env={**os.environ, "PGPASSWORD": PASSWORD}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False, **_other_user())
        assert done.returncode == 0, done.stderr


def _other_user() -> dict[str, int]:
    if os.geteuid():
        return {}
    found = pwd.getpwnam("postgres")
    return {"user": found.pw_uid, "group": found.pw_gid}
