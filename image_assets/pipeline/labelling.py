"""What the command line says of labels that go to a platform and come back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from image_assets.core.errors import ConfigError
from image_assets.pipeline.label_export import LabelExport, export_for_labelling
from image_assets.pipeline.label_import import LabelImport, import_labels
from image_assets.settings import Settings


def export_summary(settings: Settings, wanted: LabelExport) -> dict[str, Any]:
    """Export, and return what to say of it.

    Raises:
        ImageAssetsError: as :func:`export_for_labelling`.
        OSError: a file cannot be written.
    """
    report = export_for_labelling(settings, wanted)
    return {
        "dataset": settings.name,
        "platform": wanted.platform,
        "project": wanted.project,
        "folder": str(report.folder) if report.folder else None,
        "exported": report.exported,
        "sent_before": report.sent_before,
        "annotations": report.annotations,
        "predictions": report.predictions,
        "labels": list(report.labels),
        "left_out": report.left_out,
    }


def import_summary(settings: Settings, wanted: LabelImport) -> dict[str, Any]:
    """Import, and return what to say of it.

    Raises:
        ImageAssetsError: as :func:`import_labels`.
        OSError: the file cannot be read.
    """
    report = import_labels(settings, wanted, imported_at=datetime.now(UTC).isoformat(timespec="seconds"))
    return {
        "dataset": settings.name,
        "platform": wanted.platform,
        "project": wanted.project,
        "tasks": report.tasks,
        "changed": report.kept.changed,
        "unchanged": report.kept.unchanged,
        "taken_back": report.kept.silenced,
        "forgotten": report.kept.forgotten,
        "untouched": report.untouched,
        "unknown": report.unknown,
        "unknown_names": list(report.unknown_names),
        "left_out": report.left_out,
        "problems": list(report.problems),
    }


def label_names(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels that texts name: separated by commas, or one a line in the file that a text with ``@`` names.

    Raises:
        ConfigError: the file cannot be read.
    """
    found: list[str] = []
    for text in texts:
        if not text.startswith("@"):
            found += [name.strip() for name in text.split(",")]
            continue
        try:
            found += Path(text[1:]).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ConfigError(f"--labels {text}: the file cannot be read: {error}") from error
    return tuple(dict.fromkeys(filter(None, found)))
