"""The time, as records write it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """UTC, RFC 3339, microseconds."""
    return written(datetime.now(UTC))


def written(moment: datetime) -> str:
    """A moment as records write it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def written_timestamp(seconds: float) -> str:
    """Seconds since 1970 as records write them."""
    return written(datetime.fromtimestamp(seconds, UTC))
