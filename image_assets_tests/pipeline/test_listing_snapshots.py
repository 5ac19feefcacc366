"""Listings that outlast a look at the source, and the snapshots that they become."""

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import StoreError
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.listing_snapshots import (
    list_in_time,
    look_again,
    newest_listing,
    publish_whole,
    remove_old_listings,
    source_lister,
)
from image_assets.pipeline.run import run_dataset, update_shards
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.sources import build_source, folder
from image_assets.storage import layout
from image_assets.storage.identity import open_store
from image_assets.storage.listings import listing_numbers, read_listing
from image_assets_tests.images import image_bytes, make_settings_for, write_image, write_images

NO_TIME = {"trigger": {"max_listing_s": 0.0}}


@pytest.fixture(autouse=True)
def small_slices(monkeypatch):
    monkeypatch.setattr(folder, "_FILES_A_SLICE", 3)


@pytest.fixture
def raw(tmp_path):
    write_images(tmp_path / "raw", 10)
    return tmp_path / "raw"


def listed(settings):
    return build_source(settings.source).list().table


def looks(settings, partial=None):
    """Look until a listing is complete; return all looks."""
    found = [list_in_time(settings, partial, time.time())]
    while found[-1].listing is None:
        found.append(list_in_time(settings, found[-1].partial, time.time()))
        assert len(found) < 20
    return found


def parts_in(settings):
    return sorted(Path(settings.store, layout.PARTIAL_LISTINGS).rglob("*.parquet"))


def test_a_listing_that_is_done_in_time_leaves_nothing_in_the_store(raw, tmp_path):
    settings = make_settings_for(tmp_path)
    look = list_in_time(settings, None, time.time())
    assert look.listing.table.equals(listed(settings))
    assert (look.number, look.partial, look.note, look.trouble) == (None, None, "", "")
    assert not Path(settings.store).exists()


def test_without_any_time_a_listing_is_done_in_some_looks_and_is_the_same(raw, tmp_path):
    settings = make_settings_for(tmp_path, **NO_TIME)
    found = looks(settings)
    # Three looks take three files each, one the last, and one finds that there are no more.
    assert [look.number for look in found] == [None] * (len(found) - 1) + [1]
    assert len(found) >= 5
    assert found[-1].listing.table.equals(listed(settings))
    assert len({look.partial for look in found[:-1]}) == 1
    assert parts_in(settings) == []
    assert look_again(settings, 1).listing.table.equals(listed(settings))


def test_the_fingerprints_of_a_snapshot_are_those_of_the_listing(raw, tmp_path):
    settings = make_settings_for(tmp_path, **NO_TIME)
    snapshot, listing = looks(settings)[-1].listing, build_source(settings.source).list()
    for shard in ("0-of-3", "1-of-3", "2-of-3"):
        assert snapshot.fingerprint(shard) == listing.fingerprint(shard)


