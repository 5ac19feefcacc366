"""Who is told when a run fails or a check does."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from image_assets.settings.section import Section

Event = Literal["run_failure", "check_failure", "check_recovery"]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class WebhookSettings(Section):
    """Where messages are sent; the URL is a secret, so the settings name the environment variable that holds it."""

    env: str = Field(description="Environment variable of Dagster's code server that holds the URL.")


class NotificationSettings(Section):
    """Messages to a webhook when something of this dataset fails in Dagster; off without ``webhook``."""

    webhook: WebhookSettings | None = Field(None, description="Where messages go: `{env: NAME}`; none: nowhere.")
    events: tuple[Event, ...] = Field(
        ("run_failure", "check_failure", "check_recovery"), min_length=1, description="What is told."
    )
    min_severity: Literal["warn", "error"] = Field("warn", description="Least severity of the checks that are told.")
    format: Literal["fields", "text", "discord"] = Field(
        "fields",
        description="fields: `text` and the numbers; text: `text` alone (chats that refuse other fields); "
        "discord: `content`.",
    )
    ui_url: str | None = Field(
        None, pattern=r"^https?://[^\s@?#]+$", description="Address of Dagster's pages, for links in messages."
    )
    interval_s: int = Field(30, ge=1, le=86_400, description="Least seconds between two looks.")
    timeout_s: float = Field(5.0, gt=0, le=20, description="How long the webhook has to answer.")
    allow_http: bool = Field(
        False, description="Also send to http:// on other machines, where anyone between can read."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_a_secret(cls, content: Any) -> Any:
        """Refuse a URL in the settings, in words that do not repeat it."""
        webhook = content.get("webhook") if isinstance(content, Mapping) else None
        if webhook is None or isinstance(webhook, WebhookSettings):
            return content
        name = webhook.get("env") if isinstance(webhook, Mapping) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name) or set(webhook) != {"env"}:
            raise ValueError(
                "webhook takes the name of an environment variable, `webhook: {env: IMAGE_ASSETS_WEBHOOK}`; "
                "the URL itself is a secret and stays out of settings"
            )
        return content
