"""The index and the manifests as tables of BigQuery: replaced whole when their files changed, and only then."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.checks.base import Verdict
from image_assets.core.errors import ConfigError, MissingExtraError, WarehouseError
from image_assets.core.index import IndexHead
from image_assets.core.manifest import MANIFEST_SCHEMA
from image_assets.pipeline.export_size import announce_bytes
from image_assets.settings import Settings
from image_assets.settings.warehouse import BigQuerySettings
from image_assets.storage import layout
from image_assets.storage.identity import open_store
from image_assets.storage.indexes import published_head
from image_assets.storage.locks import in_use
from image_assets.storage.manifests import read_manifest
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store

# What is noted at a table: of which files it was made.
_MADE_OF = "image_assets_made_of"
_JOB_S = 3600
_FIRST_ANSWER_S = 60
_COPIED_BYTES = 2**20
_SHARD = pa.field("shard", pa.string(), nullable=False)

ClientMaker = Callable[[BigQuerySettings], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class BigQueryReport:
    """The tables after this step: ``loaded`` of them were replaced by it."""

    index: IndexHead
    tables: tuple[str, ...]
    loaded: tuple[str, ...]
    loaded_bytes: int
    verdicts: tuple[Verdict, ...] = ()

    @property
    def index_digest(self) -> str:
        """The digest of the index that the tables follow."""
        return self.index.digest

    @property
    def facts(self) -> Mapping[str, str | int | float]:
        """What to show of it."""
        return {
            "dagster/row_count": self.index.rows,
            "tables": ", ".join(self.tables),
            "tables_loaded": len(self.loaded),
            "loaded_bytes": self.loaded_bytes,
            "index_number": self.index.number,
            "index_digest": self.index.digest,
        }


def build_bigquery(settings: Settings, make_client: ClientMaker | None = None) -> BigQueryReport:
    """Bring the tables ``<name>_images`` and ``<name>_manifests`` in line with the newest index.

    A table is replaced by one load job, which readers see as a whole or not at all. Of which files it was made is a
    label of the table: what is there already is not loaded again, a table that somebody removed is.

    Args:
        make_client: how BigQuery is reached; none: with the credentials of the environment.

    Raises:
        ConfigError: the settings want no tables.
        DatasetError: nothing was published.
        WarehouseError: BigQuery refuses something, or does not answer.
        StoreError: the store does not answer or is damaged.
        MissingExtraError: the client is not installed.
        OSError: there is no room in the temporary folder.
    """
    target = settings.warehouse.bigquery
    if target is None:
        raise ConfigError("warehouse.bigquery is not set; name a BigQuery dataset there")
    store = open_store(settings)
    with in_use(store), _naming_trouble(target), (make_client or _client or own_client)(target) as client:
        index = published_head(store)
        found = _Tables(client, target, store, index)
        found.make_dataset()
        tables = {f"{settings.name}_images": found.images, f"{settings.name}_manifests": found.manifests}
        sizes = {name: found.bring(name, *make()) for name, make in tables.items()}
    loaded = tuple(name for name, size_bytes in sizes.items() if size_bytes is not None)
    return BigQueryReport(index, tuple(tables), loaded, sum(filter(None, sizes.values())))


def bigquery_version(settings: Settings) -> str:
    """Return one word for where the tables go."""
    target = settings.warehouse.bigquery
    return f"1-{target.project or ''}.{target.dataset}" if target is not None else "none"


def use_bigquery_client(make_client: ClientMaker | None) -> None:
    """Reach BigQuery in this way from now on in this process; None: with the credentials of the environment."""
    global _client  # noqa: PLW0603  like the S3 resource, it is one for the process
    _client = make_client


_client: ClientMaker | None = None


@contextmanager
def own_client(target: BigQuerySettings) -> Iterator[Any]:
    """Yield a client with the credentials of the environment, or without any for an emulator.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery
    except ImportError as error:
        raise MissingExtraError("the BigQuery client is not installed: pip install 'image_assets[gcp]'") from error
    anonymous: Any = AnonymousCredentials
    credentials = anonymous() if os.environ.get("BIGQUERY_EMULATOR_HOST") else None
    with bigquery.Client(target.project, credentials, location=target.location) as client:
        yield client


