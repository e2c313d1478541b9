"""Work on pictures that exist: exact arithmetic, the same on every machine."""

from __future__ import annotations

from typing import Annotated, Literal

from intaglio.core.context import Context
from intaglio.core.image import Image
from intaglio.core.nodetype import Interval, node_type
from intaglio.imaging import adjust

Side = Interval(ge=1, le=16384)
Offset = Interval(ge=-16384, le=16384)
Around1 = Interval(ge=0, le=4)


@node_type("reference-image", version=1)
def reference_image(
    ctx: Context, *, image: Annotated[Image, "Path of a picture, or the digest of a stored one."]
) -> Image:
    """Bring in a picture from a file. It is kept in the library, so the file may go."""
    return image


@node_type("film-grain", version=1)
def film_grain(
    ctx: Context,
    image: Image,
    *,
    amount: Annotated[float, Interval(ge=0, le=1), "Strength of the grain."] = 0.1,
    size: Annotated[int, Interval(ge=1, le=8), "Size of a grain in pixels."] = 1,
    monochrome: Annotated[bool, "The same grain in all channels."] = True,
    seed: int,
) -> Image:
    """Add film grain."""
    return adjust.film_grain(image, amount=amount, size=size, monochrome=monochrome, seed=seed)


@node_type("colour-grade", version=1)
def colour_grade(
    ctx: Context,
    image: Image,
    *,
    brightness: Annotated[float, Around1, "1 leaves it."] = 1.0,
    contrast: Annotated[float, Around1, "1 leaves it."] = 1.0,
    saturation: Annotated[float, Around1, "0 is grey, 1 leaves it."] = 1.0,
    temperature: Annotated[float, Interval(ge=-1, le=1), "Below 0 cooler, above 0 warmer."] = 0.0,
    gamma: Annotated[float, Interval(ge=0.1, le=10), "Above 1 lightens the middle tones."] = 1.0,
) -> Image:
    """Change brightness, contrast, saturation, colour temperature and gamma."""
    return adjust.colour_grade(
        image,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        temperature=temperature,
        gamma=gamma,
    )


@node_type("resize", version=1)
def resize(
    ctx: Context,
    image: Image,
    *,
    width: Annotated[int, Side, "Pixels."],
    height: Annotated[int, Side, "Pixels."],
    method: Annotated[Literal["nearest", "bilinear", "bicubic", "lanczos", "area"], "Interpolation."] = "lanczos",
) -> Image:
    """Change a picture to an exact size."""
    return adjust.resize(image, width=width, height=height, method=method)


@node_type("upscale", version=1)
def upscale(
    ctx: Context, image: Image, *, factor: Annotated[int, Interval(ge=1, le=16), "How many times larger."] = 2
) -> Image:
    """Enlarge pixel-exactly: every pixel becomes a square of its own colour."""
    return adjust.upscale(image, factor=factor)


@node_type("crop", version=1)
def crop(
    ctx: Context,
    image: Image,
    *,
    x: Annotated[int, Interval(ge=0, le=16384), "Left edge in pixels."] = 0,
    y: Annotated[int, Interval(ge=0, le=16384), "Top edge in pixels."] = 0,
    width: Annotated[int, Side, "Pixels."],
    height: Annotated[int, Side, "Pixels."],
) -> Image:
    """Cut a rectangle out of a picture."""
    return adjust.crop(image, x=x, y=y, width=width, height=height)


@node_type("composite", version=1)
def composite(
    ctx: Context,
    base: Image,
    overlay: Image,
    *,
    x: Annotated[int, Offset, "Left edge of the overlay on the base, in pixels."] = 0,
    y: Annotated[int, Offset, "Top edge of the overlay on the base, in pixels."] = 0,
    opacity: Annotated[float, Interval(ge=0, le=1), "1 covers."] = 1.0,
) -> Image:
    """Lay one picture over another."""
    return adjust.composite(base, overlay, x=x, y=y, opacity=opacity)
