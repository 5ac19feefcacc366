"""`image-assets duplicates`: which images are the same, or nearly."""

from typing import Any

from image_assets.cli.help import command
from image_assets.cli.options import dataset_options, json_option, settings_from, wants_progress
from image_assets.cli.program import show, show_table
from image_assets.cli.progress import drawn_progress


@command()
@dataset_options
@json_option
def duplicates(as_json: bool, **options: Any) -> None:
    """List the groups of images that are the same, or nearly.

    Found are resized, recompressed, brighter and grey copies, not crops (`image-assets similar` finds those). What
    is new since the last time is hashed and compared; `duplicates.parquet` in the store then says of every row of
    the index which group it is in. In how many bits the hashes of images that are alike may differ is a setting
    (duplicates.distance_bits); duplicates.enabled does the same with every run.

    \b
    image-assets duplicates
    image-assets duplicates --input ~/photos --json
    """
    from image_assets.pipeline.duplicates import duplicates_summary

    with drawn_progress(shown=wants_progress(as_json=as_json)):
        summary = duplicates_summary(settings_from(options))
    if as_json:
        show(summary, as_json=True)
        return
    rows = [{"group": group["group"][:8], **image} for group in summary["groups"] for image in group["images"]]
    show_table(rows, ["group", "kind", "distance_bits", "key"])
