"""moto's server with three mends of its SQS, which is wrong when deletes come together and slow with many messages.

python -m image_assets_tests.quick_moto -H 127.0.0.1 -p 5000
"""

import sys
import threading
from typing import Any

from moto.core.utils import unix_time_millis
from moto.server import main
from moto.sqs.models import Queue, SQSBackend

_deleting = threading.Lock()
_delete_message = SQSBackend.delete_message


def serve(arguments: list[str]) -> None:
    """Run the server until it is killed."""
    # Of two deletes that come together one is lost: each puts down a list that was made without the other.
    SQSBackend.delete_message = _delete_alone
    # All messages are counted for each one that is handed out, to look up how long they are kept.
    SQSBackend.is_message_valid_based_on_retention_period = lambda *_: True
    # All messages are counted for each one that is sent, and the clock is read for each one that is counted.
    Queue.messages = property(_visible)
    Queue.approximate_number_of_messages_not_visible = property(_count_not_visible)
    Queue.approximate_number_of_messages_delayed = property(_count_delayed)
    main(arguments)


def _delete_alone(backend: Any, queue_name: str, receipt_handle: str) -> None:
    with _deleting:
        _delete_message(backend, queue_name, receipt_handle)


def _visible(queue: Any) -> list[Any]:
    now_ms = unix_time_millis()
    return [item for item in queue._messages if now_ms > item.visible_at and now_ms >= item.delayed_until]


def _count_not_visible(queue: Any) -> int:
    now_ms = unix_time_millis()
    return sum(now_ms <= item.visible_at for item in queue._messages)


def _count_delayed(queue: Any) -> int:
    now_ms = unix_time_millis()
    return sum(now_ms < item.delayed_until for item in queue._messages)


if __name__ == "__main__":
    serve(sys.argv[1:])
