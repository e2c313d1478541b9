"""Layout pictures: a scene as five flat colours, which the ControlNet follows.

Sky, sun or moon, hills or mountains, ground, objects: each pixel has the colour of
what was painted there last. Clouds and stars count as sky.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from train import scenes
from train.canvas import SIZE, Canvas, Mask, X, Y
from train.scenes import Scene, sample_scene

COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "sky": (0, 128, 255),
    "body": (255, 255, 0),
    "backdrop": (128, 0, 255),
    "ground": (0, 160, 0),
    "thing": (255, 0, 0),
}
PARTS: Final = tuple(COLOURS)
ROUGH: Final = 0.5  # share of layouts drawn with boxes and discs instead of silhouettes

Parts = NDArray[np.uint8]


def draw(scene: Scene, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Parts]:
    """The picture that `scenes.render` draws, and the number of the part at each pixel."""
    canvas, horizon = Canvas(), int(rng.integers(38, 45))
    parts = np.zeros((SIZE, SIZE), np.uint8)
    scenes.draw_sky(canvas, scene, rng, horizon)
    before = canvas.pixels.copy()

    def mark(name: str) -> None:
        parts[(canvas.pixels != before).any(2)] = PARTS.index(name)
        before[:] = canvas.pixels

    scenes.draw_body(canvas, scene, rng)
    mark("body")
    scenes.draw_clouds(canvas, scene, rng)
    mark("sky")
    scenes.draw_backdrop(canvas, scene, rng, horizon)
    mark("backdrop")
    scenes.draw_ground(canvas, scene, rng, horizon)
    mark("ground")
    scenes.draw_things(canvas, scene, rng, horizon)
    mark("thing")
    return canvas.image(), parts


def box(mask: Mask) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the marked pixels, the last two not included."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def roughened(parts: Parts) -> Parts:
    """The layout as somebody would sketch it: a disc for the body, a box for each half's objects."""
    rough = parts.copy()
    things = parts == PARTS.index("thing")
    body = box(parts == PARTS.index("body"))
    if body is not None:
        x, y = (body[0] + body[2]) / 2, (body[1] + body[3]) / 2
        radius = max(body[2] - body[0], body[3] - body[1]) / 2
        disc = (X + 0.5 - x) ** 2 + (Y + 0.5 - y) ** 2 <= radius**2
        rough[disc & (parts == PARTS.index("sky"))] = PARTS.index("body")
    halves = (X < SIZE // 2, X >= SIZE // 2)
    apart = box(things & (SIZE // 2 - 3 < X) & (SIZE // 2 + 3 > X)) is None
    for half in halves if apart else (np.ones_like(things),):
        found = box(things & half)
        if found is not None:
            rough[found[1] : found[3], found[0] : found[2]] = PARTS.index("thing")
    return rough


def coloured(parts: Parts) -> NDArray[np.uint8]:
    """A layout as a picture in the five colours."""
    return np.array([COLOURS[name] for name in PARTS], np.uint8)[parts]


def sample(seed: int) -> tuple[Scene, NDArray[np.uint8], Parts]:
    """The scene and picture of a seed, as `scenes.make` has them, and the layout."""
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng)
    image, parts = draw(scene, rng)
    return scene, image, roughened(parts) if np.random.default_rng((seed, 1)).random() < ROUGH else parts
