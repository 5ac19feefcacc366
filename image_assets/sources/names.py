"""Which names in a source are candidates for images, and how one that is no text is written."""

from image_assets.settings.sources import SourceSettings

# Endings of the formats that Pillow identifies; a file of another name is ignored and counted.
IMAGE_EXTENSIONS = frozenset(
    {"apng", "avif", "avifs", "bmp", "bw", "cur", "dcx", "dds", "dib", "dng", "fit", "fits", "flc", "fli", "gif"}
    | {"heic", "heif", "hif", "icb", "icns", "ico", "im", "j2c", "j2k", "jfif", "jp2", "jpc", "jpe", "jpeg", "jpf"}
    | {"jpg", "jpx", "mpo", "msp", "pbm", "pcd", "pcx", "pfm", "pgm", "png", "pnm", "ppm", "psd", "qoi", "ras"}
    | {"rgb", "rgba", "sgi", "tga", "tif", "tiff", "vda", "vst", "webp", "xbm", "xpm"}
)


def image_extensions(settings: SourceSettings) -> frozenset[str]:
    """Return the endings of names to take, lower case, without dot."""
    return frozenset(item.lower().lstrip(".") for item in settings.extensions) or IMAGE_EXTENSIONS


def may_be_image(name: str, extensions: frozenset[str]) -> bool:
    """Return whether a file of this name, without its folders, is a candidate: one without ending is too."""
    dot = name.rfind(".")
    return dot <= 0 or name[dot + 1 :].lower() in extensions


def escaped(name: bytes) -> str:
    """Return a name with every byte outside ASCII written ``%XX``."""
    return "".join(chr(byte) if byte < 128 else f"%{byte:02X}" for byte in name)
