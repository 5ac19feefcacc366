"""The asset of the quality: its numbers are plotted, its checks are judged, and one that fails unpublishes nothing."""

from typing import Any

import dagster as dg

from image_assets.checks import QUALITY_CHECKS
from image_assets.defs.index_assets import follower_asset
from image_assets.defs.io_manager import ImageAssetsIOManager
from image_assets.defs.names import names_of
from image_assets.pipeline.following import FOLLOWERS
from image_assets.pipeline.run import run_dataset
from image_assets_tests.images import make_settings_for, write_image, write_images

STRICT: dict[str, Any] = {"min_flagged": 1, "exact_duplicates": {"max_fraction": 0.0, "severity": "error"}}


def test_every_check_is_judged_and_one_that_fails_leaves_the_asset_materialised(tmp_path):
    write_images(tmp_path / "raw", 12)
    write_image(tmp_path / "raw", "b/copy.jpg", 0)
    settings = make_settings_for(tmp_path, quality=STRICT)
    run_dataset(settings)
    names = names_of(settings)
    asset = follower_asset(settings, names, "image_quality", FOLLOWERS["image_quality"])
    result = dg.materialize([asset], resources={names.io_manager: ImageAssetsIOManager(store=settings.store)})
    assert result.success
    (event,) = result.asset_materializations_for_node("tiny__image_quality")
    plotted = {name: event.metadata[name].value for name in ("images", "measured", "exact_duplicates", "dark_images")}
    assert plotted == {"images": 13, "measured": 12, "exact_duplicates": 1, "dark_images": 0}
    judged = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    assert list(judged) == list(QUALITY_CHECKS)
    assert [name for name, evaluation in judged.items() if not evaluation.passed] == ["exact_duplicates"]
    assert judged["exact_duplicates"].severity == dg.AssetCheckSeverity.ERROR
