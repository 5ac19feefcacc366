"""Every check's contract, and what each says in a table of cases."""

import math
import re
from dataclasses import replace

import pytest

from image_assets.checks import INDEX_CHECKS, LISTING_CHECKS, SHARD_CHECKS, VECTOR_CHECKS
from image_assets.checks.base import IndexEvidence, ListingEvidence, ShardEvidence, SplitEvidence, VectorEvidence
from image_assets.checks.complete import complete
from image_assets.checks.failed_fraction import failed_fraction
from image_assets.checks.no_leakage import no_leakage
from image_assets.checks.nothing_quarantined import nothing_quarantined
from image_assets.checks.row_count import row_count
from image_assets.checks.segments_readable import segments_readable
from image_assets.checks.shards_present import shards_present
from image_assets.checks.splits_even import splits_even
from image_assets.checks.unique_ids import unique_ids
from image_assets.checks.vectors_aligned import vectors_aligned
from image_assets.checks.vectors_finite import vectors_finite
from image_assets.settings.checks import CheckSettings, FailedFractionSettings
from image_assets_tests.storage.rows import index_head, manifest

DEFAULTS = CheckSettings()


def shard(images, failed=0, **changes):
    statuses = ["failed"] * failed + ["ok"] * (images - failed)
    evidence = ShardEvidence(manifest(images, statuses=statuses), images, 0, {})
    return replace(evidence, **changes)


def index(rows, *, promised=None, ids=None, head_rows=None, shards=("0-of-2", "1-of-2"), missing=()):
    head = index_head(rows=rows if head_rows is None else head_rows, commits=dict.fromkeys(shards, 1))
    return IndexEvidence(head, rows if promised is None else promised, rows, rows if ids is None else ids, missing)


def limits(warn, error, min_failed=1):
    return CheckSettings(failed_fraction=FailedFractionSettings(warn=warn, error=error, min_failed=min_failed))


SHARDS = [
    shard(0),
    shard(4),
    shard(4, 1),
    shard(100, 90),
    shard(3, listed=9, vanished=2, segment_problems={"ab": "is gone"}),
]
QUARANTINE = "`image-assets quarantine` lists them and says why."
TRY_AGAIN = "their checks say why, and `image-assets run` tries them again."
# A command, an option, a setting or a page: what a failed check tells a person to turn to.
REMEDY = re.compile(r"`image-assets [a-z]|--[a-z]|\b(checks|quality|features|labels)\.[a-z_]+|data/[A-Z]+\.md")
EIGHTY = (0.8, 0.1, 0.1)
LEAKING = SplitEvidence({"a": (8, 1, 1), None: (50, 1, 0)}, EIGHTY, 3, 4, 1, 2)
INDEXES = [
    index(0, shards=()),
    index(5),
    index(5, promised=6, ids=4),
    index(1, missing=("0-of-99",) * 20),
    replace(index(68), splits=LEAKING),
]
VECTORS = [VectorEvidence(0, 0, 0, 0), VectorEvidence(5, 5, 0, 0), VectorEvidence(5, 4, 3, 2)]
EVIDENCE = {
    **dict.fromkeys(SHARD_CHECKS, SHARDS),
    **dict.fromkeys(INDEX_CHECKS, INDEXES),
    **dict.fromkeys(VECTOR_CHECKS, VECTORS),
}
CHECKS = {**SHARD_CHECKS, **INDEX_CHECKS, **VECTOR_CHECKS}


@pytest.mark.parametrize(("name", "evidence"), [(name, evidence) for name in CHECKS for evidence in EVIDENCE[name]])
def test_a_verdict_names_its_check_says_one_line_and_counts(name, evidence):
    verdict = CHECKS[name](evidence, DEFAULTS)
    assert verdict.check == name
    assert isinstance(verdict.passed, bool)
    assert verdict.severity in {"warn", "error"}
    assert re.fullmatch(r"\S.*\.", verdict.sentence)
    assert verdict.numbers
    # Only numbers are plotted, and a bool is none.
    assert {type(number) for number in verdict.numbers.values()} <= {int, float}
    assert all(math.isfinite(number) for number in verdict.numbers.values())
    assert CHECKS[name](evidence, DEFAULTS) == verdict


FAILING = {
    "lost_fraction": ListingEvidence("/raw", 10, 9, 1),
    "failed_fraction": shard(4, 3),
    "complete": shard(3, listed=9),
    "segments_readable": shard(1, segment_problems={"ab": "is gone"}),
    "row_count": index(5, promised=6),
    "unique_ids": index(5, ids=4),
    "shards_present": index(1, missing=("0-of-9",)),
    "no_leakage": INDEXES[-1],
    "nothing_quarantined": INDEXES[-1],
    "splits_even": INDEXES[-1],
    "vectors_aligned": VECTORS[-1],
    "vectors_finite": VECTORS[-1],
}


