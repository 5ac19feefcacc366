"""Plug-ins for labelling platforms: one file and one line here each."""

from image_assets.core.errors import ConfigError
from image_assets.labelling.base import Platform
from image_assets.labelling.coco import Coco
from image_assets.labelling.cvat_xml import CvatXml
from image_assets.labelling.label_studio import LabelStudio
from image_assets.labelling.labelbox import Labelbox

PLATFORMS: dict[str, Platform] = {
    "coco": Coco(),
    "cvat": CvatXml(),
    "label-studio": LabelStudio(),
    "labelbox": Labelbox(),
}


def find_platform(name: str) -> Platform:
    """Return the platform of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PLATFORMS:
        raise ConfigError(f"unknown platform {name!r}; known: {', '.join(sorted(PLATFORMS))}")
    return PLATFORMS[name]
