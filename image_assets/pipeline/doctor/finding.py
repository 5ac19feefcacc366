"""One line of what the doctor says."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, what was found, and what to do about it (empty when nothing needs doing)."""

    subject: str
    level: Level
    found: str
    remedy: str = ""
