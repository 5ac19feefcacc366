"""A listing that is gone on with slice by slice, while the source changes."""

import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_assets.core.listing import LISTING_SCHEMA, sort_listing
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source, folder, local_walk
from image_assets.sources.base import SlicedSource

# "a", "a.jpg" and "a/" sort differently as bytes of a path and folder by folder; the others need another spelling.
NAMES = ["a", "b", "a.jpg", "a-b", "é", "e\u0301", "e%CC%81", "%65%CC%81", "%65%CC%81%", "\udcff", "K", "\u212a"]
NAMES += ["z.txt"]
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(lambda parts: "/".join(["top", *parts]))
changes = st.lists(st.tuples(st.booleans(), paths), max_size=4)


@pytest.fixture(autouse=True, scope="module")
def small_steps():
    """Slices and sorted portions of folders so small that few files make many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "_FILES_A_SLICE", 2)
        patch.setattr(local_walk, "_ORDERED_AT_ONCE", 2)
        yield


def source_of(root, **options):
    return build_source(SourceSettings(path=str(root), **options))


def apply(root, steps):
    """Add and remove files; where a path leads through a file, or is a folder, nothing happens."""
    for add, path in steps:
        target = Path(root) / path
        try:
            if add:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch(exist_ok=False)
            else:
                target.unlink()
        except OSError:
            continue


def taken(root):
    return set(source_of(root).list().table["key"].to_pylist())


@settings(max_examples=60, deadline=None)
@given(st.lists(paths, max_size=12), st.lists(changes, max_size=6))
def test_gone_on_with_after_each_slice_it_has_once_whatever_was_there_all_the_time(files, rounds):
    with tempfile.TemporaryDirectory() as root:
        apply(root, [(True, path) for path in files])
        before = taken(root)
        always, ever = before, set(before)
        found, token = [], None
        changing = iter(rounds)
        while (step := next(source_of(root).list_slices(token), None)) is not None:
            rows, token = step
            found += rows["key"].to_pylist()
            apply(root, next(changing, []))
            now = taken(root)
            always, ever = always & now, ever | now
    # A name may be spelled in another way once its neighbour is gone.
    plain = {key for key in always if "%" not in key and key.isascii()}
    assert plain <= set(found)
    assert len([key for key in found if key in plain]) == len(plain)
    assert set(found) <= ever or any("%" in key or not key.isascii() for key in found)


@settings(max_examples=60, deadline=None)
@given(st.lists(paths, max_size=15))
def test_the_slices_of_a_folder_at_rest_are_its_listing(files):
    with tempfile.TemporaryDirectory() as root:
        apply(root, [(True, path) for path in files])
        source = source_of(root)
        slices = [rows for rows, _ in source.list_slices(None)]
        whole = sort_listing(pa.concat_tables([LISTING_SCHEMA.empty_table(), *slices]))
        listed = source.list()
        assert whole.to_pylist() == listed.table.to_pylist()
        # Whatever names there are, each file has a key of its own.
        assert (listed.num_rows, listed.notes) == (
            sum(name != "z.txt" for _, _, names in os.walk(root) for name in names),
            (),
        )


@pytest.mark.parametrize("follow", [False, True])
def test_linked_folders_are_in_one_slice_only(tmp_path, follow):
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    elsewhere.mkdir()
    root.mkdir()
    for number in range(5):
        (elsewhere / f"{number}.jpg").touch()
    (root / "a").symlink_to(elsewhere)
    (root / "b").symlink_to(elsewhere)  # the same folder again: under its first link alone
    (elsewhere / "round").symlink_to(root)  # a loop, which ends after one round
    (root / "c.jpg").touch()
    found, token = [], None
    while (step := next(source_of(root, follow_symlinks=follow).list_slices(token), None)) is not None:
        found += step[0]["key"].to_pylist()
        token = step[1]
    inside = [*(f"a/{number}.jpg" for number in range(5)), "a/round/c.jpg"] if follow else []
    assert sorted(found) == [*inside, "c.jpg"]
    assert set(found) == set(source_of(root, follow_symlinks=follow).list().table["key"].to_pylist())


def test_several_sources_are_gone_on_with_one_after_the_other(tmp_path):
    for name in "ab":
        for number in range(5):
            path = tmp_path / name / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    parts = [{"path": str(tmp_path / name), "prefix": f"{name}/"} for name in "ba"]
    source = build_source(SourceSettings.model_validate(parts))
    found, token = [], None
    while (step := next(source.list_slices(token), None)) is not None:
        found += step[0]["key"].to_pylist()
        token = step[1]
    assert sorted(found) == [f"{name}/{number}.jpg" for name in "ab" for number in range(5)]


def test_several_sources_have_slices_only_when_each_of_them_has(tmp_path):
    (tmp_path / "urls.txt").touch()
    listed = {"kind": "urls", "path": str(tmp_path / "urls.txt"), "prefix": "u/"}
    folders = [{"path": str(tmp_path), "prefix": prefix} for prefix in ("a/", "b/")]
    for parts, sliced in ((folders, True), ([*folders, listed], False)):
        assert isinstance(build_source(SourceSettings.model_validate(parts)), SlicedSource) == sliced
    assert not isinstance(build_source(SourceSettings(**listed)), SlicedSource)
