"""Every quality check's contract, what single images are said to have, and how statistics and drift add up."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.checks import QUALITY_CHECKS
from image_assets.checks.image_issues import IMAGE_ISSUES, Images, issues_of
from image_assets.checks.quality_base import Baseline, QualityEvidence
from image_assets.core.dataset_statistics import HISTOGRAMS, DatasetStatistics, summed
from image_assets.core.drift import jensen_shannon, population_stability
from image_assets.settings.quality import QualitySettings
from image_assets.storage.pixel_statistics import MEASURES

DEFAULTS = QualitySettings()


def statistics(images, *, issues=(), labels=None, unlabelled=0, bin_number=3):
    """So many images, of which some have issues; all lie in one bin of every histogram."""
    labels = {"a": images - unlabelled} if labels is None else labels
    histograms = {name: tuple(images * (at == bin_number) for at in range(b.count)) for name, b in HISTOGRAMS.items()}
    counts = dict(issues)
    return DatasetStatistics(images, images, 3, images, (0, 0, 0), (0, 0, 0), unlabelled, labels, counts, histograms)


def evidence(whole, before=None, **changes):
    baseline = Baseline(1, before, same_recipe=True) if before is not None else None
    found = QualityEvidence(whole, {}, 0, 0, "", baseline, "there is no earlier snapshot", False, labels_wanted=True)
    return replace(found, **changes)


EVERY_ISSUE = dict.fromkeys(IMAGE_ISSUES, 50)
EVIDENCE = [
    evidence(DatasetStatistics()),
    evidence(statistics(1), near_duplicates=None, duplicates_note="nobody looked"),
    evidence(statistics(100, issues=EVERY_ISSUE, labels={"a": 90, "b": 1}, unlabelled=9), exact_duplicates=50),
    evidence(statistics(200, bin_number=9, labels={"b": 200}), statistics(200), near_duplicates=100),
    evidence(statistics(200), statistics(200, labels={}, unlabelled=200)),
    evidence(statistics(5), statistics(5000), labels_wanted=False),
    evidence(statistics(5), baseline_note="no snapshot 7", baseline_is_lost=True),
]


@pytest.mark.parametrize(("name", "number"), [(name, at) for name in QUALITY_CHECKS for at in range(len(EVIDENCE))])
def test_a_verdict_names_its_check_says_one_line_and_counts(name, number):
    verdict = QUALITY_CHECKS[name](EVIDENCE[number], DEFAULTS)
    assert verdict.check == name
    assert isinstance(verdict.passed, bool)
    assert re.fullmatch(r"\S.*\.", verdict.sentence)
    assert {type(value) for value in verdict.numbers.values()} <= {int, float}
    assert verdict.numbers
    assert all(math.isfinite(value) for value in verdict.numbers.values())
    # By default no check is worth stopping for.
    assert not verdict.blocks


@pytest.mark.parametrize("name", QUALITY_CHECKS)
def test_nothing_at_all_passes(name):
    assert QUALITY_CHECKS[name](EVIDENCE[0], DEFAULTS).passed


@pytest.mark.parametrize("name", QUALITY_CHECKS)
def test_each_check_fails_on_something_and_its_severity_is_a_setting(name):
    section = getattr(DEFAULTS, name)
    strict = DEFAULTS.model_copy(update={name: section.model_copy(update={"severity": "error"})})
    verdicts = [QUALITY_CHECKS[name](found, strict) for found in EVIDENCE]
    failed = [verdict.sentence for verdict in verdicts if verdict.blocks]
    assert failed
    assert all("`image-assets " in sentence and f"quality.{name}." in sentence for sentence in failed[:1]), failed
    assert QUALITY_CHECKS[name].__doc__


@pytest.mark.parametrize(
    ("images", "dark", "passed"),
    [
        (100, 5, True),  # exactly the part that is let pass
        (100, 6, False),
        (3, 2, True),  # two of three, but fewer than min_flagged
        (3, 3, False),
    ],
)
def test_too_many_dark_images_fail_and_a_handful_never_does(images, dark, passed):
    found = QUALITY_CHECKS["dark"](evidence(statistics(images, issues={"dark": dark})), DEFAULTS)
    assert found.passed == passed
    assert found.numbers == {"images": dark, "fraction": dark / images}
    assert ("More than 5% (quality.dark.max_fraction)." in found.sentence) == (not passed)


@pytest.mark.parametrize("check", ["pixel_drift", "size_drift", "label_drift"])
def test_drift_of_small_or_of_absent_snapshots_is_not_known(check):
    moved = statistics(99, bin_number=9, labels={"b": 99})
    for found in (evidence(moved, statistics(5000)), evidence(statistics(5000), moved), evidence(moved)):
        verdict = QUALITY_CHECKS[check](found, DEFAULTS)
        assert (verdict.passed, verdict.numbers) == (True, {"known": 0})
        assert verdict.sentence.startswith("Not known: ")
    enough = evidence(replace(moved, images=200, measured=200), statistics(5000))
    assert not QUALITY_CHECKS[check](enough, DEFAULTS).passed


def test_drift_says_when_the_recipe_was_another():
    found = evidence(statistics(200), baseline=Baseline(3, statistics(200), same_recipe=False))
    said = QUALITY_CHECKS["size_drift"](found, DEFAULTS).sentence
    assert said == "Against snapshot 3: size: PSI 0.000, aspect: PSI 0.000. It was made with another recipe."


def images_with(count=1, **values):
    measures = np.zeros(count, MEASURES)
    # A fair photograph of 100 x 100.
    usual = {"luma_p95": 200, "entropy_bits": 7, "blur": 0.3, "colourfulness": 30, "channels": 3}
    for name, value in {**usual, **{n: v for n, v in values.items() if n in (MEASURES.names or ())}}.items():
        measures[name] = value
    sides = [np.full(count, values.get(name, 100), np.int32) for name in ("raw_width_px", "raw_height_px")]
    flag = np.full(count, values.get("wrong_extension", False))
    return Images(measures, np.full(count, values.get("measured", True)), *sides, flag, values.get("usual", 100.0))


@pytest.mark.parametrize(
    ("values", "issues"),
    [
        ({}, set()),
        ({"luma_p95": 99}, {"dark"}),
        ({"luma_p95": 100}, set()),
        ({"white_fraction": 0.5}, {"bright"}),
        ({"blur": 0.43}, {"blurry"}),
        ({"blur": 1.0, "entropy_bits": 0.0}, {"low_information"}),  # nothing in it that could be sharp
        ({"colourfulness": 0.4}, {"grayscale"}),
        ({"colourfulness": 0.0, "channels": 1}, set()),  # in a gray dataset
        ({"raw_width_px": 301}, {"odd_aspect_ratio"}),
        ({"raw_height_px": 300}, set()),
        ({"raw_width_px": 24, "raw_height_px": 24}, {"odd_size"}),
        ({"raw_width_px": 401, "raw_height_px": 401}, {"odd_size"}),
        ({"raw_width_px": 401, "raw_height_px": 401, "usual": 0.0}, set()),
        ({"wrong_extension": True}, {"wrong_extension"}),
        ({"luma_p95": 0, "blur": 1.0, "measured": False}, set()),
    ],
)
def test_what_an_image_has_is_told_by_its_limits(values, issues):
    found = issues_of(images_with(**values), DEFAULTS)
    assert {name for name, has in found.items() if has[0]} == issues


@pytest.mark.parametrize("name", IMAGE_ISSUES)
def test_an_issue_is_measured_for_any_number_of_images(name):
    for count in (0, 1, 3):
        images = images_with(count)
        assert issues_of(images, DEFAULTS)[name].shape == (count,)
        assert np.isfinite(IMAGE_ISSUES[name].measure(images).astype(np.float64)).all()


COUNTS = st.integers(0, 2**62)
PARTS = st.builds(
    lambda images, sums, squares, labels, issues: DatasetStatistics(
        images, images, 3, images, sums, squares, images // 2, labels, issues
    ),
    COUNTS,
    st.tuples(COUNTS, COUNTS, COUNTS),
    st.tuples(COUNTS, COUNTS, COUNTS),
    st.dictionaries(st.sampled_from("abc"), COUNTS),
    st.dictionaries(st.sampled_from(sorted(IMAGE_ISSUES)), COUNTS),
)


@given(st.lists(PARTS, max_size=6), st.randoms())
def test_statistics_add_up_to_the_same_in_whatever_order_and_however_large(parts, chance):
    whole = summed(parts)
    mixed = parts.copy()
    chance.shuffle(mixed)
    assert summed([summed(mixed[:2]), summed(mixed[2:])]) == whole
    assert whole.sums[0] == sum(part.sums[0] for part in parts)
    assert sum(whole.labels.values()) == sum(sum(part.labels.values()) for part in parts)


def test_the_median_side_is_told_from_the_histogram_to_half_a_bin():
    sides = np.random.default_rng(0).integers(50, 4000, 999)
    bins = HISTOGRAMS["size"].counts(np.log2(sides))
    found = DatasetStatistics(histograms={"size": tuple(bins.tolist())}).usual_side_px
    assert abs(math.log2(found / np.median(sides))) <= 1 / 16


def test_the_index_of_stability_is_that_of_the_formula():
    # Ten bins of a tenth each, so that none is put together; by hand with half an image more in each.
    before, after = [10] * 10, [0, 20] + [10] * 8
    old, new = (np.array(counts) + 0.5 for counts in (before, after))
    old, new = old / old.sum(), new / new.sum()
    assert population_stability(before, after).distance == pytest.approx(((new - old) * np.log(new / old)).sum())
    assert population_stability(before, before).distance == 0


@pytest.mark.parametrize(
    ("before", "after", "distance"),
    [
        ({"a": 5, "b": 5}, {"a": 500, "b": 500}, 0.0),
        ({"a": 5}, {"b": 7}, 1.0),
        ({"a": 1, "b": 1}, {"a": 1}, math.sqrt(0.75 * math.log2(4 / 3) + 0.25 * math.log2(4) / 1 - 0.5 * 1)),
    ],
)
def test_the_distance_of_labels_is_jensens_and_shannons(before, after, distance):
    # The last by entropies: that of the middle (3/4, 1/4), less half of one bit.
    if distance not in {0.0, 1.0}:
        distance = math.sqrt(0.75 * math.log2(4 / 3) + 0.25 * math.log2(4) - 0.5)
    assert jensen_shannon(before, after).distance == pytest.approx(distance, abs=1e-12)


def test_chance_alone_reaches_the_guard_about_once_in_a_thousand():
    rng = np.random.default_rng(0)
    shares, names = np.full(10, 0.1), [str(number) for number in range(10)]
    over = {"psi": 0, "labels": 0}
    for _ in range(1000):
        before, after = rng.multinomial(300, shares), rng.multinomial(200, shares)
        psi = population_stability(before.tolist(), after.tolist())
        labels = jensen_shannon(
            dict(zip(names, before.tolist(), strict=True)), dict(zip(names, after.tolist(), strict=True))
        )
        over["psi"] += psi.distance > psi.by_chance
        over["labels"] += labels.distance > labels.by_chance
    assert max(over.values()) <= 8
