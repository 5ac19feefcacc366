"""Which store a user means who names a folder, a URL or a settings file."""

from pathlib import Path

from image_assets.core.errors import DatasetError
from image_assets.settings import load_settings


def store_url(where: str) -> str:
    """Return the store's folder or URL.

    Raises:
        DatasetError: it is another file than a settings file.
        ConfigError: the settings file is wrong.
    """
    if "://" in where:
        return where
    path = Path(where).expanduser()
    if path.suffix.lower() in {".yaml", ".yml"}:
        return load_settings(path).store
    if path.is_file():
        raise DatasetError(f"{path} is a file; name the store's folder, its URL, or a settings file (.yaml)")
    return str(path)
