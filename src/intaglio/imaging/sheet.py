"""Pictures side by side on one sheet, each with its label."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from intaglio.core.image import Image
from intaglio.imaging.adjust import MAX_PIXELS, composite, resize, upscale
from intaglio.imaging.arrays import Pixels, from_array, to_array
from intaglio.imaging.heat import heat_colours

MARGIN, GAP = 36, 24
TITLE_SIZE, LABEL_SIZE = 26, 15
TITLE_HEIGHT, LABEL_HEIGHT = 58, 34
PAPER, MAT, LINE = (250, 250, 248), (242, 242, 239), (222, 222, 217)
TITLE_INK, LABEL_INK = (24, 24, 27), (63, 63, 70)
_SMALLEST_CELL = 32
_SHOWN, _NARROWEST = 512, 224  # of a picture in a comparison: its longest side, and the width its caption needs
_BAR, _BAR_TOP, _TICKS = 14, 38, (1, 4, 16, 64, 255)
_SCALE_NAME, _SCALE_HEIGHT = "levels of 255", 84
_CHECKER, _CHECKS = 8, (255, 224)
_ELLIPSIS = "..."
_LUMA, _PACKED = np.array([299, 587, 114]), np.array([2**16, 2**8, 1])
_SIGNS = str.maketrans({"\u00d7": "x", "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u00df": "ss"})

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(cells: Sequence[tuple[str, Image]], *, columns: int, cell: int = 256, title: str = "") -> Image:
    """An RGB sheet of (label, picture) cells, `columns` to a row, in squares of `cell` pixels, labels beneath.

    Pictures smaller than a square are enlarged by a whole factor, pixel for pixel; larger ones are shrunk to fit.
    Transparency shows a checkerboard. A label that is too long ends in "..."; accents are left out, because the
    bundled font has the letters of ASCII only. For looking at, not for comparing: letters may differ by a shade
    between versions of FreeType. Raises ValueError without cells, for columns below 1, a cell below 32 pixels, or a
    sheet of more than 100 megapixels.
    """
    if not cells or columns < 1 or cell < _SMALLEST_CELL:
        raise ValueError(f"a contact sheet needs pictures, a column and cells of {_SMALLEST_CELL} pixels or more")
    columns = min(columns, len(cells))
    top = MARGIN + (TITLE_HEIGHT if title else 0)
    step_x, step_y = cell + GAP, cell + LABEL_HEIGHT + GAP
    width = 2 * MARGIN + columns * step_x - GAP
    height = top + -(-len(cells) // columns) * step_y - GAP + MARGIN
    if width * height > MAX_PIXELS:
        raise ValueError(f"a contact sheet of {width} x {height} pixels is too large: use smaller cells")
    sheet = Pillow.new("RGB", (width, height), PAPER)
    draw, label_font = ImageDraw.Draw(sheet), ImageFont.load_default(size=LABEL_SIZE)
    if title:
        font = ImageFont.load_default(size=TITLE_SIZE)
        draw.text((MARGIN, MARGIN - 4), shortened(title, font, width - 2 * MARGIN), fill=TITLE_INK, font=font)
    for number, (label, image) in enumerate(cells):
        left, upper = MARGIN + number % columns * step_x, top + number // columns * step_y
        draw.rectangle((left - 1, upper - 1, left + cell, upper + cell), fill=MAT, outline=LINE)
        paste(sheet, fit(image, cell), (left, upper, cell, cell))
        draw.text((left, upper + cell + 9), shortened(label, label_font, cell), fill=LABEL_INK, font=label_font)
    return from_array(np.asarray(sheet))


def side_by_side(
    old: Image,
    new: Image,
    heat: Image | None,
    *,
    captions: tuple[str, str, str] = ("recorded", "again", "difference"),
    title: str = "",
) -> Image:
    """An RGB sheet of two pictures and the picture of their difference, with captions and the scale of its colours.

    `heat` is what `metrics.difference_picture` makes, or None where there is none (pictures of other sizes). Pictures
    are enlarged by whole factors or shrunk to at most 512 pixels on their longest side. Where the heat map is shrunk,
    each pixel shows the brightest of those it stands for, so that a single changed pixel is still seen. Letters are
    drawn as in `contact_sheet`.
    """
    shown = [fit(image, _SHOWN) for image in (old, new)]
    if heat is not None:
        large = max(heat.width, heat.height) > _SHOWN
        shown.append(_brightest(heat, shown[0].width, shown[0].height) if large else fit(heat, _SHOWN))
    cell_width = max(_NARROWEST, *(image.width for image in shown))
    cell_height = max(image.height for image in shown)
    top = MARGIN + (TITLE_HEIGHT if title else 0)
    width = 2 * MARGIN + len(shown) * (cell_width + GAP) - GAP
    height = top + cell_height + (LABEL_HEIGHT if heat is None else _SCALE_HEIGHT) + MARGIN - GAP // 2
    sheet = Pillow.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=LABEL_SIZE)
    if title:
        big = ImageFont.load_default(size=TITLE_SIZE)
        draw.text((MARGIN, MARGIN - 4), shortened(title, big, width - 2 * MARGIN), fill=TITLE_INK, font=big)
    for number, (caption, image) in enumerate(zip(captions, shown, strict=False)):
        left = MARGIN + number * (cell_width + GAP)
        draw.rectangle((left - 1, top - 1, left + cell_width, top + cell_height), fill=MAT, outline=LINE)
        paste(sheet, image, (left, top, cell_width, cell_height))
        draw.text((left, top + cell_height + 9), shortened(caption, font, cell_width), fill=LABEL_INK, font=font)
    if heat is not None:
        _draw_scale(sheet, left, top + cell_height + _BAR_TOP, cell_width)
    return from_array(np.asarray(sheet))


def _draw_scale(sheet: Pillow.Image, left: int, top: int, width: int) -> None:
    """The colours of a heat map from equal to the largest difference, with the levels they stand for."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=LABEL_SIZE - 3)
    start = left + 2 * _BAR  # a square of black for 0 stands before the colours
    length = left + width - start
    places = 255 ** (np.arange(length) / (length - 1))
    colours = heat_colours()[np.clip(np.rint(places), 1, 255).astype(np.int64)]
    sheet.paste(Pillow.fromarray(np.tile(colours[np.newaxis], (_BAR, 1, 1))), (start, top))
    draw.rectangle((left, top, left + _BAR - 1, top + _BAR - 1), fill=(0, 0, 0))
    draw.text((left + 3, top + _BAR + 4), "0", fill=LABEL_INK, font=font)
    for level in _TICKS:
        place = start + round(np.log(level) / np.log(255) * (length - 1))
        draw.line((place, top + _BAR, place, top + _BAR + 2), fill=LABEL_INK)
        span = font.getlength(str(level))
        draw.text((min(place - span / 2, left + width - span), top + _BAR + 4), str(level), fill=LABEL_INK, font=font)
    named = font.getlength(_SCALE_NAME)
    draw.text((left + width - named, top - LABEL_SIZE - 10), _SCALE_NAME, fill=LABEL_INK, font=font)


