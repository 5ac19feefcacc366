"""Each setting is in the recipe, and changing it makes every image anew, or it is not, and nothing is made anew."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings, make_settings
from image_assets_tests.images import make_settings_for, write_images

# The checks of quality that are about a part of the images.
SHARES = (
    *("dark", "bright", "blurry", "low_information", "odd_size", "odd_aspect_ratio", "grayscale", "wrong_extension"),
    *("exact_duplicates", "near_duplicates"),
)
# One row a setting: another value than the default. A new setting has to be put into one of the two tables: into the
# first when it can change the bytes of an output, or whether there is one; else into the second.
IN_THE_RECIPE = {
    "image.width_px": 100,
    "image.height_px": 100,
    "image.fit": "stretch",
    "image.mode": "L",
    "image.background": (0, 0, 0),
    "image.resizer": "pillow-lanczos",
    "image.frames": "all",
    "output.format": "png",
    "output.quality": 80,
    "transforms": ("sharpen",),
    "augment.variants": 2,
    "keep_gps": True,
    "limits.max_file_bytes": 10_000_000,
    "limits.max_pixels": 10_000_000,
}
NOT_IN_THE_RECIPE = {
    "name": "other",
    "source.kind": "other",
    "source.path": "/elsewhere",
    "source.prefix": "in/",
    "source.parts": ({"path": "/a", "prefix": "a/"}, {"path": "/b", "prefix": "b/"}),
    "source.follow_symlinks": True,
    "source.extensions": ("jpg",),
    "source.image_column": "picture",
    "source.subset": "small",
    "source.split": "train",
    "source.url_column": "address",
    "source.label_column": "class",
    "source.sha256_column": "hash",
    "source.extra_columns": ("caption",),
    "source.http.timeout_s": 4.0,
    "source.http.retries": 0,
    "source.http.backoff_s": 0.1,
    "source.http.connections": 4,
    "source.http.per_host": 1,
    "source.http.min_interval_s": 0.1,
    "source.http.user_agent": "somebody",
    "source.http.respect_opt_out": False,
    "source.http.allow_private_addresses": True,
    "source.http.validators": "/elsewhere.sqlite",
    "source.http.recheck_s": 60.0,
    "source.http.proxy": "environment",
    "store": "/elsewhere",
    "annotations.enabled": True,
    "num_shards": 7,
    "seed": 1,  # see CONDITIONAL
    "labels.kind": "none",
    "labels.path": "/elsewhere.csv",
    "labels.extra_columns": ("caption",),
    "labels.key_column": "key",
    "labels.label_column": "class",
    "augment.transforms": ("random_flip",),  # see CONDITIONAL
    "limits.max_frames": 7,  # see CONDITIONAL
    "limits.max_decode_s": 5.0,
    "limits.max_memory_bytes": 2**29,
    "features.extractor": "colour-moments",
    "features.weights": "/elsewhere.pth",
    "features.sha256": "0" * 64,
    "features.output": "pool",
    "features.input.size_px": 96,
    "features.input.crop": 0.5,
    "features.input.mean": (0.0, 0.0, 0.0),
    "features.input.std": (1.0, 1.0, 1.0),
    "features.input.layout": "nhwc",
    "features.dtype": "float16",
    "features.files": ("numpy",),
    "similarity.approximate": True,
    "similarity.exact_below_rows": 100,
    "auto_labels.enabled": True,
    "auto_labels.methods": ("neighbours",),
    "auto_labels.k": 3,
    "auto_labels.min_confidence": 0.5,
    "duplicates.enabled": True,
    "duplicates.distance_bits": 4,
    "splits.method": "fractions",
    "splits.fractions.train": 0.5,
    "splits.fractions.val": 0.3,
    "splits.fractions.test": 0.2,
    "splits.stratify": False,
    "splits.group_by": "folder",
    "splits.column": "top_folder",
    "splits.val_from": "2024-01-01",
    "splits.test_from": "2024-06-01",
    "quality.enabled": True,
    "quality.min_flagged": 9,
    "quality.baseline": "7",
    "quality.min_images": 9,
    "quality.dark.below_luma": 50,
    "quality.bright.white_fraction": 0.9,
    "quality.blurry.above": 0.9,
    "quality.low_information.below_bits": 1.0,
    "quality.odd_size.factor": 9.0,
    "quality.odd_aspect_ratio.above": 9.0,
    "quality.grayscale.below_colourfulness": 3.0,
    "quality.class_balance.max_ratio": 3.0,
    "quality.class_balance.severity": "error",
    "quality.label_coverage.min_fraction": 0.5,
    "quality.label_coverage.severity": "error",
    "quality.pixel_drift.max_psi": 0.1,
    "quality.pixel_drift.severity": "error",
    "quality.size_drift.max_psi": 0.1,
    "quality.size_drift.severity": "error",
    "quality.label_drift.max_distance": 0.1,
    "quality.label_drift.severity": "error",
    **{f"quality.{check}.max_fraction": 0.9 for check in SHARES},
    **{f"quality.{check}.severity": "error" for check in SHARES},
    "report.enabled": True,
    "report.labels": 3,
    "report.images_per_label": 3,
    "report.picture_px": 64,
    "report.max_mb": 1.0,
    "checks.lost_fraction.error": 0.9,
    "checks.lost_fraction.min_lost": 9,
    "checks.failed_fraction.warn": 0.9,
    "checks.failed_fraction.error": 0.9,
    "checks.failed_fraction.min_failed": 9,
    "checks.splits_even.tolerance": 0.5,
    "warehouse.bigquery": {"dataset": "photos"},
    "monitoring.textfile": "/elsewhere.prom",
    "notifications.webhook": {"env": "OTHER"},
    "notifications.events": ("run_failure",),
    "notifications.min_severity": "error",
    "notifications.format": "text",
    "notifications.ui_url": "http://dagster.example:3000",
    "notifications.interval_s": 60,
    "notifications.timeout_s": 9.0,
    "notifications.allow_http": True,
    "trigger.interval_s": 60,
    "trigger.max_attempts": 9,
    "trigger.backoff_s": 1.0,
    "trigger.max_listing_s": 5.0,
    "trigger.sqs": {"queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/photos"},
    "owners": ("team:vision",),
    "tags": {"domain": "fashion"},
    "contact_sheets.shard_images": 0,
    "contact_sheets.index_images": 0,
    "contact_sheets.side_px": 32,
    "exports": ("csv",),
    "workers": 1,
    "engine.kind": "inline",
    "engine.address": "tcp://127.0.0.1:8786",
    "engine.cluster_from_bytes": 10**12,
    "engine.host": "here",
    "engine.port": 7777,
}
# (the other settings, the setting, another value, whether the recipe changes)
CONDITIONAL = [
    ({}, "seed", 1, False),
    ({"transforms": ["sharpen"]}, "seed", 1, False),
    ({"transforms": ["random_crop"]}, "seed", 1, True),
    ({"augment.variants": 1}, "seed", 1, True),
    ({"augment.variants": 1, "augment.transforms": ["sharpen"]}, "seed", 1, False),
    ({}, "augment.transforms", ["random_flip"], False),
    ({"augment.variants": 1}, "augment.transforms", ["random_flip"], True),
    ({"augment.variants": 1, "augment.transforms": ["sharpen", "grayscale"]}, "augment.transforms",
     ["grayscale", "sharpen"], True),  # their order counts
    ({"augment.variants": 1}, "augment.variants", 2, True),
    ({"transforms": ["random_crop"]}, "transforms", [{"random_crop": {"scale": [0.5, 1.0]}}], True),
    # A default that is written out is the same transform.
    ({"transforms": ["random_flip"]}, "transforms", [{"random_flip": {}}], False),
    ({"transforms": ["random_flip"]}, "transforms", [{"random_flip": None}], False),
    ({"output.format": "jpeg"}, "output.quality", 80, True),
    ({"output.format": "png"}, "output.quality", 80, False),
    ({"image.frames": "all"}, "limits.max_frames", 7, True),
]  # fmt: skip
LEAST = {"name": "tiny", "source": {"path": "raw"}, "store": "store"}


def leaves(section=Settings, prefix=""):
    """Yield (dotted name, default) of every setting, sections left out."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.default


