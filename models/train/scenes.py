"""Seeded generator of 64x64 scenes: what is in each one, and how it is drawn.

    make(7)  ->  Example(scene=Scene(...), image=64x64x3 bytes, caption="a red house ...")

The same seed gives the same bytes on every machine: only numpy's PCG64 generator
and single-precision arithmetic are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from train import palette
from train.canvas import SIZE, Canvas, X, Y
from train.objects import DRAW, Brush
from train.palette import Colour, jitter, rgb, tint

T = TypeVar("T")

HEIGHTS: Final = {"small": 17.0, "normal": 26.0, "big": 34.0}
FEET: Final = {"small": 6.0, "normal": 10.0, "big": 14.0}
COLUMNS: Final = {"left": 16.0, "middle": 32.0, "right": 48.0}
BODY_COLUMNS: Final = {"left": 12.0, "middle": 32.0, "right": 52.0}
BODY_RADII: Final = {"small": 4.2, "normal": 6.2, "big": 8.5}
ORDER: Final = {"small": 0, "normal": 1, "big": 2}


@dataclass(frozen=True)
class Thing:
    """One object of a scene. A snowman's colour is that of its scarf, a boat's that of its sails."""

    kind: str
    colour: str
    place: str
    size: str


@dataclass(frozen=True)
class Scene:
    """Everything that a picture shows and that a caption may name."""

    time: str
    sky: str
    ground: str
    ground_colour: str
    backdrop: str
    backdrop_colour: str
    body: str
    body_colour: str
    body_place: str
    body_size: str
    crescent: bool
    clouds: int
    stars: bool
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Example:
    """A scene, its picture, and one caption of it."""

    scene: Scene
    image: NDArray[np.uint8]
    caption: str


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def sample_things(rng: np.random.Generator, ground: str) -> tuple[Thing, ...]:
    """One object, or two side by side."""
    count = 1 if rng.random() < 0.62 else 2
    if count == 1:
        places = [pick(rng, palette.PLACES)]
    else:
        places = ["left", "right"] if rng.random() < 0.5 else ["right", "left"]
    things: list[Thing] = []
    for place in places:
        boat = ground == "sea" and not things and rng.random() < 0.55
        kind = "boat" if boat else pick(rng, palette.OBJECTS)
        colour = pick(rng, palette.OBJECT_COLOURS[kind])
        things.append(Thing(kind, colour, place, pick(rng, ("small", "normal", "normal", "big"))))
    return tuple(things)


def sample_ground(rng: np.random.Generator, ground: str, things: tuple[Thing, ...]) -> tuple[str, str]:
    """The ground and its colour; boats always float on a sea."""
    if ground != "sea" and any(thing.kind == "boat" for thing in things):
        usual = rng.random() < 0.7
        return "sea", "blue" if usual else pick(rng, palette.ODD_SEA_COLOURS)
    usual = rng.random() < 0.75
    return ground, palette.GROUND_COLOUR[ground] if usual else pick(rng, palette.ODD_GROUND_COLOURS)


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw the contents of one scene."""
    time = pick(rng, ("day", "day", "night", "night", "sunset"))
    usual_sky = rng.random() < 0.4
    sky = ("orange" if time == "sunset" else "blue") if usual_sky else pick(rng, palette.SKY_COLOURS)
    ground = pick(rng, ("grass", "grass", "sand", "snow", "sea"))
    things = sample_things(rng, ground)
    ground, ground_colour = sample_ground(rng, ground, things)
    night = time == "night"
    shown = rng.random() < (0.92 if night else 0.85)
    body = ("moon" if night else "sun") if shown else "none"
    return Scene(
        time=time,
        sky=sky,
        ground=ground,
        ground_colour=ground_colour,
        backdrop=pick(rng, palette.BACKDROPS),
        backdrop_colour=pick(rng, palette.BACKDROP_COLOURS),
        body=body,
        body_colour=pick(rng, palette.MOON_COLOURS if night else palette.SUN_COLOURS),
        body_place=pick(rng, palette.PLACES),
        body_size=pick(rng, palette.SIZES),
        crescent=body == "moon" and rng.random() < 0.4,
        clouds=pick(rng, (0, 0, 1, 2, 3)),
        stars=night and rng.random() < 0.85,
        things=things,
    )


def _mix(colour: Colour, share: float, add: tuple[float, float, float]) -> Colour:
    return (colour * share + np.array(add, np.float32)).astype(np.float32)


