"""A `BigQueryResource` of dagster-gcp as the way to BigQuery: its credentials, project and location are used."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from image_assets.pipeline.warehouse_bigquery import use_bigquery_client
from image_assets.settings.warehouse import BigQuerySettings

if TYPE_CHECKING:
    from dagster_gcp import BigQueryResource


def use_bigquery_resource(resource: "BigQueryResource") -> None:
    """Let this process reach BigQuery as a resource says; what ``warehouse.bigquery`` says of tables stays true.

    A process that loads the definitions, as that of every run does, is set up by doing so.
    """
    said = resource.process_config_and_initialize()

    def make_client(_: BigQuerySettings) -> AbstractContextManager[Any]:
        client: AbstractContextManager[Any] = said.get_client()
        return client

    use_bigquery_client(make_client)
