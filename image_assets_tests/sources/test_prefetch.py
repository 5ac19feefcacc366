"""Reading ahead changes when images are read, never what comes of it."""

import threading

import pytest

from image_assets.core.errors import SourceFileError, VanishedError
from image_assets.sources.base import RawImage
from image_assets.sources.prefetch import Ahead, Prefetcher

LIMIT = 2**30
IMAGES = [(f"{number}", None) for number in range(40)]


class Reader:
    """Reads made-up images, and knows how many are being read and how many bytes nobody has taken yet."""

    def __init__(self, size_bytes=10):
        self.size_bytes = size_bytes
        self.lock = threading.Lock()
        self.read_keys = []
        self.now = self.most = 0

    def __call__(self, key, locator, max_bytes):
        with self.lock:
            self.read_keys.append(key)
            self.now += 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.002)
        with self.lock:
            self.now -= 1
        if self.size_bytes > max_bytes:
            raise SourceFileError("too_large", "")
        return RawImage(key.encode().ljust(self.size_bytes), "1")


def ahead(connections=8, per_group=8, held_bytes=2**26):
    return Ahead(connections, per_group, lambda locator: "", held_bytes)


def taken(prefetcher, images=IMAGES):
    return [prefetcher.take(key, locator, LIMIT).data.rstrip().decode() for key, locator in images]


@pytest.mark.parametrize(("connections", "per_group", "most"), [(8, 8, 8), (8, 3, 3), (1, 8, 1)])
def test_each_image_is_read_once_in_its_order_and_so_many_at_a_time(connections, per_group, most):
    reader = Reader()
    prefetcher = Prefetcher(reader, ahead(connections, per_group))
    prefetcher.start(IMAGES, LIMIT)
    assert taken(prefetcher) == [key for key, _ in IMAGES]
    assert sorted(reader.read_keys) == sorted(key for key, _ in IMAGES)
    assert reader.most <= most + 1  # the caller may read the one that it waits for


def test_images_that_were_not_announced_are_read_when_they_are_wanted():
    reader = Reader()
    assert taken(Prefetcher(reader, ahead()), [("x", None)]) == ["x"]
    assert reader.read_keys == ["x"]


def test_images_that_nobody_takes_do_not_stop_the_others():
    prefetcher = Prefetcher(Reader(2**20), ahead(held_bytes=4 * 2**20))
    prefetcher.start(IMAGES, LIMIT)
    assert taken(prefetcher, IMAGES[30:]) == [key for key, _ in IMAGES[30:]]


def test_what_waits_to_be_taken_is_bounded_in_bytes():
    reader = Reader(2**20)
    prefetcher = Prefetcher(reader, ahead(connections=4, held_bytes=8 * 2**20))
    prefetcher.start(IMAGES, LIMIT)
    assert prefetcher.take("0", None, LIMIT)
    threading.Event().wait(0.2)
    # One was taken; each of the others on its way may take a share of two megabytes until it has arrived.
    assert len(reader.read_keys) <= 9
    assert taken(prefetcher, IMAGES[1:]) == [key for key, _ in IMAGES[1:]]


def test_an_image_larger_than_its_share_is_read_when_it_is_wanted():
    reader = Reader(3 * 2**20)
    prefetcher = Prefetcher(reader, ahead(held_bytes=8 * 2**20))
    prefetcher.start(IMAGES[:4], LIMIT)
    assert taken(prefetcher, IMAGES[:4]) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("error", [SourceFileError("unreadable", "why"), VanishedError("gone"), ValueError("a bug")])
def test_an_error_is_raised_where_the_image_is_taken(error):
    def read(key, locator, max_bytes):
        if key == "3":
            raise error
        return RawImage(key.encode(), "1")

    prefetcher = Prefetcher(read, ahead())
    prefetcher.start(IMAGES, LIMIT)
    assert taken(prefetcher, IMAGES[:3]) == ["0", "1", "2"]
    with pytest.raises(type(error)) as caught:
        prefetcher.take("3", None, LIMIT)
    assert caught.value is error
    assert taken(prefetcher, IMAGES[4:]) == [key for key, _ in IMAGES[4:]]


def test_a_slow_group_does_not_hold_up_the_others():
    release = threading.Event()
    fast_done = threading.Semaphore(0)

    def read(key, locator, max_bytes):
        if locator == b"slow":
            release.wait()
        else:
            fast_done.release()
        return RawImage(key.encode(), "1")

    images = [(f"s{n}", b"slow") for n in range(8)] + [(f"f{n}", b"fast") for n in range(8)]
    prefetcher = Prefetcher(read, Ahead(4, 2, str))
    prefetcher.start(images, LIMIT)
    for _ in range(8):
        assert fast_done.acquire(timeout=10)
    release.set()
    assert taken(prefetcher, images) == [key for key, _ in images]


def test_a_new_start_drops_what_was_left():
    reader = Reader()
    prefetcher = Prefetcher(reader, ahead(connections=2))
    prefetcher.start(IMAGES, LIMIT)
    prefetcher.start([("a", None), ("b", None)], LIMIT)
    assert taken(prefetcher, [("a", None), ("b", None)]) == ["a", "b"]
    assert len(reader.read_keys) < len(IMAGES)
