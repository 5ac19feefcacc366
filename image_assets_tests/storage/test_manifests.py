"""Commits of a shard: numbered, made once, read whole or by their head."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from image_assets.core.errors import CommitConflictError, StoreError
from image_assets.core.manifest import Counts, Manifest
from image_assets.storage import layout
from image_assets.storage.manifests import (
    commit_manifest,
    keep_rejected,
    latest_commit,
    latest_heads,
    read_manifest,
    read_manifest_head,
    read_rejected,
    read_rows,
    replace_manifest,
)
from image_assets.storage.store import Store
from image_assets_tests.storage.rows import SHARD, manifest


def test_a_commit_comes_back_as_it_was(store):
    made = manifest(3, statuses=["ok", "failed", "ok"], keys=["a/ü.jpg", "日本/2.jpg", "a b#%.jpg"])
    made = Manifest(replace(made.head, counts=Counts(new=2, failed=1)), made.rows)
    commit_manifest(store, made)
    found = read_manifest(store, SHARD, 1)
    assert (found.head, found.rows.to_pylist()) == (made.head, made.rows.to_pylist())
    assert read_manifest_head(store, SHARD, 1) == made.head
    assert read_manifest(store, SHARD, 1, ["key"]).rows.column_names == ["key"]


def test_a_shard_without_images_can_be_committed(either):
    commit_manifest(either, manifest(0))
    assert read_manifest(either, SHARD, 1).rows.num_rows == 0


def test_the_newest_commit_is_the_one_with_the_highest_number(either):
    assert (latest_commit(either, SHARD), latest_heads(either, [SHARD])) == (0, {})
    for number in (1, 2, 9, 10, 11):
        commit_manifest(either, manifest(number, number=number))
    keep_rejected(either, manifest(12, number=12))
    heads = latest_heads(either, [SHARD, "0-of-2"])
    assert (latest_commit(either, SHARD), [head.images for head in heads.values()]) == (11, [11])
    assert latest_commit(either, "0-of-2") == 0


def test_a_head_is_read_though_forgetting_wrote_its_commit_anew_since_it_was_listed(either, monkeypatch):
    commit_manifest(either, manifest(300))
    listed = list(either.list(layout.SHARDS))
    replace_manifest(either, listed[0].path, manifest(2))
    monkeypatch.setattr(either, "list", lambda prefix: iter(listed))
    assert latest_heads(either, [SHARD])[SHARD].images == 2


@pytest.mark.parametrize("images", [0, 10**9])
def test_rows_come_in_the_order_asked_for_however_many_are_read_ahead(tmp_path, images):
    store = Store(str(tmp_path))
    for number in range(1, 21):
        commit_manifest(store, manifest(number, number=number))
    commits = [(SHARD, number) for number in (*range(20, 0, -1), 7)]
    found = [rows.num_rows for rows in read_rows(store, commits, ["key"], images=images)]
    assert found == [number for _, number in commits]
    with pytest.raises(StoreError, match="00000021"):
        list(read_rows(store, [*commits, (SHARD, 21)], ["key"], images=images))


def test_the_same_commit_twice_is_one_and_another_one_is_a_conflict(either):
    commit_manifest(either, manifest(2))
    commit_manifest(either, manifest(2))
    with pytest.raises(CommitConflictError, match="another run committed version 1 of shard 0-of-1 first"):
        commit_manifest(either, manifest(3))
    assert read_manifest_head(either, SHARD, 1).images == 2


def test_one_of_several_committers_wins(either):
    def commit(images):
        try:
            commit_manifest(either, manifest(images))
        except CommitConflictError:
            return None
        return images

    with ThreadPoolExecutor(6) as pool:
        won = [images for images in pool.map(commit, range(1, 7)) if images]
    assert won == [read_manifest_head(either, SHARD, 1).images]


def test_a_refused_manifest_lies_beside_the_commits_and_is_replaced(either):
    assert read_rejected(either, SHARD) is None
    keep_rejected(either, manifest(2))
    keep_rejected(either, manifest(5))
    assert read_rejected(either, SHARD).rows.num_rows == 5
    assert latest_commit(either, SHARD) == 0


def test_what_a_file_browser_leaves_behind_is_no_commit(either):
    commit_manifest(either, manifest(2))
    for stray in (".DS_Store", "Thumbs.db", "._00000009.parquet", "00000009.parquet.bak", "copy of 9.parquet"):
        either.put(layout.manifests_of(SHARD) + stray, b"x")
    assert latest_commit(either, SHARD) == 1
