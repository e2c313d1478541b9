"""What one would write without Intaglio: a bare Starlette app with the same SQL and the same files, for `server`.

`python -m benchmarks.bare_server SOCKET WORK`: SOCKET is the number of a listening socket, WORK a JSON file,
{"database": PATH, "queries": {ADDRESS: [[STATEMENT, PARAMETERS], ...]}, "files": {ADDRESS: PATH}}.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from intaglio.web.protocol import Protocol

Endpoint = Callable[[Request], Response]


def page(database: str, statements: list[tuple[str, list[Any]]]) -> Endpoint:
    """The records that the last of these statements finds, parsed and written again."""
    local = threading.local()

    def answered(request: Request) -> Response:
        connection: sqlite3.Connection | None = getattr(local, "connection", None)
        if connection is None:
            connection = local.connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)
            connection.row_factory = sqlite3.Row
        rows: list[sqlite3.Row] = []
        connection.execute("BEGIN")
        for statement, parameters in statements:
            rows = connection.execute(statement, parameters).fetchall()
        connection.execute("ROLLBACK")
        return JSONResponse({"items": [json.loads(row["body"]) for row in rows], "next": None})

    return answered


def file(path: str) -> Endpoint:
    """A file."""
    return lambda request: FileResponse(path, media_type="image/png")


def main() -> None:
    """Serve with the settings that `intaglio serve` has."""
    listener, work = socket.socket(fileno=int(sys.argv[1])), json.loads(Path(sys.argv[2]).read_text())
    pages = [Route(address, page(work["database"], asked)) for address, asked in work["queries"].items()]
    files = [Route(address, file(path)) for address, path in work["files"].items()]
    config = uvicorn.Config(
        Starlette(routes=[*pages, *files]),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http=Protocol,
        timeout_keep_alive=30,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
