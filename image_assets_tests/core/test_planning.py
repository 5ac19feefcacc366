"""Planning compares state with state: what the listing wants with what the last commit holds."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.core.listing import (
    LISTING_SCHEMA,
    Listing,
    fingerprint_of,
    make_listing,
    sort_listing,
    with_column,
)
from image_assets.core.manifest import MANIFEST_SCHEMA, Manifest, ManifestHead
from image_assets.core.planning import Rules, plan_shard, twin_sizes, way_of
from image_assets.core.sharding import bucket_of, shard_names

PRESENT = frozenset({"seg"})


def wanted(entries):
    """Listing rows of {key: (version, label)}."""
    table = make_listing(list(entries), [v for v, _ in entries.values()], [1] * len(entries), [None] * len(entries))
    table = sort_listing(table)
    labels = [entries[key][1] for key in table["key"].to_pylist()]
    return with_column(table, "label", pa.array(labels, pa.string()))


def committed(entries, recipe="r", reasons=None):
    """A manifest of {key: (version, label, sha256 or None)}."""
    rows = [
        {"key": key, "bucket": bucket_of(key), "version": version, "size_bytes": 1, "label": label, "sha256": sha,
         "status": "ok" if sha else "failed", "segment": "seg" if sha else None, "variants": 1, "output_bytes": 1,
         "reason": None if sha else (reasons or {}).get(key, "unreadable")}
        for key, (version, label, sha) in entries.items()
    ]  # fmt: skip
    head = ManifestHead("d", "0-of-1", 1, 0, recipe, "f", "t", len(rows), 0, 0, 0.0)
    return Manifest(head, pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA))


def plan(want, have, recipe="r", present=PRESENT, retry=frozenset(), twins=()):
    return plan_shard("0-of-1", wanted(want), have, Rules(recipe, present, retry, np.array(twins, np.int64)))


def test_without_a_commit_everything_is_work():
    result = plan({"a": ("1", None), "b": ("1", None)}, None)
    assert sorted(result.work["key"].to_pylist()) == ["a", "b"]
    assert result.work["known_key"].to_pylist() == [False, False]


def test_same_version_and_recipe_is_kept_unread():
    result = plan({"a": ("1", "x")}, committed({"a": ("1", "x", "s")}))
    assert (result.keep.num_rows, result.work.num_rows, result.removed, result.relabelled) == (1, 0, 0, 0)


def test_another_version_is_read_and_its_bytes_are_not_taken_for_known():
    (work,) = plan({"a": ("2", None)}, committed({"a": ("1", None, "s")})).work.to_pylist()
    assert (work["known_key"], work["sha256"], work["before_sha256"]) == (True, None, "s")


def test_another_recipe_is_work_whose_bytes_are_known():
    (work,) = plan({"a": ("1", None)}, committed({"a": ("1", None, "s")}), recipe="other").work.to_pylist()
    assert (work["sha256"], work["before_sha256"], work["same_recipe"]) == ("s", "s", False)


def test_a_file_that_was_unreadable_is_kept_until_its_version_changes():
    have = committed({"a": ("1", None, None)})
    assert plan({"a": ("1", None)}, have).work.num_rows == 0
    (work,) = plan({"a": ("2", None)}, have).work.to_pylist()
    assert work["sha256"] is None


def test_a_failed_image_is_work_again_only_when_its_reason_is_asked_for():
    have = committed(
        {"a": ("1", None, None), "b": ("1", None, None), "c": ("1", None, "s")}, reasons={"a": "truncated"}
    )
    want = dict.fromkeys("abc", ("1", None))
    assert plan(want, have, retry=frozenset({"truncated"})).work["key"].to_pylist() == ["a"]
    assert plan(want, have, retry=frozenset({"bomb"})).work.num_rows == 0


def test_sizes_that_several_images_have_are_marked():
    assert twin_sizes(np.array([5, 7, 5, 1, 7, 5])).tolist() == [5, 7]
    assert plan({"a": ("1", None)}, None, twins=[1]).work["twin"].to_pylist() == [True]
    assert plan({"a": ("1", None)}, None, twins=[2]).work["twin"].to_pylist() == [False]


@pytest.mark.parametrize(
    ("known_key", "before", "same_recipe", "live", "way"),
    [
        (True, "s", True, True, "kept"),
        (True, "s", True, False, "kept"),  # its segment is gone
        (True, "s", False, True, "changed"),
        (True, "other", True, True, "moved"),
        (True, "other", True, False, "changed"),
        (True, None, True, False, "changed"),  # could not be read before
        (False, None, True, True, "moved"),
        (False, None, True, False, "new"),
    ],
)
def test_the_way_of_an_image(known_key, before, same_recipe, live, way):
    work = {"known_key": known_key, "before_sha256": before, "same_recipe": same_recipe}
    assert way_of(work, "s", live=live) == way


def test_a_relabel_is_kept_with_the_new_label():
    result = plan({"a": ("1", "new"), "b": ("1", None)}, committed({"a": ("1", "old", "s"), "b": ("1", None, "t")}))
    assert dict(zip(result.keep["key"].to_pylist(), result.keep["label"].to_pylist(), strict=True)) == {
        "a": "new",
        "b": None,
    }
    assert result.relabelled == 1


def test_a_row_whose_segment_is_gone_is_made_again():
    result = plan({"a": ("1", None)}, committed({"a": ("1", None, "s")}), present=frozenset())
    assert result.work["key"].to_pylist() == ["a"]


def test_keys_that_are_gone_are_counted():
    assert plan({}, committed({"a": ("1", None, "s"), "b": ("1", None, "t")})).removed == 2


states = st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.sampled_from("12"), st.sampled_from(["x", None])))


@given(states, states)
def test_every_wanted_image_is_kept_or_work_and_never_both(want, have):
    result = plan(want, committed({key: (*value, "s") for key, value in have.items()}))
    kept, work = result.keep["key"].to_pylist(), result.work["key"].to_pylist()
    assert sorted(kept + work) == sorted(want)
    assert result.removed == len(set(have) - set(want))
    assert all(have[key][0] == want[key][0] for key in kept)


@given(states, st.integers(1, 40))
def test_fingerprints_of_shards_change_exactly_with_their_rows(entries, num_shards):
    listing = Listing(wanted(entries))
    for shard in shard_names(num_shards):
        rows = listing.shard(shard)
        assert listing.fingerprint(shard) == fingerprint_of(rows.combine_chunks())
        if rows.num_rows:
            assert fingerprint_of(rows) != fingerprint_of(rows.slice(1))


@pytest.mark.parametrize("other", [{"ab": ("1", None)}, {"a": ("b1", None)}, {"a": ("1", "")}, {"a": ("2", None)}, {}])
def test_fingerprints_do_not_collide_by_shifting_text_between_fields(other):
    assert fingerprint_of(wanted({"a": ("1", None)})) != fingerprint_of(wanted(other))


def test_an_empty_listing_has_the_schema():
    assert wanted({}).schema == LISTING_SCHEMA
