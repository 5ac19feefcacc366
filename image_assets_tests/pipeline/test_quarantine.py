"""What has no output: the reason of every kind of bad file, since when it is known, and when it is tried again."""

import hashlib
import io
import os
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from image_assets.core.errors import ConfigError
from image_assets.core.sharding import bucket_range, buckets_of
from image_assets.pipeline.detect import RunOptions, known_reasons
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.run import run_dataset, update_shards
from image_assets.transforms.base import Transform
from image_assets_tests.images import image_bytes, write_image, write_images

ENTRY = {"key", "reason", "detail", "sha256", "first_seen", "last_seen", "attempts"}
TRUNCATED = image_bytes(1)[:300]
OTHER_TRUNCATED = image_bytes(2, size=(50, 50))[:320]
# Nothing stops here because many images of a small dataset are bad.
LENIENT = {"checks": {"failed_fraction": {"error": 1.0}, "lost_fraction": {"error": 1.0}}}


class AbortOnRed(Transform):
    """Ends its process over an image that is all red, as a decoder with a defect does."""

    version = 1
    stage = "before_resize"
    random = False

    def apply(self, pixels, _rng, _background, /):
        if "DECODER_IS_REPAIRED" not in os.environ and pixels[..., 0].min() > 200 and pixels[..., 1].max() < 50:
            os.abort()
        return pixels


@pytest.fixture
def raw(tmp_path):
    """Four good images: a/0, b/1, a/2, b/3."""
    write_images(tmp_path / "raw", 4)
    return tmp_path / "raw"


@pytest.fixture
def options(settings):
    """Settings of a dataset of which no fraction of bad images stops anything."""
    return lambda **more: settings(**{**LENIENT, **more})


def truncated(number):
    """Bytes of a truncated image; other bytes for each number."""
    return image_bytes(1)[: 300 + number]


def entries(settings, *reasons):
    """The quarantined images by key."""
    found = quarantine_summary(settings, reasons)["quarantine"]
    assert all(set(entry) == ENTRY for entry in found)
    return {entry["key"]: entry for entry in found}


def one(settings, key):
    return entries(settings)[key]