def _brightest(image: Image, width: int, height: int) -> Image:
    """An RGB picture shrunk to a size: of the pixels that fall into one, the brightest."""
    pixels = to_array(image).astype(np.int64)
    ranked = (pixels @ _LUMA) << 24 | pixels @ _PACKED
    ranked = np.maximum.reduceat(ranked, np.arange(height) * image.height // height, axis=0)
    ranked = np.maximum.reduceat(ranked, np.arange(width) * image.width // width, axis=1)
    return from_array((ranked[..., np.newaxis] // _PACKED % 256).astype(np.uint8))


def paste(sheet: Pillow.Image, image: Image, cell: tuple[int, int, int, int]) -> None:
    """Lay a picture into the middle of a cell (left, top, width, height)."""
    left, top, width, height = cell
    shown: Pixels = to_array(_on_checks(image))
    offset = left + (width - shown.shape[1]) // 2, top + (height - shown.shape[0]) // 2
    sheet.paste(Pillow.fromarray(shown.squeeze(axis=2) if shown.shape[2] == 1 else shown), offset)


def fit(image: Image, cell: int) -> Image:
    """The picture as large as a square of `cell` pixels takes it: enlarged by a whole factor, or shrunk."""
    longest = max(image.width, image.height)
    if longest <= cell:
        return upscale(image, cell // longest)
    width, height = (max(1, side * cell // longest) for side in (image.width, image.height))
    return resize(image, width=width, height=height, method="area")


def _on_checks(image: Image) -> Image:
    if image.mode != "RGBA":
        return image
    rows, columns = np.indices((image.height, image.width)) // _CHECKER
    grey = np.where((rows + columns) % 2 == 0, *_CHECKS).astype(np.uint8)
    return composite(from_array(grey), image)


def _plain(text: str) -> str:
    """`text` in the letters of the bundled font, which are those of ASCII; what has no base letter becomes "?"."""
    apart = unicodedata.normalize("NFKD", text.translate(_SIGNS))
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).encode("ascii", "replace").decode()


def shortened(text: str, font: Font, width: int) -> str:
    """`text` in the letters of the bundled font, on one line of at most `width` pixels."""
    text = " ".join(_plain(text).split())
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    while kept and font.getlength(text[:kept].rstrip() + _ELLIPSIS) > width:
        kept -= 1
    return text[:kept].rstrip() + _ELLIPSIS
