"""How each object of a scene is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from train.canvas import Canvas, X, Y
from train.palette import Colour, jitter, rgb, tint


@dataclass
class Brush:
    """Where an object stands, how tall it is, and the colours it is painted in."""

    canvas: Canvas
    rng: np.random.Generator
    colour_name: str
    x: float
    ground: float
    height: float
    time: str
    lit: bool

    def __post_init__(self) -> None:
        self.colour: Colour = tint(jitter(rgb(self.colour_name), self.rng), self.time)
        self.dark: Colour = (self.colour * 0.72).astype(np.float32)
        self.light: Colour = np.clip(self.colour * 1.18 + 8, 0, 255).astype(np.float32)
        self.wood: Colour = self.mix(112, 72, 44)
        self.window: Colour = self.mix(150, 205, 235)
        if self.lit:
            self.window = np.array([255, 222, 110], np.float32)

    def mix(self, red: float, green: float, blue: float) -> Colour:
        """A fixed colour as it looks at this time of day."""
        return tint(np.array([red, green, blue], np.float32), self.time)

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour) -> None:
        """A rectangle in units of the height, from the foot of the object upwards."""
        h = self.height
        self.canvas.rectangle(
            self.x + left * h, self.ground - top * h, self.x + right * h, self.ground - bottom * h, colour
        )

    def ball(self, x: float, y: float, radius: float, colour: Colour, least: float = 0.0) -> None:
        """A disc in units of the height, at least `least` pixels in radius."""
        h = self.height
        self.canvas.disc(self.x + x * h, self.ground - y * h, max(least, radius * h), colour)


def draw_house(b: Brush) -> None:
    """Walls with a shaded side, a roof, one window and a door."""
    h, w = b.height, b.height * 0.46
    wall = b.ground - h * 0.56
    b.canvas.rectangle(b.x - w, wall, b.x + w, b.ground, b.colour)
    b.canvas.rectangle(b.x + w * 0.55, wall, b.x + w, b.ground, b.dark)
    slate = b.colour_name in ("red", "brown")
    roof = np.array([84, 84, 100] if slate else [120, 62, 52], np.float32)
    b.canvas.triangle(b.x, b.ground - h, wall + 1, w * 1.28, tint(jitter(roof, b.rng), b.time))
    pane = wall + h * 0.14
    b.canvas.rectangle(b.x - w * 0.62, pane, b.x - w * 0.14, pane + max(3, h * 0.18), b.window)
    b.canvas.rectangle(b.x + w * 0.1, b.ground - h * 0.32, b.x + w * 0.48, b.ground, b.wood)


def draw_tree(b: Brush) -> None:
    """A trunk under a crown of three discs and a highlight."""
    h, r = b.height, b.height * 0.32
    trunk = max(1.0, h * 0.07)
    b.canvas.rectangle(b.x - trunk, b.ground - h * 0.45, b.x + trunk, b.ground, b.wood)
    b.canvas.disc(b.x, b.ground - h * 0.66, r, b.colour)
    b.canvas.disc(b.x - r * 0.72, b.ground - h * 0.52, r * 0.68, b.dark)
    b.canvas.disc(b.x + r * 0.72, b.ground - h * 0.52, r * 0.68, b.colour)
    b.canvas.disc(b.x - r * 0.2, b.ground - h * 0.76, r * 0.45, b.light)


def draw_pine(b: Brush) -> None:
    """Three triangles on a thin trunk."""
    h, tip = b.height, b.ground - b.height
    b.canvas.rectangle(b.x - 1.2, b.ground - h * 0.2, b.x + 1.2, b.ground, b.wood)
    for top, base, half, colour in (
        (0.0, 0.45, 0.2, b.colour),
        (0.22, 0.68, 0.28, b.dark),
        (0.46, 0.88, 0.36, b.colour),
    ):
        b.canvas.triangle(b.x, tip + h * top, tip + h * base, h * half, colour)


def draw_mushroom(b: Brush) -> None:
    """A pale stem under a half-round cap with three white spots."""
    h, stem = b.height, b.mix(244, 230, 206)
    b.box(-0.15, 0, 0.15, 0.5, stem)
    b.box(0.05, 0, 0.15, 0.5, (stem * 0.82).astype(np.float32))
    rim = b.ground - h * 0.45
    cap = ((X + 0.5 - b.x) / (h * 0.5)) ** 2 + ((Y + 0.5 - rim) / (h * 0.55)) ** 2 <= 1
    b.canvas.fill(cap & (rim > Y), b.colour)
    spot = b.mix(250, 248, 240)
    b.ball(-0.2, 0.62, 0.085, spot, 1.3)
    b.ball(0.2, 0.66, 0.085, spot, 1.3)
    b.ball(0, 0.84, 0.075, spot, 1.2)


def draw_boat(b: Brush) -> None:
    """A brown hull, a mast and two coloured sails."""
    h, deck = b.height, b.ground - b.height * 0.22
    hull = np.abs(X + 0.5 - b.x) <= h * 0.55 - (Y - deck) * 0.8
    b.canvas.fill((deck <= Y) & (b.ground > Y) & hull, b.wood)
    mast = b.mix(90, 62, 42)
    b.canvas.rectangle(b.x - 0.8, b.ground - h, b.x + 0.8, b.ground - h * 0.2, mast)
    boom = b.ground - h * 0.3
    tip = b.ground - h
    front = (b.x + 0.8 < X) & (X - b.x <= (Y - tip) * 0.62) & (tip < Y)
    b.canvas.fill(front & (boom > Y), b.colour)
    back = (b.x - 0.8 > X) & (b.x - X <= (Y - (b.ground - h * 0.86)) * 0.5) & (b.ground - h * 0.9 < Y)
    b.canvas.fill(back & (boom > Y), b.dark)


def draw_flower(b: Brush) -> None:
    """A stem with two leaves, five petals and a middle."""
    h, green = b.height, b.mix(62, 150, 66)
    b.canvas.rectangle(b.x - 0.9, b.ground - h * 0.62, b.x + 0.9, b.ground, green)
    b.canvas.ellipse(b.x + h * 0.16, b.ground - h * 0.2, h * 0.15, h * 0.08, green)
    b.canvas.ellipse(b.x - h * 0.16, b.ground - h * 0.3, h * 0.15, h * 0.08, green)
    y, r = b.ground - h * 0.72, h * 0.15
    for petal in range(5):
        angle = petal * 2 * np.pi / 5 - np.pi / 2
        b.canvas.disc(b.x + np.cos(angle) * r * 1.25, y + np.sin(angle) * r * 1.25, r, b.colour)
    middle = "brown" if b.colour_name in ("yellow", "orange") else "yellow"
    b.canvas.disc(b.x, y, r * 0.8, tint(rgb(middle), b.time))


def draw_snowman(b: Brush) -> None:
    """Three white balls, a coloured scarf, a black hat and a carrot."""
    snow, coal = b.mix(246, 248, 252), b.mix(40, 40, 48)
    b.ball(0, 0.24, 0.27, (snow * 0.93).astype(np.float32))
    b.ball(0, 0.56, 0.2, snow)
    b.ball(0, 0.8, 0.15, snow)
    b.box(-0.17, 0.61, 0.17, 0.69, b.colour)
    b.box(-0.16, 0.9, 0.16, 0.95, coal)
    b.box(-0.1, 0.9, 0.1, 1.08, coal)
    b.box(0, 0.75, 0.14, 0.8, tint(rgb("orange"), b.time))


def draw_castle(b: Brush) -> None:
    """A wall with battlements between two roofed towers, a gate and a window."""
    h, w = b.height, b.height * 0.52
    b.canvas.rectangle(b.x - w * 0.7, b.ground - h * 0.58, b.x + w * 0.7, b.ground, b.colour)
    roof = tint(rgb("blue" if b.colour_name == "pink" else "red"), b.time)
    for middle, shade in ((b.x - w * 0.75, b.light), (b.x + w * 0.75, b.dark)):
        b.canvas.rectangle(middle - w * 0.24, b.ground - h * 0.76, middle + w * 0.24, b.ground, shade)
        b.canvas.triangle(middle, b.ground - h, b.ground - h * 0.74, w * 0.32, roof)
    for tooth in range(3):
        left = b.x - w * 0.45 + tooth * w * 0.36
        right = left + max(2.0, w * 0.16)
        b.canvas.rectangle(left, b.ground - h * 0.66, right, b.ground - h * 0.56, b.colour)
    b.canvas.rectangle(b.x - w * 0.18, b.ground - h * 0.3, b.x + w * 0.18, b.ground, b.mix(70, 46, 36))
    b.canvas.rectangle(b.x - w * 0.1, b.ground - h * 0.48, b.x + w * 0.1, b.ground - h * 0.38, b.window)


DRAW: Final[dict[str, Callable[[Brush], None]]] = {
    "house": draw_house,
    "tree": draw_tree,
    "pine": draw_pine,
    "mushroom": draw_mushroom,
    "boat": draw_boat,
    "flower": draw_flower,
    "snowman": draw_snowman,
    "castle": draw_castle,
}
