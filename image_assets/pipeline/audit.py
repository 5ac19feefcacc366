"""Judge before publishing: gather what the checks need and run every one of them."""

from image_assets.checks import SHARD_CHECKS
from image_assets.checks.base import ShardEvidence, Verdict
from image_assets.core.errors import StoreError
from image_assets.core.manifest import Manifest, ManifestHead
from image_assets.settings import Settings
from image_assets.storage.manifests import read_manifest
from image_assets.storage.segments import iter_segments, segment_digest
from image_assets.storage.store import Store


def audit_shard(
    settings: Settings, store: Store, manifest: Manifest, seen: tuple[int, int, frozenset[str]]
) -> tuple[Verdict, ...]:
    """Return every shard check's verdict on a candidate manifest.

    Args:
        seen: how many images were listed, how many of them vanished, and which segments there were before this run:
            those are only looked for, the new ones are read back and hashed.

    Raises:
        StoreError: the store does not answer.
    """
    listed, vanished, present = seen
    problems = _segment_problems(store, manifest, present)
    evidence = ShardEvidence(manifest, listed, vanished, problems)
    return tuple(check(evidence, settings.checks) for check in SHARD_CHECKS.values())


def judge_commit(settings: Settings, head: ManifestHead) -> tuple[Verdict, ...]:
    """Return every shard check's verdict on a commit that stays; its segments are looked for, not read.

    Raises:
        StoreError: the store does not answer or the manifest is damaged.
    """
    store = Store(settings.store)
    manifest = read_manifest(store, head.shard, head.number)
    return audit_shard(settings, store, manifest, (head.images, 0, frozenset(iter_segments(store, head.recipe_id))))


def _segment_problems(store: Store, manifest: Manifest, present: frozenset[str]) -> dict[str, str]:
    problems = {}
    for name in manifest.rows["segment"].unique().drop_null().to_pylist():
        if name in present:
            continue
        try:
            if segment_digest(store, manifest.head.recipe_id, name) != name:
                problems[name] = "does not hold what was written"
        except StoreError as error:
            problems[name] = f"cannot be read back ({error})"
    return problems