@pytest.mark.parametrize("name", [*LISTING_CHECKS, *CHECKS])
def test_a_failed_check_says_the_number_and_what_would_do(name):
    verdict = {**LISTING_CHECKS, **CHECKS}[name](FAILING[name], DEFAULTS)
    assert not verdict.passed
    assert re.search(r"\d", verdict.sentence)
    assert REMEDY.search(verdict.sentence), verdict.sentence


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_at_all_passes(name):
    assert CHECKS[name](EVIDENCE[name][0], DEFAULTS).passed


@pytest.mark.parametrize(
    ("images", "failed", "settings", "outcome"),
    [
        (0, 0, DEFAULTS, "passes"),
        (1, 0, DEFAULTS, "passes"),
        (1, 1, DEFAULTS, "warns"),  # all of it, but fewer than min_failed
        (2, 2, DEFAULTS, "warns"),
        (3, 3, DEFAULTS, "blocks"),
        (100, 1, DEFAULTS, "passes"),  # exactly the fraction to warn above
        (99, 1, DEFAULTS, "warns"),
        (100, 25, DEFAULTS, "warns"),  # exactly the fraction to stop above
        (100, 26, DEFAULTS, "blocks"),
        (4, 1, DEFAULTS, "warns"),
        (100, 29, limits(0.29, 0.5), "passes"),  # 0.29 * 100 is less than 29
        (100, 29, limits(0.1, 0.29), "warns"),
        (100, 30, limits(0.1, 0.29), "blocks"),
        (10, 0, limits(0, 0), "passes"),
        (10, 1, limits(0, 0), "blocks"),
        (10, 1, limits(0, 0, min_failed=2), "warns"),
        (10, 10, limits(1, 1), "passes"),
        (10, 10, limits(0, 1), "warns"),
        (10, 4, limits(0.5, 0.25), "blocks"),  # a lower limit for stopping than for warning still stops
    ],
)
def test_failed_fraction_warns_and_stops_above_its_limits(images, failed, settings, outcome):
    verdict = failed_fraction(shard(images, failed), settings)
    assert (verdict.passed, verdict.blocks) == (outcome == "passes", outcome == "blocks")
    fraction = failed / images if images else 0.0
    assert verdict.numbers == {"failed_fraction": fraction, "failed_images": failed, "images": images}
    assert ("was not published" in verdict.sentence) == (outcome == "blocks")


@pytest.mark.parametrize(
    ("evidence", "settings", "sentence"),
    [
        (shard(0), DEFAULTS, "0 of 0 images failed (0.0%)."),
        (shard(100, 1), DEFAULTS, "1 of 100 images failed (1.0%): 1 truncated."),
        (shard(50, 1), DEFAULTS, f"1 of 50 images failed (2.0%): 1 truncated. More than 1%: {QUARANTINE}"),
        (shard(50, 1), limits(0.005, 0.25), f"1 of 50 images failed (2.0%): 1 truncated. More than 0.5%: {QUARANTINE}"),
        (
            shard(4, 3),
            DEFAULTS,
            (
                "3 of 4 images failed (75.0%): 3 truncated. More than 25%: the shard was not published. "
                "Repair or remove the files (`image-assets quarantine` lists them), or raise "
                "checks.failed_fraction.error."
            ),
        ),
    ],
)
def test_failed_fraction_says_how_many_and_what_would_do(evidence, settings, sentence):
    assert failed_fraction(evidence, settings).sentence == sentence


@pytest.mark.parametrize(
    ("keys", "listed", "vanished", "passed"),
    [
        ([], 0, 0, True),
        (["a", "b"], 2, 0, True),
        (["a", "b"], 3, 1, True),
        ([], 2, 2, True),
        (["a", "b"], 3, 0, False),
        (["a", "b"], 1, 0, False),
        (["a", "b"], 2, 1, False),
        (["a", "a"], 2, 0, False),  # the right number of rows, one image twice and one missing
        (["a", "b", "b"], 2, 0, False),
    ],
)
def test_complete_wants_every_listed_image_once(keys, listed, vanished, passed):
    verdict = complete(ShardEvidence(manifest(len(keys), keys=keys), listed, vanished, {}), DEFAULTS)
    assert (verdict.passed, verdict.blocks) == (passed, not passed)
    assert verdict.numbers == {"rows": len(keys), "listed": listed, "vanished": vanished}


