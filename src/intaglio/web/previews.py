"""`GET /api/previews/{token}`: the picture of how a running task stands.

The token in its address stands for who may look: browsers send no header with the pictures of a page.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path
from starlette.requests import Request
from starlette.responses import Response

from intaglio.core.errors import Forbidden, NotFound
from intaglio.core.progress import Progress
from intaglio.core.signing import check, sign
from intaglio.studio import progress
from intaglio.studio.tasks import TaskView
from intaglio.web.openapi import refusals

# How long an address works, in seconds.
LIFE_S = 60

router = APIRouter(tags=["previews"])
_PICTURE = {"schema": {"type": "string", "format": "binary"}}
# Of this process: addresses of another, or of an earlier one, are nobody's.
_secret = secrets.token_bytes(32)


def address(app: FastAPI, task: str) -> str:
    """Where the preview of a task can be seen for the next minute, by whoever has the address."""
    return str(app.url_path_for("preview", token=sign(_secret, task, int(time.time()) + LIFE_S)))


def addressed(app: FastAPI, result: Any) -> Any:
    """What a verb gave, with the address of the preview where it says how far a task is; anything else as it is."""
    if isinstance(result, Progress) and result.preview:
        return replace(result, preview=address(app, result.job or result.task))
    if isinstance(result, TaskView):
        return replace(result, progress=addressed(app, result.progress))
    return result


@router.get(
    "/api/previews/{token}",
    name="preview",
    operation_id="previews_get",
    summary="The picture of how a running task stands.",
    response_class=Response,
    responses={
        200: {"description": "The picture.", "content": {"image/png": _PICTURE, "image/jpeg": _PICTURE}},
        **refusals(401, 403, 404, 413, 422, 429, 500, 503),
    },
)
def preview(
    request: Request, token: Annotated[str, Path(description="What the address ends in; good for a minute.")]
) -> Response:
    """The picture that an address in a task's progress means, as PNG or JPEG."""
    task = check(_secret, token, time.time())
    if task is None:
        raise Forbidden("this address of a preview is not, or not any more, good", hint="Ask for the task's progress.")
    found = progress.preview(request.app.state.studio.parts, task)
    if found is None:
        raise NotFound("preview", task, hint="A task has one while it runs.")
    data, media_type = found
    return Response(data, media_type=media_type, headers={"Cache-Control": "no-store"})
