"""What is made of each image, and what it may cost."""

from typing import Annotated, Any, Literal

from pydantic import Field

from image_assets.settings.section import Section

# What one transform of the YAML looks like: its name, or {name: {parameter: value}}.
TransformSpec = str | dict[str, dict[str, Any] | None]


ColourByte = Annotated[int, Field(ge=0, le=255)]


class ImageSettings(Section):
    """Size, shape and colours of the outputs."""

    width_px: int = Field(224, ge=1, le=16384, description="Output width.")
    height_px: int = Field(224, ge=1, le=16384, description="Output height.")
    fit: Literal["stretch", "cover", "contain"] = Field(
        "cover", description="stretch: ignore the aspect ratio; cover: fill and crop the middle; contain: fit and pad."
    )
    mode: Literal["RGB", "L"] = Field("RGB", description="Colour or grayscale (ITU-R 601 luma).")
    background: tuple[ColourByte, ColourByte, ColourByte] = Field(
        (255, 255, 255), description="RGB 0-255 behind transparency and padding."
    )
    frames: Literal["first", "all"] = Field(
        "first", description="Of animated GIF, WebP, PNG, AVIF and TIFF with several pages: first, or all of them."
    )
    resizer: str = Field("fast-lanczos3", description="Plug-in that resizes: fast-lanczos3, or pillow-lanczos.")


class OutputSettings(Section):
    """How outputs are encoded."""

    format: Literal["jpeg", "png"] = Field("jpeg", description="Encoding of the stored images.")
    quality: int = Field(90, ge=1, le=100, description="JPEG quality; PNG is lossless and ignores it.")


class AugmentSettings(Section):
    """Augmented variants."""

    variants: int = Field(0, ge=0, le=1000, description="Augmented copies an image, beside the plain one.")
    transforms: tuple[TransformSpec, ...] = Field(
        ("random_crop", "random_flip", "random_rotation", "random_brightness", "random_contrast"),
        description="Drawn anew for each variant.",
    )


class LimitSettings(Section):
    """What one image may cost."""

    max_file_bytes: int = Field(256 * 2**20, ge=1, description="A larger raw file becomes `too_large`.")
    max_pixels: int = Field(
        178_956_970, ge=1, description="More pixels to decode become `bomb` (the default is Pillow's own hard limit)."
    )
    max_frames: int = Field(
        1000, ge=1, description="More frames or pages become `bomb`; only with `image.frames: all`."
    )
    max_decode_s: float = Field(30.0, gt=0, description="One image may take this long before its worker is stopped.")
    max_memory_bytes: int = Field(
        2**30, ge=2**26, description="A worker may take this much for its images; one that needs more is `too_large`."
    )
