"""The generator: the same seed draws the same scene, and captions say what is there."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from train import palette
from train.captions import caption, full_caption
from train.scenes import Scene, make, render, sample_scene

SEEDS = range(300)


def test_the_same_seed_gives_the_same_scene_picture_and_caption() -> None:
    for seed in range(20):
        first, second = make(seed), make(seed)
        assert first.scene == second.scene
        assert first.caption == second.caption
        assert np.array_equal(first.image, second.image)


def test_different_seeds_give_different_pictures() -> None:
    digests = {hashlib.sha256(make(seed).image.tobytes()).hexdigest() for seed in SEEDS}
    assert len(digests) == len(SEEDS)


def test_pictures_are_64_by_64_bytes() -> None:
    image = make(3).image
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8


def test_every_kind_of_object_ground_and_time_occurs() -> None:
    scenes = [make(seed).scene for seed in SEEDS]
    assert {thing.kind for scene in scenes for thing in scene.things} == set(palette.OBJECTS)
    assert {scene.ground for scene in scenes} == set(palette.GROUNDS)
    assert {scene.time for scene in scenes} == set(palette.TIMES)


def test_boats_are_only_on_the_sea() -> None:
    for seed in SEEDS:
        scene = make(seed).scene
        if any(thing.kind == "boat" for thing in scene.things):
            assert scene.ground == "sea"


def names(colour: str) -> tuple[str, ...]:
    """All the words for a colour."""
    return (colour, *palette.COLOUR_SYNONYMS.get(colour, ()))


def says(text: str, words: tuple[str, ...]) -> bool:
    """Whether the text has one of the words."""
    return any(word in text for word in words)


def test_a_full_caption_names_everything_that_is_drawn() -> None:
    for seed in SEEDS:
        scene = sample_scene(np.random.default_rng(seed))
        text = full_caption(scene, np.random.default_rng(seed + 1))
        for thing in scene.things:
            assert says(text, palette.OBJECT_WORDS[thing.kind])
            assert says(text, names(thing.colour))
            assert says(text, palette.SIZE_WORDS[thing.size])
        assert says(text, palette.GROUND_WORDS[scene.ground])
        assert says(text, palette.TIME_WORDS[scene.time])
        assert says(text, tuple(f"{word} sky" for word in names(scene.sky)))
        assert scene.body == "none" or scene.body in text
        assert scene.backdrop == "none" or scene.backdrop in text


def test_no_caption_names_an_object_that_is_not_drawn() -> None:
    for seed in SEEDS:
        example = make(seed)
        drawn = {thing.kind for thing in example.scene.things}
        for kind in set(palette.OBJECTS) - drawn:
            others = {word for other in drawn for word in palette.OBJECT_WORDS[other]}
            absent = tuple(f" {word}" for word in palette.OBJECT_WORDS[kind] if word not in others)
            kept = absent if kind != "tree" else tuple(w for w in absent if "pine" not in drawn)
            said = example.caption.replace("snowman", "").replace("pine tree", "").replace("fir tree", "")
            assert not says(said, kept) or kind in ("snowman", "pine")


@pytest.mark.parametrize("word", ["a orange", "a emerald", "a azure", "  ", " ,"])
def test_captions_are_well_formed(word: str) -> None:
    assert all(word not in make(seed).caption for seed in SEEDS)


def test_one_scene_has_many_captions() -> None:
    scene = make(5).scene
    rng = np.random.default_rng(0)
    assert len({caption(scene, rng) for _ in range(30)}) > 20


def brightness(scene: Scene) -> float:
    """The mean of all pixels of the scene."""
    return float(render(scene, np.random.default_rng(0)).mean())


def test_night_is_darker_than_day() -> None:
    scenes = [make(seed).scene for seed in SEEDS]
    day = np.mean([brightness(scene) for scene in scenes if scene.time == "day"])
    night = np.mean([brightness(scene) for scene in scenes if scene.time == "night"])
    assert night < day / 1.5