def png_that_declares(width_px, height_px):
    """A PNG of a few bytes whose header promises that many pixels."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
              for kind, data in chunks]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def red_bytes():
    buffer = io.BytesIO()
    Image.fromarray(np.full((30, 40, 3), (255, 0, 0), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


BAD_FILES = [
    ("truncated", TRUNCATED),
    ("not_an_image", b"<html>not found</html>"),
    ("zero_bytes", b""),
    ("unsupported_format", b"%PDF-1.7 and so on"),
    ("too_large", b"\xff\xd8" + bytes(20_000)),
    ("bomb", png_that_declares(60_000, 60_000)),
]


@pytest.mark.parametrize(("reason", "data"), BAD_FILES, ids=[reason for reason, _ in BAD_FILES])
def test_every_kind_of_bad_file_is_listed_with_its_reason_and_its_hash(options, raw, reason, data):
    (raw / "a/bad.jpg").write_bytes(data)
    limited = options(limits={"max_file_bytes": 10_000})
    run_dataset(limited)
    (entry,) = entries(limited).values()
    assert (entry["key"], entry["reason"], entry["attempts"]) == ("a/bad.jpg", reason, 1)
    # What is too large is not read, so nothing is known of its bytes.
    assert entry["sha256"] == (None if reason == "too_large" else hashlib.sha256(data).hexdigest())
    assert entry["detail"]
    assert entry["first_seen"] <= entry["last_seen"]
    assert set(entries(limited, reason)) == {"a/bad.jpg"}


@pytest.mark.parametrize(("target", "reason"), [("nowhere.jpg", "unreadable"), ("../out.jpg", "outside_root")])
def test_a_link_that_cannot_be_followed_is_listed(options, raw, target, reason):
    write_image(raw.parent, "out.jpg", 70)
    (raw / "link.jpg").symlink_to(target)
    run_dataset(options())
    entry = one(options(), "link.jpg")
    assert (entry["reason"], entry["sha256"], entry["attempts"]) == (reason, None, 1)


def test_a_sound_dataset_has_nothing_in_quarantine(options, raw):
    run_dataset(options())
    assert quarantine_summary(options()) == {"dataset": "tiny", "quarantine": []}


def test_a_dataset_that_never_ran_has_nothing_in_quarantine_and_looking_makes_no_store(options, tmp_path):
    assert entries(options()) == {}
    assert not (tmp_path / "store").exists()


def test_the_listing_is_sorted_by_key_and_is_the_same_each_time(options, raw):
    for name in ["b/z.jpg", "a/b.jpg", "c.jpg", "a/A.jpg"]:
        (raw / name).write_bytes(name.encode())
    run_dataset(options())
    first = quarantine_summary(options())
    assert [entry["key"] for entry in first["quarantine"]] == ["a/A.jpg", "a/b.jpg", "b/z.jpg", "c.jpg"]
    assert quarantine_summary(options()) == first


def test_several_reasons_are_listed_together_and_others_left_out(options, raw):
    for number, (_, data) in enumerate(BAD_FILES):
        (raw / f"a/bad{number}.jpg").write_bytes(data)
    run_dataset(options())
    found = entries(options(), "truncated", "bomb")
    assert {entry["reason"] for entry in found.values()} == {"truncated", "bomb"}


def test_a_png_named_jpg_has_an_output_and_is_listed_only_when_it_is_asked_for(options, raw):
    (raw / "a/png.jpg").write_bytes(image_bytes(9, kind="PNG"))
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    report = run_dataset(options())
    assert report.index.head.rows == 5
    assert set(entries(options())) == {"a/bad.jpg"}
    (entry,) = entries(options(), "wrong_extension").values()
    assert (entry["key"], entry["reason"], entry["attempts"]) == ("a/png.jpg", "wrong_extension", 0)
    assert entry["sha256"] == hashlib.sha256((raw / "a/png.jpg").read_bytes()).hexdigest()
    assert set(entries(options(), "wrong_extension", "truncated")) == {"a/png.jpg", "a/bad.jpg"}


def test_a_warning_follows_the_name_and_costs_no_decoding(options, raw):
    (raw / "a/png.jpg").write_bytes(image_bytes(9, kind="PNG"))
    run_dataset(options())
    (raw / "a/png.jpg").rename(raw / "a/png.png")
    assert run_dataset(options()).counts.decoded == 0
    assert entries(options(), "wrong_extension") == {}
    (raw / "a/png.png").rename(raw / "b/back.gif")
    assert run_dataset(options()).counts.decoded == 0
    assert set(entries(options(), "wrong_extension")) == {"b/back.gif"}


@pytest.mark.parametrize("names", [("a/png.jpg", "a/png.png"), ("a/png.png", "a/png.jpg")])
def test_of_two_copies_that_arrive_together_the_one_with_the_wrong_name_is_warned_of(options, raw, names):
    for name in names:
        (raw / name).write_bytes(image_bytes(9, kind="PNG"))
    assert run_dataset(options(num_shards=1)).counts.decoded == 5
    assert set(entries(options(num_shards=1), "wrong_extension")) == {"a/png.jpg"}


def test_a_quiet_run_moves_neither_date_and_tries_nothing(options, raw):
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    run_dataset(options())
    before = one(options(), "a/bad.jpg")
    assert run_dataset(options()).counts.decoded == 0
    assert one(options(), "a/bad.jpg") == before


def test_a_commit_of_its_shard_moves_when_a_bad_image_was_last_seen_and_nothing_else(options, raw):
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    run_dataset(options(num_shards=1))
    before = one(options(num_shards=1), "a/bad.jpg")
    write_image(raw, "a/more.jpg", 80)
    assert run_dataset(options(num_shards=1)).counts.decoded == 1
    after = one(options(num_shards=1), "a/bad.jpg")
    assert after["last_seen"] > before["last_seen"]
    assert {**after, "last_seen": before["last_seen"]} == before


def test_bad_bytes_that_are_touched_are_not_tried_again(options, raw):
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    run_dataset(options())
    before = one(options(), "a/bad.jpg")
    os.utime(raw / "a/bad.jpg", ns=(1, 1))
    assert run_dataset(options()).counts.decoded == 0
    after = one(options(), "a/bad.jpg")
    assert (after["first_seen"], after["attempts"]) == (before["first_seen"], 1)


@pytest.mark.parametrize("where", ["b/renamed.jpg", "deep/er/renamed.png"])
def test_a_renamed_bad_image_keeps_its_history_and_is_not_decoded(options, raw, where):
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    run_dataset(options())
    before = one(options(), "a/bad.jpg")
    (raw / where).parent.mkdir(parents=True, exist_ok=True)
    (raw / "a/bad.jpg").rename(raw / where)
    assert run_dataset(options()).counts.decoded == 0
    (after,) = entries(options()).values()
    assert after["key"] == where
    assert {**after, "key": "a/bad.jpg", "last_seen": before["last_seen"]} == before


def test_a_copy_of_a_known_bad_image_is_not_decoded_and_shares_its_history(options, raw):
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    run_dataset(options())
    shutil.copy(raw / "a/bad.jpg", raw / "b/copy.jpg")
    assert run_dataset(options()).counts.decoded == 0
    found = entries(options())
    assert found["b/copy.jpg"]["first_seen"] == found["a/bad.jpg"]["first_seen"]
    assert found["b/copy.jpg"]["attempts"] == 1


def test_other_bad_bytes_under_the_same_name_are_a_new_entry(options, raw):
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    run_dataset(options())
    before = one(options(), "a/bad.jpg")
    (raw / "a/bad.jpg").write_bytes(OTHER_TRUNCATED)
    assert run_dataset(options()).counts.decoded == 1
    after = one(options(), "a/bad.jpg")
    assert after["first_seen"] > before["first_seen"]
    assert (after["attempts"], after["sha256"]) == (1, hashlib.sha256(OTHER_TRUNCATED).hexdigest())


@pytest.mark.parametrize("how", ["repair", "delete"])
def test_a_bad_image_that_is_repaired_or_deleted_is_gone_from_the_listing(options, raw, how):
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    run_dataset(options())
    write_image(raw, "a/bad.jpg", 90) if how == "repair" else (raw / "a/bad.jpg").unlink()
    run_dataset(options())
    assert entries(options()) == {}


def test_a_good_image_that_rots_is_listed_from_then_on_and_is_gone_when_it_is_restored(options, raw):
    before = run_dataset(options()).index.head.digest
    good = (raw / "a/0.jpg").read_bytes()
    (raw / "a/0.jpg").write_bytes(good[:200])
    run_dataset(options())
    assert set(entries(options())) == {"a/0.jpg"}
    (raw / "a/0.jpg").write_bytes(good)
    report = run_dataset(options())
    assert (entries(options()), report.index.head.digest, report.counts.decoded) == ({}, before, 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_copies_of_bad_bytes_that_arrive_together_are_decoded_once(options, raw, workers):
    write_images(raw, 100, first=10)
    for number in range(60):
        (raw / f"{'ab'[number % 2]}/bad{number}.jpg").write_bytes(TRUNCATED)
    report = run_dataset(options(workers=workers))
    assert (report.counts.decoded, report.counts.failed) == (105, 60)
    found = entries(options())
    assert len(found) == 60
    assert {entry["attempts"] for entry in found.values()} == {1}
    assert len({entry["first_seen"] for entry in found.values()}) == 1


def test_another_recipe_tries_a_bad_image_again_once(options, raw):
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    run_dataset(options())
    before = one(options(), "a/bad.jpg")
    other = options(output={"quality": 50})
    assert run_dataset(other).counts.decoded == 5
    after = one(other, "a/bad.jpg")
    assert (after["first_seen"], after["attempts"]) == (before["first_seen"], 2)
    assert run_dataset(other).counts.decoded == 0


def test_a_raised_limit_lets_an_image_in(options, raw):
    # A PNG: a JPEG of that size is decoded smaller and is within the limit then.
    (raw / "a/bad.png").write_bytes(image_bytes(5, size=(600, 600), kind="PNG"))
    limited = options(limits={"max_pixels": 100_000})
    run_dataset(limited)
    assert {entry["reason"] for entry in entries(limited).values()} == {"bomb"}
    run_dataset(options())
    assert entries(options()) == {}


@pytest.mark.parametrize("num_shards", [1, 16])
def test_retry_tries_exactly_the_named_reasons_also_in_shards_where_nothing_changed(options, raw, num_shards):
    for number, (_, data) in enumerate(BAD_FILES):
        (raw / f"a/bad{number}.jpg").write_bytes(data)
    sharded = options(num_shards=num_shards)
    run_dataset(sharded)
    before = entries(sharded)
    report = run_dataset(sharded, RunOptions(retry=known_reasons(["truncated", "bomb"])))
    assert (report.counts.decoded, report.counts.failed) == (2, 2)
    for key, entry in entries(sharded).items():
        tried = entry["reason"] in {"truncated", "bomb"}
        assert entry["attempts"] == (2 if tried else 1)
        assert entry["first_seen"] == before[key]["first_seen"]
    assert run_dataset(sharded).counts.decoded == 0


def test_retry_of_what_cannot_be_read_counts_the_reads(options, raw):
    (raw / "link.jpg").symlink_to("nowhere.jpg")
    run_dataset(options())
    before = one(options(), "link.jpg")
    for attempts in (2, 3):
        run_dataset(options(), RunOptions(retry=known_reasons(["unreadable"])))
        entry = one(options(), "link.jpg")
        assert (entry["attempts"], entry["first_seen"]) == (attempts, before["first_seen"])
    write_image(raw, "nowhere.jpg", 60)
    run_dataset(options())
    assert entries(options()) == {}


def test_retry_of_a_reason_that_no_image_has_tries_nothing(options, raw):
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    run_dataset(options())
    report = run_dataset(options(), RunOptions(retry=known_reasons(["corrupt"])))
    assert (report.counts.decoded, report.counts.hashed, report.counts.kept) == (0, 0, 5)
    assert one(options(), "a/bad.jpg")["attempts"] == 1


def test_retry_decodes_copies_once_and_counts_one_attempt_for_each(options, raw):
    for number in range(5):
        (raw / f"a/bad{number}.jpg").write_bytes(TRUNCATED)
    run_dataset(options())
    report = run_dataset(options(), RunOptions(retry=known_reasons(["truncated"])))
    assert report.counts.decoded == 1
    assert {entry["attempts"] for entry in entries(options()).values()} == {2}


def test_a_plan_of_a_retry_foretells_it_and_writes_nothing(options, raw):
    (raw / "a/bad.jpg").write_bytes(TRUNCATED)
    run_dataset(options())
    before = one(options(), "a/bad.jpg")
    again = RunOptions(retry=known_reasons(["truncated"]))
    assert plan_dataset(options(), again).counts.decoded == 1
    assert plan_dataset(options()).counts.decoded == 0
    assert one(options(), "a/bad.jpg") == before


@pytest.mark.parametrize("ask", [known_reasons, lambda reasons: RunOptions(retry=known_reasons(reasons))])
def test_retry_of_an_unknown_reason_is_refused_with_those_that_there_are(ask):
    with pytest.raises(ConfigError, match=r"unknown reason 'magic'; known: zero_bytes, .*unreadable"):
        ask(["truncated", "magic"])


def test_quarantine_of_an_unknown_reason_is_refused_with_those_that_there_are(options):
    with pytest.raises(ConfigError, match=r"unknown reason 'magic'; known: zero_bytes, .*wrong_extension"):
        quarantine_summary(options(), ["magic"])


def test_an_image_that_ends_its_worker_is_listed_and_not_tried_again_when_it_is_renamed(options, raw):
    crashing = options(workers=1, transforms=[f"{__name__}:AbortOnRed"])
    (raw / "a/red.png").write_bytes(red_bytes())
    (raw / "b/red-too.png").write_bytes(red_bytes())
    report = run_dataset(crashing)
    assert (report.counts.failed, report.index.head.rows) == (2, 4)
    before = entries(crashing)
    assert {(entry["reason"], entry["sha256"], entry["attempts"]) for entry in before.values()} == {
        ("decoder_crashed", hashlib.sha256(red_bytes()).hexdigest(), 1)
    }
    assert "SIGABRT" in before["a/red.png"]["detail"]
    (raw / "a/red.png").rename(raw / "b/renamed.png")
    # Without workers another try would end this very process.
    report = run_dataset(crashing.model_copy(update={"workers": 0}))
    assert (report.counts.decoded, report.counts.moved) == (0, 1)
    assert one(crashing, "b/renamed.png")["first_seen"] == before["a/red.png"]["first_seen"]


def test_the_images_of_a_refused_shard_are_listed_too_and_are_not_decoded_again(settings, raw):
    strict = settings(num_shards=1)
    run_dataset(strict)
    for number in range(4):
        (raw / f"a/bad{number}.jpg").write_bytes(truncated(number))
    (report,) = run_dataset(strict).shards
    assert not report.published
    before = entries(strict)
    assert set(before) == {f"a/bad{number}.jpg" for number in range(4)}
    assert run_dataset(strict).counts.decoded == 0
    after = entries(strict)
    assert {key: (entry["first_seen"], entry["attempts"]) for key, entry in after.items()} == {
        key: (entry["first_seen"], 1) for key, entry in before.items()
    }


def test_a_refused_shard_that_was_never_published_is_listed_too(settings, raw):
    shutil.rmtree(raw)
    raw.mkdir()
    for number in range(4):
        (raw / f"{number}.jpg").write_bytes(truncated(number))
    assert run_dataset(settings(num_shards=1)).index is None
    assert len(entries(settings(num_shards=1))) == 4


def test_a_refused_shard_that_is_repaired_is_gone_from_the_listing(settings, raw):
    strict = settings(num_shards=1)
    for number in range(4):
        (raw / f"a/bad{number}.jpg").write_bytes(truncated(number))
    run_dataset(strict)
    for number in range(4):
        write_image(raw, f"a/bad{number}.jpg", 50 + number)
    run_dataset(strict)
    assert entries(strict) == {}


def test_a_refused_shard_whose_bad_images_are_deleted_again_is_gone_from_the_listing(settings, raw):
    strict = settings(num_shards=1)
    run_dataset(strict)
    for number in range(4):
        (raw / f"a/bad{number}.jpg").write_bytes(truncated(number))
    run_dataset(strict)
    for number in range(4):
        (raw / f"a/bad{number}.jpg").unlink()
    run_dataset(strict)
    assert entries(strict) == {}


def test_retry_of_a_refused_shard_counts_the_attempts(settings, raw):
    strict = settings(num_shards=1)
    run_dataset(strict)
    for number in range(4):
        (raw / f"a/bad{number}.jpg").write_bytes(truncated(number))
    run_dataset(strict)
    before = entries(strict)
    assert run_dataset(strict, RunOptions(retry=known_reasons(["truncated"]))).counts.decoded == 4
    after = entries(strict)
    assert {entry["attempts"] for entry in after.values()} == {2}
    assert after["a/bad0.jpg"]["first_seen"] == before["a/bad0.jpg"]["first_seen"]


def test_what_is_refused_on_the_way_to_another_number_of_shards_is_listed_once(settings, raw):
    write_images(raw, 20)
    (raw / "a/bad.jpg").write_bytes(truncated(50))
    run_dataset(settings(num_shards=2))
    for number in range(20):
        (raw / f"b/bad{number}.jpg").write_bytes(truncated(number))
    (raw / "a/bad.jpg").unlink()
    report = run_dataset(settings(num_shards=3))
    assert not any(shard.published for shard in report.shards)
    wanted = [f"b/bad{number}.jpg" for number in range(20)]
    listed = [entry["key"] for entry in quarantine_summary(settings(num_shards=3))["quarantine"]]
    assert listed == sorted(wanted)
    # Seen from the old number, the way to the new one was never gone.
    assert set(entries(settings(num_shards=2))) == {"a/bad.jpg"}


def test_a_run_of_one_shard_alone_retries_that_shard_alone(options, raw):
    names = [f"{'ab'[number % 2]}/bad{number}.jpg" for number in range(12)]
    for number, name in enumerate(names):
        (raw / name).write_bytes(truncated(number))
    run_dataset(options())
    update_shards(options(), ["0-of-4"], RunOptions(retry=known_reasons(["truncated", "not_an_image"])))
    first, end = bucket_range("0-of-4")
    inside = {name for name, bucket in zip(names, buckets_of(names), strict=True) if first <= bucket < end}
    assert 0 < len(inside) < len(names)
    assert {key for key, entry in entries(options()).items() if entry["attempts"] == 2} == inside


def test_what_was_tried_again_with_success_is_not_taken_to_fail_for_the_sake_of_a_copy(options, raw, monkeypatch):
    crashing = options(workers=1, transforms=[f"{__name__}:AbortOnRed"])
    names = [f"a/red{number}.png" for number in range(8)]
    for name in names:
        (raw / name).write_bytes(red_bytes())
    run_dataset(crashing)
    monkeypatch.setenv("DECODER_IS_REPAIRED", "1")
    # In one shard alone, so that the others still know these bytes to fail.
    update_shards(crashing, ["0-of-4"], RunOptions(retry=known_reasons(["decoder_crashed"])))
    left = set(entries(crashing))
    assert left < set(names)
    (raw / min(set(names) - left)).rename(raw / "b/renamed.png")
    assert run_dataset(crashing).counts.decoded == 0
    assert set(entries(crashing)) == left
