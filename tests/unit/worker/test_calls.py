from __future__ import annotations

import inspect

import pytest

from intaglio.api.routes import COMPANIONS, ROUTES, Route
from intaglio.studio.verbs import VERBS, method

WORK = [route for route in ROUTES if route.work]


def test_the_verbs_that_can_be_jobs_are_those_that_a_worker_does() -> None:
    assert {route.verb for route in WORK} == VERBS


@pytest.mark.parametrize("route", WORK, ids=lambda route: route.verb)
def test_every_parameter_of_such_a_verb_comes_with_the_job_or_is_a_callback_of_the_worker(route: Route) -> None:
    given = inspect.signature(method(route.verb)).parameters.keys() - {"self"}
    assert given == route.parameters.keys() | (COMPANIONS & given) | set(route.aside)
    assert not {"ask", "stop"} & given, "there is nobody to ask"
