"""Damaged, foreign and newer files: every reader names the file in one line and nothing of pyarrow comes through."""

import json
import random
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import StoreError
from image_assets.core.heads import FORMAT_VERSION, HEAD_KEY
from image_assets.core.index import index_head_to_json
from image_assets.core.manifest import head_to_json
from image_assets.storage import layout
from image_assets.storage.contents import content_index
from image_assets.storage.indexes import iter_index, publish_index, read_index_head, staged_index
from image_assets.storage.manifests import (
    commit_manifest,
    keep_rejected,
    latest_heads,
    read_manifest,
    read_manifest_head,
    read_rejected,
)
from image_assets.storage.segments import SegmentReader, iter_images, iter_segments, read_segment, write_segment
from image_assets.storage.store import Store
from image_assets.storage.tables import to_parquet
from image_assets.storage.vectors import (
    VectorChunks,
    iter_vectors,
    publish_vectors,
    read_vector_head,
    staged_vectors,
    write_chunk,
)
from image_assets_tests.storage.rows import (
    SHARD,
    index_head,
    index_rows,
    manifest,
    manifest_head,
    segment_image,
    sha256_of,
    vector_head,
    vectors_for,
)

ROWS = 5
RECIPE, EXTRACTOR = "recipe", sha256_of("colours")
SEGMENT_IMAGES = [segment_image(number) for number in range(ROWS)]


def read_all_images(store, name):
    reader = SegmentReader(store, RECIPE, name)
    try:
        return [reader.image(row) for row in range(ROWS)]
    finally:
        reader.close()


def index_contents(store, _):
    with content_index(store, RECIPE, [], iter_segments(store, RECIPE)) as contents:
        return [contents.find(sha256_of(number)) for number in range(ROWS)]


def gather_all(store, _):
    chunks = VectorChunks(store, EXTRACTOR)
    return chunks.gather([sha256_of(row) for row in range(ROWS)], 4).tolist()


# What reads which file; each takes the store and the name of the segment in it.
READERS = {
    "read_manifest": ("manifest", lambda store, _: read_manifest(store, SHARD, 1).rows.to_pylist()),
    "read_manifest_head": ("manifest", lambda store, _: read_manifest_head(store, SHARD, 1)),
    "latest_heads": ("manifest", lambda store, _: latest_heads(store, [SHARD])),
    "read_rejected": ("rejected", lambda store, _: read_rejected(store, SHARD).rows.to_pylist()),
    "read_index_head": ("index", lambda store, _: read_index_head(store, 1)),
    "iter_index": ("index", lambda store, _: [piece.to_pylist() for piece in iter_index(store, 1)]),
    "read_segment": ("segment", lambda store, name: read_segment(store, RECIPE, name).to_pylist()),
    "iter_images": ("segment", lambda store, name: list(iter_images(store, RECIPE, name))),
    "SegmentReader": ("segment", read_all_images),
    "content_index": ("segment", index_contents),
    "read_vector_head": ("vectors", lambda store, _: read_vector_head(store)),
    "iter_vectors": ("vectors", lambda store, _: [piece.to_pylist() for piece in iter_vectors(store)]),
    "VectorChunks": ("chunk", gather_all),
}
HEADS_ONLY = {"read_manifest_head", "latest_heads", "read_index_head", "read_vector_head"}
READS_ROWS = sorted(READERS.keys() - HEADS_ONLY)
# The others ask first what there is.
ASKS_FIRST = {
    "latest_heads",
    "read_rejected",
    "read_vector_head",
    "content_index",
    "VectorChunks",
}
NAMED_IN_ADVANCE = sorted(READERS.keys() - ASKS_FIRST)


@pytest.fixture
def store(tmp_path):
    """A store that holds one small file of every kind."""
    store = Store(str(tmp_path / "store"))
    commit_manifest(store, manifest(ROWS))
    keep_rejected(store, manifest(ROWS))
    with staged_index(index_head(rows=ROWS), [index_rows(ROWS)]) as staged:
        publish_index(store, 1, staged)
    with staged_vectors(vector_head(rows=ROWS), [(index_rows(ROWS), vectors_for(range(ROWS)))]) as staged:
        publish_vectors(store, staged)
    write_chunk(store, EXTRACTOR, [sha256_of(row) for row in range(ROWS)], vectors_for(range(ROWS)))
    write_segment(store, RECIPE, SEGMENT_IMAGES)
    return store


def path_of(store, kind):
    paths = {
        "manifest": layout.manifest(SHARD, 1),
        "rejected": layout.rejected_manifest(SHARD),
        "index": layout.index(1),
        "vectors": layout.FEATURE_VECTORS,
    }
    folders = {"segment": layout.SEGMENTS, "chunk": layout.vector_chunks_of(EXTRACTOR)}
    return paths[kind] if kind in paths else next(store.list(folders[kind])).path


def prepare(store, reader):
    """Return the path of what the reader reads, and the reading as a call without arguments."""
    kind, read = READERS[reader]
    name = path_of(store, "segment").rsplit("/", 1)[-1].removesuffix(".parquet")
    return path_of(store, kind), lambda: read(store, name)


