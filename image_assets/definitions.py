"""The Dagster entry point: one set of definitions for each settings file in the datasets folder."""

import os
from pathlib import Path

import dagster as dg

from image_assets.defs.dataset import dataset_definitions
from image_assets.settings import load_datasets

# Work runs in processes of its own, so a process for each step would only cost start-up time.
defs = dg.Definitions.merge(
    dg.Definitions(executor=dg.in_process_executor),
    *(
        dataset_definitions(item)
        for item in load_datasets(Path(os.environ.get("IMAGE_ASSETS_DATASETS", "data/datasets")))
    ),
)
