"""Where the index is loaded into."""

from pydantic import Field

from image_assets.settings.section import Section


class BigQuerySettings(Section):
    """The BigQuery dataset in which index and manifests are tables; credentials come from the environment."""

    dataset: str = Field(pattern=r"^[A-Za-z0-9_]{1,1024}$", description="BigQuery dataset; it is made if absent.")
    project: str | None = Field(
        None, pattern=r"^[a-z0-9:.-]{4,64}$", description="Google Cloud project; none: that of the credentials."
    )
    location: str | None = Field(
        None, pattern=r"^[A-Za-z0-9-]{2,32}$", description="Where the dataset is (`EU`); none: BigQuery's default."
    )


class WarehouseSettings(Section):
    """Where else the tables of a dataset go."""

    bigquery: BigQuerySettings | None = Field(None, description="Tables of BigQuery (extra `gcp`); none: no such.")
