"""The Dagster entry point: one set of definitions for each settings file in the datasets folder."""

import os
from pathlib import Path

import dagster as dg

from image_assets.core.settings_files import DATASETS_FOLDER, DATASETS_VARIABLE
from image_assets.defs.folder import folder_definitions

# Work runs in processes of its own, so a process for each step would only cost start-up time.
defs = dg.Definitions.merge(
    dg.Definitions(executor=dg.in_process_executor),
    folder_definitions(
        Path(os.environ.get(DATASETS_VARIABLE, DATASETS_FOLDER)),
        strict=os.environ.get("IMAGE_ASSETS_STRICT", "") not in {"", "0"},
    ),
)
