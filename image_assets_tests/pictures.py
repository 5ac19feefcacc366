"""The pictures of the documentation, taken of the real thing: ``python -m image_assets_tests.pictures``.

A project with the sample dataset is made in a temporary folder, `dagster dev` runs there until all is made, and a
browser looks at it.
"""

import argparse
import io
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image
from playwright.sync_api import Browser, Page

from image_assets_tests.browser import opened_page, started_browser
from image_assets_tests.end_to_end.dagster_dev import ROOT, DagsterDev
from image_assets_tests.end_to_end.seen import choose_plots, open_contact_sheet

PICTURES = ROOT / "data/pictures"
_NAME = "photos"
# Dagster's pages ask for their parts one after the other and never fall silent.
_SETTLE_MS = 3_000
_COLOURS = 256


@dataclass(frozen=True, slots=True)
class Picture:
    """A page of the UI: ``before`` does on it what a person would before looking."""

    path: str
    shows: str
    before: Callable[[Page], None] | None = None
    width_px: int = 1440
    height_px: int = 900


_LOCATION = "/locations/image_assets"
_ASSETS = f"/assets/{_NAME}"
# Eight of the sample photographs.
_FULL_SHARD = "03-of-16"
UI: dict[str, Picture] = {
    "graph": Picture(f"{_LOCATION}/asset-groups/{_NAME}/lineage", "feature_vectors", width_px=1800, height_px=600),
    "shards": Picture(f"{_ASSETS}/image_shards?view=partitions&partition={_FULL_SHARD}", "contact_sheet"),
    "index": Picture(f"{_ASSETS}/training_index?view=events", "contact_sheet", open_contact_sheet),
    "plots": Picture(f"{_ASSETS}/image_shards?view=overview", "Plots", choose_plots, height_px=1100),
    "checks": Picture(f"{_ASSETS}/training_index?view=checks", "Latest execution", height_px=600),
    "launchpad": Picture(f"{_LOCATION}/jobs/{_NAME}_update/playground", "Launch Run"),
}


def main() -> None:
    """Take the pictures that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join([*UI, 'report'])}; default: all")
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder; default: data/pictures")
    said = parser.parse_args()
    if unknown := set(said.names) - {*UI, "report"}:
        parser.error(f"no picture is called {', '.join(sorted(unknown))}")
    said.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, started_browser() as browser, sample_project(Path(folder)) as dev:
        dev.wait_until(lambda: dev.events("dataset_report"), "everything is made", timeout_s=300)
        for name in said.names or [*UI, "report"]:
            content = _report(browser, dev) if name == "report" else _ui(browser, dev, UI[name])
            _save(said.out / f"{name}.png", content)


def sample_project(folder: Path) -> DagsterDev:
    """Return a project with the sample dataset in an empty folder."""
    content = yaml.safe_load((ROOT / f"data/datasets/{_NAME}.yaml").read_text())
    fixed = ("name", "source", "store")
    project = DagsterDev(folder, _NAME, **{name: value for name, value in content.items() if name not in fixed})
    shutil.copytree(ROOT / "data/photos", folder / "data/raw", dirs_exist_ok=True)
    return project


def _ui(browser: Browser, dev: DagsterDev, picture: Picture) -> bytes:
    with opened_page(browser, width=picture.width_px, height=picture.height_px) as page:
        page.goto(dev.url + picture.path)
        page.get_by_text(picture.shows, exact=True).first.wait_for(timeout=60_000)
        if picture.before is not None:
            picture.before(page)
        page.wait_for_timeout(_SETTLE_MS)
        return page.screenshot()


def _report(browser: Browser, dev: DagsterDev) -> bytes:
    with opened_page(browser, width=1100, height=1500) as page:
        page.goto((Path(dev.settings.store) / "report.html").as_uri())
        return page.screenshot()


def _save(path: Path, content: bytes) -> None:
    """Write a screenshot in few colours: a third of the size, and nobody sees it."""
    with Image.open(io.BytesIO(content)) as picture:
        picture.convert("RGB").quantize(_COLOURS, method=Image.Quantize.MEDIANCUT).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
