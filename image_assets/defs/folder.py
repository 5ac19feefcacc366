"""A folder of settings files in Dagster: each file a dataset of its own, and one that is wrong stops no other."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from image_assets.core.errors import ConfigError, ImageAssetsError
from image_assets.defs.dataset import dataset_definitions
from image_assets.defs.refused import refused_definitions
from image_assets.settings import Settings, load_settings
from image_assets.settings.datasets import find_conflicts, settings_files

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource


def folder_definitions(folder: Path, s3: "S3Resource | None" = None, *, strict: bool = False) -> dg.Definitions:
    """Return the definitions of every settings file of a folder.

    A file that is wrong becomes an asset that says so, with a failed check; so do files that cannot go together, all
    of them. The other datasets go on: also their runs, each of which loads all of this.

    Args:
        s3: how ``s3://`` is reached, by all datasets.
        strict: refuse all when one is wrong, for tests before something is deployed.

    Raises:
        ConfigError: there is no settings file, or one is wrong and ``strict`` is set.
    """
    built, refused = _build(folder, s3)
    for why in refused.values():
        if strict:
            raise ConfigError(why)
        logging.getLogger(__name__).error("not loaded: %s", why)

    def look_again(path: Path) -> str | None:
        return _build(folder, s3)[1].get(path)

    return dg.Definitions.merge(*built.values(), *refused_definitions(refused, look_again))


def _build(folder: Path, s3: "S3Resource | None") -> tuple[dict[Path, dg.Definitions], dict[Path, str]]:
    """Return the definitions by file, and by file why there are none."""
    read: dict[Path, Settings] = {}
    built: dict[Path, dg.Definitions] = {}
    refused: dict[Path, str] = {}
    for path in settings_files(folder):
        try:
            read[path] = load_settings(path)
        except ImageAssetsError as error:
            refused[path] = _of(path, error)
    conflicts = find_conflicts({str(path): settings for path, settings in read.items()})
    for path, settings in read.items():
        if why := conflicts.get(str(path)):
            refused[path] = why
            continue
        try:
            built[path] = dataset_definitions(settings, s3)
        except ImageAssetsError as error:
            # What is known only when it is looked at: a model's file, a transform of one's own, the events of a bucket.
            refused[path] = _of(path, error)
    return built, refused


def _of(path: Path, error: ImageAssetsError) -> str:
    return str(error) if str(path) in str(error) else f"{path}: {error}"
