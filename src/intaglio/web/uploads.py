"""Files that are brought: to be named in another request, or to become assets. They are written as they come."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path as FilePath
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Path, Query
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from intaglio.core.asset import Asset
from intaglio.core.canonical import is_digest
from intaglio.core.errors import IntaglioError, Invalid, InvalidImage, NotFound, TooLarge
from intaglio.core.wire import to_wire
from intaglio.studio import uploads
from intaglio.studio.assets import neither
from intaglio.studio.open import Studio
from intaglio.studio.recognise import MAX_BYTES
from intaglio.studio.uploads import Upload
from intaglio.web.access import needs
from intaglio.web.answers import Json
from intaglio.web.multipart import FIELD, MOST_FILES, Files
from intaglio.web.openapi import refusals

router = APIRouter(prefix="/api", dependencies=[Depends(needs("run"))])

# Bytes are passed to a thread that writes them as often as there are so many.
_AT_ONCE = 2**20
# A picture says how large it is near its beginning.
_HEAD = 16 * 2**20
_SHA256 = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):\s*(;.*)?\Z", re.IGNORECASE)
_HINT = "Send Content-Digest: sha-256=:BASE64: (RFC 9530), or Intaglio-Digest: blake3:HEX."
_ASSET = {"$ref": "#/components/schemas/Asset"}
_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_REFUSED = refusals(401, 403, 408, 413, 422, 429, 500, 503)
_RAW: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of the file, as they are.",
        "content": {
            kind: _BYTES for kind in ("application/octet-stream", "image/png", "image/jpeg", "image/webp", "video/mp4")
        },
    }
}
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"The files, each as a part named `{FIELD}` with a filename; at most {MOST_FILES}.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "description": "Pictures and videos.",
                            "minItems": 1,
                            "maxItems": MOST_FILES,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}

Name = Annotated[str, Query(description="What the file is called. What no file can be called is taken out of it.")]
IntaglioDigest = Annotated[str, Header(description="What the bytes have to be: `blake3:` and 64 digits.")]
ContentDigest = Annotated[str, Header(description="The same as RFC 9530 has it: `sha-256=:BASE64:`.")]


class Uploaded(BaseModel):
    """A file that was brought, and how to name it."""

    reference: str = Field(
        description="What to give where a file is wanted.",
        examples=["upload:3f2b9c4d5e6f708192a3b4c5d6e7f809/photo.png"],
    )
    digest: str = Field(description="BLAKE3 digest of the bytes, `blake3:<hex>`.")
    size: int = Field(description="How many bytes it has.")
    expires: str = Field(description="Until when it is kept; UTC, RFC 3339.")


@router.post(
    "/uploads",
    operation_id="uploads_add",
    tags=["uploads"],
    summary="Bring a file, to be named in another request.",
    status_code=201,
    response_model=Uploaded,
    response_description="The file is here.",
    responses=_REFUSED,
    openapi_extra=_RAW,
)
async def add(
    request: Request,
    name: Name = "",
    unpack: Annotated[
        bool, Query(description="The file is a zip of a folder: where its reference is given, the folder is meant.")
    ] = False,
    intaglio_digest: IntaglioDigest = "",
    content_digest: ContentDigest = "",
) -> Uploaded:
    """Bring one file of any kind; the body is the file. It is kept for an hour, and only who brought it knows its name:
    its reference. With a digest, it is kept only when these bytes arrived. A zip brought with `unpack` is checked
    and unpacked at once.

    Scope: `run`.
    """
    studio: Studio = request.app.state.studio
    if unpack and not name.lower().endswith(".zip"):
        raise Invalid("what is to be unpacked has a name that ends in .zip", hint="Give it such a name, with ?name=.")
    found = await _brought(request, name, intaglio_digest, content_digest, request.app.state.limits.upload)
    if unpack:
        await run_in_threadpool(uploads.unpack, studio.parts, found.reference)
    return Uploaded(**vars(found))


@router.put(
    "/assets/{reference}",  # named as in the address that gives it
    operation_id="assets_put",
    tags=["assets"],
    summary="Make a file an asset, by its digest.",
    response_model=None,
    responses={
        "200": {"description": "It was an asset already.", "content": {"application/json": {"schema": _ASSET}}},
        "201": {"description": "It is one now.", "content": {"application/json": {"schema": _ASSET}}},
        **_REFUSED,
    },
    openapi_extra=_RAW,
)
async def put_asset(
    request: Request,
    digest: Annotated[
        str, Path(alias="reference", description="BLAKE3 digest of the file, `blake3:<hex>`; other bytes are refused.")
    ],
    name: Name = "",
    content_digest: ContentDigest = "",
) -> Response:
    """Keep a picture or a video in the library; the body is the file. Sent twice, it is kept once.

    Scope: `run`.
    """
    if not is_digest(digest):
        raise Invalid(f"{digest[:100]!r} is no digest", hint="Give blake3: and 64 lower-case hexadecimal digits.")
    limits = request.app.state.limits
    found = await _brought(request, name, digest, content_digest, min(limits.upload, MAX_BYTES))
    asset, known = await _kept(request, [found])
    return Json(to_wire(asset[0]), status_code=200 if known[0] else 201)


@router.post(
    "/assets",
    operation_id="assets_add",
    tags=["assets"],
    summary="Make files assets.",
    status_code=201,
    response_model=None,
    responses={
        "201": {
            "description": "The assets, in the order of the files.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["items", "next"],
                        "additionalProperties": False,
                        "properties": {
                            "items": {"type": "array", "items": _ASSET, "description": "One for each file."},
                            "next": {"type": "null", "description": "There is never another page."},
                        },
                    }
                }
            },
        },
        **_REFUSED,
    },
    openapi_extra=_FORM,
)
async def add_assets(request: Request) -> Response:
    """Keep pictures and videos in the library, several in one body. With an error some of them may be kept; sent again,
    none is kept twice.

    Scope: `run`.
    """
    studio: Studio = request.app.state.studio
    limits = request.app.state.limits
    _check_encoding(request)
    with ExitStack() as stack:
        began: list[Upload] = []

        def begin(name: str) -> Upload:
            began.append(stack.enter_context(uploads.begin(studio.parts, name, limit=min(limits.upload, MAX_BYTES))))
            return began[-1]

        files = Files(request.headers.get("content-type", ""), begin)
        async for piece in _pieces(request, limits.upload):
            await run_in_threadpool(files.feed, piece)
        files.finish()
        brought = await run_in_threadpool(lambda: [upload.finish() for upload in began])
    assets, _ = await _kept(request, brought)
    return Json({"items": to_wire(assets), "next": None}, status_code=201)


async def _brought(request: Request, name: str, digest: str, content_digest: str, limit: int) -> uploads.Uploaded:
    """The body as an upload, whose bytes are those that were announced. Raises Invalid, TooLarge, TooMany."""
    _check_encoding(request)
    if digest and not is_digest(digest):
        raise Invalid(f"Intaglio-Digest is {digest[:100]!r}", hint=_HINT)
    sha256 = _sha256(content_digest)
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:20]) > limit:
        raise TooLarge(f"a file of more than {limit} bytes", limit=limit)
    studio: Studio = request.app.state.studio
    upload = await run_in_threadpool(uploads.begin, studio.parts, name, limit=limit)
    with upload:
        async for piece in _pieces(request, limit):
            await run_in_threadpool(upload.write, piece)
        return await run_in_threadpool(upload.finish, digest, sha256)


async def _pieces(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body, in pieces worth a thread's while."""
    piece, size = bytearray(), 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"a body of more than {limit} bytes", limit=limit)
            piece += chunk
            if len(piece) >= _AT_ONCE:
                yield bytes(piece)
                piece.clear()
    except ClientDisconnect as error:
        raise Invalid("the body breaks off in the middle", hint="Send it again.") from error
    if piece:
        yield bytes(piece)


