"""What a check returns, and what it looks at: facts and numbers only, so that it runs and is tested anywhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from image_assets.core.index import IndexHead
from image_assets.core.manifest import Manifest
from image_assets.settings.checks import CheckSettings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check found. ``error`` stops what it judges from being published, ``warn`` does not."""

    check: str
    passed: bool
    sentence: str
    severity: Literal["warn", "error"] = "error"
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def blocks(self) -> bool:
        """Whether it stops publication."""
        return not self.passed and self.severity == "error"


@dataclass(frozen=True, slots=True)
class ListingEvidence:
    """What the source holds against what the dataset holds.

    ``held`` images are in the dataset (at least one), ``lost`` of them are gone from the source, which now holds
    ``listed``.
    """

    source: str
    held: int
    lost: int
    listed: int


@dataclass(frozen=True, slots=True)
class ShardEvidence:
    """A shard's candidate manifest before its commit.

    ``listed`` is how many images the listing wants of the shard and ``vanished`` how many of them were gone when
    they were read. ``segment_problems`` says for each segment that is not sound what is wrong with it.
    """

    manifest: Manifest
    listed: int
    vanished: int
    segment_problems: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SplitEvidence:
    """How the images of an index (plain outputs, each counted once) are split; without splits all of it is nothing.

    ``by_label`` has of each label (None: without one) how many are in train, val, test; ``fractions`` is what they
    should be, None when nobody said. ``quarantined`` are kept out of all, ``unsplit`` are in none. ``leaking_groups``
    and ``leaking_contents`` are duplicate groups, and raw bytes, that are in more than one of the three.
    """

    by_label: Mapping[str | None, tuple[int, int, int]] = field(default_factory=dict)
    fractions: tuple[float, float, float] | None = None
    quarantined: int = 0
    unsplit: int = 0
    leaking_groups: int = 0
    leaking_contents: int = 0


@dataclass(frozen=True, slots=True)
class IndexEvidence:
    """An index: its head, how many rows its manifests promise, and what was counted in it."""

    head: IndexHead
    promised_rows: int
    counted_rows: int
    distinct_ids: int
    missing_shards: tuple[str, ...]
    splits: SplitEvidence = field(default_factory=SplitEvidence)


@dataclass(frozen=True, slots=True)
class VectorEvidence:
    """The vector file beside the index: rows compared one by one."""

    index_rows: int
    vector_rows: int
    misaligned_rows: int
    not_finite_rows: int


ListingCheck = Callable[[ListingEvidence, CheckSettings], Verdict]
ShardCheck = Callable[[ShardEvidence, CheckSettings], Verdict]
IndexCheck = Callable[[IndexEvidence, CheckSettings], Verdict]
VectorCheck = Callable[[VectorEvidence, CheckSettings], Verdict]
