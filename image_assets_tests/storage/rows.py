"""Rows, heads and images made on the spot, for files of the store."""

import hashlib

import numpy as np
import pyarrow as pa

from image_assets.core.heads import FORMAT_VERSION
from image_assets.core.index import INDEX_SCHEMA, IndexHead, output_id
from image_assets.core.manifest import MANIFEST_SCHEMA, Manifest, ManifestHead
from image_assets.core.sample import Facts, Output, Rendered
from image_assets.storage.segments import SegmentImage
from image_assets.storage.vectors import VectorHead
from image_assets_tests.images import image_bytes

SHARD = "0-of-1"
FACTS = Facts("JPEG", "RGB", 40, 30, taken_at="2024-05-01T12:30:00", flags=("animated",))


def sha256_of(word):
    return hashlib.sha256(str(word).encode()).hexdigest()


def segment_image(number, variants=1, sha256=None):
    datas = [image_bytes(1000 * number + variant) for variant in range(variants)]
    outputs = [
        Output(variant, data, hashlib.sha256(data).hexdigest(), 40, 30, "jpeg") for variant, data in enumerate(datas)
    ]
    return SegmentImage(sha256 or sha256_of(number), Rendered(FACTS, tuple(outputs)))


def manifest(count, *, number=1, statuses=None, keys=None, segments=None):
    """A manifest of ``count`` images; failed ones have the reason ``truncated``."""
    statuses = statuses or ["ok"] * count
    rows = [
        {
            "key": keys[row] if keys else f"a/{row}.jpg",
            "bucket": row,
            "version": "1",
            "size_bytes": 100,
            "sha256": sha256_of(row),
            "status": statuses[row],
            "reason": None if statuses[row] == "ok" else "truncated",
            "segment": segments[row] if segments else None,
            "variants": 1,
            "output_bytes": 50,
        }
        for row in range(count)
    ]
    return Manifest(manifest_head(number=number, images=count), pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA))


def manifest_head(*, number=1, images=0, failed=0, output_bytes=0, seconds=0.0, format_version=FORMAT_VERSION):
    return ManifestHead(
        dataset="tiny",
        shard=SHARD,
        number=number,
        after_index=0,
        recipe_id="recipe",
        fingerprint="print",
        created_at="2026-01-01T00:00:00+00:00",
        images=images,
        failed_images=failed,
        output_bytes=output_bytes,
        processing_time_sec=seconds,
        format_version=format_version,
    )


def index_head(*, number=1, rows=0, commits=None, format_version=FORMAT_VERSION):
    commits = {SHARD: 1} if commits is None else commits
    return IndexHead(
        dataset="tiny",
        number=number,
        digest=sha256_of("digest"),
        rows=rows,
        recipe_id="recipe",
        num_shards=len(commits),
        created_at="2026-01-01T00:00:00+00:00",
        commits=commits,
        data_versions=dict.fromkeys(commits, "recipe-print"),
        format_version=format_version,
    )


def index_rows(count):
    rows = [
        {
            "id": output_id(f"a/{row}.jpg", 0),
            "key": f"a/{row}.jpg",
            "variant": 0,
            "width_px": 16,
            "height_px": 16,
            "format": "jpeg",
            "sha256": sha256_of(row),
            "output_sha256": sha256_of(f"output {row}"),
            "segment": sha256_of("segment"),
            "row": row,
            "bucket": row,
        }
        for row in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=INDEX_SCHEMA)


def vector_head(*, rows, dim=4, format_version=FORMAT_VERSION):
    return VectorHead("colours", sha256_of("colours"), dim, 1, sha256_of("digest"), rows, format_version)


def vectors_for(rows, dim=4):
    """Vectors that name their own row: row i is [i, i, …]."""
    return np.repeat(np.asarray(rows, np.float32)[:, None], dim, axis=1)
