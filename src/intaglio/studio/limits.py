"""How much a library takes in at a time, as who serves it for others sets it: one must not crowd out the rest."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.core.errors import TooLarge, TooMany
from intaglio.core.plan import Plan
from intaglio.store.queue import Queue


@dataclass(frozen=True)
class Limits:
    """`queue`: how many tasks and jobs may wait; `pixels`: how many a step of a plan may ask for, by its width and
    height. 0 is no limit."""

    queue: int = 0
    pixels: int = 0

    def check_room(self, queue: Queue) -> None:
        """Raises TooMany when the queue is as long as it may be."""
        if self.queue and queue.count() >= self.queue:
            raise TooMany(
                f"{self.queue} tasks and jobs wait already, as many as this library takes",
                after_s=5.0,
                hint="Wait until some are done, or cancel what nobody needs: intaglio tasks queue",
            )

    def check_plan(self, plan: Plan) -> None:
        """Raises TooLarge for a plan with a step that asks for more pixels than it may."""
        for step in plan.steps:
            asked = _pixels(step.params.get("width"), step.params.get("height"))
            if self.pixels and asked > self.pixels:
                raise TooLarge(
                    f"node {step.node!r} asks for {asked} pixels; this library takes {self.pixels} in a picture",
                    limit=self.pixels,
                    hint="Ask for a smaller picture.",
                )


UNLIMITED = Limits()


def _pixels(width: object, height: object) -> int:
    return width * height if isinstance(width, int) and isinstance(height, int) else 0
