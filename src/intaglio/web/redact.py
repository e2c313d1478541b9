"""No token ever stands in a log."""

from __future__ import annotations

import logging
import re

# As `studio.tokens` makes them; and whatever else somebody sent as one.
_SECRET = re.compile(r"intaglio_[A-Za-z0-9_-]{8,}|(?i:(?<=bearer )|(?<=basic ))[^\s\"',]+")
_LOGGERS = ("intaglio", "intaglio.web", "uvicorn", "uvicorn.access", "uvicorn.error")


class NoTokens(logging.Filter):
    """Takes tokens, and what an Authorization header says, out of what a logger is told."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always lets the record through, without its secrets."""
        record.msg = redacted(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(redacted(each) for each in record.args)
        return True


def redacted(value: object) -> object:
    """A text without secrets; anything else as it is, unless there is one in its words."""
    if isinstance(value, (int, float, type(None))):
        return value
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    clean = _SECRET.sub("[hidden]", text)
    return value if clean == text else clean


_FILTER = NoTokens()


def install() -> None:
    """Keep tokens out of the server's own loggers."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
