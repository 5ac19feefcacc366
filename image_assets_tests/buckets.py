"""A bucket whose notifications go to a queue, both on a server of this machine, behind a proxy that writes down."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from image_assets.settings import Settings
from image_assets_tests.images import make_settings_for
from image_assets_tests.proxy import Trouble, proxy_before
from image_assets_tests.servers import SECRET, Server, s3_client


@dataclass(frozen=True, slots=True)
class WatchedBucket:
    """What a test does goes to the server; what the platform does goes through the ``proxy``: see ``trouble``."""

    server: Server
    proxy: Server
    trouble: Trouble
    bucket: str
    queue_url: str
    objects: Any
    queue: Any

    def put(self, path: str, data: bytes) -> None:
        """Upload an object."""
        self.objects.put_object(Bucket=self.bucket, Key=path, Body=data)

    def delete(self, path: str) -> None:
        """Remove an object."""
        self.objects.delete_object(Bucket=self.bucket, Key=path)

    def settings(self, folder: Path, **overrides: Any) -> Settings:
        """Return settings of a dataset over ``in/`` that follows the queue."""
        trigger = {"sqs": self.sqs, **overrides.pop("trigger", {})}
        source = {"path": self.proxy.url(self.bucket, "in"), **overrides.pop("source", {})}
        return make_settings_for(folder, source=source, trigger=trigger, **overrides)

    @property
    def sqs(self) -> dict[str, Any]:
        """The settings of the queue."""
        path = self.queue_url.removeprefix(self.server.endpoint)
        return {"queue_url": f"{self.proxy.endpoint}{path}", "endpoint_url": self.proxy.endpoint, "region": "us-east-1"}

    def messages(self) -> int:
        """Return how many messages wait or were handed out and not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.queue.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def take(self) -> list[str]:
        """Take all waiting messages out of the queue and return their bodies."""
        bodies = []
        while found := self.queue.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                bodies.append(message["Body"])
                self.queue.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def send(self, *bodies: str) -> None:
        """Put messages into the queue."""
        for first in range(0, len(bodies), 10):
            some = bodies[first : first + 10]
            entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(some)]
            self.queue.send_message_batch(QueueUrl=self.queue_url, Entries=entries)


@contextmanager
def watched_bucket(server: Server) -> Iterator[WatchedBucket]:
    """Make a bucket and a queue, and let the one tell the other."""
    keys = {"aws_access_key_id": "somebody", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    objects, queue = s3_client(server), boto3.client("sqs", endpoint_url=server.endpoint, **keys)
    bucket = server.new_bucket()
    queue_url = queue.create_queue(QueueName=bucket)["QueueUrl"]
    found = queue.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]
    told = {"QueueArn": found["QueueArn"], "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
    objects.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [told]}
    )
    trouble = Trouble()
    with proxy_before(server, trouble) as proxy:
        yield WatchedBucket(server, proxy, trouble, bucket, queue_url, objects, queue)


def notification(bucket: str, quoted_key: str) -> str:
    """Return what S3 says of an object."""
    entity = {"bucket": {"name": bucket}, "object": {"key": quoted_key}}
    return json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": entity}]})
