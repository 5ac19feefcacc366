"""The queue into which a bucket puts its notifications: taking messages out in a given time, and deleting them."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from image_assets.core.errors import ConfigError, SourceError
from image_assets.settings.triggers import SqsSettings

# SQS hands out, and deletes, ten at a time; an answer takes 10 to 20 ms.
_MESSAGES_A_REQUEST = 10
_CONNECTIONS = 8
# A look at the source takes a minute at most; what it did not delete comes again after that.
_HIDDEN_S = 120


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was handed out; ``handle`` is what to delete it by."""

    text: str
    handle: str


class EventQueue:
    """An SQS queue. Messages come at least once, in no order, and again until they are deleted."""

    def __init__(self, settings: SqsSettings, profile: str | None = None) -> None:
        """Make a client; nothing is asked of the queue yet.

        Args:
            profile: of the AWS configuration; credentials come from the environment and everything else boto3 knows.

        Raises:
            ConfigError: no region is known, or there is no such profile.
        """
        # dagster-aws has no resource for SQS; what its others are made of is used here.
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

        self._settings = settings
        config = Config(
            retries={"max_attempts": 3, "mode": "standard"},
            connect_timeout=5,
            read_timeout=10,
            max_pool_connections=_CONNECTIONS,
        )
        # The one of the environment that boto3 itself does not look at.
        region = settings.region or _region_of(settings.queue_url) or os.environ.get("AWS_REGION")
        try:
            session = boto3.session.Session(profile_name=profile)
            self._client: Any = session.client(
                "sqs", region_name=region, endpoint_url=settings.endpoint_url, config=config
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"queue {settings.queue_url} cannot be reached: {error}; set trigger.sqs") from error

    def receive(self, deadline: float) -> list[Message]:
        """Return the messages that wait, at most ``max_messages``, as many as there is time for; one answer's at least.

        Args:
            deadline: by the clock of :func:`time.monotonic`.

        Raises:
            SourceError: the queue does not answer, or refuses.
        """
        most = self._settings.max_messages
        new = self._receive_some(most)
        found = list(new)
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            while new and len(found) < most and time.monotonic() < deadline:
                left = range(0, most - len(found), _MESSAGES_A_REQUEST)[:_CONNECTIONS]
                answers = pool.map(self._receive_some, [most - len(found) - taken for taken in left])
                new = [message for answer in answers for message in answer]
                found += new
        return found

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages that were dealt with; one that stays is dealt with again.

        Raises:
            SourceError: the queue does not answer, or refuses.
        """
        handles = list(dict.fromkeys(message.handle for message in messages))
        batches = [handles[at : at + _MESSAGES_A_REQUEST] for at in range(0, len(handles), _MESSAGES_A_REQUEST)]
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            list(pool.map(self._delete_some, batches))

    def _receive_some(self, most: int) -> list[Message]:
        with self._translating("read"):
            answer = self._client.receive_message(
                QueueUrl=self._settings.queue_url,
                MaxNumberOfMessages=min(most, _MESSAGES_A_REQUEST),
                VisibilityTimeout=_HIDDEN_S,
            )
        return [Message(message["Body"], message["ReceiptHandle"]) for message in answer.get("Messages", ())]

    def _delete_some(self, handles: Sequence[str]) -> None:
        entries = [{"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(handles)]
        with self._translating("emptied"):
            self._client.delete_message_batch(QueueUrl=self._settings.queue_url, Entries=entries)

    @contextmanager
    def _translating(self, verb: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise SourceError(f"queue {self._settings.queue_url} cannot be {verb}: {error}") from error


def _region_of(queue_url: str) -> str | None:
    """Return the region that the URL of a queue at Amazon names."""
    found = re.match(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/", queue_url)
    return found[1] if found else None
