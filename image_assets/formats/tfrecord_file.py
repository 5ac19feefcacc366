"""TFRecord: one ``tf.train.Example`` a sample, the images encoded as they are stored.

The container is that of TensorFlow's ``record_writer.h``: length (8 bytes, little-endian), its masked CRC-32C, the
record, the record's masked CRC-32C. The names of the features are those of TensorFlow's image datasets.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from image_assets.formats.base import ExportOptions, SampleStream, Unit, refuse_normalization
from image_assets.formats.publishing import published_whole

_MASK_DELTA = 0xA282EAD8
# The wire type of what has its length before it; the others are not needed: packed integers have one, too.
_BYTES = 2
# Fields of Feature: bytes_list = 1, int64_list = 3.
_BYTES_LIST, _INT64_LIST = 1, 3


class TfrecordFile:
    """Features ``image/encoded``, ``format``, ``height``, ``width``, ``filename``, ``key/sha256``, ``variant``.

    All below ``image/``; beside them ``image/class/text`` where there is a label, ``image/frame`` when the dataset has
    all frames, and ``image/extra`` (JSON) where the source has extra columns. Texts are UTF-8.
    """

    suffix = ".tfrecord"
    other_suffixes: tuple[str, ...] = (".tfrecords",)
    encoded = True
    always_pixels = True
    value_bytes = (0.0, 0.0, 0.0)
    unit: Unit = "shards"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a TFRecord file.

        Raises:
            OSError: the file cannot be written.
            ConfigError: normalised pixels are asked for.
        """
        refuse_normalization("tfrecord", options)
        with published_whole(target) as part, part.open("wb") as file:
            for batch in samples.encoded():
                for row, image in zip(batch.rows.to_pylist(), batch.images, strict=True):
                    file.write(_framed(_example(_features(row, image, samples))))


def _features(row: Mapping[str, Any], image: bytes, samples: SampleStream) -> dict[str, bytes | int]:
    features: dict[str, bytes | int] = {
        "image/encoded": image,
        "image/filename": row["key"].encode(),
        "image/format": row["format"].encode(),
        "image/height": row["height_px"],
        "image/key/sha256": row["output_sha256"].encode(),
        "image/variant": row["variant"],
        "image/width": row["width_px"],
    }
    if row["label"] is not None:
        features["image/class/text"] = row["label"].encode()
    if row["extra"] is not None:
        features["image/extra"] = row["extra"].encode()
    if samples.has_frames:
        features["image/frame"] = row["frame"]
    return features


def _example(features: Mapping[str, bytes | int]) -> bytes:
    """Return a serialised ``tf.train.Example``; the order of names makes equal ones equal bytes."""
    # Example.features = 1, Features.feature = 1 (a map: entries of key = 1, value = 2).
    entries = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, _feature(value))) for name, value in sorted(features.items())
    )
    return _field(1, entries)


def _feature(value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _field(_INT64_LIST, _field(1, _varint(value)))
    return _field(_BYTES_LIST, _field(1, value))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    return bytes(_groups_of_seven(value))


def _groups_of_seven(value: int) -> Iterator[int]:
    while value > 127:
        yield value & 127 | 128
        value >>= 7
    yield value


def _framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + _masked_crc(length) + record + _masked_crc(record)


def _masked_crc(data: bytes) -> bytes:
    import google_crc32c

    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)
