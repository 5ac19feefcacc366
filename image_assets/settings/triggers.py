"""When runs are asked for."""

from pydantic import Field

from image_assets.settings.section import Section


class SqsSettings(Section):
    """The queue into which a bucket puts what happens in it."""

    queue_url: str = Field(
        pattern=r"^https?://[^@?#\s]+/[^@?#\s]+$", description="URL of the SQS queue; one queue for each dataset."
    )
    region: str | None = Field(None, description="Region of the queue; none: what its URL or the environment says.")
    endpoint_url: str | None = Field(
        None, pattern=r"^https?://[^@?#\s]+$", description="Where SQS is, if not at Amazon (localstack, moto)."
    )
    max_messages: int = Field(10_000, ge=1, le=100_000, description="Most messages taken at one look.")
    reconcile_s: float = Field(3600.0, ge=0, description="Everything is listed when the last time is this long ago.")


class TriggerSettings(Section):
    """How eagerly the sensor asks for runs."""

    interval_s: int = Field(5, ge=1, description="Least seconds between two looks at the source.")
    max_attempts: int = Field(
        3, ge=1, description="Runs asked for one state of the source before giving up on it; 10 where they are killed."
    )
    backoff_s: float = Field(30.0, ge=0, description="Wait after the first failed run; doubles with each.")
    max_listing_s: float = Field(
        40.0,
        ge=0,
        description="A look at the source ends after this long and the next one goes on; Dagster stops at 60.",
    )
    sqs: SqsSettings | None = Field(None, description="Queue with a bucket's events; none: the source is listed.")
