"""The bytes of assets: whole or in ranges, small, or with their record inside. Named by digest, they never change."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from intaglio.core.asset import Asset
from intaglio.core.canonical import digest_bytes
from intaglio.studio.inside import Written
from intaglio.studio.open import Studio
from intaglio.web.access import principal_of, require
from intaglio.web.openapi import refusals

router = APIRouter(prefix="/api/assets", tags=["assets"])

FOREVER = "private, max-age=31536000, immutable"
# A name may be for something else tomorrow; a page may keep what it got, and asks whether it is still that.
ASK_AGAIN = "private, no-cache"
# What is no larger is sent in one piece: opening, reading and closing it would each wait for a thread of its own.
AT_ONCE = 256 * 1024
_RANGES = re.compile(r"bytes=\s*(\d{0,15}-\d{0,15}\s*,\s*){0,15}\d{0,15}-\d{0,15}\s*")

Reference = Annotated[
    str, Path(description="The asset: its digest, the beginning of one, or its address (`intaglio:asset/...`).")
]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_MEDIA = {kind: _BINARY for kind in ("image/png", "image/jpeg", "image/webp", "video/mp4", "application/octet-stream")}
_BESIDE = {**_MEDIA, "application/json": {"schema": {}}, "text/plain": {"schema": {"type": "string"}}}
_HEADERS = {
    "ETag": {"description": "The digest, in quotes.", "schema": {"type": "string"}},
    "Cache-Control": {"description": "Immutable when asked for by digest.", "schema": {"type": "string"}},
}
_UNCHANGED: dict[int | str, dict[str, Any]] = {"304": {"description": "What If-None-Match names is still it."}}
_REFUSED = refusals(401, 403, 404, 409, 413, 422, 429, 500, 503)


class Content(FileResponse):
    """A file, or the ranges of it that are asked for; a Range that is none is as good as absent (RFC 9110)."""

    chunk_size = 256 * 1024

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; see FileResponse."""
        kept = [(name, value) for name, value in scope["headers"] if name != b"range" or _is_range(value)]
        await super().__call__({**scope, "headers": kept}, receive, send)


def _is_range(value: bytes) -> bool:
    return _RANGES.fullmatch(value.decode("latin-1")) is not None


@router.get(
    "/{reference:path}/content",
    operation_id="assets_get",
    summary="The bytes of an asset.",
    response_model=None,
    responses={
        "200": {"description": "All of it.", "content": _MEDIA, "headers": _HEADERS},
        "206": {"description": "The ranges that were asked for.", "content": _MEDIA},
        "416": {"description": "It has no such range.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **_UNCHANGED,
        **_REFUSED,
    },
)
async def content(request: Request, reference: Reference) -> Response:
    """The bytes of an asset, verified before they are sent; `Range` and `If-None-Match` are heeded.

    Scope: `read`.
    """
    require(principal_of(request), "read")
    return await run_in_threadpool(_content, request, reference)


def _content(request: Request, reference: str) -> Response:
    studio: Studio = request.app.state.studio
    asset = studio.assets.show(reference)
    headers = _headers(reference, asset)
    if is_same(request, asset.digest):
        return Response(status_code=304, headers=headers)
    path = studio.assets.file(asset.digest)
    shown = asset.media_type.startswith(("image/", "video/"))
    found = Content(
        path,
        headers=headers,
        media_type=asset.media_type,
        filename=_file_name(asset),
        stat_result=path.stat(),
        content_disposition_type="inline" if shown else "attachment",
    )
    if asset.size > AT_ONCE or "range" in request.headers:
        return found
    return Response(path.read_bytes(), headers=found.headers)


@router.get(
    "/{reference:path}/thumbnail",
    operation_id="assets_thumbnail",
    summary="A small picture of an asset.",
    response_model=None,
    responses={
        "200": {"description": "The picture.", "content": {"image/png": _BINARY}, "headers": _HEADERS},
        **_UNCHANGED,
        **_REFUSED,
    },
)
async def thumbnail(
    request: Request,
    reference: Reference,
    size: Annotated[int, Query(description="At most so many pixels wide and high.")] = 256,
    frames: Annotated[int, Query(description="So many frames of a clip side by side.")] = 1,
) -> Response:
    """A PNG of a picture, or of a clip's first frame.

    Scope: `read`.
    """
    require(principal_of(request), "read")
    studio: Studio = request.app.state.studio
    asset = await run_in_threadpool(studio.assets.show, reference)
    tag = digest_bytes(f"{asset.digest} {size} {frames}".encode())
    headers = {**_headers(reference, asset), "ETag": f'"{tag}"'}
    if is_same(request, tag):
        return Response(status_code=304, headers=headers)
    data = await run_in_threadpool(studio.assets.thumbnail, asset.digest, size=size, frames=frames)
    return Response(data, media_type="image/png", headers=headers)


@router.get(
    "/{reference:path}/with-record",
    operation_id="assets_with_record",
    summary="An asset with the record of its version inside, as `versions export` writes it.",
    response_model=None,
    responses={
        "200": {"description": "The file, or what lies beside it.", "content": _BESIDE},
        "204": {"description": "The record is inside; there is nothing beside it."},
        **_REFUSED,
    },
)
async def with_record(
    request: Request,
    reference: Reference,
    part: Annotated[
        Literal["file", "beside", "why"],
        Query(description="`file`; or `beside`, the record of a file that cannot hold it; or `why` it cannot."),
    ] = "file",
) -> Response:
    """The bytes of an output with its record put in, or the record that belongs beside it.

    Scope: `read`.
    """
    require(principal_of(request), "read")
    studio: Studio = request.app.state.studio
    written: Written = await run_in_threadpool(studio.assets.with_record, reference)
    asset = await run_in_threadpool(studio.assets.show, reference)
    if part == "why" or (part == "beside" and not written.beside):
        return Response(written.why, status_code=200 if part == "why" else 204, media_type="text/plain")
    if part == "beside":
        return Response(written.beside, media_type="application/json")
    return Response(written.data, media_type=asset.media_type)


def is_same(request: Request, tag: str) -> bool:
    """Whether whoever asks has what this tag is for."""
    given = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    return f'"{tag}"' in given or given == ["*"]


def _headers(reference: str, asset: Asset) -> dict[str, str]:
    forever = reference.removeprefix("intaglio:asset/").removeprefix("asset:") == asset.digest
    return {
        "ETag": f'"{asset.digest}"',
        "Cache-Control": FOREVER if forever else ASK_AGAIN,
        "Vary": "Authorization",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def _file_name(asset: Asset) -> str:
    return f"{asset.digest.partition(':')[2][:16]}.{asset.media_type.partition('/')[2][:8]}"


# What a browser, a cache or `curl -I` asks before it takes the bytes.
router.add_api_route("/{reference:path}/content", content, methods=["HEAD"], include_in_schema=False)
