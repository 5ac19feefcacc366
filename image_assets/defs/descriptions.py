"""What each asset says of itself: what it is, where its files are, what to do when something is red."""

from image_assets.defs.names import Names
from image_assets.pipeline.following import Follower
from image_assets.pipeline.logs import log_path
from image_assets.settings import Settings, is_url
from image_assets.storage import layout

# The file or folder of each follower, and the page that tells more.
FOLLOWER_FILES = {
    "feature_vectors": layout.FEATURE_VECTORS,
    "similarity_index": layout.SIMILARITY,
    "auto_labels": layout.AUTO_LABELS,
    "duplicate_groups": layout.DUPLICATES,
    "annotations": layout.PLACED_ANNOTATIONS,
    "image_quality": layout.IMAGE_QUALITY,
    "dataset_report": layout.REPORT,
}
_FOLLOWER_HELP = {
    "feature_vectors": "A run makes them again where they do not fit; `data/FEATURES.md` tells of models.",
    "similarity_index": "The folder can be deleted: the next run makes it again. `data/FEATURES.md` tells more.",
    "auto_labels": "`image-assets auto-labels` lists them; `data/FEATURES.md` tells how often they are right.",
    "duplicate_groups": "`image-assets duplicates` lists the groups; `data/DUPLICATES.md` tells more.",
    "annotations": "`image-assets labels import` brings them in; `data/ANNOTATIONS.md` tells more.",
    "image_quality": "`image-assets quality` names the worst images of each check; its limits stand in the settings "
    "below `quality`. `data/QUALITY.md` tells more.",
    "dataset_report": "`image-assets report` writes the same page to a file; `data/REPORT.md` tells what it shows.",
    "bigquery_tables": "The error names the table and what Google said; `data/WAREHOUSE.md` tells more.",
}


def listing_description(settings: Settings, names: Names) -> str:
    """Return what `raw_listing` says of itself."""
    return _text(
        f"What the source `{_place(settings.source.path)}` holds: the state of each shard's part of it, and of how "
        "many images that is. It is **observed and never made**, so Dagster counts none of its partitions as filled: "
        "that is right, and nothing is missing.",
        f"**Who looks**: the sensor `{names.dataset}_source_sensor`; *Observe* looks at once.",
        f"**Where**: `{_place(settings.source.path)}`. What was left out, and why, is in "
        f"`{_code(str(log_path(settings)))}`.",
        "**When the check is red**: the source cannot be seen, or lost much at once; nothing is deleted meanwhile. See "
        "that it is mounted and complete, or confirm the loss with `allow_deletes` in the launchpad of `image_shards`. "
        "`image-assets plan` says what a run would do.",
    )


def shards_description(settings: Settings) -> str:
    """Return what `image_shards` says of itself."""
    store = _place(settings.store)
    return _text(
        f"The images decoded, oriented, resized and encoded, in {settings.num_shards} shards. A run does what changed "
        "and nothing else, and commits each shard on its own.",
        f"**Where**: pixels in `{store}/segments/`, and one row for each raw image, failed ones too, in "
        f"`{store}/shards/`. The log is `{_code(str(log_path(settings)))}`.",
        "**On a partition's page**: the contact sheet (*Show Markdown*), what the last run changed, how sizes, "
        "brightness and labels are spread.",
        "**When a check is red**: the shard was not published and keeps its last good state; the check's sentence says "
        "what would do. `image-assets quarantine` lists every image without an output and why, `image-assets retry` "
        "tries them again, and so does `retry` in the launchpad.",
    )


def index_description(settings: Settings) -> str:
    """Return what `training_index` says of itself."""
    store = _place(settings.store)
    exports = f", the exports {', '.join(settings.exports)} in `{store}/exports/`" if settings.exports else ""
    return _text(
        "One row for each live output image, put together from the last commits of all shards: what training reads. "
        "Equal digests mean equal datasets.",
        f"**Where**: `{store}/index.parquet`; all snapshots are in `{store}/index/`{exports}. "
        f"In Python: `image_assets.pipeline.reading.open_dataset`.",
        "**When a check is red**: its sentence says what would do. `image-assets verify` reads everything again, "
        "`image-assets diff` says what changed between two snapshots, `image-assets splits` how labels are split.",
    )


def follower_description(settings: Settings, name: str, follower: Follower) -> str:
    """Return what an asset that is made of each index says of itself."""
    file = FOLLOWER_FILES.get(name)
    return _text(
        follower.description,
        f"**Where**: `{_place(settings.store)}/{file}`." if file else "",
        f"**When it is red**: {_FOLLOWER_HELP.get(name, 'the run says why; what it made before stays as it was.')}",
    )


def _text(*paragraphs: str) -> str:
    return "\n\n".join(filter(None, paragraphs))


def _place(path_or_url: str) -> str:
    """Return a place without how it is reached."""
    return _code(path_or_url.partition("?")[0].rstrip("/") if is_url(path_or_url) else path_or_url)


def _code(text: str) -> str:
    """Return a path as it can stand between backquotes."""
    return "".join(char if char.isprintable() and char != "`" else "?" for char in text)
