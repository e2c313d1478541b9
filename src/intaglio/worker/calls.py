"""Calling the verb of a job, with what was written down for it."""

from __future__ import annotations

import inspect
from typing import Any

from intaglio.api.routes import BY_VERB, COMPANIONS
from intaglio.core.errors import Invalid
from intaglio.core.job import Job
from intaglio.core.record import Json, plain
from intaglio.core.wire import from_wire, to_wire
from intaglio.studio import uploads
from intaglio.studio.open import Studio
from intaglio.worker.callbacks import Callbacks


def call(studio: Studio, job: Job, callbacks: Callbacks) -> Json:
    """What the verb of a job gives, as JSON values. Raises Invalid for one that no worker does, and what it raises."""
    route = BY_VERB.get(job.verb)
    if route is None or not route.work:
        raise Invalid(f"{job.verb!r} is no job", hint="It was written by another version of Intaglio.")
    given: dict[str, Any] = {}
    for name, value in job.arguments.items():
        if name not in route.parameters:
            raise Invalid(f"{job.verb} takes no {name!r} from another process", hint="Leave it out.")
        resolved = uploads.resolved(studio.parts, plain(value))
        given[name] = from_wire(route.parameters[name].hint, to_wire(resolved))
    heard = COMPANIONS & inspect.signature(route.function).parameters.keys() - {"ask", "stop"}
    several = given.pop(route.spread, ()) if route.spread else ()
    method = getattr(getattr(studio, route.noun), route.name)
    return to_wire(method(*several, **given, **{name: callbacks.of(name) for name in sorted(heard)}))