def refusal(read, path):
    with pytest.raises(StoreError) as caught:
        read()
    text = str(caught.value)
    assert path in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(store, reader, keep):
    path, read = prepare(store, reader)
    data = store.get(path).to_pybytes()
    store.put(path, data[: int(len(data) * keep)])
    assert "is damaged" in refusal(read, path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("data", [b"", b"rubbish", b"PAR1PAR1", b"PAR1" + bytes(1000) + b"PAR1", b"\xff" * 5000])
def test_a_file_that_is_no_parquet_is_named(store, reader, data):
    path, read = prepare(store, reader)
    store.put(path, data)
    assert "is damaged" in refusal(read, path)


@pytest.mark.parametrize("reader", NAMED_IN_ADVANCE)
def test_a_missing_file_is_named(store, reader):
    path, read = prepare(store, reader)
    (store.folder / path).unlink()
    assert "No such file" in refusal(read, path)


@pytest.mark.parametrize("reader", READS_ROWS)
def test_a_flipped_bit_in_the_rows_is_named(store, reader):
    path, read = prepare(store, reader)
    data = bytearray(store.get(path).to_pybytes())
    column = pq.ParquetFile(pa.BufferReader(bytes(data))).metadata.row_group(0).column(0)
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 16
    store.put(path, bytes(data))
    if path.startswith("segments/") and reader in {"read_segment", "content_index"}:
        # The first column is the image, which these do not read.
        assert read()
    else:
        assert "is damaged" in refusal(read, path)


@pytest.mark.parametrize("reader", READERS)
def test_a_bit_flipped_anywhere_is_an_error_of_ours_or_does_no_harm_to_the_reader(store, reader):
    path, read = prepare(store, reader)
    sound, random_bits = store.get(path).to_pybytes(), random.Random(reader)
    refusals = []
    for _ in range(150):
        data = bytearray(sound)
        data[random_bits.randrange(len(data))] ^= 1 << random_bits.randrange(8)
        store.put(path, bytes(data))
        try:
            read()
        except StoreError as error:
            refusals.append(str(error))
    assert refusals
    assert not any("\n" in text for text in refusals)


@pytest.mark.parametrize("reader", READERS)
def test_a_flipped_bit_in_a_head_is_noticed(store, reader):
    path, read = prepare(store, reader)
    head = bytearray(pq.read_metadata(pa.BufferReader(store.get(path))).metadata[HEAD_KEY])
    head[head.rindex(b":") + 3] ^= 1
    rewritten(store, path, bytes(head))
    assert "is damaged" in refusal(read, path)


def rewritten(store, path, head):
    """Write the file at ``path`` again under another head."""
    table = pq.read_table(pa.BufferReader(store.get(path)))
    metadata = {**(table.schema.metadata or {}), HEAD_KEY: head}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, row_group_size=64)
    store.put(path, sink.getvalue().to_pybytes())


@pytest.mark.parametrize("reader", READERS)
def test_a_newer_format_is_refused_in_words(store, reader):
    path, read = prepare(store, reader)
    heads = {
        "manifest": head_to_json(manifest_head(format_version=FORMAT_VERSION + 1)),
        "index": index_head_to_json(index_head(format_version=FORMAT_VERSION + 1)),
        "vectors": json.dumps(asdict(vector_head(rows=ROWS, format_version=FORMAT_VERSION + 1))).encode(),
    }
    rewritten(store, path, heads.get(READERS[reader][0], json.dumps({"format_version": FORMAT_VERSION + 1}).encode()))
    told = f"has format version {FORMAT_VERSION + 1}, this image_assets reads up to {FORMAT_VERSION}; upgrade it"
    assert told in refusal(read, path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("head", [b"", b"{", b"[]", b"{}", b'{"format_version": null}', b"\xff"])
def test_a_head_that_is_none_is_damage(store, reader, head):
    path, read = prepare(store, reader)
    rewritten(store, path, head)
    assert "is damaged" in refusal(read, path)


@pytest.mark.parametrize("reader", sorted({*HEADS_ONLY, "read_manifest", "read_rejected"}))
@pytest.mark.parametrize("head", [b'{"format_version": 1}', b'{"format_version": 1, "unknown": 2}'])
def test_a_head_without_its_fields_is_damage(store, reader, head):
    path, read = prepare(store, reader)
    rewritten(store, path, head)
    assert "is damaged" in refusal(read, path)


@pytest.mark.parametrize("reader", READERS)
def test_a_parquet_file_of_others_is_refused(store, reader):
    path, read = prepare(store, reader)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [1]}), sink)
    store.put(path, sink.getvalue().to_pybytes())
    assert "was not written by image_assets" in refusal(read, path)


@pytest.mark.parametrize("reader", ["SegmentReader", "read_segment", "iter_images", "content_index", "VectorChunks"])
def test_a_file_without_a_column_that_is_asked_for_is_damage(store, reader):
    path, read = prepare(store, reader)
    store.put(path, to_parquet(pa.table({"x": [1]}), b'{"format_version": 1}'))
    assert "is damaged: it has no column" in refusal(read, path)
