"""Branches: a creative direction, which is a workflow derived from another one."""

from __future__ import annotations

from typing import Literal

from intaglio.core.plan import WorkflowRef
from intaglio.core.record import record


@record
class Branch:
    """A workflow that was derived from another; `name` is its own, under which its versions are numbered.

    `base` is the common ancestor: the workflow it was taken from, its version and the digest of its content then.
    `version` is the digest of the version it was taken from, "" when it was the workflow itself.
    """

    kind: Literal["branch"] = "branch"
    format: Literal[1] = 1
    name: str
    base: WorkflowRef
    version: str = ""
    note: str = ""
    created: str
    author: str


@record
class WorkflowRemark:
    """What somebody said or did about a workflow as a whole, with name and date. Said again, the last counts.

    `what` is "archived" (`holds` False: brought back), "took" (changes of the base were taken over: `value` is the
    digest of the base's workflow then, `nodes` are the nodes it was settled for), or "applied" (changes from the
    version `since` to the version `value`, both digests, were made here).
    """

    kind: Literal["workflow-remark"] = "workflow-remark"
    format: Literal[1] = 1
    workflow: str
    what: str
    holds: bool = True
    value: str = ""
    since: str = ""
    nodes: tuple[str, ...] = ()
    note: str = ""
    created: str
    author: str
