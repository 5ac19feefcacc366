"""Messages to a webhook: what they say, where they go, and that its URL is told to nobody."""

import json
import logging

import pytest

from image_assets.core.errors import ConfigError, NotificationError
from image_assets.pipeline import webhook
from image_assets.pipeline.messages import FailedRun, News, TurnedCheck, payload_of
from image_assets.pipeline.webhook import check_webhook, post
from image_assets.settings.notifications import NotificationSettings
from image_assets_tests.webhook_server import SECRET, webhook_server

TOLD = NotificationSettings.model_validate({"webhook": {"env": "HOOK"}, "timeout_s": 0.3})
RUN = FailedRun("0123456789", "photos_update", "2026-01-01T00:00:00+00:00", "disk full", False, "failed")


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(webhook, "_WAIT_S", 0.05)


@pytest.fixture
def server(monkeypatch):
    with webhook_server() as running:
        monkeypatch.setenv("HOOK", running.url)
        yield running


# (what it answers, seconds it takes, how often it is asked, what the error says)
REFUSALS = [
    (404, 0, 1, "answers 404"),
    (500, 0, 2, "answers 500"),
    (429, 0, 2, "answers 429"),
    (302, 0, 1, "answers 302"),  # what it names is not asked
    (200, 1.0, 2, "does not answer in 0.3 s"),
]


@pytest.mark.parametrize(("status", "wait_s", "asked", "said"), REFUSALS)
def test_a_webhook_that_does_not_take_it_is_an_error_without_its_url(server, caplog, status, wait_s, asked, said):
    caplog.set_level(logging.DEBUG)
    server.status, server.wait_s = status, wait_s
    with pytest.raises(NotificationError) as caught:
        post(TOLD, {"text": "hello"})
    assert server.asked == asked
    assert str(caught.value) == f"the webhook in $HOOK {said}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert SECRET not in caplog.text


# (the environment, other settings, what the error says)
WRONG = [
    ("", {}, "is not set"),
    (f"hooks.example/{SECRET}", {}, "holds no URL"),
    (f"ftp://hooks.example/{SECRET}", {}, "holds no URL"),
    (f"https://hooks.example:port/{SECRET}", {}, "holds no URL"),
    (f"https://hooks.example/{SECRET}\nHost: other", {}, "holds no URL"),
    (f"http://hooks.example/{SECRET}", {}, "anyone between can read"),
    (f"http://127.0.0.1.example/{SECRET}", {}, "anyone between can read"),
]


@pytest.mark.parametrize(("url", "others", "said"), WRONG)
def test_only_https_or_this_machine_is_taken_and_the_url_is_not_repeated(monkeypatch, url, others, said):
    monkeypatch.setenv("HOOK", url)
    with pytest.raises(ConfigError, match=said) as caught:
        check_webhook(TOLD.model_copy(update=others))
    assert SECRET not in str(caught.value)


def test_a_webhook_that_nobody_listens_at_is_an_error_without_its_url(monkeypatch):
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:9/{SECRET}")
    with pytest.raises(NotificationError, match=r"^the webhook in \$HOOK refuses the connection$"):
        post(TOLD, {"text": "hello"})


@pytest.mark.parametrize("url", ["https://hooks.example/x", "http://[::1]:8/x", "http://localhost/x"])
def test_these_are_taken(monkeypatch, url):
    monkeypatch.setenv("HOOK", url)
    check_webhook(TOLD)


@pytest.mark.parametrize("content", [f"https://hooks.example/{SECRET}", {"env": f"https://hooks.example/{SECRET}"},
                                     {"url": f"https://hooks.example/{SECRET}"}, {"env": "A B"}])  # fmt: skip
def test_a_url_in_the_settings_is_refused_and_not_repeated(settings, content):
    with pytest.raises(ConfigError, match="takes the name of an environment variable") as caught:
        settings(notifications={"webhook": content})
    assert SECRET not in str(caught.value)


def test_the_url_is_in_no_settings(monkeypatch, settings):
    monkeypatch.setenv("HOOK", f"https://hooks.example/{SECRET}")
    assert SECRET not in repr(settings(notifications={"webhook": {"env": "HOOK"}}))


def test_a_message_has_a_text_and_the_same_in_fields(server):
    check = TurnedCheck(
        "image_shards", "failed_fraction", "error", True, "9 of 10 images failed", 2, ("0-of-4", "2-of-4")
    )
    payload = payload_of("photos", News([RUN], [check]), format_name="fields", ui_url="http://dagster:3000/")
    post(TOLD, payload)
    (body,) = server.bodies
    where = "http://dagster:3000/assets/photos/image_shards?view=checks&amp;checkDetail=failed_fraction"
    assert body["text"].splitlines() == [
        "photos: 1 run failed, 1 check fails",
        "- run 01234567 of photos_update failed: disk full http://dagster:3000/runs/0123456789",
        "- ERROR image_shards/failed_fraction fails in 0-of-4, 2-of-4: 9 of 10 images failed " + where,
    ]
    assert body["counts"] == {"failed_runs": 1, "failing_checks": 1, "recovered_checks": 0}
    assert body["failing_checks"][0]["shards"] == ["0-of-4", "2-of-4"]


def test_what_strangers_wrote_calls_nobody_and_breaks_no_line():
    odd = "<!channel> & @everyone\nnext\x1b[31m \udc80 " + "x" * 9999
    shards = tuple(f"{number:04}-of-4096" for number in range(4096))
    checks = [TurnedCheck("a", f"check_{number}", "warn", True, odd, 1) for number in range(500)]
    many = payload_of(
        "photos", News((), [TurnedCheck("a", "b", "warn", True, odd, 4096, shards)]), format_name="fields", ui_url=None
    )
    assert many["failing_checks"][0]["turned"] == 4096
    assert len(json.dumps(many)) < 4000
    for format_name in ("fields", "text"):
        text = payload_of("photos", News((), checks), format_name=format_name, ui_url=None)["text"]
        assert "<" not in text
        assert len(text) < 4000
        assert text.startswith("photos: 500 checks fail\n- WARN a/check_0 fails: &lt;!channel&gt; &amp; @everyone next")
    discord = payload_of("photos", News((), checks), format_name="discord", ui_url=None)
    assert discord["allowed_mentions"] == {"parse": []}
    assert len(discord["content"]) <= 2000
    json.dumps(discord).encode()
