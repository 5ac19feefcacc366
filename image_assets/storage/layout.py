"""The path of every file the platform writes."""

import re

STORE = "store.json"
LATEST_INDEX = "index.parquet"
FEATURE_VECTORS = "feature_vectors.parquet"
VECTORS_NUMPY = "feature_vectors.npy"
VECTORS_HDF5 = "feature_vectors.h5"
VECTOR_FILES_RECORD = "feature_vectors.json"
AUTO_LABELS = "auto_labels.parquet"
PLACED_ANNOTATIONS = "annotations.parquet"
DUPLICATES = "duplicates.parquet"
CHECK_RESULTS = "check_results.parquet"
IMAGE_QUALITY = "image_quality.parquet"
DATASET_STATISTICS = "dataset_statistics.parquet"
REPORT = "report.html"
EXPORTS = "exports/"
MODELS = "models/"
LOGS = "logs/"
SEGMENTS = "segments/"
INDEXES = "index/"
SHARDS = "shards/"
VECTORS = "vectors/"
PERCEPTUAL = "perceptual/"
PIXEL_STATISTICS = "pixel_statistics/"
NEIGHBOURS = f"{PERCEPTUAL}neighbours.parquet"
SIMILARITY = "similarity/"
SIMILARITY_HEAD = f"{SIMILARITY}head.json"
# What is made of the newest index and tells of its images: forgetting removes these, and they are made again.
FOLLOWING = (
    *(DUPLICATES, NEIGHBOURS),
    CHECK_RESULTS,
    *(IMAGE_QUALITY, DATASET_STATISTICS),
    *(VECTORS_NUMPY, VECTORS_HDF5, VECTOR_FILES_RECORD, AUTO_LABELS),
    PLACED_ANNOTATIONS,
    REPORT,
)
FORGOTTEN = "forgotten/"
ANNOTATIONS = "annotations/"
LABELLING = "labelling/"
LISTINGS = "listings/"
SPLITS = "splits/"
PARTIAL_LISTINGS = f"{LISTINGS}partial/"
# Files on their way to their names; nothing else lies there.
STAGING = "tmp/"
LOCK = ".lock"


def segments_of(recipe_id: str) -> str:
    """Return the folder of the segments made with one recipe."""
    return f"{SEGMENTS}{recipe_id}/"


def segment(recipe_id: str, content_sha256: str) -> str:
    """Return the path of a segment."""
    return f"{segments_of(recipe_id)}{content_sha256}.parquet"


def manifests_of(shard: str) -> str:
    """Return the folder of a shard's commits."""
    return f"{SHARDS}{shard}/manifests/"


def manifest(shard: str, number: int) -> str:
    """Return the path of a shard's commit; numbers start at 1."""
    return f"{manifests_of(shard)}{number:08d}.parquet"


def shard_of(path: str) -> str:
    """Return the shard whose folder a file lies in."""
    return path.removeprefix(SHARDS).partition("/")[0]


def rejected_manifest(shard: str) -> str:
    """Return the path of the last manifest of a shard that its checks refused."""
    return f"{SHARDS}{shard}/rejected.parquet"


def index(number: int) -> str:
    """Return the path of an index; numbers start at 1."""
    return f"{INDEXES}{number:08d}.parquet"


def annotations(number: int) -> str:
    """Return the path of one import of annotations; numbers start at 1."""
    return f"{ANNOTATIONS}{number:08d}.parquet"


def labelling_record(content_sha256: str) -> str:
    """Return the path of what must be known of an export to a labelling platform when its labels come back."""
    return f"{LABELLING}{content_sha256}.json"


def listing(number: int) -> str:
    """Return the path of a snapshot of the source; numbers start at 1."""
    return f"{LISTINGS}{number:08d}.parquet"


def split_pins(number: int) -> str:
    """Return the path of some of the notes of which content is in which split; numbers start at 1."""
    return f"{SPLITS}{number:08d}.parquet"


def listing_parts_of(name: str) -> str:
    """Return the folder of what there is of a listing under way."""
    return f"{PARTIAL_LISTINGS}{name}/"


def listing_part(name: str, number: int) -> str:
    """Return the path of a part of a listing under way; numbers start at 1."""
    return f"{listing_parts_of(name)}{number:08d}.parquet"


def exports_of(format_name: str) -> str:
    """Return the folder of a format that is written as one file a shard."""
    return f"{EXPORTS}{format_name}/"


def export_record(format_name: str) -> str:
    """Return the path of what is known of the files of such a format."""
    return f"{exports_of(format_name)}exports.json"


def is_exported_image(path: str) -> bool:
    """Return whether a path is that of an image among plain files, named by the hash of its bytes."""
    return re.fullmatch(rf"{EXPORTS}files/([0-9a-f]{{2}})/\1[0-9a-f]{{62}}\.(?:jpg|png)", path) is not None


def vector_chunks_of(extractor_digest: str) -> str:
    """Return the folder of the vectors made by one extractor."""
    return f"{VECTORS}{extractor_digest[:16]}/"


def perceptual_chunks_of(method: str) -> str:
    """Return the folder of the perceptual hashes made by one method."""
    return f"{PERCEPTUAL}{method}/"


def pixel_statistics_of(method: str) -> str:
    """Return the folder of what one method measured of the images."""
    return f"{PIXEL_STATISTICS}{method}/"


def similarity_graph(content_sha256: str) -> str:
    """Return the path of an approximate index of vectors."""
    return f"{SIMILARITY}{content_sha256}.usearch"


def chunk(folder: str, content_sha256: str) -> str:
    """Return the path of a chunk in a folder of chunks."""
    return f"{folder}{content_sha256}.parquet"


def folder_of(path: str) -> str:
    """Return the folder that a file lies in."""
    return path[: path.rindex("/") + 1]


def number_of(path: str) -> int:
    """Return the number in the path of a manifest, an index or a listing, 0 for a file that is none of them.

    File browsers leave files of their own in any folder that they show (``.DS_Store``).
    """
    found = re.search(r"(?:^|/)(\d+)\.parquet$", path)
    return int(found[1]) if found else 0


def content_name_of(path: str) -> str | None:
    """Return the hash in the path of a segment or of a chunk, None for a file that is neither."""
    found = re.search(r"(?:^|/)([0-9a-f]{64})\.parquet$", path)
    return found[1] if found else None


def receipt(number: int) -> str:
    """Return the path of the receipt of one act of forgetting; numbers start at 1."""
    return f"{FORGOTTEN}{number:08d}.json"


def is_receipt(path: str) -> bool:
    """Return whether a path is that of a receipt."""
    return re.search(r"(?:^|/)\d+\.json$", path) is not None


def receipt_step(receipt_path: str, name: str) -> str:
    """Return the path of the note that an unfinished act of forgetting keeps of one step."""
    return f"{receipt_path.removesuffix('.json')}.{name}.step"


def is_step_of(path: str, receipt_path: str) -> bool:
    """Return whether a path is that of a note of the act of forgetting with this receipt."""
    return path.startswith(receipt_path.removesuffix("json")) and path.endswith(".step")


def is_pipeline_log(name: str) -> bool:
    """Return whether a file name is that of the pipeline's log, or of one that was rotated away."""
    return re.fullmatch(r"pipeline\.log(?:\.\d+)?", name) is not None
