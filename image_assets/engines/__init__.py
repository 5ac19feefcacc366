"""Where tasks run: one file and one line here each."""

from collections.abc import Callable

from image_assets.engines.base import Engine
from image_assets.engines.choosing import Choice
from image_assets.engines.cluster import Cluster, ClusterEngine
from image_assets.engines.inline import InlineEngine
from image_assets.engines.local import LocalEngine
from image_assets.settings import Settings


def local_engine(settings: Settings) -> Engine:
    """Return an engine of this machine: worker processes, or with ``workers: 0`` none."""
    if not settings.workers:
        return InlineEngine()
    return LocalEngine(settings.workers, settings.limits.max_decode_s, settings.limits.max_memory_bytes)


def _ray(settings: Settings) -> Cluster:
    from image_assets.engines.ray_cluster import RayCluster

    return RayCluster(settings.engine.address, settings.workers, settings.limits.max_memory_bytes)


def _dask(settings: Settings) -> Cluster:
    from image_assets.engines.dask_cluster import DaskCluster

    return DaskCluster(settings.engine.address, settings.workers, settings.limits.max_memory_bytes)


def _spark(settings: Settings) -> Cluster:
    from image_assets.engines.spark_cluster import SparkCluster

    engine = settings.engine
    return SparkCluster(engine.address, settings.workers, settings.limits.max_memory_bytes, engine.host)


def _cluster_engine(name: str, connect: Callable[[Settings], Cluster]) -> Callable[[Settings], Engine]:
    def build(settings: Settings) -> Engine:
        limits = settings.limits
        return ClusterEngine(
            name,
            lambda: connect(settings),
            item_timeout_s=limits.max_decode_s,
            memory_bytes=limits.max_memory_bytes,
        )

    return build


ENGINES: dict[str, Callable[[Settings], Engine]] = {
    "inline": lambda _: InlineEngine(),
    "local": local_engine,
    "ray": _cluster_engine("ray", _ray),
    "dask": _cluster_engine("dask", _dask),
    "spark": _cluster_engine("spark", _spark),
}


def build_engine(settings: Settings, choice: Choice) -> Engine:
    """Return the engine that was chosen for a run."""
    return ENGINES[choice.name](settings.model_copy(update={"workers": choice.workers}))
