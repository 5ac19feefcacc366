"""Which format a file name promises."""

_FORMATS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), frozenset({"JPEG", "MPO"})),
    **dict.fromkeys(("png", "apng"), frozenset({"PNG"})),
    **dict.fromkeys(("tif", "tiff"), frozenset({"TIFF"})),
    **dict.fromkeys(("bmp", "dib"), frozenset({"BMP", "DIB"})),
    **dict.fromkeys(("ppm", "pgm", "pbm", "pnm", "pfm"), frozenset({"PPM"})),
    **dict.fromkeys(("jp2", "j2k", "jpf", "jpx", "j2c", "jpc"), frozenset({"JPEG2000"})),
    **dict.fromkeys(("avif", "avifs"), frozenset({"AVIF"})),
    **dict.fromkeys(("heic", "heif", "hif"), frozenset({"HEIF"})),
    "gif": frozenset({"GIF"}),
    "webp": frozenset({"WEBP"}),
    "ico": frozenset({"ICO"}),
    "mpo": frozenset({"MPO", "JPEG"}),
    "qoi": frozenset({"QOI"}),
    "psd": frozenset({"PSD"}),
    "dds": frozenset({"DDS"}),
    "pcx": frozenset({"PCX"}),
    "tga": frozenset({"TGA"}),
}


def promises_other_format(key: str, raw_format: str) -> bool:
    """Return whether a file name promises another format than ``raw_format``, the one that Pillow found.

    A name without an ending, or with one that is not among the common ones, promises nothing.
    """
    _, dot, ending = key.rpartition("/")[2].rpartition(".")
    promised = _FORMATS.get(ending.lower()) if dot else None
    return promised is not None and raw_format not in promised
