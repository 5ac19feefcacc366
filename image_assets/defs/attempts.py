"""What the sensor remembers in its cursor: how often a state was asked for, and a listing under way."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from image_assets.settings.triggers import TriggerSettings

# Two states of one shard that share 48 bits of their hash are not met.
_SHORT_BYTES = 6


def short_version(version: str) -> str:
    """Return a hash of a data version for the cursor, which is copied into every tick and may hold 64 shards."""
    return hashlib.blake2b(version.encode(), digest_size=_SHORT_BYTES).hexdigest()


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
    def from_json(cls, content: Any) -> "Attempts":
        """Return the attempts in a part of a cursor; none when it is of another kind."""
        try:
            return cls({name: Attempt(str(version), *rest) for name, (version, *rest) in content.items()})
        except (ValueError, TypeError, AttributeError):
            return cls({})

    def to_json(self) -> dict[str, list[Any]]:
        """Return the same for a cursor."""
        # Rounded down: a state is not due later than it was to be.
        return {name: [item.version, item.count, int(item.asked_at)] for name, item in self.open.items()}

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


@dataclass(frozen=True, slots=True)
class Cursor:
    """All that the sensor remembers from tick to tick; without it nothing is lost, only done again.

    ``partial`` is the name of a listing under way. ``pending`` is the number of a snapshot of the source that was
    looked at while a run was under way, so that it has to be looked at again.
    """

    attempts: Attempts = field(default_factory=lambda: Attempts({}))
    partial: str | None = None
    pending: int | None = None

    @classmethod
    def from_text(cls, text: str | None) -> "Cursor":
        """Return what a cursor says: nothing when it is empty or from another version, of older ones the attempts."""
        try:
            content = json.loads(text or "{}")
            if "attempts" not in content:
                # Older versions kept nothing else, and versions in full.
                return cls(
                    Attempts.from_json({name: [short_version(v), *rest] for name, (v, *rest) in content.items()})
                )
            attempts, partial, pending = (content.get(name) for name in ("attempts", "partial", "pending"))
        except (ValueError, TypeError, AttributeError):
            return cls()
        return cls(
            Attempts.from_json(attempts),
            partial if isinstance(partial, str) else None,
            pending if isinstance(pending, int) else None,
        )

    def to_text(self) -> str:
        """Return the cursor."""
        content = {"attempts": self.attempts.to_json(), "partial": self.partial, "pending": self.pending}
        return json.dumps({name: value for name, value in content.items() if value is not None}, separators=(",", ":"))
