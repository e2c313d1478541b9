"""What the server and the worker say of themselves: lines on standard error, as JSON or as words.

What is said while something is at work carries what it is about (`about`): the request, the task, the person. A line
cannot steer the terminal that shows it, and holds no token, whatever a client sent.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TextIO

from intaglio.studio import clock

Style = Literal["text", "json"]

# What a line may say of itself, in this order: the request it belongs to, the task or job, who asked, and the answer.
FACTS = ("request", "task", "job", "person", "method", "route", "status", "ms", "webhook")
_LONGEST = 4000
_LONGEST_FACT = 200
# Control characters, marks that turn the direction of text, and half characters.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SECRETS = re.compile(
    r"(?P<before>\b(?:bearer|basic)\s+|\b(?:token|secret|signature|api[-_]?key|password|authorization)\s*[=:]\s*"
    r"(?:bearer\s+|basic\s+)?|\w://|\b(?=intaglio_[\w-]{8}))[^\s&;,'\"/@]+(?P<after>@)?",
    re.IGNORECASE,
)

_about: ContextVar[Mapping[str, object]] = ContextVar("about", default={})  # noqa: B039  # it is never changed


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Have every line that is said inside carry these facts (names of FACTS)."""
    token = _about.set({**_about.get(), **facts})
    try:
        yield
    finally:
        _about.reset(token)


def without_secrets(text: str) -> str:
    """`text` with what looks like a token, a password or a secret taken out."""

    def hidden(found: re.Match[str]) -> str:
        if found["before"].endswith("://") and not found["after"]:
            return found[0]  # an address without a name and password in it
        return f"{found['before']}[hidden]{found['after'] or ''}"

    return _SECRETS.sub(hidden, text)


def setup(style: Style = "text", stream: TextIO | None = None, level: int = logging.INFO) -> logging.Handler:
    """Let every logger of this process speak on `stream` (standard error) in this style, and in no other way."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else Words())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"  # requests are told by our own line, which hides their queries
    # It tells the whole address of each request it makes, each time.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    return handler


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then the facts there are, then what was raised."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record."""
        line: dict[str, object] = {
            "time": clock.written_timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _safe(record.getMessage(), _LONGEST),
            **_facts(record),
        }
        if record.exc_info:
            line["raised"] = _safe(_traceback(record), _LONGEST, keep="\n")
        return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(line, ensure_ascii=False))


class Words(logging.Formatter):
    """One line of words: time, level, message, and the facts there are as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record; what was raised follows on lines of its own, indented."""
        facts = " ".join(f"{name}={value}" for name, value in _facts(record).items())
        message = _safe(record.getMessage(), _LONGEST)
        line = f"{clock.written_timestamp(record.created)} {record.levelname.lower():7} {message} {facts}".rstrip()
        if record.exc_info:
            line += "\n  " + _safe(_traceback(record), _LONGEST, keep="\n").replace("\n", "\n  ")
        return line


def _facts(record: logging.LogRecord) -> dict[str, object]:
    given = {**_about.get(), **{name: vars(record)[name] for name in FACTS if name in vars(record)}}
    facts = ((name, given[name]) for name in FACTS if given.get(name) not in (None, ""))
    return {name: _safe(value, _LONGEST_FACT) if isinstance(value, str) else value for name, value in facts}


def _traceback(record: logging.LogRecord) -> str:
    assert record.exc_info
    return "".join(traceback.format_exception(*record.exc_info)).rstrip()


def _safe(text: str, longest: int, keep: str = "") -> str:
    """Text without secrets, of bounded length, that a terminal shows and never obeys."""
    if len(text) > longest:
        text = f"{text[: longest // 2]} ... {text[-longest // 2 :]}"
    text = without_secrets(text)
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else found[0].encode("unicode-escape").decode(), text)
