"""How a dataset is shown in Dagster: whose it is, what it is tagged with, how large its contact sheets are."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from image_assets.settings.section import Section

# Dagster's own rules; it would refuse the definitions with a traceback.
_EMAIL = re.compile(r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Z|a-z]{2,7}\b")
_TAG_KEY = re.compile(r"([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}")
_TAG_VALUE = re.compile(r"[A-Za-z0-9_.-]{0,63}")
# Tags of this namespace are Dagster's own: kinds, for one.
_RESERVED = "dagster/"


def _owner(owner: str) -> str:
    if not (_EMAIL.fullmatch(owner) or (owner.startswith("team:") and len(owner) > len("team:"))):
        raise ValueError("an owner is an email address or team:NAME")
    return owner


def _tag_key(key: str) -> str:
    if key.startswith(_RESERVED) or not _TAG_KEY.fullmatch(key):
        raise ValueError(
            f"a tag's name has 1 to 63 letters, digits, '_', '-' or '.', perhaps after another such name and '/', and "
            f"does not begin with {_RESERVED}"
        )
    return key


def _tag_value(value: str) -> str:
    if not _TAG_VALUE.fullmatch(value):
        raise ValueError("a tag's value has at most 63 letters, digits, '_', '-' or '.'")
    return value


Owner = Annotated[str, AfterValidator(_owner)]
TagKey = Annotated[str, AfterValidator(_tag_key)]
TagValue = Annotated[str, AfterValidator(_tag_value)]


class ContactSheetSettings(Section):
    """The small pictures of many images that Dagster shows; they lie in its event log and nowhere else."""

    shard_images: int = Field(
        16, ge=0, le=96, description="Thumbnails on the sheet of a shard, of at most 30 kB; 0: no sheet."
    )
    index_images: int = Field(
        96, ge=0, le=400, description="Thumbnails on the sheet of the index, of at most 100 kB; 0: no sheet."
    )
    side_px: int = Field(64, ge=16, le=160, description="Side of a thumbnail.")
