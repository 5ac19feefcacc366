"""The settings of one dataset: one frozen model, read from one YAML file; units end the names."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from image_assets.core.bounded_yaml import read_yaml
from image_assets.core.errors import ConfigError
from image_assets.core.object_urls import is_object_url, parse_object_url
from image_assets.settings.checks import CheckSettings
from image_assets.settings.engine import SCHEMES, Engine, EngineSettings, engine_of
from image_assets.settings.features import AutoLabelSettings, DuplicateSettings, FeatureSettings, SimilaritySettings
from image_assets.settings.images import AugmentSettings, ImageSettings, LimitSettings, OutputSettings, TransformSpec
from image_assets.settings.mistakes import one_line
from image_assets.settings.monitoring import MonitoringSettings
from image_assets.settings.notifications import NotificationSettings
from image_assets.settings.quality import QualitySettings
from image_assets.settings.report import ReportSettings
from image_assets.settings.section import Section
from image_assets.settings.showing import ContactSheetSettings, Owner, TagKey, TagValue
from image_assets.settings.sources import AnnotationSettings, LabelSettings, SourceSettings
from image_assets.settings.splits import SplitSettings
from image_assets.settings.triggers import TriggerSettings
from image_assets.settings.warehouse import WarehouseSettings

PRESETS: dict[str, dict[str, Any]] = {
    # The reference tutorial's output: grayscale PNG, aspect ratio not kept.
    "zenml-tutorial": {
        "image": {"width_px": 224, "height_px": 224, "fit": "stretch", "mode": "L"},
        "output": {"format": "png"},
    },
    # A random crop of 70-100 % of the area, 256 px, sharpened, JPEG 90.
    "remux": {
        "image": {"width_px": 256, "height_px": 256, "fit": "cover", "mode": "RGB"},
        "output": {"format": "jpeg", "quality": 90},
        "transforms": [{"random_crop": {"scale": [0.7, 1.0]}}, "sharpen"],
    },
}


class Settings(Section):
    """All settings of one dataset."""

    name: str = Field(
        description="Dataset name: lower case letters, digits and underscores.", pattern=r"^[a-z][a-z0-9_]{0,62}$"
    )
    source: SourceSettings
    store: str = Field(
        min_length=1, description="Folder (relative to the settings file) or URL where everything is kept."
    )
    num_shards: int = Field(16, ge=1, le=4096, description="Static partitions; 16-64 is the advice.")
    owners: tuple[Owner, ...] = Field((), description="Whose it is, shown in Dagster: email addresses, team:NAME.")
    tags: dict[TagKey, TagValue] = Field({}, description="Tags of its assets in Dagster: name and value.")
    seed: int = Field(0, ge=0, description="Seed of every random draw.")
    labels: LabelSettings = LabelSettings()
    image: ImageSettings = ImageSettings()
    output: OutputSettings = OutputSettings()
    transforms: tuple[TransformSpec, ...] = Field((), description="Applied to every image, in this order.")
    augment: AugmentSettings = AugmentSettings()
    keep_gps: bool = Field(False, description="Keep GPS latitude and longitude; off: only whether there are any.")
    limits: LimitSettings = LimitSettings()
    features: FeatureSettings = FeatureSettings()
    similarity: SimilaritySettings = SimilaritySettings()
    auto_labels: AutoLabelSettings = AutoLabelSettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    annotations: AnnotationSettings = AnnotationSettings()
    splits: SplitSettings = SplitSettings()
    quality: QualitySettings = QualitySettings()
    report: ReportSettings = ReportSettings()
    checks: CheckSettings = CheckSettings()
    trigger: TriggerSettings = TriggerSettings()
    contact_sheets: ContactSheetSettings = ContactSheetSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    notifications: NotificationSettings = NotificationSettings()
    exports: tuple[str, ...] = Field(("csv", "json"), description="Formats written beside each new index.")
    workers: int = Field(
        2,
        ge=0,
        le=4096,
        description="Tasks at once, each in a process of its own; 0: in the run's own process, without isolation.",
    )
    engine: Engine = Field(EngineSettings(), description="Where tasks run: a word, an address, or all of it.")

    @model_validator(mode="after")
    def _extra_columns_come_from_one_place(self) -> "Settings":
        for part in (self.source, *self.source.parts):
            if both := sorted(set(part.extra_columns) & set(self.labels.extra_columns)):
                raise ValueError(f"column {both[0]!r} is in source.extra_columns and in labels.extra_columns")
        return self

    @model_validator(mode="after")
    def _clusters_have_workers(self) -> "Settings":
        if self.engine.kind in SCHEMES.values() and not self.workers:
            raise ValueError(f"engine {self.engine.kind} needs workers; set workers to how many tasks it does at once")
        return self

    @model_validator(mode="after")
    def _vectors_for_what_is_made_of_them(self) -> "Settings":
        made = {"similarity.approximate": self.similarity.approximate, "auto_labels.enabled": self.auto_labels.enabled}
        for name, wanted in made.items():
            if wanted and self.features.extractor == "none":
                raise ValueError(f"{name} needs feature vectors, and features.extractor is none; set one of the two")
        return self

    @model_validator(mode="after")
    def _splits_by_columns_that_are_kept(self) -> "Settings":
        sources = (self.source, *self.source.parts)
        kept = {name for part in sources for name in part.extra_columns} | set(self.labels.extra_columns)
        for field in ("group_by", "column"):
            column = getattr(self.splits, field) or ""
            if column.startswith("extra.") and column.removeprefix("extra.") not in kept:
                raise ValueError(
                    f"splits.{field}: no image has {column}; name it in source.extra_columns or labels.extra_columns"
                )
        return self

    @model_validator(mode="after")
    def _fetching_ends_before_its_worker(self) -> "Settings":
        limit_s = self.limits.max_decode_s
        for part in (self.source, *self.source.parts):
            # An `auto` source that may turn out to be a list of URLs counts as well.
            listed = part.path.lower().endswith((".txt", ".csv")) or "http" in part.model_fields_set
            fetched = part.kind == "urls" or (part.kind == "auto" and listed)
            if fetched and part.http.timeout_s >= limit_s:
                raise ValueError(
                    f"source.http.timeout_s ({part.http.timeout_s:g}) must be less than limits.max_decode_s "
                    f"({limit_s:g}), after which the worker itself is stopped"
                )
        return self


def load_settings(path: Path, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of one YAML file, with relative paths resolved against its folder.

    ``preset: NAME`` in the file fills in what the file itself does not say; ``overrides`` (nested like the file)
    win over both.

    Raises:
        ConfigError: the file is missing, is no YAML mapping, or holds an unknown or invalid setting.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except IsADirectoryError as error:
        raise ConfigError(f"settings file {path} is a folder; name a YAML file") from error
    except FileNotFoundError as error:
        raise ConfigError(f"settings file {path} does not exist") from error
    except OSError as error:
        raise ConfigError(f"settings file {path} cannot be read: {error.strerror}; make it readable") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"settings file {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    try:
        content = read_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split()).replace('in "<unicode string>", line', "in line")
        tab = "; indent with spaces, YAML takes no tabs" if r"character '\t'" in words else ""
        raise ConfigError(f"settings file {path} is not valid YAML: {words}{tab}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"settings file {path} holds no settings; write `name: value` lines")
    return make_settings(content, base=path.parent, overrides=overrides, origin=str(path))


def with_engine(settings: Settings, word: str) -> Settings:
    """Return the same settings with another engine: a word such as ``dask``, or a cluster's address.

    Raises:
        ConfigError: there is none such, or it does not go with the other settings.
    """
    try:
        said = settings.engine.model_dump(exclude_unset=True) | engine_of(word)
        return Settings.model_validate({**_sections(settings), "engine": said})
    except ValidationError as error:
        raise ConfigError(f"engine {word}: {one_line(error, Settings)}") from error
    except ValueError as error:
        raise ConfigError(f"engine: {error}") from error


def with_workers(settings: Settings, workers: int) -> Settings:
    """Return the same settings with another number of tasks at once.

    Raises:
        ConfigError: that is no such number, or it does not go with the other settings.
    """
    try:
        return Settings.model_validate({**_sections(settings), "workers": workers})
    except ValidationError as error:
        raise ConfigError(one_line(error, Settings)) from error


def _sections(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in Settings.model_fields}


def make_settings(
    content: Mapping[str, Any], *, base: Path, overrides: Mapping[str, Any] | None = None, origin: str = "settings"
) -> Settings:
    """Return validated settings from a mapping shaped like the YAML file.

    Args:
        base: the folder that relative paths start from.
        origin: what to call the mapping in an error.

    Raises:
        ConfigError: a setting is unknown, missing or invalid.
    """
    merged, over = dict(content), dict(overrides or {})
    preset = over.pop("preset", merged.pop("preset", None))
    if preset is not None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ConfigError(f"{origin}: unknown preset {preset!r}; known: {', '.join(sorted(PRESETS))}")
        merged = _merge(PRESETS[preset], merged)
    merged = _merge(merged, over)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {one_line(error, Settings)}") from error
    return _with_resolved_paths(settings, base)


def dataset_name_for(place: Path | str) -> str:
    """Return a dataset name for a folder or a URL given without settings, distinct for places of the same name."""
    # Resolved first: a folder has one name, however it is written (".", a link), and a bucket however it is reached.
    whole = str(place.resolve()) if isinstance(place, Path) else _without_options(place).rstrip("/")
    digest = hashlib.blake2b(whole.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    return f"{as_dataset_name(whole.rsplit('/', 1)[-1], 40)}_{digest}"


def as_dataset_name(word: str, most: int = 56) -> str:
    """Return a word in the letters that a dataset's name may have, at most so many of its own."""
    stem = re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_")[:most]
    return stem if stem[:1].isalpha() else f"images_{stem}" if stem else "images"


