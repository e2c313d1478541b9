"""Several files in one body (multipart/form-data), passed on as they come: none of them is ever whole in memory."""

from __future__ import annotations

from collections.abc import Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from intaglio.core.errors import Invalid, TooLarge
from intaglio.studio.uploads import Upload

FIELD = "file"
MOST_FILES = 100
MOST_FIELDS = 20
MOST_HEADERS = 8
MOST_HEADER_BYTES = 4096
_MOST_FIELD_BYTES = 64 * 1024
_HINT = "Send each file as a part named 'file', with a filename."


class Files:
    """The files of one body: feed it the bytes, and `begin(name)` is called for each file, and its upload written to.

    Raises Invalid for what is no such body, TooLarge for too many parts.
    """

    def __init__(self, content_type: str, begin: Callable[[str], Upload]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise Invalid(f"the body is {content_type[:80]!r}, and multipart/form-data is wanted", hint=_HINT)
        self._begin = begin
        self._headers: dict[bytes, bytes] = {}
        self._taken: Upload | None = None
        self._name, self._value = b"", b""
        self._files = self._fields = self._field_bytes = 0
        self._whole = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_end": self._on_end,
                },
                max_header_count=MOST_HEADERS,
                max_header_size=MOST_HEADER_BYTES,
            )
        except FormParserError as error:
            raise Invalid(f"the body cannot be read: {error}", hint=_HINT) from error

    def feed(self, chunk: bytes) -> None:
        """Take more of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Invalid(f"the body cannot be read: {str(error)[:200]}", hint=_HINT) from error

    def finish(self) -> None:
        """Say that there is no more. Raises Invalid when the body breaks off, or holds no file."""
        if not self._whole:
            raise Invalid("the body breaks off in the middle", hint="Send it again.")
        if not self._files:
            raise Invalid("there is no file in the body", hint=_HINT)

    def _on_part_begin(self) -> None:
        self._headers, self._taken = {}, None
        self._name, self._value = b"", b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        said, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        if said != b"form-data" or not name:
            raise Invalid("a part of the body does not say what it is", hint=_HINT)
        if b"filename" not in options:
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise TooLarge(f"more than {MOST_FIELDS} fields", limit=MOST_FIELDS)
            return
        if name != FIELD:
            raise Invalid(f"a file is in the part {name[:80]!r}", hint=_HINT)
        self._files += 1
        if self._files > MOST_FILES:
            raise TooLarge(f"more than {MOST_FILES} files in one body", limit=MOST_FILES, hint="Send them one by one.")
        self._taken = self._begin(options[b"filename"].decode(errors="replace"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._taken is not None:
            self._taken.write(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > _MOST_FIELD_BYTES:
            raise TooLarge("the fields beside the files are too long", limit=_MOST_FIELD_BYTES)

    def _on_end(self) -> None:
        self._whole = True
