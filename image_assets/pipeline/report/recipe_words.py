"""How the images of a dataset were made, in words."""

from collections.abc import Sequence

from image_assets.core.words import listed
from image_assets.settings import Settings
from image_assets.settings.images import TransformSpec
from image_assets.transforms import transform_name

_FITS = {
    "stretch": "stretched to {size}, whatever their shape",
    "cover": "scaled to fill {size} and cropped to the middle",
    "contain": "scaled to fit into {size}, on a background of RGB {background}",
}


def recipe_words(settings: Settings) -> tuple[str, ...]:
    """Return sentences about how an image becomes an output."""
    image, output = settings.image, settings.output
    size = f"{image.width_px} × {image.height_px} pixels"  # noqa: RUF001  the sign that people write
    fit = _FITS[image.fit].format(size=size, background=", ".join(map(str, image.background)))
    colours = "colour (RGB)" if image.mode == "RGB" else "grey"
    encoded = f"JPEG of quality {output.quality}" if output.format == "jpeg" else "PNG, without loss"
    words = [
        f"Images are turned upright, {fit} by {image.resizer}, and stored in {colours} as {encoded}.",
        "Of files with several frames or pages "
        + ("every one is an output." if image.frames == "all" else "the first is taken."),
    ]
    if settings.transforms:
        words.append(f"Every image goes through {_named(settings.transforms)}.")
    if variants := settings.augment.variants:
        copies = "is one augmented variant" if variants == 1 else f"are {variants} augmented variants"
        drawn = f"{_named(settings.augment.transforms)}; seed {settings.seed}"
        words.append(f"Beside each plain image there {copies} ({drawn}).")
    words.append("GPS positions are kept." if settings.keep_gps else "GPS positions are not kept.")
    return tuple(words)


def _named(transforms: Sequence[TransformSpec]) -> str:
    return listed([transform_name(spec) for spec in transforms])
