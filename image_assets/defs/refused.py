"""What stands in Dagster for a settings file that is wrong: an asset with a failed check, and what watches the file."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import dagster as dg

from image_assets.checks.base import Verdict
from image_assets.core.errors import ImageAssetsError
from image_assets.defs.instance_events import check_result, listing_check_event

_CHECK = "settings_are_right"
_INTERVAL_S = 15


def refused_definitions(refused: Mapping[Path, str], look_again: Callable[[Path], str | None]) -> list[dg.Definitions]:
    """Return for each refused file an asset ``<file>/not_loaded`` that says why, a check, and a sensor that records it.

    Args:
        refused: why, by file.
        look_again: what says why a file would be refused now; None: it would not.
    """
    names: set[str] = set()
    return [_definitions(_name_for(path, names), path, why, look_again) for path, why in refused.items()]


def _definitions(name: str, path: Path, why: str, look_again: Callable[[Path], str | None]) -> dg.Definitions:
    key = dg.AssetKey([name, "not_loaded"])
    spec = dg.AssetSpec(
        key,
        group_name=name,
        description=f"The dataset of {_code(str(path))} is not there, because its settings are wrong: {_code(why)}\n\n"
        "Mend the file, then reload this code location. Nothing of the dataset is lost meanwhile.",
        kinds={"yaml"},
        metadata={"file": dg.MetadataValue.path(str(path)), "why": why},
    )

    @dg.asset_check(asset=key, name=_CHECK, description="Whether the settings file can be loaded.")
    def check() -> dg.AssetCheckResult:
        return check_result(_judge(path, look_again))

    @dg.sensor(
        name=f"{name}_not_loaded",
        asset_selection=dg.AssetSelection.checks(check),
        minimum_interval_seconds=_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Looks at {path} and records whether it can be loaded.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        verdict = _judge(path, look_again)
        event = listing_check_event(context.instance, key, verdict)
        return dg.SensorResult(skip_reason=verdict.sentence, asset_events=[event] if event is not None else [])

    return dg.Definitions(assets=[spec], asset_checks=[check], sensors=[sensor])


def _judge(path: Path, look_again: Callable[[Path], str | None]) -> Verdict:
    try:
        why = look_again(path)
    except ImageAssetsError as error:
        why = str(error)
    if why is not None:
        return Verdict(_CHECK, passed=False, sentence=f"{_code(why)}: mend the file, then reload the code location.")
    news = "can be loaded" if path.exists() else "is gone"
    return Verdict(_CHECK, passed=True, sentence=f"{_code(str(path))} {news}: reload the code location.")


def _code(text: str) -> str:
    """Return text as code in Markdown, in which only the mark that ends it means something."""
    return f"`{text.replace('`', chr(39))}`"


def _name_for(path: Path, taken: set[str]) -> str:
    """Return a name for a file's group, distinct from those taken, and take it."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", path.stem) or "_"
    while name in taken:
        name += "_"
    taken.add(name)
    return name
