"""What follows every new index: vectors, duplicates, exports …, each an entry of one table and doing what is new."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from image_assets.checks import QUALITY_CHECKS, VECTOR_CHECKS
from image_assets.checks.base import Verdict
from image_assets.core.errors import ImageAssetsError
from image_assets.core.perceptual import METHOD
from image_assets.features import features_word
from image_assets.pipeline.annotating import build_placed_annotations, placed_annotations_version
from image_assets.pipeline.auto_labels import auto_labels_version, build_auto_labels
from image_assets.pipeline.duplicates import build_duplicates
from image_assets.pipeline.embedding import build_vectors
from image_assets.pipeline.exporting import write_exports
from image_assets.pipeline.monitoring.steps import step
from image_assets.pipeline.progress import stage
from image_assets.pipeline.quality import build_quality, quality_version
from image_assets.pipeline.report.building import build_report, report_version
from image_assets.pipeline.shard_exports import is_sharded, write_shard_exports
from image_assets.pipeline.similarity_index import build_similarity, similarity_version
from image_assets.pipeline.warehouse_bigquery import bigquery_version, build_bigquery
from image_assets.settings import Settings
from image_assets.storage.identity import open_store
from image_assets.storage.indexes import latest_index
from image_assets.storage.verdicts import keep_verdicts


class FollowReport(Protocol):
    """What a follower did."""

    @property
    def index_digest(self) -> str:
        """The digest of the index that it follows now."""
        ...

    @property
    def facts(self) -> Mapping[str, str | int | float]:
        """What to show of it."""
        ...

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What its checks said; empty when it has none."""
        ...


@dataclass(frozen=True, slots=True)
class Follower:
    """Something that is made of each new index.

    ``build`` brings it in line with the newest index and does only what is new; ``judge`` also judges again what stays.
    ``version`` is one word for what of the settings and the method decides it. ``after`` names the followers that it
    is made of, ``checks`` those that its verdicts are of.
    """

    wanted: Callable[[Settings], bool]
    build: Callable[[Settings], FollowReport]
    version: Callable[[Settings], str]
    description: str
    kinds: frozenset[str] = frozenset({"parquet"})
    after: tuple[str, ...] = ()
    checks: Mapping[str, object] = field(default_factory=dict)
    judge: Callable[[Settings], FollowReport] | None = None


# In the order in which they are built.
FOLLOWERS: dict[str, Follower] = {
    "feature_vectors": Follower(
        wanted=lambda settings: settings.features.extractor != "none",
        build=partial(build_vectors, rejudge=False),
        judge=build_vectors,
        version=lambda settings: features_word(settings.features),
        description="One vector a row of the index, in the same order: `feature_vectors.parquet`.",
        kinds=frozenset({"onnx", "parquet"}),
        checks=VECTOR_CHECKS,
    ),
    "similarity_index": Follower(
        wanted=lambda settings: settings.similarity.approximate,
        build=build_similarity,
        version=similarity_version,
        description="An approximate index of the vectors, for searching in many images: `similarity/`.",
        kinds=frozenset({"usearch"}),
        after=("feature_vectors",),
    ),
    "auto_labels": Follower(
        wanted=lambda settings: settings.auto_labels.enabled,
        build=build_auto_labels,
        version=auto_labels_version,
        description="Labels told from the vectors, beside those of people: `auto_labels.parquet`.",
        after=("feature_vectors",),
    ),
    "duplicate_groups": Follower(
        wanted=lambda settings: settings.duplicates.enabled,
        build=build_duplicates,
        version=lambda settings: f"{METHOD}-{settings.duplicates.distance_bits}",
        description="Of each row of the index the images that are the same, or nearly: `duplicates.parquet`.",
    ),
    "annotations": Follower(
        wanted=lambda settings: settings.annotations.enabled,
        build=build_placed_annotations,
        version=placed_annotations_version,
        description="Boxes, polygons, masks and classes in pixels of each image of the index: `annotations.parquet`.",
    ),
    "image_quality": Follower(
        wanted=lambda settings: settings.quality.enabled,
        build=build_quality,
        version=quality_version,
        description="Of each row of the index what was measured and what is wrong: `image_quality.parquet`.",
        after=("duplicate_groups",),
        checks=QUALITY_CHECKS,
    ),
    "dataset_report": Follower(
        wanted=lambda settings: settings.report.enabled,
        build=build_report,
        version=report_version,
        description="A page for people without Dagster, with pictures and all that was counted: `report.html`.",
        kinds=frozenset({"html"}),
        after=("feature_vectors", "auto_labels", "duplicate_groups", "image_quality"),
    ),
    "bigquery_tables": Follower(
        wanted=lambda settings: settings.warehouse.bigquery is not None,
        build=build_bigquery,
        version=bigquery_version,
        description="The index and the manifests as tables of BigQuery, replaced whole when they changed.",
        kinds=frozenset({"bigquery"}),
    ),
}


def wanted_followers(settings: Settings) -> dict[str, Follower]:
    """Return what the settings want made of each index, in the order of building; exports of a file a shard are last.

    Raises:
        ConfigError: a format does not exist.
    """
    wanted = {name: follower for name, follower in FOLLOWERS.items() if follower.wanted(settings)}
    # One that is made of another goes without it where that one is not wanted.
    for name, follower in wanted.items():
        wanted[name] = replace(follower, after=tuple(other for other in follower.after if other in wanted))
    return wanted | {name: _export(name) for name in settings.exports if is_sharded(name)}


def follow_index(settings: Settings, *, rejudge: bool) -> dict[str, FollowReport]:
    """Bring all that the settings want in line with the newest index; return the reports by name.

    One that fails keeps only those from being built that are made of it; the first error is raised at the end.

    Args:
        rejudge: also judge again what stays as it is.

    Raises:
        ImageAssetsError: as these steps do.
        OSError: there is no room for a file.
    """
    reports: dict[str, FollowReport] = {}
    failed: dict[str, ImageAssetsError | OSError] = {}
    for name, follower in wanted_followers(settings).items():
        if failed.keys() & set(follower.after):
            continue
        try:
            reports[name] = build_follower(settings, name, follower, rejudge=rejudge)
        except (ImageAssetsError, OSError) as error:
            # What is not made of it is built all the same.
            failed[name] = error
    write_exports(open_store(settings), [name for name in settings.exports if not is_sharded(name)])
    if failed:
        raise next(iter(failed.values()))
    return reports


def build_follower(settings: Settings, name: str, follower: Follower, *, rejudge: bool) -> FollowReport:
    """Bring one of them in line with the newest index, and keep what its checks said.

    Args:
        rejudge: also judge again what stays as it is.

    Raises:
        ImageAssetsError: as the step does.
        OSError: there is no room for a file.
    """
    with step(settings, name) as facts:
        with stage(name.replace("_", " ")):
            report = (follower.judge if rejudge and follower.judge else follower.build)(settings)
        facts.update({f"image_assets.{fact}": value for fact, value in report.facts.items()})
        if report.verdicts:
            store = open_store(settings)
            keep_verdicts(store, latest_index(store), {name: report.verdicts}, at=datetime.now(UTC))
        return report


def _export(name: str) -> Follower:
    return Follower(
        wanted=lambda settings: name in settings.exports,
        build=lambda settings: write_shard_exports(open_store(settings), name),
        version=lambda _: name,
        description=f"The images of the index as {name} in `exports/{name}/`; only what changed is written.",
        kinds=frozenset({name}),
    )
