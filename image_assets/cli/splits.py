"""`image-assets splits`: which images train and which measure."""

from typing import Any

from image_assets.cli.help import command
from image_assets.cli.options import dataset_options, json_option, settings_from
from image_assets.cli.program import say, show, show_table


@command()
@dataset_options
@json_option
def splits(as_json: bool, **options: Any) -> None:
    """Say how many images of each label are for train, val and test.

    Splits are made with each new index (setting splits.method). Duplicates are never in two of them, and no image
    changes sides: what ties train to val or test together is kept out of both until the tie is gone.

    \b
    image-assets splits
    image-assets splits --json
    """
    from image_assets.pipeline.split_report import splits_summary

    summary = splits_summary(settings_from(options))
    if as_json:
        show(summary, as_json=True)
        return
    lists = {name: summary.pop(name) for name in ("labels", "quarantined")}
    show(summary, as_json=False)
    for rows in filter(None, lists.values()):
        say()
        show_table(rows, list(rows[0]))
