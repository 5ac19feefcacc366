"""What the checks of quality look at: what is counted of a dataset, and of the snapshot that it is compared with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from image_assets.checks.base import Verdict
from image_assets.core.dataset_statistics import DatasetStatistics
from image_assets.settings.quality import QualitySettings


@dataclass(frozen=True, slots=True)
class Baseline:
    """The snapshot that a dataset is compared with: its number, what is counted of it, if the recipe is the same."""

    number: int
    statistics: DatasetStatistics
    same_recipe: bool


@dataclass(frozen=True, slots=True)
class QualityEvidence:
    """A dataset as the checks of quality see it.

    Of its images ``exact_duplicates`` have raw bytes that another, earlier one has as well. ``near_duplicates`` hang
    together with another by their looks; None when that is not known, which ``duplicates_note`` explains. Without
    ``baseline`` there is nothing to compare with, which ``baseline_note`` explains, and ``baseline_is_lost`` says that
    there should be. ``labels_wanted`` is false when the settings ask for none.
    """

    statistics: DatasetStatistics
    shards: Mapping[str, DatasetStatistics]
    exact_duplicates: int
    near_duplicates: int | None
    duplicates_note: str
    baseline: Baseline | None
    baseline_note: str
    baseline_is_lost: bool
    labels_wanted: bool


QualityCheck = Callable[[QualityEvidence, QualitySettings], Verdict]


def not_known(check: str, why: str) -> Verdict:
    """Return the verdict of a check that has nothing to judge: it does not fail, and says so; ``known`` is 0."""
    return Verdict(check, passed=True, sentence=f"Not known: {why}.", severity="warn", numbers={"known": 0})
