"""What a bucket's notifications say, in all the forms in which they come."""

import json

import pytest

from image_assets.core.s3_events import ObjectEvent, parse_notification


def record(key, bucket="photos", event="ObjectCreated:Put"):
    return {"eventSource": "aws:s3", "eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}


EVENT_BRIDGE = {
    "version": "0",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "detail": {"bucket": {"name": "photos"}, "object": {"key": "in/a b+c.jpg", "size": 3}},
}
S3 = {"Records": [record("in/a+b%2Bc.jpg")]}


def by_sns(content):
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": json.dumps(content)}


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}, []),
        (by_sns({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}), []),
        ({"Records": []}, []),
        (S3, ["in/a b+c.jpg"]),
        (by_sns(S3), ["in/a b+c.jpg"]),
        (EVENT_BRIDGE, ["in/a b+c.jpg"]),  # keys are not quoted there
        (by_sns(EVENT_BRIDGE), ["in/a b+c.jpg"]),
        (
            {"Records": [record("a.jpg"), record("b.jpg", event="ObjectRemoved:DeleteMarkerCreated")]},
            ["a.jpg", "b.jpg"],
        ),
        ({"Records": [record("%C3%A9.jpg")]}, ["é.jpg"]),
        ({"Records": [record("100%25.jpg")]}, ["100%.jpg"]),
    ],
)
def test_the_objects_of_a_message(content, paths):
    assert parse_notification(json.dumps(content)) == tuple(ObjectEvent("photos", path) for path in paths)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "3",
        "null",
        "[]",
        "{}",
        json.dumps({"Records": 3}),
        json.dumps({"Records": [{}]}),
        json.dumps({"Records": [record("%ff.jpg")]}),  # no UTF-8
        json.dumps({"Records": [record("")]}),
        json.dumps({"Records": [record(None)]}),
        json.dumps({"Records": [record("a.jpg", bucket=3)]}),
        json.dumps({"source": "aws.s3"}),
        json.dumps({"Type": "SubscriptionConfirmation", "Message": "You have chosen"}),
        json.dumps(by_sns(by_sns(by_sns(by_sns(S3))))),  # wrapped too often
        "[" * 100_000,
    ],
)
def test_what_is_no_notification_is_refused(text):
    with pytest.raises(ValueError, match=r"notification|JSON|Expecting|decode|codec"):
        parse_notification(text)
