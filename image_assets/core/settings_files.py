"""Where the settings files of datasets lie, and which files of a folder are settings."""

DATASETS_VARIABLE, DATASETS_FOLDER = "IMAGE_ASSETS_DATASETS", "data/datasets"


def is_settings_file(name: str) -> bool:
    """Return whether a file of this name holds settings.

    Hidden files, and what editors leave beside a file (``a.yaml~``, ``.#a.yaml``, ``a.yaml.bak``), do not.
    """
    return name.endswith((".yaml", ".yml")) and not name.startswith((".", "#"))