def test_an_empty_source_says_what_else_lies_there(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/notes.txt").touch()
    assert list_in_time(make_settings_for(tmp_path), None, time.time()).listing.ignored == 1


def test_a_source_that_is_listed_in_one_go_and_takes_longer_says_so(raw, tmp_path):
    pq.write_table(pa.table({"image": [image_bytes(1), image_bytes(2)]}), tmp_path / "table.parquet")
    settings = make_settings_for(tmp_path, source={"path": "table.parquet"}, **NO_TIME)
    look = list_in_time(settings, None, time.time())
    assert look.listing.num_rows == 2
    assert "longer than trigger.max_listing_s" in look.trouble


def test_a_look_that_was_killed_before_it_was_remembered_is_done_again(raw, tmp_path):
    settings = make_settings_for(tmp_path, **NO_TIME)
    first = list_in_time(settings, None, time.time())
    list_in_time(settings, first.partial, time.time())
    # The cursor of the second look was lost: its part is there, and is not listed again.
    assert len(looks(settings, first.partial)) < len(looks(settings))
    assert look_again(settings, 1).listing.table.equals(listed(settings))


def test_a_listing_that_nobody_remembers_goes_with_the_next_clean_up(raw, tmp_path):
    settings = make_settings_for(tmp_path, **NO_TIME)
    abandoned = list_in_time(settings, None, time.time())
    assert looks(settings)[-1].listing.table.equals(listed(settings))
    assert len(parts_in(settings)) == 1
    vacuum_dataset(settings, Retention(), compact=False, dry_run=False)
    assert parts_in(settings) == []
    assert looks(settings, abandoned.partial)[-1].listing.table.equals(listed(settings))


def test_a_listing_of_another_source_is_not_gone_on_with(raw, tmp_path):
    partial = list_in_time(make_settings_for(tmp_path, **NO_TIME), None, time.time()).partial
    write_images(tmp_path / "other", 4, first=50)
    other = make_settings_for(tmp_path, source={"path": "other"}, **NO_TIME)
    assert looks(other, partial)[-1].listing.table.equals(listed(other))


def test_a_snapshot_of_another_source_is_none(raw, tmp_path):
    settings = make_settings_for(tmp_path)
    store = open_store(settings)
    publish_whole(store, settings, build_source(settings.source).list(), time.time())
    assert newest_listing(store, settings).images == 10
    assert newest_listing(store, make_settings_for(tmp_path, source={"path": "other"})) is None
    assert newest_listing(store, make_settings_for(tmp_path, source={"http": {"retries": 9}})) is not None


def test_of_two_listings_the_one_that_was_begun_later_stays(raw, tmp_path):
    settings = make_settings_for(tmp_path)
    store, listing = open_store(settings), build_source(settings.source).list()
    assert [publish_whole(store, settings, listing, began_at) for began_at in (5.0, 3.0, 7.0)] == [1, 1, 2]


def test_the_newest_snapshots_stay_and_those_that_a_run_needs(raw, tmp_path):
    settings = make_settings_for(tmp_path)
    store, listing = open_store(settings), build_source(settings.source).list()
    for began_at in range(1, 8):
        publish_whole(store, settings, listing, float(began_at))
    remove_old_listings(settings, {2})
    assert listing_numbers(store) == [2, 5, 6, 7]
    vacuum_dataset(settings, Retention(), compact=False, dry_run=False)
    assert listing_numbers(store) == [5, 6, 7]


def test_a_run_takes_the_snapshot_that_it_is_given_or_a_newer_one(raw, tmp_path):
    settings = make_settings_for(tmp_path)
    store = open_store(settings)
    publish_whole(store, settings, build_source(settings.source).list(), 1.0)
    write_image(raw, "a/new.jpg", 99)
    shards = [f"{number}-of-4" for number in range(4)]
    state = update_shards(settings, shards, snapshot=1).state
    assert state.wanted.listing.num_rows == 10
    publish_whole(store, settings, build_source(settings.source).list(), 2.0)
    state = update_shards(settings, shards, snapshot=1).state
    assert state.wanted.listing.num_rows == 11


def test_a_run_whose_snapshot_is_gone_lists_the_source(raw, tmp_path):
    settings = make_settings_for(tmp_path)
    assert source_lister(settings, 3)().num_rows == 10


def test_a_run_by_hand_makes_a_snapshot_where_the_sensor_works_with_them(raw, tmp_path):
    settings = make_settings_for(tmp_path)
    run_dataset(settings)
    store = open_store(settings)
    assert listing_numbers(store) == []
    publish_whole(store, settings, build_source(settings.source).list(), 1.0)
    write_image(raw, "a/new.jpg", 99)
    run_dataset(settings)
    assert listing_numbers(store) == [1, 2]
    assert read_listing(store, 2).table.equals(listed(settings))


def test_a_forgotten_image_is_in_no_snapshot(raw, tmp_path):
    settings = make_settings_for(tmp_path, **NO_TIME)
    run_dataset(settings)
    looks(settings)
    list_in_time(settings, None, time.time())
    report = forget_images(settings, ["a/0.jpg"])
    assert report.forgotten_images == 1
    assert list(Path(settings.store, layout.LISTINGS).rglob("*.parquet")) == []
    assert source_lister(settings, 1)().num_rows == 10


@pytest.mark.parametrize("harm", [lambda data: data[:-9], lambda data: data[:50] + b"\0" * 40 + data[90:]])
def test_a_damaged_snapshot_is_told_by_its_name(raw, tmp_path, harm):
    settings = make_settings_for(tmp_path)
    store = open_store(settings)
    publish_whole(store, settings, build_source(settings.source).list(), 1.0)
    path = Path(settings.store, layout.listing(1))
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(StoreError, match=r"listings/00000001.parquet is damaged"):
        assert read_listing(store, 1).table


def test_parts_of_a_listing_under_way_hide_no_snapshot_of_their_number(settings):
    # Whichever of the two a file system names first.
    store = open_store(settings())
    for number in (1, 2, 3):
        store.put(f"listings/{number:08d}.parquet", b"snapshot")
        store.put(f"{layout.listing_parts_of('a')}{number:08d}.parquet", b"part")
        store.put(f"{layout.listing_parts_of('z')}{number:08d}.parquet", b"part")
    assert listing_numbers(store) == [1, 2, 3]
