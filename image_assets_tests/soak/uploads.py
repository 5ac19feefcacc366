"""Uploads, changes, renames, deletions and broken files for some minutes, while runs and servers are killed."""

import random
import time
from collections import Counter
from pathlib import Path

from image_assets_tests.soak.backfill import settings_of
from image_assets_tests.soak.deployment import Deployment, make_folder, remove_folder
from image_assets_tests.soak.judging import (
    Verdict,
    commits_of,
    judge_commits,
    judge_memory,
    judge_processes,
    judge_runs,
    judge_store,
    judge_ui,
    run_facts,
)
from image_assets_tests.soak.killing import Killer
from image_assets_tests.soak.memory import Memory
from image_assets_tests.soak.options import Options
from image_assets_tests.soak.photographs import LABELS, fill, odd_file, photograph, put
from image_assets_tests.soak.quiet import wait_until_quiet
from image_assets_tests.soak.report import print_facts, print_memory, print_verdicts

# What happens to the folder, how often relative to the others.
ACTIONS = {
    "add": 8,
    "add many": 1,
    "change": 4,
    "rename": 3,
    "delete": 3,
    "break": 2,
    "repair": 2,
    "copy": 1,
    "touch": 1,
}
_MANY = 40
_PAUSE_S = 1.5
_QUIET_TIMEOUT_S = 900.0


class Uploader:
    """Changes a folder as people do; what is drawn from the seed."""

    def __init__(self, raw: Path, seed: int, first: int) -> None:
        self.done: Counter[str] = Counter()
        self._raw = raw
        self._random = random.Random(f"uploads {seed}")
        self._next = first

    def act(self) -> None:
        """Do one thing to the folder."""
        (action,) = self._random.choices(list(ACTIONS), list(ACTIONS.values()))
        present = sorted(path for path in self._raw.rglob("*.jpg") if not path.name.startswith("."))
        chosen = self._random.choice(present)
        key = chosen.relative_to(self._raw).as_posix()
        if action in ("add", "add many"):
            for _ in range(_MANY if action == "add many" else self._random.randint(1, 3)):
                put(self._raw, self._new_key(), photograph(self._number()))
        elif action in ("change", "repair"):
            put(self._raw, key, photograph(self._number()))
        elif action == "break":
            put(self._raw, key, odd_file(self._number()))
        elif action == "copy":
            put(self._raw, self._new_key(), chosen.read_bytes())
        elif action == "rename":
            self._rename(chosen)
        elif action == "delete":
            chosen.unlink()
        else:
            chosen.touch()
        self.done[action] += 1

    def _rename(self, chosen: Path) -> None:
        target = self._raw / self._new_key()
        target.parent.mkdir(parents=True, exist_ok=True)
        chosen.rename(target)

    def _new_key(self) -> str:
        return f"{self._random.choice(LABELS)}/{self._number()}.jpg"

    def _number(self) -> int:
        self._next += 1
        return self._next


def soak_uploads(options: Options) -> bool:
    """Upload for some minutes under kills; return whether every claim holds at the end."""
    folder = make_folder(options.folder)
    deployment = Deployment(folder, "soak", options.postgres, **settings_of(options))
    raw = Path(deployment.settings.source.path)
    fill(raw, options.images)
    uploader = Uploader(raw, options.seed, first=1_000_000)
    holds = True
    with deployment:
        deployment.start("daemon")
        killer = Killer(deployment, options)
        memory = Memory(deployment)
        memory.start()
        killer.start()
        pauses = random.Random(f"pauses {options.seed}")
        until = time.monotonic() + 60 * options.minutes
        try:
            while time.monotonic() < until:
                uploader.act()
                time.sleep(pauses.expovariate(1 / _PAUSE_S))
        finally:
            killer.stop()
        quiet = wait_until_quiet(deployment, _QUIET_TIMEOUT_S)
        memory.stop()
        commits = sum(map(len, commits_of(deployment).values()))
        print_facts({"uploads": dict(uploader.done), "kills": dict(killer.counts()), "the sensor is quiet": quiet,
                     "runs": run_facts(deployment), "commits": commits})  # fmt: skip
        print_memory(memory)
        holds &= print_verdicts(judge_memory(memory))
        holds &= print_verdicts([Verdict("the sensor comes to an end by itself", quiet.startswith("after"), quiet)])
        for judge in (judge_runs(deployment), judge_ui(deployment), judge_commits(deployment, None)):
            holds &= print_verdicts(judge)
        holds &= print_verdicts(judge_store(deployment))
    holds &= print_verdicts(judge_processes(deployment))
    if options.folder is None and holds:
        remove_folder(folder)
    else:
        print(f"kept in {folder}")
    return holds
