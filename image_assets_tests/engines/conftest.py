"""Real clusters for the tests of engines, started once each when the first test asks; skipped where they cannot be."""

from collections.abc import Iterator

import pytest

from image_assets_tests.engines.real_dask import RealDask, real_dask
from image_assets_tests.engines.real_ray import RealRay, real_ray
from image_assets_tests.engines.real_spark import RealSpark, java, real_spark


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RealRay]:
    """A Ray cluster of two nodes for all tests of this process."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'image_assets[ray]'")
    with real_ray() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def dask_cluster() -> Iterator[RealDask]:
    """A Dask scheduler with two workers for all tests of this process."""
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'image_assets[dask]'")
    with real_dask() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def spark_cluster() -> Iterator[RealSpark]:
    """A Spark master with two workers for all tests of this process."""
    pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'image_assets[spark]'")
    if java() is None:
        pytest.skip("Spark needs Java 17: apt-get install openjdk-17-jre-headless")
    with real_spark() as cluster:
        yield cluster
