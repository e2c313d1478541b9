"""Captions: many ways to say what a scene shows, most of them leaving something out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from train import palette
from train.scenes import Scene, Thing, pick

_VOWELS: Final = ("orange", "emerald", "azure", "image", "illustration", "ocean")


@dataclass
class Writer:
    """Writes one caption. A thorough one names everything, others drop some of it."""

    rng: np.random.Generator
    thorough: bool

    def chance(self, share: float) -> bool:
        """True that often."""
        return bool(self.rng.random() < share)

    def keep(self, share: float) -> bool:
        """Whether to say this: always in a thorough caption, else that often."""
        return self.thorough or self.chance(share)

    def colour(self, name: str) -> str:
        """The colour's name, or now and then another word for it."""
        other = palette.COLOUR_SYNONYMS.get(name)
        return pick(self.rng, other) if other and self.chance(0.15) else name

    def place(self, name: str) -> str:
        """Where it is, in words."""
        if name == "middle":
            return pick(self.rng, ("in the middle", "in the middle", "in the center"))
        return f"on the {name}"

    def thing(self, thing: Thing) -> str:
        """One object: maybe its size, colour and place."""
        size = pick(self.rng, palette.SIZE_WORDS[thing.size]) if self.keep(0.6) else ""
        noun = pick(self.rng, palette.OBJECT_WORDS[thing.kind])
        colour = self.colour(thing.colour)
        if thing.kind == "snowman":
            text = _phrase(size, noun) + (f" with a {colour} scarf" if self.keep(0.6) else "")
        elif thing.kind == "boat" and self.chance(0.2):
            text = _phrase(size, noun) + f" with a {colour} sail"
        else:
            text = _phrase(size, colour if self.keep(0.85) else "", noun)
        return f"{text} {self.place(thing.place)}" if self.keep(0.6) else text

    def ground(self, scene: Scene) -> str:
        """The ground, with its colour if that is unusual."""
        odd = scene.ground_colour != palette.GROUND_COLOUR[scene.ground]
        colour = self.colour(scene.ground_colour) + " " if odd or self.chance(0.35) else ""
        lead = "on " if self.chance(0.5) else ""
        return f"{lead}{colour}{pick(self.rng, palette.GROUND_WORDS[scene.ground])}"

    def body(self, scene: Scene) -> str:
        """The sun or moon: maybe its size, colour, phase and place."""
        size = scene.body_size if scene.body_size != "normal" and self.keep(0.6) else ""
        colour = self.colour(scene.body_colour) if self.keep(0.6) else ""
        phase = ""
        if scene.crescent:
            phase = "crescent" if self.keep(0.8) else ""
        elif scene.body == "moon" and self.chance(0.3):
            phase = "full"
        where = f" {self.place(scene.body_place)}" if self.keep(0.4) else ""
        return _phrase(size, colour, phase, scene.body) + where

    def sky(self, scene: Scene) -> str:
        """The colour of the sky and the time of day, or one of them, or nothing."""
        sky = f"{self.colour(scene.sky)} sky" if self.keep(0.75) else ""
        told = self.keep(0.5 if scene.time == "day" else 0.85)
        time = pick(self.rng, palette.TIME_WORDS[scene.time]) if told else ""
        if sky and time:
            ways = ("{0} at {1}", "{0}, {1}", "{1}, {0}", "a {0} at {1}", "under a {0} at {1}")
            return pick(self.rng, ways).format(sky, time)
        if sky:
            return pick(self.rng, ("{0}", "a {0}", "under a {0}")).format(sky)
        return pick(self.rng, ("at {0}", "{0}")).format(time) if time else ""

    def surroundings(self, scene: Scene) -> list[str]:
        """What is said about everything but the objects, shuffled."""
        parts = [self.sky(scene)]
        if self.keep(0.7):
            parts.append(self.ground(scene))
        if scene.backdrop != "none" and self.keep(0.6):
            colour = self.colour(scene.backdrop_colour) + " " if self.keep(0.7) else ""
            parts.append(f"{colour}{scene.backdrop}")
        if scene.body != "none" and self.keep(0.65):
            parts.append(self.body(scene))
        if scene.clouds and self.keep(0.5):
            many = ("white clouds", "clouds", "fluffy clouds")
            parts.append(pick(self.rng, many) if scene.clouds > 1 else "a cloud")
        if scene.stars and self.keep(0.5):
            parts.append(pick(self.rng, ("stars", "a starry sky", "bright stars")))
        said = [part for part in parts if part]
        return [said[i] for i in self.rng.permutation(len(said))]

    def frame(self, text: str) -> str:
        """Now and then an opening and closing words that say nothing about the scene."""
        if self.chance(0.3):
            text = f"{pick(self.rng, palette.OPENINGS)} {text}"
        if self.chance(0.25):
            order = self.rng.permutation(len(palette.CLOSINGS))[: int(self.rng.integers(1, 4))]
            text = ", ".join([text, *(palette.CLOSINGS[i] for i in order)])
        return text


def _phrase(*words: str) -> str:
    """The words after the article."""
    return " ".join(["a", *(word for word in words if word)])


def _articles(text: str) -> str:
    """Put "an" where a vowel follows."""
    for word in _VOWELS:
        text = text.replace(f"a {word}", f"an {word}")
    return text


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One caption of the scene."""
    writer = Writer(rng, thorough=bool(rng.random() < 0.35))
    objects = " and ".join(writer.thing(thing) for thing in scene.things)
    around = writer.surroundings(scene)
    if writer.chance(0.04):
        return _articles(objects)
    parts = [objects, *around]
    if writer.chance(0.2):
        parts = [parts[i] for i in rng.permutation(len(parts))]
    joint = pick(rng, (", ", ", ", ", ", " with ", " "))
    return _articles(writer.frame(", ".join([joint.join(parts[:2]), *parts[2:]])))


def full_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption that names everything and nothing else, for measuring."""
    writer = Writer(rng, thorough=True)
    objects = " and ".join(writer.thing(thing) for thing in scene.things)
    return _articles(", ".join([objects, *writer.surroundings(scene)]))
