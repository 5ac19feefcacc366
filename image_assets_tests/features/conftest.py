from pathlib import Path

import pytest

from image_assets.features.efficientnet_lite0 import EfficientNetLite0, build_efficientnet_lite0
from image_assets.settings.features import FeatureSettings


@pytest.fixture(scope="session")
def model_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def efficientnet(model_cache_dir: Path) -> EfficientNetLite0:
    return build_efficientnet_lite0(FeatureSettings(), model_cache_dir, 1)