def nested(values):
    """Return {dotted name: value} as the YAML file has it."""
    found = {}
    for name, value in values.items():
        *sections, last = name.split(".")
        section = found
        for step in sections:
            section = section.setdefault(step, {})
        section[last] = value
    return found


def recipe_with(**values):
    return recipe_id_of(make_settings(LEAST, base=Path("/base"), overrides=nested(values)))


def changed_alone(name, value):
    """The settings in which one differs; those that only go together bring the other along."""
    file = {"labels.kind": "file", "labels.path": "/elsewhere.csv"}
    together = {"labels.path": {"labels.kind": "file"}, "labels.extra_columns": file}
    together |= {known: {"splits.method": "time"} for known in ("splits.val_from", "splits.test_from")}
    together |= {"splits.column": {"splits.method": "column"}, "splits.group_by": {"splits.method": "fractions"}}
    fractions = {known: part for known, part in NOT_IN_THE_RECIPE.items() if known.startswith("splits.fractions.")}
    together |= dict.fromkeys(fractions, fractions)
    return {**together.get(name, {}), name: value}


def test_every_setting_is_in_exactly_one_table():
    known = [*IN_THE_RECIPE, *NOT_IN_THE_RECIPE]
    assert sorted(known) == sorted(name for name, _ in leaves())


