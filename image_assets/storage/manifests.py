"""Reading and committing the manifests of a shard."""

from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa

from image_assets.core.errors import CommitConflictError, StoreError
from image_assets.core.manifest import MANIFEST_SCHEMA, Manifest, ManifestHead, head_from_json, head_to_json
from image_assets.storage import layout
from image_assets.storage.reading_ahead import READERS, read_ahead
from image_assets.storage.store import Store, StoredFile
from image_assets.storage.tables import parse_head, read_head, read_table, to_parquet

_SINCE_VERSION_2 = [MANIFEST_SCHEMA.field(name) for name in ("first_seen", "attempts")]
_SINCE_VERSION_3 = [MANIFEST_SCHEMA.field("extra")]
# Rows that are read and not asked for yet, of 400 bytes: 16 manifests of a shard of 4096 of ten million images.
_ROWS_AHEAD = 40_000
# Of more, one list of all files of all shards is asked for, in place of a question for each.
_FEW_SHARDS = 64


def latest_commit(store: Store, shard: str) -> int:
    """Return the number of a shard's last commit, 0 when it has none.

    Raises:
        StoreError: the store does not answer.
    """
    return max((layout.number_of(file.path) for file in store.list(layout.manifests_of(shard))), default=0)


def latest_heads(store: Store, shards: Sequence[str]) -> dict[str, ManifestHead]:
    """Return the heads of the last commits of some shards; those without one are left out.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    last: dict[str, StoredFile | None] = dict.fromkeys(shards)
    # One list of all shards: a list of each would cost an answer a shard.
    for file in store.list(layout.SHARDS):
        shard, number = layout.shard_of(file.path), layout.number_of(file.path)
        if shard in last and file.path == layout.manifest(shard, number):
            known = last[shard]
            last[shard] = file if known is None or number > layout.number_of(known.path) else known
    committed = {shard: file for shard, file in last.items() if file is not None}
    heads = read_ahead(lambda file: _listed_head(store, file), committed.values())
    return dict(zip(committed, heads, strict=True))


def read_heads(store: Store, commits: Sequence[tuple[str, int]]) -> Iterator[ManifestHead]:
    """Yield the heads of some commits, (shard, number), in their order.

    Raises:
        StoreError: one does not exist or is damaged.
    """
    return read_ahead(lambda commit: read_manifest_head(store, *commit), commits)


def read_rows(
    store: Store, commits: Sequence[tuple[str, int]], columns: list[str], *, images: int
) -> Iterator[pa.Table]:
    """Yield the rows of some commits, (shard, number), in their order; a few are read before they are asked for.

    Args:
        images: how many they have together; of large ones none is read before.

    Raises:
        StoreError: one does not exist or is damaged.
    """
    ahead = min(READERS, _ROWS_AHEAD * len(commits) // max(images, 1))
    return read_ahead(lambda commit: read_manifest(store, *commit, columns).rows, commits, ahead)


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


def read_rejected_heads(store: Store, shards: Sequence[str]) -> dict[str, ManifestHead]:
    """Return the heads of what the checks of some shards refused last; shards without are left out.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    wanted = {layout.rejected_manifest(shard): shard for shard in shards}
    there = [file for file in store.list(layout.SHARDS) if file.path in wanted]
    heads: dict[str, ManifestHead] = {}
    for file in there:
        try:
            heads[wanted[file.path]] = _listed_head(store, file)
        except StoreError:
            # A commit may have taken its place since it was listed.
            if store.exists(file.path):
                raise
    return heads


def drop_rejected(store: Store, shards: Collection[str]) -> None:
    """Remove what the checks of some shards refused last: these are as their last commits say again.

    Raises:
        StoreError: it cannot be removed.
    """
    wanted = {layout.rejected_manifest(shard) for shard in shards}
    # To ask for each of thousands would cost an answer a shard; they are in one list.
    many = len(wanted) > _FEW_SHARDS
    there = {file.path for file in store.list(layout.SHARDS)} if many else set(filter(store.exists, wanted))
    for path in sorted(wanted & there):
        store.delete(path)


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


def _listed_head(store: Store, file: StoredFile) -> ManifestHead:
    try:
        return parse_head(file.path, read_head(store, file.path, file.size_bytes), head_from_json)
    except StoreError:
        # Forgetting may have written it anew since it was listed; if it is damaged this says so.
        return parse_head(file.path, read_head(store, file.path), head_from_json)


def _read(store: Store, path: str, columns: list[str] | None) -> Manifest:
    head, rows = read_table(store, path, columns, later=[*_SINCE_VERSION_2, *_SINCE_VERSION_3])
    return Manifest(parse_head(path, head, head_from_json), rows)
