"""Commands that look after a dataset: failed images, shards, snapshots, space, and what must be forgotten."""

from typing import Any

import click

from image_assets.cli.completing import complete_reason
from image_assets.cli.help import command
from image_assets.cli.options import dataset_options, json_option, settings_file_of, settings_from, wants_progress
from image_assets.cli.program import exit_with_status, say, show, show_table
from image_assets.cli.progress import drawn_progress

_reasons_help = "Only images with this reason; may be given several times."


@command()
@dataset_options
@click.option("--reason", "reasons", multiple=True, metavar="R", help=_reasons_help, shell_complete=complete_reason)
@json_option
def quarantine(reasons: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """List the images that have no output, and why.

    Of each the reason, since when it failed, and how often it was tried. Warnings are listed when they are named
    (wrong_extension): such images do have an output. `image-assets retry` tries some again.

    \b
    image-assets quarantine
    image-assets quarantine --reason truncated --json
    image-assets quarantine --reason wrong_extension
    """
    from image_assets.pipeline.quarantine import quarantine_summary

    summary = quarantine_summary(settings_from(options), reasons)
    if as_json:
        show(summary, as_json=True)
    else:
        show_table(summary["quarantine"], ["key", "reason", "attempts", "first_seen", "last_seen", "detail"])


@command()
@dataset_options
@click.option("--reason", "reasons", multiple=True, required=True, metavar="R", help=_reasons_help,
    shell_complete=complete_reason)  # fmt: skip
@json_option
def retry(reasons: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Run the dataset, and try failed images again.

    Otherwise an image that failed is tried again when its bytes, the decoder or the recipe change, and never else. Use
    it when the reason lay elsewhere: a share that was not mounted, a server that was down.

    \b
    image-assets retry --reason unreadable
    image-assets retry --reason unreadable --reason decoder_timeout
    """
    from image_assets.pipeline.detect import RunOptions, known_reasons
    from image_assets.pipeline.summary import run_summary

    settings = settings_from(options)
    with drawn_progress(shown=wants_progress(as_json=as_json)):
        summary, _ = run_summary(settings, RunOptions(retry=known_reasons(reasons)))
    show(summary, as_json=as_json)
    exit_with_status(summary["pipeline_status"])


@command()
@dataset_options
@click.option("--to", "to", type=int, required=True, metavar="N", help="The new number of shards.")
@json_option
def reshard(to: int, as_json: bool, **options: Any) -> None:
    """Give the dataset another number of shards.

    Nothing is read or decoded, and the digest stays. 16 to 64 is the advice. The number is written into the
    settings file; a dataset without one keeps it in its store. A running Dagster shows the new partitions when its
    definitions are reloaded (Deployment > Reload).

    \b
    image-assets reshard --to 16
    image-assets reshard --input ~/photos --to 32
    """
    from image_assets.pipeline.resharding import reshard_summary

    show(reshard_summary(settings_from(options), to, settings_file_of(options)), as_json=as_json)


@command()
@dataset_options
@json_option
def snapshots(as_json: bool, **options: Any) -> None:
    """List the states of the dataset that can still be read, oldest first.

    From Python `open_dataset("data/store/photos", snapshot=1)` reads one of them. `image-assets vacuum` removes old
    ones, `image-assets diff` compares two.

    \b
    image-assets snapshots
    image-assets snapshots --json
    """
    from image_assets.pipeline.snapshots import snapshots_summary

    summary = snapshots_summary(settings_from(options))
    if as_json:
        show(summary, as_json=True)
    else:
        show_table(
            summary["snapshots"], ["number", "created_at", "rows", "failed", "num_shards", "recipe_id", "digest"]
        )


@command()
@click.argument("older")
@click.argument("newer")
@dataset_options
@json_option
def diff(older: str, newer: str, as_json: bool, **options: Any) -> None:
    """Say what changed between two snapshots.

    Each is named by its number (`image-assets snapshots`) or the beginning of its digest.

    \b
    image-assets diff 1 1
    image-assets diff 1 1 --json
    """
    from image_assets.pipeline.differences import diff_summary

    summary = diff_summary(settings_from(options), older, newer)
    if as_json:
        show(summary, as_json=True)
        return
    names = ("added", "removed", "changed", "moved", "relabelled", "resplit")
    rows = [{"change": name, **change_row(item)} for name in names for item in summary[name]]
    show_table(rows, ["change", "key", "from", "to"])


@command()
@dataset_options
@click.option("--keep", type=int, metavar="N", help="Keep the newest N snapshots [default: all].")
@click.option("--older-than", metavar="AGE", help="Remove snapshots older than this, like 30d or 12h.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@json_option
def vacuum(keep: int | None, older_than: str | None, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Remove old snapshots and what only they need.

    Small segments are put together on the way. The newest snapshot and the last commits always stay. While a run is
    under way, only what is old and unused goes.

    \b
    image-assets vacuum --keep 5 --dry-run
    image-assets vacuum --older-than 30d
    """
    from image_assets.pipeline.vacuum import Retention, parse_age, vacuum_summary

    settings = settings_from(options)
    retention = Retention(keep, parse_age(older_than) if older_than is not None else None)
    _show_clean_up(vacuum_summary(settings, retention, compact=True, dry_run=dry_run), as_json=as_json)


@command()
@dataset_options
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@json_option
def gc(dry_run: bool, as_json: bool, **options: Any) -> None:
    """Remove what killed runs left behind; every snapshot stays.

    Half-written files, segments that nothing names, uploads that never ended. While a run is under way only what is old
    goes. `image-assets vacuum` also removes old snapshots.

    \b
    image-assets gc --dry-run
    image-assets gc
    """
    from image_assets.pipeline.vacuum import Retention, vacuum_summary

    summary = vacuum_summary(settings_from(options), Retention(), compact=False, dry_run=dry_run)
    _show_clean_up(summary, as_json=as_json)


@command()
@click.argument("names", nargs=-1, metavar="KEY|SHA256...")
@dataset_options
@json_option
def forget(names: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Remove images from everything that is kept, for ever.

    Old snapshots included, and their bytes are never taken again. A key stands for all bytes it ever held, and
    bytes for all their copies. Without names, an interrupted forgetting is finished. The files in the source are
    not touched: delete them there.

    \b
    image-assets forget shirt/005d3a4d-b8cc-4f14-a288-8065ab797974.jpg
    image-assets forget                                 # finish one that was interrupted
    """
    from image_assets.pipeline.forget import forget_summary

    show(forget_summary(settings_from(options), names), as_json=as_json)


def change_row(item: Any) -> dict[str, Any]:
    """Return one entry of a difference as a table row: a key, or where it came from and went to."""
    if isinstance(item, str):
        return {"key": item, "from": None, "to": None}
    return {"key": None, **item}


def _show_clean_up(summary: dict[str, Any], *, as_json: bool) -> None:
    if not as_json:
        removed = summary.pop("removed")
        for file in removed:
            say(f"{file['size_bytes']:>12}  {file['path']}")
    show(summary, as_json=as_json)
