"""What a child process is asked to do and what it says of it, as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from image_assets.settings import Settings
from image_assets_tests.faults.shim import Fault, Point


@dataclass(frozen=True, slots=True)
class Job:
    """One run in a child of its own.

    Attributes:
        folder: of the child alone: its TMPDIR lies there, and what it says.
        shards: these alone; empty: the whole job.
        delay_s: slept before the start.
        watch: count every call that changes the store or the temporary folder; ``fault`` needs it.
        obey_modes: a superuser gives up the right to read and write what file modes forbid.
        environment: what its environment has beside that of the zygote.
    """

    settings: Settings
    folder: Path
    shards: tuple[str, ...] = ()
    fault: Fault | None = None
    watch: bool = False
    delay_s: float = 0.0
    obey_modes: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def temporary(self) -> Path:
        """Its TMPDIR."""
        return self.folder / "tmp"

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain data."""
        plain = {name: getattr(self, name) for name in ("shards", "watch", "delay_s", "obey_modes", "environment")}
        fault = asdict(self.fault) if self.fault is not None else None
        return {**plain, "settings": self.settings.model_dump(mode="json"), "folder": str(self.folder), "fault": fault}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Job":
        """Return the job that :meth:`to_json` made plain."""
        fault = Fault(**plain["fault"]) if plain["fault"] is not None else None
        settings = Settings.model_validate(plain["settings"])
        shards, folder = tuple(plain["shards"]), Path(plain["folder"])
        return cls(**{**plain, "settings": settings, "folder": folder, "shards": shards, "fault": fault})


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a child: the signal that killed it (0: none), the error that it met, what it did."""

    signal: int
    error: str | None
    text: str
    traceback: str
    points: tuple[Point, ...]
    decoded: int

    @classmethod
    def read(cls, folder: Path, signal: int) -> "Result":
        """Return what a child left in its folder; a killed one leaves its decodes alone."""
        rendered = folder / "rendered"
        decoded = rendered.stat().st_size if rendered.exists() else 0
        said = folder / "said.json"
        if not said.exists():
            # One that ended by itself and says nothing did not end well.
            return cls(signal, None if signal else "no answer", "", "", (), decoded)
        plain = json.loads(said.read_text())
        points = tuple(Point(*point) for point in plain.pop("points"))
        return cls(signal=signal, decoded=decoded, points=points, **plain)
