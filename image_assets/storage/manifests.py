"""Reading and committing the manifests of a shard."""

from image_assets.core.errors import CommitConflictError
from image_assets.core.manifest import MANIFEST_SCHEMA, Manifest, ManifestHead, head_from_json, head_to_json
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets.storage.tables import parse_head, read_head, read_table, to_parquet

_SINCE_VERSION_2 = [MANIFEST_SCHEMA.field(name) for name in ("first_seen", "attempts")]
_SINCE_VERSION_3 = [MANIFEST_SCHEMA.field("extra")]


def latest_commit(store: Store, shard: str) -> int:
    """Return the number of a shard's last commit, 0 when it has none.

    Raises:
        StoreError: the store does not answer.
    """
    return max((layout.number_of(file.path) for file in store.list(layout.manifests_of(shard))), default=0)


def latest_head(store: Store, shard: str) -> ManifestHead | None:
    """Return the head of a shard's last commit, or None when it has none.

    Raises:
        StoreError: the store does not answer or the file is damaged.
    """
    number = latest_commit(store, shard)
    return read_manifest_head(store, shard, number) if number else None


def read_manifest_head(store: Store, shard: str, number: int) -> ManifestHead:
    """Return the head of one commit of a shard.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    path = layout.manifest(shard, number)
    return parse_head(path, read_head(store, path), head_from_json)


def read_manifest(store: Store, shard: str, number: int, columns: list[str] | None = None) -> Manifest:
    """Return one commit of a shard.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    return _read(store, layout.manifest(shard, number), columns)


def segments_of(store: Store, head: ManifestHead) -> frozenset[str]:
    """Return the names of the segments that a commit refers to.

    Raises:
        StoreError: the manifest is damaged.
    """
    if head.format_version > 1:
        return frozenset(head.segments)
    # Version 1 did not name them in the head.
    rows = read_manifest(store, head.shard, head.number, ["segment"]).rows
    return frozenset(rows["segment"].unique().drop_null().to_pylist())


def commit_manifest(store: Store, manifest: Manifest) -> None:
    """Make ``manifest`` the shard's current state.

    Raises:
        CommitConflictError: another run committed this version first.
        StoreError: it cannot be written.
    """
    head = manifest.head
    data = to_parquet(manifest.rows.cast(MANIFEST_SCHEMA), head_to_json(head))
    path = layout.manifest(head.shard, head.number)
    # A store that answered late may have taken a first try: then what is there is ours.
    if not store.put_if_absent(path, data) and store.get(path).to_pybytes() != data:
        raise CommitConflictError(f"another run committed version {head.number} of shard {head.shard} first")


def keep_rejected(store: Store, manifest: Manifest) -> None:
    """Put down a manifest that its checks refused, beside the commits, so that its reasons can be read.

    Raises:
        StoreError: it cannot be written.
    """
    data = to_parquet(manifest.rows.cast(MANIFEST_SCHEMA), head_to_json(manifest.head))
    store.put(layout.rejected_manifest(manifest.head.shard), data)


def read_rejected(store: Store, shard: str) -> Manifest | None:
    """Return the manifest that a shard's checks refused last, or None.

    Raises:
        StoreError: it is damaged.
    """
    path = layout.rejected_manifest(shard)
    if not store.exists(path):
        return None
    return _read(store, path, None)


def drop_rejected(store: Store, shard: str) -> None:
    """Remove what a shard's checks refused last: the shard is as its last commit says again.

    Raises:
        StoreError: it cannot be removed.
    """
    if store.exists(layout.rejected_manifest(shard)):
        store.delete(layout.rejected_manifest(shard))


def read_manifest_file(store: Store, path: str, columns: list[str] | None = None) -> Manifest:
    """Return the manifest at a path, which may be a refused one's.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    return _read(store, path, columns)


def replace_manifest(store: Store, path: str, manifest: Manifest) -> None:
    """Write a manifest over the one at ``path``: for forgetting alone, else what is committed never changes.

    Raises:
        StoreError: it cannot be written.
    """
    store.put(path, to_parquet(manifest.rows.cast(MANIFEST_SCHEMA), head_to_json(manifest.head)))


def _read(store: Store, path: str, columns: list[str] | None) -> Manifest:
    head, rows = read_table(store, path, columns, later=[*_SINCE_VERSION_2, *_SINCE_VERSION_3])
    return Manifest(parse_head(path, head, head_from_json), rows)