def draw_sky(canvas: Canvas, scene: Scene, rng: np.random.Generator, horizon: int) -> None:
    """Six bands from the top colour down to a paler horizon, and the stars."""
    base = rgb(scene.sky)
    if scene.time == "day":
        top, low = jitter(_mix(base, 0.92, (18, 18, 18)), rng), _mix(base, 0.38, (144, 148, 149))
    elif scene.time == "night":
        top, low = jitter(_mix(base, 0.20, (2, 2, 14)), rng, 4), _mix(base, 0.42, (10, 10, 34))
    else:
        top, low = jitter(_mix(base, 0.62, (30, 6, 44)), rng), _mix(base, 0.40, (153, 114, 72))
    bands = 6
    for band in range(bands):
        share = band / (bands - 1)
        colour = np.clip(top * (1 - share) + low * share, 0, 255).astype(np.float32)
        edge = horizon * band / bands
        canvas.rectangle(0, edge, SIZE, edge + horizon / bands + 1, colour)
    if scene.stars:
        count = int(rng.integers(10, 20))
        columns, rows = rng.integers(0, SIZE, count), rng.integers(0, horizon - 8, count)
        canvas.pixels[rows, columns] = np.array([250, 246, 214], np.float32)


def draw_moon(canvas: Canvas, x: float, y: float, radius: float, colour: Colour, crescent: bool) -> None:
    """A full moon with two craters, or a crescent."""
    disc = (X + 0.5 - x) ** 2 + (Y + 0.5 - y) ** 2 <= radius**2
    if crescent:
        bite = (X + 0.5 - x - radius * 0.55) ** 2 + (Y + 0.5 - y + radius * 0.25) ** 2
        canvas.fill(disc & (bite > (radius * 0.88) ** 2), colour)
        return
    canvas.fill(disc, colour)
    crater = (colour * 0.86).astype(np.float32)
    canvas.disc(x - radius * 0.3, y - radius * 0.2, max(1.0, radius * 0.2), crater)
    canvas.disc(x + radius * 0.35, y + radius * 0.3, max(1.0, radius * 0.15), crater)


