"""`training_index`, and what is made of it as a whole: vectors, groups of duplicates, exports."""

from collections.abc import Sequence

import dagster as dg

from image_assets.checks import INDEX_CHECKS, VECTOR_CHECKS
from image_assets.checks.base import Verdict
from image_assets.core.perceptual import METHOD
from image_assets.defs.instance_events import check_specs, plain_failures, severity
from image_assets.defs.metadata import (
    duplicates_metadata,
    export_metadata,
    index_columns,
    index_metadata,
    vector_metadata,
)
from image_assets.defs.names import Names
from image_assets.pipeline.duplicates import build_duplicates
from image_assets.pipeline.embedding import build_vectors
from image_assets.pipeline.exporting import write_exports
from image_assets.pipeline.indexing import build_index
from image_assets.pipeline.logs import pipeline_log
from image_assets.pipeline.shard_exports import is_sharded, write_shard_exports
from image_assets.settings import Settings
from image_assets.storage.identity import open_store


def training_index_asset(settings: Settings, names: Names) -> dg.AssetsDefinition:
    """Return the index asset; it reads commits, so it is right whichever runs made them."""

    @dg.asset(
        key=names.training_index,
        deps=[dg.AssetDep(names.image_shards, partition_mapping=dg.AllPartitionMapping())],
        group_name=settings.name,
        description=f"One row a live output image: `index.parquet` in `{settings.store}`, exports beside it.",
        kinds={"parquet"},
        metadata=index_columns(),
        check_specs=check_specs(INDEX_CHECKS, names.training_index),
        pool=f"{settings.name}_index",
    )
    def training_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with plain_failures(), pipeline_log(settings):
            report = build_index(settings)
            whole = [name for name in settings.exports if not is_sharded(name)]
            written = write_exports(open_store(settings), whole)
        context.log.info("index %s: %s", report.head.number, report.why or "published")
        return dg.MaterializeResult(
            metadata={**index_metadata(report), "exports_written": written},
            data_version=dg.DataVersion(report.head.data_version),
            check_results=_results(report.verdicts),
        )

    return training_index


def feature_vectors_asset(settings: Settings, names: Names) -> dg.AssetsDefinition:
    """Return the vector asset; only output images without a vector are embedded."""

    @dg.asset(
        key=names.feature_vectors,
        deps=[names.training_index],
        group_name=settings.name,
        description=f"One {settings.features.extractor} vector a row of the index, in the same order.",
        kinds={"onnx", "parquet"},
        check_specs=check_specs(VECTOR_CHECKS, names.feature_vectors),
        pool=f"{settings.name}_vectors",
    )
    def feature_vectors() -> dg.MaterializeResult:  # type: ignore[type-arg]
        with plain_failures():
            report = build_vectors(settings)
        return dg.MaterializeResult(
            metadata=vector_metadata(report),
            data_version=dg.DataVersion(vector_version(settings, report.head.index_digest)),
            check_results=_results(report.verdicts),
        )

    return feature_vectors


def duplicate_groups_asset(settings: Settings, names: Names) -> dg.AssetsDefinition:
    """Return the asset of the duplicates; only output images without a hash are hashed and searched for."""

    @dg.asset(
        key=names.duplicate_groups,
        deps=[names.training_index],
        group_name=settings.name,
        description="Of each row of the index the images that are the same, or nearly: `duplicates.parquet`.",
        kinds={"parquet"},
        pool=f"{settings.name}_duplicates",
    )
    def duplicate_groups() -> dg.MaterializeResult:  # type: ignore[type-arg]
        with plain_failures():
            report = build_duplicates(settings)
        return dg.MaterializeResult(
            metadata=duplicates_metadata(report),
            data_version=dg.DataVersion(duplicates_version(settings, report.head.index_digest)),
        )

    return duplicate_groups


def export_asset(settings: Settings, names: Names, name: str) -> dg.AssetsDefinition:
    """Return the asset of an export of one file a shard; only files of changed shards are written."""

    @dg.asset(
        key=names.export(name),
        deps=[names.training_index],
        group_name=settings.name,
        description=f"The images of the index as {name}: one file a shard, `exports/{name}/` in `{settings.store}`.",
        kinds={name},
        pool=f"{settings.name}_{name}",
    )
    def export() -> dg.MaterializeResult:  # type: ignore[type-arg]
        with plain_failures():
            report = write_shard_exports(open_store(settings), name)
        return dg.MaterializeResult(
            metadata=export_metadata(report), data_version=dg.DataVersion(export_version(name, report.index.digest))
        )

    return export


def export_version(name: str, index_digest: str) -> str:
    """Return the data version of an export of an index."""
    return f"{name}-{index_digest[:32]}"


def duplicates_version(settings: Settings, index_digest: str) -> str:
    """Return the data version of the duplicates in an index."""
    return f"{METHOD}-{settings.duplicates.distance_bits}-{index_digest[:32]}"


def vector_version(settings: Settings, index_digest: str) -> str:
    """Return the data version of vectors for an index."""
    return f"{settings.features.extractor}-{index_digest[:32]}"


def _results(verdicts: Sequence[Verdict]) -> list[dg.AssetCheckResult]:
    return [
        dg.AssetCheckResult(
            check_name=verdict.check,
            passed=verdict.passed,
            severity=severity(verdict),
            description=verdict.sentence,
            metadata=dict(verdict.numbers),
        )
        for verdict in verdicts
    ]
