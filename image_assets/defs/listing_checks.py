"""Checks of `raw_listing`: whether the source can be believed."""

import inspect

import dagster as dg

from image_assets.checks import LISTING_CHECKS
from image_assets.checks.base import Verdict
from image_assets.core.errors import SourceError
from image_assets.defs.instance_events import check_result, plain_failures
from image_assets.defs.names import Names
from image_assets.pipeline.detect import look
from image_assets.settings import Settings


def listing_checks(settings: Settings, names: Names) -> list[dg.AssetChecksDefinition]:
    """Return the checks of the source; the sensor records them by itself whenever their result changes."""
    return [_check(settings, names, name, inspect.getdoc(check) or "") for name, check in LISTING_CHECKS.items()]


def judge_source(settings: Settings) -> Verdict:
    """Return the verdict on the source; one that cannot be listed has failed.

    Raises:
        ImageAssetsError: something else than the source is wrong.
    """
    try:
        loss = look(settings).loss
    except SourceError as error:
        return unlisted(error)
    return loss or Verdict("lost_fraction", passed=True, sentence="The dataset holds no image yet.")


def unlisted(error: SourceError) -> Verdict:
    """Return the verdict on a source that cannot be listed."""
    return Verdict("lost_fraction", passed=False, sentence=str(error))


def _check(settings: Settings, names: Names, name: str, text: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=names.raw_listing, name=name, description=text.split("\n", maxsplit=1)[0])
    def check() -> dg.AssetCheckResult:
        with plain_failures():
            verdict = judge_source(settings)
        return check_result(verdict)

    return check
