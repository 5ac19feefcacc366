"""All that a report tells, gathered from a store before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass

from image_assets.core.index import IndexHead
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.report.counting import Counted, count_index
from image_assets.pipeline.report.doubts import Doubts, find_doubts
from image_assets.pipeline.report.failures import RawImages, look_at_raw_images
from image_assets.pipeline.report.growth import Growth, growth_of
from image_assets.pipeline.report.issues import Quality, look_at_quality
from image_assets.pipeline.report.pictures import Album, add_failed, add_outputs
from image_assets.pipeline.report.rows import ShownImage
from image_assets.pipeline.report.said import Said, last_words
from image_assets.pipeline.report.samples import sample_labels
from image_assets.pipeline.report.twins import Twins, find_twins
from image_assets.settings import Settings
from image_assets.storage.store import Store

# Of each kind of group, of images in one, of images with an issue, with a doubtful label, failed for a reason.
MOST_GROUPS = 12
MOST_TWINS = 6
MOST_BAD = 12
MOST_DOUBTS = 24
MOST_FAILED = 24
# Without labels all images are one sheet, which may be this many times as large.
_SHEETS_WITHOUT_LABELS = 5


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a report tells. ``twins``, ``quality`` and ``doubts`` are None where nothing follows this index.

    ``same_recipe``: the settings are those that the images were made with.
    """

    settings: Settings
    index: IndexHead
    counted: Counted
    raw: RawImages
    growth: Growth
    said: tuple[Said, ...]
    samples: Mapping[str | None, tuple[ShownImage, ...]]
    twins: Twins | None
    quality: Quality | None
    doubts: Doubts | None
    album: Album
    same_recipe: bool


def gather(settings: Settings, store: Store, index: IndexHead, followers: tuple[str, ...]) -> Gathered:
    """Return what there is to tell of an index.

    Args:
        followers: what is made of each index, whose checks are shown.

    Raises:
        StoreError: the store does not answer or a file is damaged.
        EngineError: no worker can be started to decode failed images.
        ConfigError: the settings name a transform that does not exist.
    """
    counted = count_index(store, index)
    raw = look_at_raw_images(store, index, MOST_FAILED)
    samples = _samples(settings, store, index, counted)
    twins = find_twins(store, index, MOST_GROUPS, MOST_TWINS)
    quality = look_at_quality(store, index, MOST_BAD)
    doubts = find_doubts(store, index, MOST_DOUBTS)
    album = Album(int(settings.report.max_mb * 10**6))
    # What people must look at comes first, then what shows what the dataset is.
    add_failed(album, settings, raw.failures)
    worst = [[bad.image for bad in images] for images in quality.worst.values()] if quality else []
    groups = [[twin.image for twin in group.twins] for group in twins.groups] if twins else []
    doubtful = [[doubt.image for doubt in doubts.doubts]] if doubts else []
    sheets = [*samples.values(), *worst, *groups, *doubtful]
    add_outputs(album, store, index.recipe_id, sheets, settings.report.picture_px)
    return Gathered(
        settings=settings,
        index=index,
        counted=counted,
        raw=raw,
        growth=growth_of(store, index),
        said=last_words(store, index, followers),
        samples=samples,
        twins=twins,
        quality=quality,
        doubts=doubts,
        album=album,
        same_recipe=recipe_id_of(settings) == index.recipe_id,
    )


def _samples(
    settings: Settings, store: Store, index: IndexHead, counted: Counted
) -> dict[str | None, tuple[ShownImage, ...]]:
    wanted = settings.report
    if not counted.labels:
        return sample_labels(store, index, [None], _SHEETS_WITHOUT_LABELS * wanted.images_per_label)
    labels = [count.label for count in counted.labels[: wanted.labels]]
    unlabelled = [None] if counted.unlabelled else []
    return sample_labels(store, index, [*labels, *unlabelled], wanted.images_per_label)
