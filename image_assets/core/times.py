"""Times as texts say them, so that they compare."""

from datetime import UTC, datetime


def time_of(text: str | None) -> datetime | None:
    """Return a time (ISO 8601) without zone, in UTC when it had one; None for what is no time."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo is not None else time