class _Tables:
    """The tables of one index in one BigQuery dataset."""

    def __init__(self, client: Any, target: BigQuerySettings, store: Store, index: IndexHead) -> None:
        self._client = client
        self._target = target
        self._store = store
        self._index = index
        self._place = f"{target.project or client.project}.{target.dataset}"

    def make_dataset(self) -> None:
        """Make the BigQuery dataset where it is not there; who may not make any may still use one."""
        from google.api_core.exceptions import NotFound
        from google.cloud import bigquery

        try:
            # The client's own patience is ten minutes, as if nobody waited.
            self._client.get_dataset(self._place, retry=bigquery.DEFAULT_RETRY.with_timeout(_FIRST_ANSWER_S))
        except NotFound:
            dataset = bigquery.Dataset(self._place)
            if self._target.location is not None:
                dataset.location = self._target.location
            self._client.create_dataset(dataset, exists_ok=True)

    def images(self) -> tuple[str, Callable[[Path], None]]:
        """Return the mark of the index's file, and what writes its rows to a path."""
        path = layout.index(self._index.number)

        def write(target: Path) -> None:
            with self._store.open(path) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, _COPIED_BYTES)

        return self._mark(layout.INDEXES, {path}), write

    def manifests(self) -> tuple[str, Callable[[Path], None]]:
        """Return the mark of the files of the index's commits, and what writes all their rows to a path."""
        commits = sorted(self._index.commits.items())

        def write(target: Path) -> None:
            schema = pa.schema([_SHARD, *MANIFEST_SCHEMA])
            with pq.ParquetWriter(target, schema, compression="zstd") as writer:
                for shard, number in commits:
                    rows = read_manifest(self._store, shard, number).rows.cast(MANIFEST_SCHEMA)
                    names = pa.array([shard] * rows.num_rows, pa.string())
                    writer.write_table(pa.table([names, *rows.columns], schema=schema))

        return self._mark(layout.SHARDS, {layout.manifest(shard, number) for shard, number in commits}), write

    def bring(self, name: str, mark: str, write: Callable[[Path], None]) -> int | None:
        """Replace a table unless it bears the mark; return how many bytes were loaded, None when none were."""
        from google.api_core.exceptions import NotFound
        from google.cloud import bigquery

        try:
            if self._client.get_table(f"{self._place}.{name}").labels.get(_MADE_OF) == mark:
                return None
        except NotFound:
            pass
        how = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET, write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE
        )
        how.parquet_options = bigquery.ParquetOptions()
        # Lists of texts as such, not as records of records.
        how.parquet_options.enable_list_inference = True
        with scratch_folder() as folder:
            path = folder / "rows.parquet"
            write(path)
            size_bytes = path.stat().st_size
            how.schema = [_bigquery_field(field) for field in pq.read_schema(path)]
            announce_bytes(f"the BigQuery table {name}", size_bytes)
            with path.open("rb") as file:
                # A piece in memory at a time: of a size that is not said.
                job = self._client.load_table_from_file(
                    file, f"{self._place}.{name}", job_config=how, location=self._target.location
                )
                job.result(timeout=_JOB_S)
        # Last, so that who is killed before it loads again. Read anew: the job has made the table.
        table = self._client.get_table(f"{self._place}.{name}")
        table.labels = {**table.labels, _MADE_OF: mark}
        table.description = f"image_assets, index {self._index.number}, digest {self._index.digest}"
        self._client.update_table(table, ["labels", "description"])
        return size_bytes

    def _mark(self, folder: str, paths: set[str]) -> str:
        """Return one word for files as they are now: forgetting writes some again under the same name."""
        found = [
            (file.path, file.size_bytes, file.modified_at) for file in self._store.list(folder) if file.path in paths
        ]
        return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()[:32]


def _bigquery_field(field: pa.Field) -> Any:
    """Return a column as BigQuery has it; all may be null, so that no later change is refused."""
    from google.cloud import bigquery

    repeated = pa.types.is_list(field.type)
    kind = field.type.value_type if repeated else field.type
    if pa.types.is_boolean(kind):
        name = "BOOLEAN"
    elif pa.types.is_integer(kind):
        name = "INTEGER"
    elif pa.types.is_floating(kind):
        name = "FLOAT"
    else:
        name = "STRING"
    return bigquery.SchemaField(field.name, name, mode="REPEATED" if repeated else "NULLABLE")


@contextmanager
def _naming_trouble(target: BigQuerySettings) -> Iterator[None]:
    """Turn what the client raises into our error.

    Raises:
        WarehouseError: BigQuery refuses something, or does not answer.
    """
    try:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
    except ImportError as error:
        raise MissingExtraError("the BigQuery client is not installed: pip install 'image_assets[gcp]'") from error
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, ConnectionError, TimeoutError) as error:
        text = str(error).strip().split("\n")[0]
        raise WarehouseError(f"BigQuery dataset {target.dataset!r} cannot be brought up to date: {text}") from error
