"""The settings files of the folder that a command line is typed in; cheap to ask for."""

import os
from pathlib import Path

from image_assets.core.settings_files import DATASETS_FOLDER, DATASETS_VARIABLE, is_settings_file


def datasets_folder() -> Path:
    """Return the folder whose settings files are the datasets of this place, as Dagster has it."""
    return Path(os.environ.get(DATASETS_VARIABLE, DATASETS_FOLDER))


def settings_files_here() -> list[Path]:
    """Return the settings files of this place, in order of their names."""
    return sorted(path for path in datasets_folder().glob("*") if is_settings_file(path.name))
