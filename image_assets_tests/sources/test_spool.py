"""A listing that is too large for memory is the same listing, takes little memory, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_assets.core.listing import make_listing
from image_assets.core.sharding import NUM_BUCKETS, shard_names
from image_assets.sources.spool import ListingBuilder

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
images = st.tuples(texts, texts, st.integers(-1, 2**40), st.none() | st.binary(max_size=4))
unique_images = st.lists(images, max_size=60, unique_by=lambda image: image[0])
SPILL_ALWAYS, SPILL_NEVER = 0, 2**40


def built(images, budget_bytes, cuts=()):
    """The listing of images that are added in tables which end at ``cuts``, what is left of them one by one."""
    builder = ListingBuilder(budget_bytes)
    start = 0
    for end in cuts:
        if start < end <= len(images):
            builder.add(make_listing(*zip(*images[start:end], strict=True)))
            start = end
    for image in images[start:]:
        builder.add_image(*image)
    return builder.finish()


def rows_of(listing):
    return [tuple(row.values()) for row in listing.table.to_pylist()]


@settings(deadline=None, max_examples=40)
@given(unique_images, st.lists(st.integers(1, 60), max_size=8).map(sorted), st.integers(0, 4000), st.randoms())
def test_a_listing_is_the_same_in_memory_and_in_a_file_and_in_whatever_order_it_came(images, cuts, budget, random):
    other = list(images)
    random.shuffle(other)
    spilled, plain = built(other, budget, cuts), built(images, SPILL_NEVER)
    assert spilled.table.equals(plain.table)
    assert spilled.num_rows == plain.num_rows == len(images)
    rows = rows_of(spilled)
    assert rows == sorted(rows, key=lambda row: (row[4], row[0].encode()))
    assert sorted(row[:4] for row in rows) == sorted(images)


@settings(deadline=None, max_examples=40)
@given(unique_images, st.integers(1, 40))
def test_its_shards_and_pieces_are_the_whole_and_their_fingerprints_those_of_a_listing_in_memory(images, num_shards):
    spilled, plain = built(images, SPILL_ALWAYS, [len(images)]), built(images, SPILL_NEVER)
    names = shard_names(num_shards)
    assert [row for name in names for row in spilled.shard(name).to_pylist()] == plain.table.to_pylist()
    assert [row for piece in spilled.pieces() for row in piece.to_pylist()] == plain.table.to_pylist()
    assert [spilled.fingerprint(name) for name in names] == [plain.fingerprint(name) for name in names]


@pytest.mark.parametrize("budget", [SPILL_ALWAYS, SPILL_NEVER])
def test_of_two_images_with_one_key_the_same_stays_whichever_came_first_and_a_note_says_so(budget):
    first, second, other = ("a", "1", 5, None), ("a", "2", 4, b"x"), ("b", "1", 5, None)
    for order in ([first, second, other], [second, other, first], [second, second, first, other]):
        listing = built(order, budget, range(1, 5))
        assert sorted(row[:4] for row in rows_of(listing)) == [first, other]
        assert listing.notes == ("a second image of key 'a'",)


def test_of_very_many_second_images_twenty_are_named():
    listing = built([(str(number // 2), "1", 1, None) for number in range(100)], SPILL_NEVER)
    assert (listing.num_rows, len(listing.notes)) == (50, 21)
    assert listing.notes[-1] == "second images of 30 more keys"


def test_what_a_source_counts_and_notes_is_in_the_listing():
    builder = ListingBuilder()
    builder.ignored += 3
    builder.notes.append("odd")
    listing = builder.finish()
    assert (listing.num_rows, listing.ignored, listing.notes) == (0, 3, ("odd",))


def test_buckets_that_a_source_gave_stay():
    builder = ListingBuilder(SPILL_ALWAYS)
    builder.add(make_listing("abc", "111", [1, 1, 1], [None] * 3, ["unit"] * 3))
    assert len(set(builder.finish().table["bucket"].to_pylist())) == 1


SCRIPT = """
    import os, sys
    from image_assets.core.listing import make_listing
    from image_assets.sources.spool import ListingBuilder

    def listed(count, budget):
        builder = ListingBuilder(budget)
        for first in range(0, count, 10_000):
            numbers = range(first, first + 10_000)
            keys = [f"folder-{n % 100:03d}/an-image-of-some-name-{n:09d}.jpg" for n in numbers]
            builder.add(make_listing(keys, [f"{n:040x}" for n in numbers], numbers, [None] * 10_000))
        return builder.finish()

    def status(name):
        lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
        return int(lines[name].split()[0]) * 1024
"""


def python(code, **options):
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT) + textwrap.dedent(code)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def peak_growth(count):
    """How many bytes a process grows by, at most, that lists so many images and goes through them twice."""
    code = f"""
        listed(20_000, 0)
        before = status("VmRSS")
        listing = listed({count}, 2**23)
        for _ in range(2):
            print(sum(rows.num_rows for rows in listing.pieces()))
        print(status("VmHWM") - before)
    """
    output, errors = python(code).communicate()
    first, second, growth = map(int, output.split() or [0, 0, 0])
    assert (first, second) == (count, count), errors.decode()
    return growth


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")  # noqa: PTH110
def test_three_times_the_images_take_no_more_memory():
    # Of 300,000 images the rows alone are 37 MB, in order another 37.
    large = peak_growth(300_000)
    assert large < peak_growth(100_000) + 8 * 2**20
    assert large < 64 * 2**20


def test_a_killed_process_leaves_nothing_in_the_temporary_folder(tmp_path):
    code = "kept = listed(50_000, 100_000); print(kept.num_rows, flush=True); sys.stdin.read()"
    with python(code, env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        assert process.stdout.readline() == b"50000\n"
        handles = [str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert any(target.startswith(str(tmp_path)) for target in handles)
        assert list(tmp_path.iterdir()) == []
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


def test_a_full_temporary_folder_is_an_error_that_says_what_would_do():
    # A file that may not grow is what a full disk looks like from here.
    code = """
        import resource
        from image_assets.core.errors import SourceError
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        try:
            listed(50_000, 100_000)
        except SourceError as error:
            print(error)
    """
    output, errors = python(code).communicate()
    assert b"temporary folder" in output, errors.decode()
    assert b"set TMPDIR" in output


@settings(deadline=None, max_examples=40)
@given(st.integers(0, NUM_BUCKETS), st.integers(0, NUM_BUCKETS))
def test_any_range_of_buckets_can_be_asked_for(one, other):
    first, end = sorted((one, other))
    images = [(str(number), "1", 1, None) for number in range(50)]
    spilled, plain = built(images, SPILL_ALWAYS, [25, 50]), built(images, SPILL_NEVER)
    found = spilled.between(first, end)
    buckets = found["bucket"].to_numpy()
    assert found.equals(plain.between(first, end))
    assert np.all((buckets >= first) & (buckets < end))
