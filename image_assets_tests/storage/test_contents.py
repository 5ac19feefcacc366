"""Which bytes are already processed."""

import pickle

import pytest

from image_assets.storage import contents as contents_module
from image_assets.storage.contents import Found, content_index
from image_assets.storage.segments import iter_segments, write_segment
from image_assets_tests.storage.rows import segment_image, sha256_of


def test_present_absent_and_orphan(either):
    live = write_segment(either, "recipe", [segment_image(number, variants=2) for number in range(3)])
    orphan = write_segment(either, "recipe", [segment_image(3)])
    write_segment(either, "other", [segment_image(4)])
    with content_index(either, "recipe", [live], iter_segments(either, "recipe")) as contents:
        assert [contents.find(sha256_of(number)) for number in range(5)] == [
            Found(live, 0, live=True),
            Found(live, 2, live=True),
            Found(live, 4, live=True),
            Found(orphan, 0, live=False),
            None,  # known to another recipe only
        ]


@pytest.mark.parametrize("first_is_live", [True, False])
def test_of_two_copies_the_published_one_is_found(either, first_is_live):
    one = write_segment(either, "recipe", [segment_image(0), segment_image(1)])
    two = write_segment(either, "recipe", [segment_image(2), segment_image(0)])
    live = one if first_is_live else two
    with content_index(either, "recipe", [live], iter_segments(either, "recipe")) as contents:
        assert contents.find(sha256_of(0)) == Found(live, 0 if first_is_live else 1, live=True)


@pytest.mark.parametrize(
    "sha256",
    [
        "00" * 32,
        "ff" * 32,
        "ab" * 31 + "00",  # numpy drops zero bytes at the end
        "ab" * 29 + "000000",
        "00" * 31 + "01",
        "ab" * 16 + "00" * 8 + "ab" * 8,
    ],
)
def test_zero_bytes_in_a_hash_count(either, sha256):
    neighbours = [f"{(int(sha256, 16) + step) % 2**256:064x}" for step in (-256, -1, 1, 256)]
    name = write_segment(either, "recipe", [segment_image(0, sha256=sha256)])
    with content_index(either, "recipe", [name], iter_segments(either, "recipe")) as contents:
        assert contents.find(sha256) == Found(name, 0, live=True)
        assert [contents.find(other) for other in neighbours] == [None] * 4


@pytest.mark.parametrize("entries_a_run", [150, 2**17])  # several runs that are put in order one after the other
def test_every_one_of_many_hashes_is_found(either, entries_a_run, monkeypatch):
    monkeypatch.setattr(contents_module, "_ENTRIES_A_RUN", entries_a_run)
    names = [
        write_segment(either, "recipe", [segment_image(number) for number in range(first, first + 200)])
        for first in (0, 200, 400)
    ]
    with content_index(either, "recipe", names, iter_segments(either, "recipe")) as contents:
        found = [contents.find(sha256_of(number)) for number in range(600)]
    assert found == [Found(names[number // 200], number % 200, live=True) for number in range(600)]


def test_nothing_is_in_an_empty_one(either):
    with content_index(either, "recipe", [], iter_segments(either, "recipe")) as contents:
        assert contents.find("00" * 32) is None
        assert pickle.loads(pickle.dumps(contents)).find("00" * 32) is None


def test_another_process_gets_the_path_and_not_the_entries(either):
    name = write_segment(either, "recipe", [segment_image(number) for number in range(100)])
    with content_index(either, "recipe", [name], iter_segments(either, "recipe")) as contents:
        contents.find(sha256_of(1))
        sent = pickle.dumps(contents)
        assert len(sent) < 1000
        assert pickle.loads(sent).find(sha256_of(42)) == Found(name, 42, live=True)


def test_nothing_is_left_behind(either, scratch):
    write_segment(either, "recipe", [segment_image(0)])
    with content_index(either, "recipe", [], iter_segments(either, "recipe")):
        assert list(scratch.iterdir())
    assert list(scratch.iterdir()) == []