@pytest.mark.parametrize(
    ("segments", "problems", "sentence"),
    [
        ([], {}, "0 of 0 segments are sound."),
        ([None, None], {}, "0 of 0 segments are sound."),  # failed images lie in none
        (["a", "a", "b", None], {}, "2 of 2 segments are sound."),
        (
            ["b" * 64, "a" * 64],
            {"b" * 64: "is gone", "a" * 64: "does not hold what was written"},
            (
                f"0 of 2 segments are sound. Segment {'a' * 16} does not hold what was written. "
                "The shard was not published; delete that file and `image-assets run` makes it again."
            ),
        ),
    ],
)
def test_segments_readable_names_the_first_bad_one(segments, problems, sentence):
    evidence = ShardEvidence(manifest(len(segments), segments=segments), len(segments), 0, problems)
    verdict = segments_readable(evidence, DEFAULTS)
    assert (verdict.sentence, verdict.blocks) == (sentence, bool(problems))
    assert verdict.numbers["damaged_segments"] == len(problems)


@pytest.mark.parametrize(
    ("check", "evidence", "passed"),
    [
        (row_count, index(0), True),
        (row_count, index(7), True),
        (row_count, index(7, promised=8), False),
        (row_count, index(7, promised=6), False),
        (row_count, index(7, head_rows=8), False),
        (unique_ids, index(0), True),
        (unique_ids, index(7), True),
        (unique_ids, index(7, ids=6), False),
        (vectors_aligned, VectorEvidence(7, 7, 0, 0), True),
        (vectors_aligned, VectorEvidence(7, 7, 1, 0), False),
        (vectors_aligned, VectorEvidence(7, 6, 0, 0), False),
        (vectors_aligned, VectorEvidence(6, 7, 0, 0), False),
        (vectors_aligned, VectorEvidence(7, 7, 0, 7), True),
        (vectors_finite, VectorEvidence(7, 7, 0, 0), True),
        (vectors_finite, VectorEvidence(7, 7, 0, 1), False),
        (vectors_finite, VectorEvidence(7, 6, 3, 0), True),
    ],
)
def test_a_difference_of_one_blocks(check, evidence, passed):
    verdict = check(evidence, DEFAULTS)
    assert (verdict.passed, verdict.blocks) == (passed, not passed)


@pytest.mark.parametrize(
    ("check", "splits", "outcome"),
    [
        (no_leakage, SplitEvidence(), "passes"),
        (no_leakage, SplitEvidence(leaking_groups=1), "blocks"),
        (no_leakage, SplitEvidence(leaking_contents=1), "blocks"),
        (nothing_quarantined, SplitEvidence(), "passes"),
        (nothing_quarantined, SplitEvidence(quarantined=1), "warns"),
        (nothing_quarantined, SplitEvidence(unsplit=1), "warns"),
        (splits_even, SplitEvidence({"a": (8, 1, 1)}, EIGHTY), "passes"),
        # Two images are always allowed, and 5 of 100.
        (splits_even, SplitEvidence({"a": (9, 2, 2), "b": (75, 13, 12)}, EIGHTY), "passes"),
        (splits_even, SplitEvidence({"a": (74, 14, 12)}, EIGHTY), "warns"),
        (splits_even, SplitEvidence({None: (0, 0, 3)}, EIGHTY), "warns"),
        # A column or the time decides: nobody said what it should be.
        (splits_even, SplitEvidence({"a": (0, 0, 9)}), "passes"),
    ],
)
def test_leaks_block_and_uneven_or_quarantined_images_are_told(check, splits, outcome):
    verdict = check(replace(index(9), splits=splits), DEFAULTS)
    assert ("blocks" if verdict.blocks else "passes" if verdict.passed else "warns") == outcome


def test_a_label_is_code_in_a_sentence_whatever_it_says():
    odd = "`![x](http://x/y.png) |\n<b>" + "l" * 200
    verdict = splits_even(replace(index(9), splits=SplitEvidence({odd: (0, 0, 9), None: (0, 0, 9)}, EIGHTY)), DEFAULTS)
    assert "`\"'![x](http://x/y.png…" + "l" * 19 + '"` (8), no label (8)' in verdict.sentence


def test_a_missing_shard_warns_and_does_not_block():
    verdict = shards_present(index(5, missing=("1-of-4", "3-of-4")), DEFAULTS)
    assert (verdict.passed, verdict.blocks) == (False, False)
    assert verdict.sentence == f"2 shards are in the index. Never published: 1-of-4, 3-of-4; {TRY_AGAIN}"
    assert verdict.numbers == {"shards": 2, "missing_shards": 2}


def test_many_missing_shards_are_counted_and_eight_of_them_named():
    missing = tuple(f"{number:02d}-of-64" for number in range(9))
    verdict = shards_present(index(5, missing=missing), DEFAULTS)
    assert "07-of-64 …; their checks" in verdict.sentence
    assert "08-of-64" not in verdict.sentence
    assert verdict.numbers["missing_shards"] == 9
