"""Whether too many images have an issue: one check for each issue, all alike."""

from image_assets.checks.base import Verdict
from image_assets.checks.quality_base import QualityCheck, QualityEvidence, not_known
from image_assets.settings.quality import QualitySettings, QualityShareSettings

_OF_THE_INDEX = frozenset({"odd_size", "odd_aspect_ratio", "wrong_extension"})


def flagged_images(issue: str, meaning: str) -> QualityCheck:
    """Return the check of one issue; ``meaning`` says of an image that has it what it is."""

    def check(evidence: QualityEvidence, settings: QualitySettings) -> Verdict:
        statistics = evidence.statistics
        images = statistics.images if issue in _OF_THE_INDEX else statistics.measured
        words = f"are {meaning}", "`image-assets quality` names the worst of them."
        return judge_share(issue, (statistics.issues.get(issue, 0), images), settings, words)

    check.__doc__ = f"Fail when too many images are {meaning}."
    return check


def judge_share(check: str, found: tuple[int, int], settings: QualitySettings, words: tuple[str, str]) -> Verdict:
    """Return the verdict on a part of the images; a handful of images never fails.

    Args:
        check: also the name of its section of the settings.
        found: how many, of how many images.
        words: what is said of these, and what to do when they are too many.
    """
    (part, images), (what, remedy) = found, words
    limits: QualityShareSettings = getattr(settings, check)
    if not images:
        return not_known(check, "there is no image")
    fraction = part / images
    passed = fraction <= limits.max_fraction or part < settings.min_flagged
    sentence = f"{part} of {images} images {what} ({fraction:.1%})."
    if not passed:
        sentence += f" More than {100 * limits.max_fraction:g}% (quality.{check}.max_fraction). {remedy}"
    numbers = {"images": part, "fraction": fraction}
    return Verdict(check, passed=passed, sentence=sentence, severity=limits.severity, numbers=numbers)
