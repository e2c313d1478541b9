"""A model hub on loopback: the few answers that a download of one exact revision needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def serving(folder: Path, repository: str, revision: str) -> Iterator[tuple[str, list[str]]]:
    """Serve `folder` as `repository` at `revision`; yields the address and the paths that were asked for."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            asked.append(self.path)
            name = self.path.partition(f"/{repository}/resolve/{revision}/")[2]
            if name in files:
                data = files[name].read_bytes()
            elif self.path.startswith(f"/api/models/{repository}/tree/{revision}"):
                data = json.dumps(
                    [
                        {"type": "file", "path": n, "size": p.stat().st_size, "oid": _etag(p.read_bytes())}
                        for n, p in files.items()
                    ]
                ).encode()
            elif self.path.startswith(f"/api/models/{repository}/revision/{revision}"):
                names = [{"rfilename": name} for name in files]
                data = json.dumps({"id": repository, "sha": revision, "siblings": names}).encode()
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{_etag(data)}"')
            self.send_header("X-Repo-Commit", revision)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _etag(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
