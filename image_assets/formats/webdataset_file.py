"""WebDataset: a tar in which the files of one sample follow each other, the images encoded as they are stored."""

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from image_assets.formats.base import FILE_ENDINGS, ExportOptions, SampleStream, Unit, refuse_normalization
from image_assets.formats.publishing import published_whole


class WebDatasetFile:
    """Of each sample ``ID.jpg`` or ``ID.png``, and ``ID.json`` with what a row says; ID is its id in the index.

    The JSON has ``filename, label, width, height, format, sha256, variant``, perhaps ``frame`` and ``extra``. Members
    are plain ustar with no owner and the time 0, so that equal samples give equal bytes.
    """

    suffix = ".tar"
    other_suffixes: tuple[str, ...] = ()
    encoded = True
    always_pixels = True
    value_bytes = (0.0, 0.0, 0.0)
    unit: Unit = "shards"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a tar.

        Raises:
            OSError: the file cannot be written.
            ConfigError: normalised pixels are asked for.
        """
        refuse_normalization("webdataset", options)
        with published_whole(target) as part, part.open("wb") as file:
            for batch in samples.encoded():
                for row, image in zip(batch.rows.to_pylist(), batch.images, strict=True):
                    file.write(_member(f"{row['id']}.{FILE_ENDINGS[row['format']]}", image))
                    file.write(_member(f"{row['id']}.json", _said(row, samples)))
            # What tells a tar that ends from one that was cut.
            file.write(bytes(2 * tarfile.BLOCKSIZE))


def _said(row: Mapping[str, Any], samples: SampleStream) -> bytes:
    said = {
        "filename": row["key"],
        "label": row["label"],
        "width": row["width_px"],
        "height": row["height_px"],
        "format": row["format"],
        "sha256": row["output_sha256"],
        "variant": row["variant"],
    }
    if samples.has_frames:
        said["frame"] = row["frame"]
    if row["split"] is not None:
        said["split"] = row["split"]
    if row["extra"] is not None:
        said["extra"] = json.loads(row["extra"])
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def _member(name: str, data: bytes) -> bytes:
    # Not by tarfile.TarFile, which keeps every member in memory.
    head = tarfile.TarInfo(name)
    head.size = len(data)
    return head.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
