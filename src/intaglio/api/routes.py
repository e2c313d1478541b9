"""Every verb that can be called from outside the process, and the address it has.

The signature and the types of the noun's method are the declaration; here stands only what they do not say. The server
makes its routes from this table, the client its nouns, so that neither can lack or rename what the other has.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import GenericAlias
from typing import Any, Literal

from intaglio.core.wire import hints_of, is_callable

Method = Literal["GET", "POST", "DELETE"]
Scope = Literal["read", "run", "approve", "admin"]

NOUNS = (
    "workflows",
    "tasks",
    "versions",
    "variations",
    "assets",
    "models",
    "nodes",
    "library",
    "jobs",
    "tokens",
    "webhooks",
)
# Parameters that follow or steer a call from inside its process.
COMPANIONS = frozenset({"watch", "follow", "ask", "progress", "tried", "told", "warn", "stop"})
# In this header an answer carries, as JSON, what its verb told meanwhile: the callbacks of `TOLD`, their arguments.
SAID = "Intaglio-Said"
TOLD = frozenset({"told", "warn"})
PLACES = re.compile(r"\{(\w+)(?::path)?\}")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a verb: its type, whether it has to be given, and where in a request it stands."""

    name: str
    hint: Any
    required: bool
    default: Any
    place: Literal["path", "query", "body"]


@dataclass(frozen=True)
class Route:
    """The address of one verb.

    `work`: it is carried out by a worker as a job. `names`: what the members are called where the verb gives a tuple,
    or a list of them. `cursor`: the field of an item (or "" for the item itself) that asks for the page after it, as
    `before`; None: not in pages. `folder`: the parameter that names a folder to write into; over HTTP, the answer is
    those files in a zip. `whole`: it is short, and done in one transaction with the answer that is kept for who asks
    again: nothing is done twice, even when the server was killed in between. `aside`: parameters that only a caller in
    the same process can give. `shown_once`: the answer holds a secret, which is kept nowhere.
    """

    verb: str
    method: Method
    path: str
    scope: Scope
    status: int = 200
    work: bool = False
    names: tuple[str, ...] = ()
    cursor: str | None = None
    folder: str = ""
    aside: tuple[str, ...] = ()
    shown_once: bool = False
    whole: bool = False

    @property
    def noun(self) -> str:
        """The noun it belongs to."""
        return self.verb.partition(".")[0]

    @property
    def name(self) -> str:
        """The name of the noun's method."""
        return self.verb.partition(".")[2]

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The noun's method."""
        found: Callable[..., Any] = getattr(noun_class(self.noun), self.name)
        return found

    @cached_property
    def result(self) -> Any:
        """The type of what it gives."""
        return hints_of(self.function)["return"]

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """Its parameters, without those that cannot leave a process."""
        hints, in_path = hints_of(self.function), PLACES.findall(self.path)
        elsewhere: Literal["query", "body"] = "query" if self.method == "GET" else "body"
        found = {}
        for name, given in list(inspect.signature(self.function).parameters.items())[1:]:
            if name in COMPANIONS or name in self.aside or name == self.folder or is_callable(hints[name]):
                continue
            one: Any = hints[name]
            hint = GenericAlias(tuple, (one, ...)) if given.kind is given.VAR_POSITIONAL else one
            required = given.default is given.empty and given.kind is not given.VAR_POSITIONAL
            default = None if given.default is given.empty else given.default
            place: Literal["path", "query", "body"] = "path" if name in in_path else elsewhere
            found[name] = Parameter(name, hint, required, default, place)
        return found

    @cached_property
    def spread(self) -> str:
        """The parameter that takes any number of arguments (`*folders`), or ""."""
        given = inspect.signature(self.function).parameters.values()
        return next((each.name for each in given if each.kind is each.VAR_POSITIONAL), "")


def noun_class(noun: str) -> type[Any]:
    """The class behind `studio.<noun>`."""
    found: type[Any] = getattr(importlib.import_module(f"intaglio.studio.{noun}"), noun.capitalize())
    return found


