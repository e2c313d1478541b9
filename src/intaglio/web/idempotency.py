"""The same request sent twice is done once: a client that got no answer may ask again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from intaglio.api.routes import SAID
from intaglio.core.canonical import digest_bytes
from intaglio.core.errors import Conflict, IntaglioError, Invalid, Unavailable
from intaglio.store.lock import TaskLock
from intaglio.studio import clock
from intaglio.studio.open import Studio
from intaglio.web.access import Principal
from intaglio.web.errors import error_response

LONGEST_KEY = 200
KEPT = timedelta(days=1)
LOCK = "answering.lock"
KEY = f"[!-~]([ -~]{{0,{LONGEST_KEY - 2}}}[!-~])?"
_KEPT_HEADERS = ("location", "content-type", SAID.lower())
_SHOWN = Conflict(
    "this was done already, and what it gave is shown only once",
    hint="Take back what it made, and ask for another under another key.",
)
# Takes the answer to be, inside the transaction that does what was asked for.
Given = Callable[[Response], None]


@contextmanager
def answering(studio: Studio) -> Iterator[None]:
    """What a server is inside of while it answers: keys whose requests a killed one had begun are free again.

    Unless another server of the library is at work, whose requests they may be.
    """
    with ExitStack() as stack:
        with suppress(Unavailable):  # nor where nothing can be written
            stack.enter_context(TaskLock.hold(studio.root / "locks" / LOCK, timeout_s=0))
            studio.parts.idempotency.release()
        yield


def once(
    request: Request,
    principal: Principal,
    body: bytes,
    called: Callable[[Given], Response],
    *,
    shown_once: bool = False,
    whole: bool = False,
) -> Response:
    """The answer of `called`, or the one it gave when this person sent the same Idempotency-Key before.

    Answers are kept for a day; what was refused may be sent again. `called` may give the answer in the transaction that
    does what was asked for: then nothing that was done lacks its answer, even when the server is killed. With `whole`
    all of `called` is that transaction. What is `shown_once` is not kept; who asks for it again is told that it was
    done.
    Raises Conflict when the key came with another request, or the first one is still at work.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return called(lambda given: None)
    if not re.fullmatch(KEY, key):
        raise Invalid("the Idempotency-Key is no key", hint=f"Send 1 to {LONGEST_KEY} printable characters of ASCII.")
    studio: Studio = request.app.state.studio
    answers = studio.parts.idempotency
    what = digest_bytes(b"\0".join([request.method.encode(), str(request.url.path).encode(), body]))
    if (principal.person, key) in request.app.state.stuck_keys:
        answers.forget(principal.person, key)
        request.app.state.stuck_keys.discard((principal.person, key))
    kept = answers.begin(principal.person, key, what, clock.written(datetime.now(UTC) - KEPT))
    if kept is not None:
        headers, text = json.loads(kept.body)
        return Response(text, status_code=kept.status, headers={**headers, "Idempotency-Replayed": "true"})

    def keep(given: Response) -> None:
        if isinstance(given, StreamingResponse):  # files, which are written anew as often as they are asked for
            answers.forget(principal.person, key)
            return
        told = error_response(_SHOWN) if shown_once else given
        answers.finish(principal.person, key, told.status_code, _written(told))

    try:
        with studio.parts.database.write() if whole else nullcontext():
            response = called(keep)
            keep(response)
    except BaseException:  # however it came to nothing, the key must not stay taken
        _let_go(request, principal.person, key)
        raise
    return response


def _let_go(request: Request, person: str, key: str) -> None:
    """Let a key be free again; where not even that can be written down, it is once it is asked for again."""
    state = request.app.state
    try:
        state.studio.parts.idempotency.forget(person, key)
    except IntaglioError:
        state.stuck_keys.add((person, key))


def _written(response: Response) -> bytes:
    headers = {name: value for name, value in response.headers.items() if name in _KEPT_HEADERS}
    return json.dumps([headers, bytes(response.body).decode()]).encode()