def _without_options(url: str) -> str:
    """Return a bucket's URL without how to reach it; what other URLs have behind the ``?`` says what is meant."""
    return url.partition("?")[0] if is_object_url(url) else url


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _with_resolved_paths(settings: Settings, base: Path) -> Settings:
    source = _with_resolved_source(settings.source, base)
    labels = settings.labels
    if labels.path is not None:
        labels = labels.model_copy(update={"path": _resolve(labels.path, base)})
    features = _with_resolved_model(settings.features, base)
    monitoring = settings.monitoring
    if monitoring.textfile is not None:
        monitoring = monitoring.model_copy(update={"textfile": _resolve(monitoring.textfile, base)})
    resolved = {"source": source, "labels": labels, "features": features, "store": _resolve(settings.store, base)}
    resolved["monitoring"] = monitoring
    return settings.model_copy(update=resolved)


def _with_resolved_model(features: FeatureSettings, base: Path) -> FeatureSettings:
    update = {}
    if features.extractor.startswith("onnx:"):
        update["extractor"] = f"onnx:{_resolve(features.extractor.removeprefix('onnx:'), base)}"
    if features.weights is not None:
        update["weights"] = _resolve(features.weights, base)
    return features.model_copy(update=update)


def _with_resolved_source(source: SourceSettings, base: Path) -> SourceSettings:
    if source.parts:
        parts = tuple(_with_resolved_source(part, base) for part in source.parts)
        return source.model_copy(update={"parts": parts, "path": ", ".join(part.path for part in parts)})
    http = source.http
    if http.validators is not None:
        http = http.model_copy(update={"validators": _resolve(http.validators, base)})
    return source.model_copy(update={"path": _resolve(source.path, base), "http": http})


def is_url(path_or_url: str) -> bool:
    """Return whether this is a URL (``s3://bucket/prefix``) rather than a path."""
    return re.match(r"^[A-Za-z][A-Za-z0-9+.-]*://", path_or_url) is not None


def _resolve(path_or_url: str, base: Path) -> str:
    if is_url(path_or_url):
        scheme, rest = path_or_url.split("://", 1)
        if is_object_url(path_or_url):
            # Told at once: a URL is shown in many places, and must hold no secret.
            parse_object_url(path_or_url)
        return f"{scheme.lower()}://{rest}"
    try:
        return str((base / Path(path_or_url).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"path {path_or_url!r} cannot be resolved: {error}") from error
