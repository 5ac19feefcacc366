"""What is known of one image: the facts read from its bytes, its outputs, its reason when it fails."""

from dataclasses import dataclass
from typing import Any

OK = "ok"
FAILED = "failed"

# Why an image has no output. The code goes into the manifest, so a code once used keeps its meaning.
REASONS: dict[str, str] = {
    "zero_bytes": "the file is empty",
    "not_an_image": "no decoder knows the bytes",
    "unsupported_format": "the format is known and not decoded here",
    "truncated": "the data end before the image does",
    "corrupt": "the data contradict themselves",
    "too_large": "more bytes or pixels than the limits allow",
    "bomb": "declares more pixels, scans or text than the limits allow",
    "decoder_crashed": "the decoder killed its process",
    "decoder_timeout": "decoding took longer than the limit",
    "unreadable": "the file cannot be opened or read",
    "busy": "the web server asked to come back later; the next run does",
    "outside_root": "a link that leads out of the source folder",
    "private_address": "a URL that leads to an address which is not public",
    "opted_out": "the web server asks that the image is not used (X-Robots-Tag)",
    "wrong_content": "other bytes than the expected sha256 says",
    "forgotten": "these bytes were removed by `image-assets forget` and are not taken again",
}
# Flags of images that do have outputs, and that a person may want to look at like at a failure.
WARNINGS: dict[str, str] = {
    "wrong_extension": "the file name says another format than the bytes",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What one image's bytes say about it, before any transform.

    ``orientation`` is the EXIF value 1-8 (1 when absent or invalid); ``taken_at`` is ISO 8601 without zone
    (``2024-05-01T12:30:00``), the form EXIF stores; ``gps_latitude``/``gps_longitude`` are degrees and stay
    ``None`` unless the settings ask for them. ``flags`` are sorted codes of things worth knowing that are no failure
    (``lenient_decode``: only a lenient decoder accepts it; ``animated``: there are more frames than the first, and
    only that is used;
    ``trailing_data``: other bytes follow the image; ``bad_icc``: its colour profile is not used). A manifest
    row adds those of its key (:data:`WARNINGS`).
    """

    raw_format: str
    raw_mode: str
    raw_width_px: int
    raw_height_px: int
    orientation: int = 1
    taken_at: str | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    has_gps: bool = False
    gps_latitude: float | None = None
    gps_longitude: float | None = None
    flags: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the facts by name; ten times as fast as dataclasses.asdict, which copies deeply."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Output:
    """One encoded output image.

    ``variant`` is its number among those of one raw image: 0 is the plain one, 1..K are the augmented ones, and each
    further frame goes on from there (K + 1 is the plain one of the second).
    """

    variant: int
    data: bytes
    sha256: str
    width_px: int
    height_px: int
    format: str  # "jpeg" or "png"


@dataclass(frozen=True, slots=True)
class Rendered:
    """One image's facts and all of its outputs, variant 0 first."""

    facts: Facts
    outputs: tuple[Output, ...]