_WORKFLOWS = (
    Route("workflows.list", "GET", "/workflows", "read", names=("name", "version", "digest", "created")),
    Route("workflows.add", "POST", "/workflows", "run", status=201),
    Route("workflows.check", "POST", "/workflows/-/check", "read"),
    Route("workflows.lint", "POST", "/workflows/-/lint", "read"),
    Route("workflows.warnings", "POST", "/workflows/-/warnings", "read"),
    Route("workflows.find", "POST", "/workflows/-/find", "run"),
    Route("workflows.tree", "GET", "/workflows/-/tree", "read"),
    Route(
        "workflows.history",
        "GET",
        "/workflows/{name}/history",
        "read",
        names=("name", "version", "digest", "created"),
    ),
    Route("workflows.branch", "POST", "/workflows/{base}/branch", "run", status=201),
    Route("workflows.archive", "POST", "/workflows/{name}/archive", "approve", whole=True),
    Route("workflows.revive", "POST", "/workflows/{name}/revive", "approve", whole=True),
    Route("workflows.mode", "POST", "/workflows/{name}/mode", "approve", whole=True),
    Route("workflows.take", "POST", "/workflows/{name}/take", "run"),
    Route("workflows.show", "GET", "/workflows/{reference}", "read", names=("workflow", "reference")),
)
_TASKS = (
    Route("tasks.list", "GET", "/tasks", "read", cursor="id"),
    Route("tasks.submit", "POST", "/tasks", "run", status=201),
    Route("tasks.queue", "GET", "/tasks/-/queue", "read", cursor="id"),
    Route("tasks.diff", "GET", "/tasks/-/diff", "read"),
    Route("tasks.get", "GET", "/tasks/{reference}/record", "read"),
    Route("tasks.wait", "GET", "/tasks/{reference}/wait", "read"),
    Route("tasks.progress", "GET", "/tasks/{reference}/progress", "read"),
    Route("tasks.snapshot", "GET", "/tasks/{reference}/snapshot", "read"),
    Route("tasks.form", "GET", "/tasks/{reference}/form", "read"),
    Route("tasks.waits_for", "GET", "/tasks/{reference}/waits-for", "read"),
    Route("tasks.annotate", "POST", "/tasks/{reference}/annotate", "run"),
    Route("tasks.cancel", "POST", "/tasks/{reference}/cancel", "run"),
    Route("tasks.retry", "POST", "/tasks/{reference}/retry", "run"),
    Route("tasks.move", "POST", "/tasks/{reference}/move", "run"),
    Route("tasks.pin", "POST", "/tasks/{reference}/pin", "approve", whole=True),
    Route("tasks.show", "GET", "/tasks/{reference}", "read"),
)
_KEPT = ("digest", "version")
_VERSIONS = (
    Route("versions.list", "GET", "/versions", "read", names=_KEPT, cursor="digest"),
    Route("versions.save", "POST", "/versions", "run", status=201, names=_KEPT),
    Route("versions.search", "GET", "/versions/-/search", "read", names=_KEPT, cursor="digest"),
    Route("versions.diff", "GET", "/versions/-/diff", "read", aside=("to",)),
    Route("versions.standings", "POST", "/versions/-/standings", "read"),
    Route("versions.matches", "POST", "/versions/-/matches", "read"),
    Route("versions.import_", "POST", "/versions/-/import", "run", status=201, names=_KEPT),
    Route("versions.prospect", "POST", "/versions/-/prospect", "read"),
    Route("versions.bisect", "POST", "/versions/-/bisect", "run", work=True, status=202),
    Route("versions.reindex", "POST", "/versions/-/reindex", "admin", work=True, status=202),
    Route("versions.apply", "POST", "/versions/{change:path}/apply", "run"),
    Route("versions.snapshot", "GET", "/versions/{reference:path}/snapshot", "read"),
    Route("versions.standing", "GET", "/versions/{reference:path}/standing", "read"),
    Route("versions.remarks", "GET", "/versions/{reference:path}/remarks", "read"),
    Route("versions.history", "GET", "/versions/{reference:path}/history", "read"),
    Route("versions.grade", "GET", "/versions/{reference:path}/grade", "read"),
    Route("versions.export", "GET", "/versions/{reference:path}/export", "read", folder="folder"),
    Route("versions.reproduce", "POST", "/versions/{reference:path}/reproduce", "run", work=True, status=202),
    Route(
        "versions.roll_back", "POST", "/versions/{reference:path}/roll-back", "run", status=201, names=_KEPT, whole=True
    ),
    Route("versions.annotate", "POST", "/versions/{reference:path}/annotate", "run", whole=True),
    Route("versions.comment", "POST", "/versions/{reference:path}/comment", "run", whole=True),
    Route("versions.tag", "POST", "/versions/{reference:path}/tag", "run", whole=True),
    Route("versions.approve", "POST", "/versions/{reference:path}/approve", "approve", whole=True),
    Route("versions.reject", "POST", "/versions/{reference:path}/reject", "approve", whole=True),
    Route("versions.legacy", "POST", "/versions/{reference:path}/legacy", "approve", whole=True),
    Route("versions.find", "GET", "/versions/{reference:path}", "read", names=_KEPT),
)
_VARIATIONS = (
    Route("variations.list", "GET", "/variations", "read", cursor="id"),
    Route("variations.walk", "POST", "/variations/-/walk", "run", work=True, status=202),
    Route("variations.sweep", "POST", "/variations/-/sweep", "run", work=True, status=202),
    Route("variations.ab", "POST", "/variations/-/ab", "run", work=True, status=202),
    Route("variations.interpolate", "POST", "/variations/-/interpolate", "run", work=True, status=202),
    Route("variations.more", "POST", "/variations/-/more", "run", work=True, status=202),
    Route("variations.get", "GET", "/variations/{reference}/record", "read"),
    Route("variations.brief", "GET", "/variations/{reference}/brief", "read"),
    Route("variations.export", "GET", "/variations/{reference}/export", "read", folder="folder"),
    Route("variations.resume", "POST", "/variations/{reference}/resume", "run", work=True, status=202),
    Route("variations.winner", "POST", "/variations/{reference}/winner", "run"),
    Route("variations.show", "GET", "/variations/{reference}", "read"),
)
# The bytes of an asset, its thumbnail, and uploads have routes of their own, in `web`.
_ASSETS = (
    Route("assets.import_", "POST", "/assets/-/import", "run", status=201),
    Route("assets.compare", "POST", "/assets/-/compare", "read", aside=("to",)),
    Route("assets.lineage", "GET", "/assets/{reference:path}/lineage", "read"),
    Route("assets.state", "GET", "/assets/{digest}/state", "read"),
    Route("assets.as_made", "GET", "/assets/{reference:path}/as-made", "read"),
    Route("assets.show", "GET", "/assets/{reference:path}", "read"),
)
_MODELS = (
    Route("models.list", "GET", "/models", "read", names=("model", "path")),
    Route("models.add", "POST", "/models", "admin", work=True, status=202),
    Route("models.search", "GET", "/models/-/search", "read"),
    Route("models.kept", "GET", "/models/-/kept", "read"),
    Route("models.scan", "POST", "/models/-/scan", "admin", work=True, status=202),
    Route("models.hash_pending", "POST", "/models/-/hash-pending", "admin", work=True, status=202),
    Route("models.verify_all", "POST", "/models/-/verify", "run", work=True, status=202),
    Route("models.about", "GET", "/models/{reference:path}/about", "read"),
    Route("models.envelopes", "GET", "/models/{reference:path}/envelopes", "read"),
    Route("models.envelope", "POST", "/models/{reference:path}/envelope", "run", work=True, status=202),
    Route("models.allow", "POST", "/models/{digest}/allow", "admin"),
    Route("models.verify", "POST", "/models/{reference:path}/verify", "run", work=True, status=202),
    Route("models.keep", "POST", "/models/{reference:path}/keep", "admin", work=True, status=202),
    Route("models.restore", "POST", "/models/{reference:path}/restore", "admin", work=True, status=202, aside=("to",)),
    Route("models.find", "GET", "/models/{reference:path}", "read"),
)
_NODES = (
    Route("nodes.list", "GET", "/nodes", "read"),
    Route("nodes.show", "GET", "/nodes/{name}", "read"),
)
_LIBRARY = (
    Route("library.check", "POST", "/library/check", "run", work=True, status=202),
    Route("library.gc", "POST", "/library/gc", "admin", work=True, status=202),
    Route("library.heal", "POST", "/library/heal", "run", work=True, status=202),
    Route("library.lost", "POST", "/library/lost", "run", work=True, status=202),
    Route("library.impact", "GET", "/library/impact", "read"),
    Route("library.remove_model", "POST", "/library/remove-model", "admin"),
    Route("library.journal", "GET", "/journal", "read"),
)
_JOBS = (
    Route("jobs.list", "GET", "/jobs", "read", cursor="id"),
    Route("jobs.wait", "GET", "/jobs/{reference}/wait", "read"),
    Route("jobs.cancel", "POST", "/jobs/{reference}/cancel", "run"),
    Route("jobs.retry", "POST", "/jobs/{reference}/retry", "run"),
    Route("jobs.get", "GET", "/jobs/{reference}", "read"),
)
_TOKENS = (
    Route("tokens.list", "GET", "/tokens", "admin"),
    Route("tokens.create", "POST", "/tokens", "admin", status=201, shown_once=True, whole=True),
    Route("tokens.revoke", "POST", "/tokens/{id}/revoke", "admin"),
)
_WEBHOOKS = (
    Route("webhooks.list", "GET", "/webhooks", "admin"),
    Route("webhooks.add", "POST", "/webhooks", "admin", status=201, shown_once=True),
    Route("webhooks.test", "POST", "/webhooks/{id}/test", "admin"),
    Route("webhooks.resume", "POST", "/webhooks/{id}/resume", "admin"),
    Route("webhooks.remove", "DELETE", "/webhooks/{id}", "admin"),
)
ROUTES = (
    *_WORKFLOWS,
    *_TASKS,
    *_VERSIONS,
    *_VARIATIONS,
    *_ASSETS,
    *_MODELS,
    *_NODES,
    *_LIBRARY,
    *_JOBS,
    *_TOKENS,
    *_WEBHOOKS,
)
BY_VERB: Mapping[str, Route] = {route.verb: route for route in ROUTES}
