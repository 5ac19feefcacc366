"""What the checks said last, of everything that is still there."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from image_assets.core.index import IndexHead
from image_assets.core.sharding import shard_names
from image_assets.storage.store import Store
from image_assets.storage.verdicts import last_verdicts

PASSED, WARNED, FAILED, UNKNOWN = "passed", "warning", "failed", "not known"
# In which order they are shown.
OUTCOMES = (FAILED, WARNED, UNKNOWN, PASSED)


@dataclass(frozen=True, slots=True)
class Said:
    """One check's last word on a shard, on the index, or on what is made of it."""

    subject: str
    check: str
    outcome: str
    sentence: str


def last_words(store: Store, index: IndexHead, followers: Iterable[str]) -> tuple[Said, ...]:
    """Return the last verdicts, the worst first; of shards of an earlier layout and followers not wanted none.

    Raises:
        StoreError: the store does not answer.
    """
    there = {*shard_names(index.num_shards), "training_index", *followers}
    last = last_verdicts(store, there)
    said = [Said(subject, check, _outcome(row), row["sentence"]) for (subject, check), row in last.items()]
    return tuple(sorted(said, key=lambda one: (OUTCOMES.index(one.outcome), one.check, one.subject)))


def _outcome(row: Mapping[str, Any]) -> str:
    if not row["passed"]:
        return FAILED if row["severity"] == "error" else WARNED
    return PASSED if json.loads(row["numbers"]).get("known", 1) else UNKNOWN
