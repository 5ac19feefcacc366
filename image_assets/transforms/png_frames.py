"""All frames of an animated PNG: how many there are, and that each of them is there and sound."""

from typing import TYPE_CHECKING, Any

from image_assets.core.errors import DecodeError
from image_assets.transforms.png_stream import check_rows, check_sum, iter_chunks

if TYPE_CHECKING:
    from PIL import Image

_FIRST_FIELDS_BYTES = 12  # of a frame's head: its sequence number, width and height


def check_png_frames(image: "Image.Image", raw: bytes, max_frames: int) -> int:
    """Return the number of images in a PNG: its frames, and before them the default image if it is none of these.

    The default image is not looked at; whoever decodes it does.

    Raises:
        DecodeError: there are more than the limit, or a frame is truncated or corrupt.
    """
    declared = int(getattr(image, "n_frames", 1))
    if declared > max_frames:
        raise DecodeError("bomb", f"declares {declared} frames; limits.max_frames is {max_frames}")
    if not getattr(image, "is_animated", False):
        return 1
    found, numbers, seen_default = 0, 0, False
    size_px, data = (0, 0), list[memoryview]()
    for kind, position, body in iter_chunks(raw):
        seen_default = seen_default or kind == b"IDAT"
        if kind not in (b"fcTL", b"fdAT"):
            continue
        # The names of these chunks begin with small letters, but a frame cannot do without them.
        check_sum(kind, body, raw[position - 4 : position])
        if int.from_bytes(body[:4]) != numbers:
            raise DecodeError("corrupt", f"PNG: a part of a frame is missing, or in another place: number {numbers}")
        numbers += 1
        if kind == b"fdAT":
            data.append(body[4:])
            continue
        _check_frame(raw, data, size_px)
        found += 1
        width, height = body[4:8], body[8:_FIRST_FIELDS_BYTES]
        # The pixels of a frame that stands before the default image are the default image.
        size_px, data = (int.from_bytes(width), int.from_bytes(height)) if seen_default else (0, 0), []
    _check_frame(raw, data, size_px)
    # Pillow counts a default image that is not a frame too.
    if found != declared - bool(image.info.get("default_image")):
        raise DecodeError("truncated", f"PNG: {found} frames are there, {declared} are declared")
    return declared


def load_png_frame(image: Any) -> None:
    """Load the frame that an opened PNG stands at.

    Pillow 13 blends a frame into the very picture that it would go back to after that frame.
    """
    from PIL.PngImagePlugin import Disposal

    before = getattr(image, "_prev_im", None)
    goes_back = before is not None and image.dispose_op == Disposal.OP_PREVIOUS
    kept = before.copy() if before is not None and goes_back else None
    image.load()
    if kept is not None:
        image._prev_im = kept


def _check_frame(raw: bytes, data: list[memoryview], size_px: tuple[int, int]) -> None:
    if size_px != (0, 0):
        check_rows(raw, data, size_px)