def draw_body(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """The sun with its glow, or the moon."""
    if scene.body == "none":
        return
    radius = BODY_RADII[scene.body_size] + rng.uniform(-0.5, 0.5)
    x = BODY_COLUMNS[scene.body_place] + rng.uniform(-3, 3)
    y = (20 if scene.time == "sunset" else 13) + rng.uniform(-3, 5)
    colour = jitter(rgb(scene.body_colour), rng, 5)
    if scene.body == "moon":
        draw_moon(canvas, x, y, radius, colour, scene.crescent)
        return
    glow = (canvas.pixels[int(y), int(x)] * 0.6 + colour * 0.4).astype(np.float32)
    canvas.disc(x, y, radius * 1.35, glow)
    canvas.disc(x, y, radius, colour)


def draw_clouds(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Each cloud is three flat discs."""
    shade = {"day": (252, 252, 255), "night": (96, 100, 132), "sunset": (255, 206, 190)}
    colour = np.array(shade[scene.time], np.float32)
    for _ in range(scene.clouds):
        x, y, w = rng.uniform(5, 59), rng.uniform(5, 24), rng.uniform(0.75, 1.25)
        canvas.ellipse(x, y, 6 * w, 2.2 * w, colour)
        canvas.ellipse(x - 3 * w, y + 0.5, 4.5 * w, 2 * w, colour)
        canvas.ellipse(x + 1.5 * w, y - 1.8 * w, 3.2 * w, 2.4 * w, colour)


def draw_backdrop(canvas: Canvas, scene: Scene, rng: np.random.Generator, horizon: int) -> None:
    """Two waves of hills, or two or three snow-capped mountains."""
    base = jitter(rgb(scene.backdrop_colour), rng)
    if scene.backdrop == "hills":
        for layer in range(2):
            colour = tint((base * (0.72 + 0.18 * layer)).astype(np.float32), scene.time)
            phase, pitch, swing = rng.uniform(0, 6.28), rng.uniform(0.09, 0.16), rng.uniform(2.5, 5)
            crest = horizon - (9 - 5 * layer) + swing * np.sin(X[0] * pitch + phase)
            canvas.fill((crest[None] <= Y) & (horizon >= Y), colour)
    elif scene.backdrop == "mountains":
        count = int(rng.integers(2, 4))
        for peak in range(count):
            x, tall = (peak + 0.5) * SIZE / count + rng.uniform(-6, 6), rng.uniform(16, 25)
            colour = tint((base * (0.75 + 0.12 * (peak % 2))).astype(np.float32), scene.time)
            snow = tint(np.array([246, 248, 255], np.float32), scene.time)
            canvas.triangle(x, horizon - tall, horizon + 1, tall * rng.uniform(0.8, 1.1), colour)
            canvas.triangle(x, horizon - tall, horizon - tall * 0.72, tall * 0.27, snow)


def ground_shade(scene: Scene, rng: np.random.Generator) -> Colour:
    """The colour of the ground: the usual grounds have softer colours than their names."""
    natural = {
        ("snow", "white"): ((232, 240, 250), 5.0),
        ("sand", "yellow"): ((236, 208, 140), 6.0),
        ("grass", "green"): ((96, 178, 74), 9.0),
    }
    known = natural.get((scene.ground, scene.ground_colour))
    base, amount = (np.array(known[0], np.float32), known[1]) if known else (rgb(scene.ground_colour), 9.0)
    return tint(jitter(base, rng, amount), scene.time)


def draw_ground(canvas: Canvas, scene: Scene, rng: np.random.Generator, horizon: int) -> None:
    """The ground with its texture: waves, blades, ripples or a drift."""
    colour = ground_shade(scene, rng)
    shades = {name: (colour * share).astype(np.float32) for name, share in (("dim", 0.95), ("dark", 0.82))}
    canvas.rectangle(0, horizon, SIZE, SIZE, colour)
    if scene.ground == "sea":
        crest = np.clip(colour * 1.12 + 22, 0, 255).astype(np.float32)
        for row in range(horizon + 3, SIZE, 5):
            for column in range(int(rng.integers(0, 10)), SIZE, 16):
                canvas.rectangle(column, row, column + int(rng.integers(4, 9)), row + 1, crest)
        canvas.rectangle(0, horizon, SIZE, horizon + 1, crest)
    elif scene.ground == "grass":
        canvas.rectangle(0, horizon, SIZE, horizon + 2, np.clip(colour * 1.1 + 8, 0, 255).astype(np.float32))
        for _ in range(9):
            column, row = int(rng.integers(1, 62)), int(rng.integers(horizon + 5, 62))
            canvas.rectangle(column, row, column + 1, row + 2, shades["dark"])
    elif scene.ground == "sand":
        canvas.rectangle(0, horizon + 9, SIZE, SIZE, shades["dim"])
        for _ in range(6):
            column, row = int(rng.integers(0, 56)), int(rng.integers(horizon + 4, 62))
            canvas.rectangle(column, row, column + 6, row + 1, shades["dark"])
    else:
        drift = horizon + 8 + 2.5 * np.sin(X[0] * rng.uniform(0.08, 0.14) + rng.uniform(0, 6.28))
        canvas.fill(drift[None] <= Y, shades["dim"])


def draw_things(canvas: Canvas, scene: Scene, rng: np.random.Generator, horizon: int) -> None:
    """The objects, small ones first; on a sea, all but boats stand on a little island."""
    lit = scene.time == "night" or (scene.time == "sunset" and rng.random() < 0.6)
    shrink = 0.88 if len(scene.things) > 1 else 1.0
    for thing in sorted(scene.things, key=lambda t: ORDER[t.size]):
        height = HEIGHTS[thing.size] * shrink * rng.uniform(0.93, 1.07)
        x = COLUMNS[thing.place] + rng.uniform(-2.5, 2.5)
        foot = round(horizon + FEET[thing.size] + rng.uniform(-2, 2))
        if scene.ground == "sea" and thing.kind != "boat":
            sand = tint(np.array([232, 204, 138], np.float32), scene.time)
            turf = tint(np.array([98, 176, 80], np.float32), scene.time)
            canvas.ellipse(x, foot + 0.5, height * 0.62 + 2, 3.2, sand)
            canvas.ellipse(x, foot - 0.6, height * 0.56, 2.0, turf)
        DRAW[thing.kind](Brush(canvas, rng, thing.colour, x, foot, height, scene.time, lit))


def render(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the scene; `rng` settles what the scene leaves open."""
    canvas, horizon = Canvas(), int(rng.integers(38, 45))
    draw_sky(canvas, scene, rng, horizon)
    draw_body(canvas, scene, rng)
    draw_clouds(canvas, scene, rng)
    draw_backdrop(canvas, scene, rng, horizon)
    draw_ground(canvas, scene, rng, horizon)
    draw_things(canvas, scene, rng, horizon)
    return canvas.image()


def make(seed: int) -> Example:
    """The scene, picture and caption that belong to `seed`."""
    from train.captions import caption  # captions are built on scenes

    rng = np.random.default_rng(seed)
    scene = sample_scene(rng)
    image = render(scene, rng)
    return Example(scene, image, caption(scene, rng))
