"""The path of every file the platform writes."""

import re

STORE = "store.json"
LATEST_INDEX = "index.parquet"
FEATURE_VECTORS = "feature_vectors.parquet"
EXPORTS = "exports/"
MODELS = "models/"
LOGS = "logs/"
SEGMENTS = "segments/"
INDEXES = "index/"


def segments_of(recipe_id: str) -> str:
    """Return the folder of the segments made with one recipe."""
    return f"{SEGMENTS}{recipe_id}/"


def segment(recipe_id: str, content_sha256: str) -> str:
    """Return the path of a segment."""
    return f"{segments_of(recipe_id)}{content_sha256}.parquet"


def manifests_of(shard: str) -> str:
    """Return the folder of a shard's commits."""
    return f"shards/{shard}/manifests/"


def manifest(shard: str, number: int) -> str:
    """Return the path of a shard's commit; numbers start at 1."""
    return f"{manifests_of(shard)}{number:08d}.parquet"


def rejected_manifest(shard: str) -> str:
    """Return the path of the last manifest of a shard that its checks refused."""
    return f"shards/{shard}/rejected.parquet"


def index(number: int) -> str:
    """Return the path of an index; numbers start at 1."""
    return f"{INDEXES}{number:08d}.parquet"


def vector_chunks_of(extractor_digest: str) -> str:
    """Return the folder of the vectors made by one extractor."""
    return f"vectors/{extractor_digest[:16]}/"


def vector_chunk(extractor_digest: str, content_sha256: str) -> str:
    """Return the path of a chunk of vectors."""
    return f"{vector_chunks_of(extractor_digest)}{content_sha256}.parquet"


def number_of(path: str) -> int:
    """Return the number in the path of a manifest or an index, 0 for a file that is neither.

    File browsers leave files of their own in any folder that they show (``.DS_Store``).
    """
    found = re.search(r"(?:^|/)(\d+)\.parquet$", path)
    return int(found[1]) if found else 0


def content_name_of(path: str) -> str | None:
    """Return the hash in the path of a segment or of a chunk of vectors, None for a file that is neither."""
    found = re.search(r"(?:^|/)([0-9a-f]{64})\.parquet$", path)
    return found[1] if found else None
