"""How often a state was asked for: bounded retries with backoff, kept in the sensor's cursor."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from image_assets.settings import TriggerSettings


@dataclass(frozen=True, slots=True)
class Attempt:
    """A state that was asked for and is not there yet; ``asked_at`` is seconds since 1970."""

    version: str
    count: int
    asked_at: float


@dataclass(frozen=True, slots=True)
class Attempts:
    """Open attempts by what they are for: a shard, or an asset without partitions."""

    open: Mapping[str, Attempt]

    @classmethod
    def from_cursor(cls, cursor: str | None) -> "Attempts":
        """Return the attempts in a cursor; none when it is empty or from another version."""
        try:
            content = json.loads(cursor or "{}")
            return cls({name: Attempt(*fields) for name, fields in content.items()})
        except (ValueError, TypeError, AttributeError):
            return cls({})

    def to_cursor(self) -> str:
        """Return the cursor."""
        return json.dumps({name: [item.version, item.count, item.asked_at] for name, item in self.open.items()})

    def due(self, wanted: Mapping[str, str], settings: TriggerSettings, now: float) -> list[str]:
        """Return what to ask for now, of what is wanted and not there: name to version.

        A new version is due at once. The same one is due again after a backoff that doubles, until it was asked for
        ``max_attempts`` times.
        """
        return [name for name, version in wanted.items() if self._is_due(name, version, settings, now)]

    def exhausted(self, wanted: Mapping[str, str], settings: TriggerSettings) -> list[str]:
        """Return what is wanted and not there and will not be asked for again."""
        return [
            name
            for name, version in wanted.items()
            if (last := self.open.get(name)) is not None
            and last.version == version
            and last.count >= settings.max_attempts
        ]

    def after(self, wanted: Mapping[str, str], asked: Iterable[str], now: float) -> "Attempts":
        """Return the attempts after asking; what is no longer wanted is forgotten, so a new upload starts at one."""
        asked = set(asked)
        still = {name: item for name, item in self.open.items() if wanted.get(name) == item.version}
        for name in asked:
            before = still.get(name)
            still[name] = Attempt(wanted[name], (before.count if before is not None else 0) + 1, now)
        return Attempts(still)

    def _is_due(self, name: str, version: str, settings: TriggerSettings, now: float) -> bool:
        last = self.open.get(name)
        if last is None or last.version != version:
            return True
        return last.count < settings.max_attempts and now >= last.asked_at + _backoff_s(settings, last.count)


def _backoff_s(settings: TriggerSettings, count: int) -> float:
    return float(settings.backoff_s * 2 ** (count - 1))
