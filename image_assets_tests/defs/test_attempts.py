"""How often a state is asked for."""

import pytest

from image_assets.core.sharding import shard_names
from image_assets.defs.attempts import Attempt, Attempts, Cursor, short_version
from image_assets.settings.triggers import TriggerSettings

SETTINGS = TriggerSettings(max_attempts=3, backoff_s=30.0)


@pytest.mark.parametrize(
    ("count", "now", "due"),
    [
        (1, 1029.9, False),
        (1, 1030.0, True),
        (2, 1059.9, False),  # the wait doubles
        (2, 1060.0, True),
        (3, 9999.0, False),  # the last attempt was made
    ],
)
def test_the_same_state_is_due_again_after_a_wait_that_doubles(count: int, now: float, due: bool) -> None:
    attempts = Attempts({"0-of-4": Attempt("v1", count, 1000.0)})
    assert attempts.due({"0-of-4": "v1"}, SETTINGS, now) == (["0-of-4"] if due else [])


def test_a_new_state_is_due_at_once_and_starts_at_one() -> None:
    attempts = Attempts({"0-of-4": Attempt("v1", 3, 1000.0)})
    assert attempts.due({"0-of-4": "v2"}, SETTINGS, 1000.0) == ["0-of-4"]
    assert attempts.after({"0-of-4": "v2"}, ["0-of-4"], 1001.0).open == {"0-of-4": Attempt("v2", 1, 1001.0)}


def test_asking_again_counts_and_what_is_no_longer_wanted_is_forgotten() -> None:
    attempts = Attempts({"0-of-4": Attempt("v1", 1, 1000.0), "1-of-4": Attempt("v1", 2, 1000.0)})
    assert attempts.after({"0-of-4": "v1"}, ["0-of-4"], 1031.0).open == {"0-of-4": Attempt("v1", 2, 1031.0)}


def test_only_what_was_asked_for_often_enough_is_exhausted() -> None:
    attempts = Attempts({"0-of-4": Attempt("v1", 3, 0.0), "1-of-4": Attempt("v1", 2, 0.0)})
    wanted = {"0-of-4": "v1", "1-of-4": "v1", "2-of-4": "v1"}
    assert attempts.exhausted(wanted, SETTINGS) == ["0-of-4"]


def test_a_cursor_keeps_what_there_is_to_remember() -> None:
    cursor = Cursor(Attempts({"0-of-4": Attempt("v1", 2, 1000.0)}), partial="name", pending=7)
    assert Cursor.from_text(cursor.to_text()) == cursor


def test_a_cursor_of_an_older_version_keeps_its_attempts() -> None:
    old = (
        '{"0-of-4": ["0123456789abcdef-1123456789abcdef1123456789abcdef", 2, 1000.5], "training_index": ["v", 1, 3.5]}'
    )
    attempts = Cursor.from_text(old).attempts
    version = short_version("0123456789abcdef-1123456789abcdef1123456789abcdef")
    assert attempts.open == {
        "0-of-4": Attempt(version, 2, 1000.5),
        "training_index": Attempt(short_version("v"), 1, 3.5),
    }


@pytest.mark.parametrize(
    "cursor", [None, "", "[]", "3", "no json", '{"0-of-4": 3}', '{"0-of-4": ["v1"]}', '{"attempts": 3, "partial": 4}']
)
def test_a_cursor_of_another_kind_counts_as_none(cursor: str | None) -> None:
    assert Cursor.from_text(cursor) == Cursor()


def test_a_cursor_of_64_shards_and_a_listing_under_way_stays_below_4_kb() -> None:
    names = [*shard_names(64), "training_index", "feature_vectors"]
    attempts = Attempts({name: Attempt(short_version(name), 3, 1_763_724_000.123456) for name in names})
    assert len(Cursor(attempts, partial="0123456789abcdef", pending=1_000_000).to_text()) < 4096


def test_a_cursor_makes_nothing_due_later_than_it_was_to_be() -> None:
    asked = Attempts({"0-of-4": Attempt("v1", 1, 1000.9)})
    kept = Cursor.from_text(Cursor(asked).to_text()).attempts
    assert kept.due({"0-of-4": "v1"}, TriggerSettings(max_attempts=3, backoff_s=0), 1000.95) == ["0-of-4"]
