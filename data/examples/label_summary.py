"""What there is of each label, by polars: an example of an asset of one's own that reads two columns and no more.

pip install 'image-assets[polars]', then see workspace.yaml beside this file.
"""

import os
from pathlib import Path

import dagster as dg
import polars as pl

from image_assets.defs.elsewhere import published_assets
from image_assets.settings import load_settings

HERE = Path(__file__).parent
SETTINGS = load_settings(Path(os.environ.get("EXAMPLE_DATASET", HERE.parent / "datasets" / "photos.yaml")))


@dg.asset(ins={"index": dg.AssetIn([SETTINGS.name, "training_index"])}, group_name="examples", kinds={"polars"})
def label_summary(index: pl.LazyFrame) -> dg.MaterializeResult:
    """Counts the photographs of each label, and how many megapixels they had."""
    megapixels = (pl.col("raw_width_px") * pl.col("raw_height_px") / 1e6).mean().round(3)
    summary = index.group_by("label").agg(pl.len().alias("images"), megapixels.alias("megapixels")).sort("label")
    found = summary.collect()
    rows = [dg.TableRecord(row) for row in found.to_dicts()]
    schema = dg.TableSchema([dg.TableColumn(name) for name in found.columns])
    return dg.MaterializeResult(metadata={"labels": dg.MetadataValue.table(rows, schema=schema)})


defs = dg.Definitions.merge(published_assets(SETTINGS), dg.Definitions(assets=[label_summary]))
