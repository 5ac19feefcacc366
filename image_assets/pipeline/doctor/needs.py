"""Which optional packages the settings of a dataset need, and whether they are there."""

from collections.abc import Iterator
from importlib.util import find_spec

from image_assets.pipeline.doctor.finding import Finding
from image_assets.settings import Settings

# The module that each extra brings.
_MODULES = {
    "timm": "timm", "torchvision": "torchvision", "similar": "usearch", "dask": "distributed", "ray": "ray",
    "spark": "pyspark", "gcp": "google.cloud.bigquery", "huggingface": "huggingface_hub",
}  # fmt: skip


def need_findings(settings: Settings) -> Iterator[Finding]:
    """Yield a line for each extra that the settings need."""
    for extra, why in _wanted(settings).items():
        if _is_installed(_MODULES[extra]):
            yield Finding(f"extra {extra}", "ok", f"installed, for {why}")
        else:
            remedy = f"pip install 'image-assets[{extra}]'"
            yield Finding(f"extra {extra}", "fail", f"not installed, and {why} needs it", remedy)


def _wanted(settings: Settings) -> dict[str, str]:
    wanted: dict[str, str] = {}
    model = settings.features.extractor.partition(":")[0]
    if model in {"timm", "torchvision"}:
        wanted[model] = f"features.extractor ({settings.features.extractor})"
    if settings.similarity.approximate:
        wanted["similar"] = "similarity.approximate"
    if settings.engine.cluster in {"dask", "ray", "spark"}:
        wanted[settings.engine.cluster] = "engine"
    if settings.warehouse.bigquery is not None:
        wanted["gcp"] = "warehouse.bigquery"
    if any(part.path.startswith("hf://") for part in (settings.source, *settings.source.parts)):
        wanted["huggingface"] = "source.path (hf://)"
    return wanted


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # Of `google.cloud.bigquery` not even `google` is there.
        return False
