"""The words and colours that scenes are made of.

Everything the model can know is named here: colours, objects, grounds, times of
day, and the words that captions use for them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float32]

COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (214, 52, 48),
    "orange": (242, 140, 40),
    "yellow": (250, 214, 60),
    "green": (70, 170, 70),
    "blue": (58, 112, 220),
    "purple": (136, 70, 190),
    "pink": (246, 140, 180),
    "white": (240, 240, 244),
    "brown": (134, 84, 48),
    "grey": (136, 140, 150),
    "teal": (40, 168, 164),
}

COLOUR_SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "red": ("crimson", "scarlet"),
    "orange": ("tangerine",),
    "yellow": ("golden",),
    "green": ("emerald",),
    "blue": ("azure",),
    "purple": ("violet",),
    "pink": ("rosy",),
    "grey": ("gray",),
    "teal": ("turquoise",),
}

SKY_COLOURS: Final = ("blue", "pink", "orange", "purple", "teal", "yellow", "red", "grey", "green")
SUN_COLOURS: Final = ("white", "yellow", "yellow", "orange", "red", "pink")
MOON_COLOURS: Final = ("white", "white", "yellow", "orange", "blue", "pink")
BACKDROP_COLOURS: Final = ("green", "purple", "blue", "grey", "brown", "teal", "orange", "pink")
ODD_GROUND_COLOURS: Final = (
    "green",
    "yellow",
    "white",
    "blue",
    "purple",
    "orange",
    "pink",
    "teal",
    "brown",
    "red",
)
ODD_SEA_COLOURS: Final = ("teal", "purple", "green", "pink")

OBJECTS: Final = ("house", "tree", "pine", "mushroom", "boat", "flower", "snowman", "castle")

OBJECT_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "house": ("house", "house", "cottage", "cabin", "home"),
    "tree": ("tree",),
    "pine": ("pine tree", "pine", "fir", "fir tree"),
    "mushroom": ("mushroom", "mushroom", "toadstool"),
    "boat": ("boat", "sailboat", "ship"),
    "flower": ("flower", "flower", "blossom"),
    "snowman": ("snowman",),
    "castle": ("castle", "castle", "fortress"),
}

OBJECT_COLOURS: Final[dict[str, tuple[str, ...]]] = {
    "house": ("red", "white", "yellow", "blue", "brown", "pink", "green", "purple"),
    "tree": ("green", "orange", "red", "pink", "yellow", "purple", "teal"),
    "pine": ("green", "teal", "blue", "white"),
    "mushroom": ("red", "orange", "purple", "blue", "pink", "yellow", "brown"),
    "boat": ("red", "white", "yellow", "blue", "green", "orange", "pink"),
    "flower": ("red", "pink", "yellow", "purple", "white", "blue", "orange"),
    "snowman": ("red", "blue", "green", "purple", "orange"),
    "castle": ("grey", "white", "pink", "purple", "brown", "blue"),
}

GROUNDS: Final = ("grass", "sand", "snow", "sea")
GROUND_COLOUR: Final = {"grass": "green", "sand": "yellow", "snow": "white", "sea": "blue"}
GROUND_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "grass": ("grass", "meadow", "field", "lawn"),
    "sand": ("sand", "desert", "beach"),
    "snow": ("snow", "snow", "winter"),
    "sea": ("sea", "ocean", "water", "lake"),
}

BACKDROPS: Final = ("hills", "mountains", "none")
TIMES: Final = ("day", "night", "sunset")
TIME_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "day": ("day", "daytime", "a sunny day"),
    "night": ("night", "nighttime", "midnight"),
    "sunset": ("sunset", "dusk", "sunrise"),
}
BODIES: Final = ("sun", "moon", "none")
PLACES: Final = ("left", "middle", "right")
SIZES: Final = ("small", "normal", "big")
SIZE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "small": ("small", "tiny", "little"),
    "normal": ("",),
    "big": ("big", "large", "huge"),
}

# Words people write that name nothing in the picture: the model learns to ignore them.
OPENINGS: Final = (
    "a picture of",
    "a painting of",
    "pixel art of",
    "an image of",
    "an illustration of",
    "a photo of",
    "a scene with",
)
CLOSINGS: Final = (
    "pixel art",
    "beautiful",
    "cute",
    "detailed",
    "masterpiece",
    "high quality",
    "charming",
    "colorful",
    "8k",
    "best quality",
    "cozy",
    "retro game style",
    "calm",
    "highly detailed",
    "lovely",
    "storybook style",
)


def rgb(name: str) -> Colour:
    """The base colour called `name`, as three floats from 0 to 255."""
    return np.array(COLOURS[name], np.float32)


def jitter(colour: Colour, rng: np.random.Generator, amount: float = 9.0) -> Colour:
    """`colour`, a little lighter or darker and a little off in each channel."""
    shift = rng.uniform(-amount, amount) + rng.uniform(-amount / 2, amount / 2, 3)
    moved: Colour = np.clip(colour + shift, 0, 255).astype(np.float32)
    return moved


def tint(colour: Colour, time: str) -> Colour:
    """How `colour` looks at that time of day."""
    if time == "night":
        cold = np.array([0.62, 0.63, 0.76], np.float32)
        return (colour * cold + np.array([4, 6, 18], np.float32)).astype(np.float32)
    if time == "sunset":
        warm = np.array([1.0, 0.86, 0.80], np.float32)
        sunlit: Colour = np.clip(colour * warm + np.array([12, 4, 0], np.float32), 0, 255).astype(np.float32)
        return sunlit
    return colour