@pytest.mark.parametrize(("name", "default"), list(leaves()))
def test_the_tables_hold_other_values_than_the_defaults(name, default):
    assert {**IN_THE_RECIPE, **NOT_IN_THE_RECIPE}[name] != default


@pytest.mark.parametrize("name", IN_THE_RECIPE)
def test_a_setting_of_the_recipe_changes_it(name):
    assert recipe_with(**{name: IN_THE_RECIPE[name]}) != recipe_with()


@pytest.mark.parametrize("name", NOT_IN_THE_RECIPE)
def test_any_other_setting_does_not(name):
    assert recipe_with(**changed_alone(name, NOT_IN_THE_RECIPE[name])) == recipe_with()


@pytest.mark.parametrize(("others", "name", "value", "matters"), CONDITIONAL)
def test_some_settings_matter_only_with_others(others, name, value, matters):
    assert (recipe_with(**others) != recipe_with(**{**others, name: value})) is matters


def test_recipes_of_different_settings_differ():
    recipes = [recipe_with(**{name: value}) for name, value in IN_THE_RECIPE.items()]
    assert len({*recipes, recipe_with()}) == len(recipes) + 1
    assert all(re.fullmatch("[0-9a-f]{16}", recipe) for recipe in recipes)


def test_all_settings_beside_the_recipe_changed_at_once_read_and_decode_nothing(tmp_path):
    write_images(tmp_path / "raw", 12)
    first = run_dataset(make_settings_for(tmp_path))
    # These say which dataset it is, or need another source; a change of labels has tests of its own.
    elsewhere = {
        "name",
        "store",
        "source.path",
        "source.kind",
        "source.prefix",
        "source.parts",
        "source.extra_columns",
        "num_shards",
        "labels.path",
        "labels.extra_columns",
        # These go with a model from a file, or need an extra.
        *(name for name in NOT_IN_THE_RECIPE if name.startswith("features.input.")),
        # And these with splits by time or by a column, or with a warehouse.
        "warehouse.bigquery",
        "monitoring.textfile",
        *("splits.val_from", "splits.test_from", "splits.column"),
        *("features.weights", "features.sha256", "features.output", "similarity.approximate"),
    }
    values = {name: value for name, value in NOT_IN_THE_RECIPE.items() if name not in elsewhere}
    report = run_dataset(make_settings_for(tmp_path, **nested(values)))
    counts = report.counts
    assert (counts.kept, counts.relabelled, counts.decoded, counts.hashed, counts.read_bytes) == (12, 12, 0, 0, 0)
    assert report.index.head.recipe_id == first.index.head.recipe_id
    assert report.embedded == 12