def _check_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Invalid(
            f"the body is encoded as {encoding[:40]!r}", hint="Send the file as it is, without Content-Encoding."
        )


def _sha256(given: str) -> str:
    """The digits of the SHA-256 that a Content-Digest names; "" when it names none. Raises Invalid."""
    for member in given.split(","):
        if member.strip().lower().startswith("sha-256="):
            found = _SHA256.match(member.strip())
            if found is None:
                raise Invalid(f"Content-Digest is {given[:120]!r}, which is no SHA-256", hint=_HINT)
            return base64.b64decode(found[1]).hex()
    return ""


async def _kept(request: Request, brought: list[uploads.Uploaded]) -> tuple[list[Asset], list[bool]]:
    state = request.app.state
    return await to_thread.run_sync(_keep, state.studio, brought, state.limits.pixels, limiter=state.writers)


def _keep(studio: Studio, brought: list[uploads.Uploaded], pixels: int) -> tuple[list[Asset], list[bool]]:
    """What was brought as assets, and which of them were assets already; the uploads are taken away."""
    paths = [uploads.resolve(studio.parts, each.reference) for each in brought]
    try:
        for path in paths:
            _check_pixels(path, pixels)
        known = [_is_known(studio, each.digest) for each in brought]
        return studio.assets.add(paths), known
    except IntaglioError as error:
        # It names the file; where that lies on this machine is nobody's business.
        text = str(error)
        for path in paths:
            text = text.replace(str(path), path.name)
        error.args = (text,)
        raise
    finally:
        for each in brought:
            uploads.forget(studio.parts, each.reference)


def _is_known(studio: Studio, digest: str) -> bool:
    try:
        return studio.assets.show(digest).digest == digest and studio.assets.state(digest) == "ok"
    except NotFound:
        return False


def _check_pixels(path: FilePath, limit: int) -> None:
    """Raises TooLarge for a picture of more pixels, InvalidImage for what is none; a video is judged elsewhere."""
    from intaglio.imaging.decode import inspect
    from intaglio.imaging.video import format_of

    with path.open("rb") as file:
        head = file.read(_HEAD)
    if format_of(head[:12]):
        return
    try:
        found = inspect(head)
    except InvalidImage as error:
        raise neither(path.name, error) from error
    if found.width * found.height > limit:
        size = f"{found.width} x {found.height}"
        raise TooLarge(f"{path.name} has {size} pixels; the most is {limit}", limit=limit, hint="Scale it down.")
