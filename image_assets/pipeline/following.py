"""What follows every new index: vectors, duplicates, exports …, each an entry of one table and doing what is new."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from image_assets.checks import VECTOR_CHECKS
from image_assets.checks.base import Verdict
from image_assets.core.perceptual import METHOD
from image_assets.pipeline.duplicates import build_duplicates
from image_assets.pipeline.embedding import build_vectors
from image_assets.pipeline.exporting import write_exports
from image_assets.pipeline.shard_exports import ShardExport, is_sharded, write_shard_exports
from image_assets.settings import Settings
from image_assets.storage.identity import open_store
from image_assets.storage.store import Store


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
        version=lambda settings: settings.features.extractor,
        description="One vector a row of the index, in the same order: `feature_vectors.parquet`.",
        kinds=frozenset({"onnx", "parquet"}),
        checks=VECTOR_CHECKS,
    ),
    "duplicate_groups": Follower(
        wanted=lambda settings: settings.duplicates.enabled,
        build=build_duplicates,
        version=lambda settings: f"{METHOD}-{settings.duplicates.distance_bits}",
        description="Of each row of the index the images that are the same, or nearly: `duplicates.parquet`.",
    ),
}


def wanted_followers(settings: Settings) -> dict[str, Follower]:
    """Return what the settings want made of each index, in the order of building; exports of a file a shard are last.

    Raises:
        ConfigError: a format does not exist.
    """
    wanted = {name: follower for name, follower in FOLLOWERS.items() if follower.wanted(settings)}
    return wanted | {name: _export(name) for name in settings.exports if is_sharded(name)}


def follow_index(settings: Settings, *, rejudge: bool) -> dict[str, FollowReport]:
    """Bring all that the settings want in line with the newest index; return the reports by name.

    Args:
        rejudge: also judge again what stays as it is.

    Raises:
        ImageAssetsError: as these steps do.
        OSError: there is no room for a file.
    """
    reports: dict[str, FollowReport] = {}
    for name, follower in wanted_followers(settings).items():
        reports[name] = (follower.judge if rejudge and follower.judge else follower.build)(settings)
    write_exports(open_store(settings), [name for name in settings.exports if not is_sharded(name)])
    return reports


def write_all_exports(store: Store, names: Sequence[str]) -> list[ShardExport]:
    """Bring every export in line with the newest index; return what became of those with a file a shard.

    Raises:
        ConfigError: a format does not exist.
        DatasetError: nothing was published in the store.
        StoreError: the store does not answer or is damaged.
        OSError: there is no room for a file.
    """
    write_exports(store, [name for name in names if not is_sharded(name)])
    return [write_shard_exports(store, name) for name in names if is_sharded(name)]


def _export(name: str) -> Follower:
    return Follower(
        wanted=lambda settings: name in settings.exports,
        build=lambda settings: write_shard_exports(open_store(settings), name),
        version=lambda _: name,
        description=f"The images of the index as {name}: one file a shard in `exports/{name}/`.",
        kinds=frozenset({name}),
    )
