"""Waiting until the sensor has nothing to do."""

import time

from image_assets.pipeline.detect import detect
from image_assets_tests.soak import queries
from image_assets_tests.soak.deployment import Deployment

_LOOK_EVERY_S = 2.0


def stop_sensor(deployment: Deployment) -> None:
    """Turn the sensor off, as the switch in the UI does."""
    sensor = deployment.query(queries.SENSOR, selector=_selector(deployment))["sensorOrError"]
    deployment.query(queries.STOP_SENSOR, id=sensor["id"])


def start_sensor(deployment: Deployment) -> None:
    """Turn the sensor on."""
    deployment.query(queries.START_SENSOR, selector=_selector(deployment))


def wait_until_quiet(deployment: Deployment, timeout_s: float) -> str:
    """Return how long it took until nothing was to do, no run under way, and the sensor said so; or what is missing."""
    began_at = time.monotonic()
    while (seconds := time.monotonic() - began_at) < timeout_s:
        missing = _missing(deployment)
        if not missing:
            return f"after {seconds:.0f} s"
        time.sleep(_LOOK_EVERY_S)
    return f"NOT within {timeout_s:g} s: {missing}"


def _missing(deployment: Deployment) -> str:
    open_runs = [run.status for run in deployment.runs() if not run.ended]
    if open_runs:
        return f"runs {', '.join(open_runs)}"
    if touched := detect(deployment.settings).touched():
        return f"{len(touched)} shards differ; the sensor says: {deployment.last_tick()['skipReason']}"
    tick = deployment.last_tick()
    return "" if tick["skipReason"] == "nothing changed" else f"the sensor says: {tick}"


def _selector(deployment: Deployment) -> dict[str, str]:
    return {**deployment._repository(), "sensorName": f"{deployment.name}_source_sensor"}
