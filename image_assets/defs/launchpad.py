"""What a person can ask of one run in Dagster's launchpad; what is wrong is refused before a run is made of it."""

from collections.abc import Mapping
from typing import Any, get_args

import dagster as dg

# For _CheckedFields: what is published judges each field alone.
from dagster._config.config_type import ConfigTypeKind
from dagster._config.errors import PostProcessingError
from dagster._config.field_utils import _ConfigHasFields

from image_assets.core.errors import ConfigError
from image_assets.core.sample import REASONS
from image_assets.pipeline.detect import RunOptions, known_reasons
from image_assets.settings import Settings, with_engine, with_workers
from image_assets.settings.engine import SCHEMES, Kind

_ENGINE_WORDS = {
    "auto": "local; with an address that of the cluster, once there is enough to do",
    "inline": "one image after the other in the run's own process; a decoder that crashes ends the run",
    "local": "worker processes of this machine",
    "ray": "a Ray cluster; without an address one on this machine",
    "dask": "a Dask cluster; without an address one on this machine",
    "spark": "a Spark cluster; without an address one on this machine",
}


def launchpad(settings: Settings) -> dict[str, dg.Field]:
    """Return the fields of the launchpad for the shards of a dataset; each has a default."""
    reasons = [dg.EnumValue(reason, description=meaning) for reason, meaning in REASONS.items()]
    return {
        "allow_deletes": dg.Field(
            bool,
            default_value=False,
            description="Confirm that an empty or much smaller source is meant: what is gone is removed.",
        ),
        "recheck": dg.Field(
            bool,
            default_value=False,
            description="Look into every shard of the range, also where nothing changed.",
        ),
        "retry": dg.Field(
            [dg.Enum("FailureReason", reasons)],
            default_value=[],
            description=f"Try failed images of these reasons again: {', '.join(REASONS)}.",
        ),
        "engine": dg.Field(
            _CheckedFields(f"EngineOfOneRun.{settings.name}", _engine_fields(settings), settings),
            description="Where the work of this run alone is done; what is not said stays as the settings say.",
            is_required=False,
        ),
    }


def _engine_fields(settings: Settings) -> dict[str, dg.Field]:
    words = [dg.EnumValue(word, description=_ENGINE_WORDS[word]) for word in get_args(Kind)]
    schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
    return {
        "kind": dg.Field(
            dg.Noneable(dg.Enum("EngineKind", words)),
            default_value=None,
            description=f"{', '.join(_ENGINE_WORDS)}. The settings say {settings.engine.kind}.",
        ),
        "address": dg.Field(
            dg.Noneable(str),
            default_value=None,
            description=f"Of a running cluster; it says of which kind it is, and begins with one of {schemes}.",
        ),
        "workers": dg.Field(
            dg.Noneable(int),
            default_value=None,
            description="Tasks at once: 1 to 4096, or 0 for inline and local: in the run's own process. The settings "
            f"say {settings.workers}.",
        ),
    }


def asked_settings(settings: Settings, asked: Mapping[str, Any]) -> Settings:
    """Return the settings with what a person asked for in the launchpad.

    Raises:
        ConfigError: there is no such engine, or it does not go with the other settings.
    """
    return _with_engine(settings, asked.get("engine") or {})


def asked_options(asked: Mapping[str, Any]) -> RunOptions:
    """Return the options that a person asked for in the launchpad.

    Raises:
        ConfigError: there is no such reason.
    """
    return RunOptions(
        allow_deletes=asked.get("allow_deletes", False),
        recheck=asked.get("recheck", False),
        retry=known_reasons(asked.get("retry", ())),
    )


def _with_engine(settings: Settings, engine: Mapping[str, Any]) -> Settings:
    kind, address, workers = (engine.get(name) for name in ("kind", "address", "workers"))
    if workers is not None:
        settings = with_workers(settings, workers)
    if address is None:
        return settings if kind is None else with_engine(settings, kind)
    if "://" not in address:
        raise ConfigError(f"engine: {address!r} is no address of a cluster; a word such as dask is its kind")
    settings = with_engine(settings, address)
    if kind not in {None, settings.engine.kind}:
        raise ConfigError(f"engine: address {address!r} is one of {settings.engine.kind}, not of {kind}")
    return settings


class _CheckedFields(_ConfigHasFields):
    """Fields that are also judged together, where Dagster puts in the defaults: before it makes a run.

    Dagster's own `Shape` is shared by all who have equal fields, so that nothing can be added to it.
    """

    def __init__(self, key: str, fields: Mapping[str, dg.Field], settings: Settings) -> None:
        super().__init__(kind=ConfigTypeKind.STRICT_SHAPE, key=key, fields=dict(fields))  # type: ignore[no-untyped-call]
        self.field_aliases: dict[str, str] = {}
        self._settings = settings

    def post_process(self, value: Any) -> Any:
        """Return what was asked for as it is, once it is accepted."""
        try:
            _with_engine(self._settings, value)
        except ConfigError as error:
            raise PostProcessingError(str(error)) from None
        return value
