"""Which names promise a format that the bytes are not, judged by what Pillow itself calls its formats."""

import pytest
from PIL import Image

from image_assets.core.extensions import promises_other_format
from image_assets.sources.names import IMAGE_EXTENSIONS


@pytest.mark.parametrize(
    ("key", "raw_format", "other"),
    [
        ("a/1.jpg", "PNG", True),
        ("a/1.jpg", "JPEG", False),
        ("a/1.JPEG", "JPEG", False),
        ("a/1.png", "JPEG", True),
        ("a/1.tiff", "TIFF", False),
        # A phone's .jpg is often a multi-picture object, which begins with a plain JPEG.
        ("a/1.jpg", "MPO", False),
        ("a/1.jpg", "GIF", True),
        # Only the last ending counts.
        ("a/1.png.jpg", "PNG", True),
        ("a/1.jpg.png", "PNG", False),
        # What promises nothing: no ending, a folder's ending, a hidden file, one that nobody knows, a bare dot.
        ("a/1", "PNG", False),
        ("a.jpg/1", "PNG", False),
        ("1", "PNG", False),
        ("a/1.backup", "PNG", False),
        ("a/1.", "PNG", False),
        ("", "PNG", False),
        ("a/new\nline.jpg", "PNG", True),
        ("a/日本.jpg", "PNG", True),
        ("a/-1.jpg", "JPEG", False),
    ],
)
def test_a_name_promises_what_its_last_ending_says(key, raw_format, other):
    assert promises_other_format(key, raw_format) is other


def test_a_file_that_is_named_as_pillow_would_name_it_is_never_warned_of():
    Image.init()
    named = {ending: name for ending, name in Image.EXTENSION.items() if ending[1:] in IMAGE_EXTENSIONS}
    assert len(named) > 40
    assert [ending for ending, name in named.items() if promises_other_format(f"a/1{ending}", name)] == []
