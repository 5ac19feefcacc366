"""TFRecord files by Google's own libraries: CRC-32C and Protocol Buffers, of which TensorFlow's reader is made."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPE = descriptor_pb2.FieldDescriptorProto


def read_examples(path: Path) -> Iterator[Any]:
    """Yield every ``tf.train.Example`` of a file, each checksum compared."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        length = data[at : at + 8]
        (size,) = struct.unpack("<Q", length)
        record = data[at + 12 : at + 12 + size]
        assert data[at + 8 : at + 12] == _masked(length)
        assert data[at + 12 + size : at + 16 + size] == _masked(record)
        yield _EXAMPLE.FromString(record)
        at += 16 + size


def _masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32)


def _example_class() -> Any:
    """Return the class of ``tf.train.Example``, from the messages in TensorFlow's feature.proto and example.proto."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")
    bytes_list = file.message_type.add(name="BytesList")
    bytes_list.field.add(name="value", number=1, label=_TYPE.LABEL_REPEATED, type=_TYPE.TYPE_BYTES)
    float_list = file.message_type.add(name="FloatList")
    float_list.field.add(name="value", number=1, label=_TYPE.LABEL_REPEATED, type=_TYPE.TYPE_FLOAT)
    int64_list = file.message_type.add(name="Int64List")
    int64_list.field.add(name="value", number=1, label=_TYPE.LABEL_REPEATED, type=_TYPE.TYPE_INT64)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), 1):
        kind = f".tensorflow.{name.title().replace('_', '')}"
        feature.field.add(
            name=name, number=number, label=_TYPE.LABEL_OPTIONAL, type=_TYPE.TYPE_MESSAGE, type_name=kind, oneof_index=0
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_TYPE.LABEL_OPTIONAL, type=_TYPE.TYPE_STRING)
    kind = {"type": _TYPE.TYPE_MESSAGE, "type_name": ".tensorflow.Feature"}
    entry.field.add(name="value", number=2, label=_TYPE.LABEL_OPTIONAL, **kind)
    kind = {"type": _TYPE.TYPE_MESSAGE, "type_name": ".tensorflow.Features.FeatureEntry"}
    features.field.add(name="feature", number=1, label=_TYPE.LABEL_REPEATED, **kind)
    example = file.message_type.add(name="Example")
    kind = {"type": _TYPE.TYPE_MESSAGE, "type_name": ".tensorflow.Features"}
    example.field.add(name="features", number=1, label=_TYPE.LABEL_OPTIONAL, **kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


_EXAMPLE = _example_class()
