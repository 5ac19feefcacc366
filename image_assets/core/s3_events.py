"""What a bucket's notifications say: which objects something happened to, in whatever they were wrapped."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

# An SNS message around an EventBridge event around nothing else; deeper is nobody's.
_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """Something happened to the object ``path`` of a bucket. What it was does not matter: how it is now does."""

    bucket: str
    path: str


def parse_notification(text: str) -> tuple[ObjectEvent, ...]:
    """Return the objects that a message names; none for the test that S3 sends when a queue is set up.

    S3's own notifications are understood, EventBridge's events, and both when SNS passed them on.

    Raises:
        ValueError: it is none of these.
    """
    try:
        return _parse(json.loads(text), _DEEPEST)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no notification of a bucket: {error!r}") from error


def _parse(content: Any, depth: int) -> tuple[ObjectEvent, ...]:
    if content.get("Event") == "s3:TestEvent":
        return ()
    if "Records" in content:
        return tuple(_of_record(record) for record in content["Records"])
    if content.get("source") == "aws.s3":
        detail = content["detail"]
        # Here keys stand as they are.
        return (_event(detail["bucket"]["name"], detail["object"]["key"]),)
    if content.get("Type") == "Notification" and depth:
        return _parse(json.loads(content["Message"]), depth - 1)
    raise ValueError("no notification of a bucket")


def _of_record(record: Any) -> ObjectEvent:
    # Keys are quoted as in a form: a space is a plus.
    s3 = record["s3"]
    return _event(s3["bucket"]["name"], unquote_plus(s3["object"]["key"], errors="strict"))


def _event(bucket: Any, path: Any) -> ObjectEvent:
    if not isinstance(bucket, str) or not isinstance(path, str) or not path:
        raise ValueError("no notification of a bucket: bucket and key are no texts")
    return ObjectEvent(bucket, path)
