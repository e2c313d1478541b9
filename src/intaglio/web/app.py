"""The server's application: routes, what stands in front of them, and what starts and stops with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter
from fastapi import FastAPI
from starlette.convertors import PathConvertor, register_url_convertor

from intaglio.api import describe
from intaglio.api.routes import NOUNS, ROUTES
from intaglio.studio.open import Studio
from intaglio.web import (
    access,
    assets,
    errors,
    events,
    health,
    limits,
    logs,
    manual,
    metrics,
    previews,
    uploads,
    webhooks,
)
from intaglio.web.idempotency import answering
from intaglio.web.limits import Limits
from intaglio.web.openapi import document
from intaglio.web.verbs import endpoint

if TYPE_CHECKING:
    from intaglio.worker.supervisor import Supervisor

# So many requests that may write are at work at a time: while they wait for the library, nobody who reads waits.
WRITERS = 20

DESCRIPTION = """Run generative workflows, keep everything that made each picture, bring any of them back.

Everything here is a verb of one of the nouns, as on the command line (`intaglio NOUN VERB`) and in Python
(`studio.NOUN.VERB`). Errors have one shape. Lists come in pages: `limit` says how long, `next` is what to give as
`before`.

What takes long is done by a worker: a task is followed by its id, any other call by the job it answers with. Both are
told about, as they happen, at `/api/events`."""


# What has addresses beside the nouns.
BESIDE = {
    "uploads": "Files that are brought, to be named in other requests.",
    "events": "What happens, as it happens.",
    "previews": "Pictures of how running tasks stand.",
    "server": "How the server is.",
}


class _Reference(PathConvertor):
    """A name of any form in a path: it may have slashes. What begins with "-/" is a verb without one."""

    regex = "(?!-/)(?s:.*)"


register_url_convertor("reference", _Reference())


@dataclass(frozen=True)
class Config:
    """How a server is reached. `hosts` are the names it answers to beside its own address."""

    host: str = "127.0.0.1"
    port: int = 8470
    hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it; with names of its own it stands behind a proxy."""
        return self.host in ("127.0.0.1", "localhost", "::1") and not self.hosts


def create_app(studio: Studio, config: Config, supervisor: Supervisor | None = None) -> FastAPI:
    """The application over an open library; `supervisor` looks after its workers, if it has any of its own."""
    app = FastAPI(
        title="Intaglio",
        version=version("intaglio"),
        description=DESCRIPTION,
        lifespan=_lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # one address for one thing, and none that is made of what a request says
        openapi_tags=[
            *({"name": noun, "description": describe.noun(noun)} for noun in NOUNS),
            *({"name": name, "description": words} for name, words in BESIDE.items()),
        ],
    )
    _ = studio.parts.types  # found once, for every request
    app.state.studio, app.state.limits, app.state.supervisor = studio, config.limits, supervisor
    app.state.writers, app.state.stuck_keys = CapacityLimiter(WRITERS), set()
    for router in (assets, uploads, events, previews, health):
        app.include_router(router.router)
    for route in ROUTES:
        # What the document says of them is written from the table, by `openapi`.
        path = f"/api{route.path.replace(':path}', ':reference}')}"
        app.add_api_route(path, endpoint(route), methods=[route.method], include_in_schema=False)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]  # as FastAPI documents it
    manual.install(app)
    errors.install(app)
    limits.install(app, config.limits)
    access.install(app, loopback=config.is_loopback, port=config.port, hosts=config.hosts)
    metrics.install(app)
    logs.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[None]:
    with answering(app.state.studio):
        await events.start(app)
        await webhooks.start(app)
        try:
            yield
        finally:
            await webhooks.stop(app)
            await events.stop(app)
