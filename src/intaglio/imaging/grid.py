"""A contact sheet with labelled axes: heads for its columns and rows, a caption under each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from intaglio.core.image import Image
from intaglio.imaging.adjust import MAX_PIXELS
from intaglio.imaging.arrays import from_array
from intaglio.imaging.sheet import (
    GAP,
    LABEL_INK,
    LABEL_SIZE,
    LINE,
    MARGIN,
    MAT,
    PAPER,
    TITLE_INK,
    TITLE_SIZE,
    Font,
    fit,
    paste,
    shortened,
)

_TITLE_HEIGHT, _SUBTITLE_HEIGHT, _HEAD_HEIGHT, _CAPTION_HEIGHT = 40, 30, 30, 26
_WIDEST_HEAD, _HEAD_SIZE = 220, 17
_BLOCK_GAP = 22
_FAINT = (161, 161, 170)


@dataclass(frozen=True)
class Place:
    """One place on a sheet: a picture, or words where there is none; a caption under it, "" for none."""

    picture: Image | None
    caption: str = ""
    words: str = ""


@dataclass(frozen=True)
class Line:
    """One row: its head, "" for none, and what stands in it."""

    head: str
    places: Sequence[Place]


def thumbnail(image: Image, cell: int) -> Image:
    """A picture no larger than it will be shown, so that a thousand of them fit in memory."""
    return image if max(image.width, image.height) <= cell else fit(image, cell)


def grid_sheet(
    lines: Sequence[Line], *, heads: Sequence[str] = (), cell: int, title: str = "", subtitle: str = "", wrap: int = 12
) -> Image:
    """An RGB sheet of rows of pictures in squares of `cell` pixels.

    `heads` stand above the columns, each row's own at its left. Rows of more than `wrap` pictures go on below, all rows
    together. Letters and pictures are drawn as in `contact_sheet`. Raises ValueError without a picture, or for a sheet
    of more than 100 megapixels.
    """
    if not lines or not any(line.places for line in lines) or wrap < 1:
        raise ValueError("a sheet needs pictures")
    layout = _Layout(lines, heads, cell, title, subtitle, wrap)
    if layout.width * layout.height > MAX_PIXELS:
        raise ValueError(f"a sheet of {layout.width} x {layout.height} pixels is too large: use smaller cells")
    return layout.drawn()


class _Layout:
    """Where everything on a sheet goes."""

    def __init__(
        self, lines: Sequence[Line], heads: Sequence[str], cell: int, title: str, subtitle: str, wrap: int
    ) -> None:
        self.lines, self.heads, self.cell, self.wrap = lines, heads, cell, wrap
        self.title, self.subtitle = title, subtitle
        self.title_font = ImageFont.load_default(size=TITLE_SIZE)
        self.head_font = ImageFont.load_default(size=_HEAD_SIZE)
        self.font = ImageFont.load_default(size=LABEL_SIZE)
        longest = max(len(line.places) for line in lines)
        self.columns = min(longest, wrap)
        self.blocks = -(-longest // wrap)
        widest = max(self.head_font.getlength(shortened(line.head, self.head_font, _WIDEST_HEAD)) for line in lines)
        self.head_width = round(widest) + GAP if widest else 0
        captions = any(place.caption for line in lines for place in line.places)
        self.row_height = cell + (_CAPTION_HEIGHT if captions else 0) + GAP // 2
        self.head_height = _HEAD_HEIGHT if heads else 0
        self.top = MARGIN + (_TITLE_HEIGHT if title else 0) + (_SUBTITLE_HEIGHT if subtitle else 0)
        self.block_gap = _BLOCK_GAP if len(lines) > 1 else 0
        self.block_height = self.head_height + len(lines) * self.row_height + self.block_gap
        least = 420 if title else 0
        self.width = max(2 * MARGIN + self.head_width + self.columns * (cell + GAP // 2) - GAP // 2, least)
        self.height = self.top + self.blocks * self.block_height - self.block_gap - GAP // 2 + MARGIN

    def drawn(self) -> Image:
        """The sheet."""
        sheet = Pillow.new("RGB", (self.width, self.height), PAPER)
        draw, room = ImageDraw.Draw(sheet), self.width - 2 * MARGIN
        if self.title:
            words = shortened(self.title, self.title_font, room)
            draw.text((MARGIN, MARGIN - 8), words, fill=TITLE_INK, font=self.title_font)
        if self.subtitle:
            at = (MARGIN, MARGIN + (_TITLE_HEIGHT if self.title else 0) - 8)
            draw.text(at, shortened(self.subtitle, self.font, room), fill=LABEL_INK, font=self.font)
        for block in range(self.blocks):
            self._block(sheet, draw, block)
        return from_array(np.asarray(sheet))

    def _block(self, sheet: Pillow.Image, draw: ImageDraw.ImageDraw, block: int) -> None:
        shown = slice(block * self.wrap, (block + 1) * self.wrap)
        top = self.top + block * self.block_height
        for column, head in enumerate(self.heads[shown]):
            _centred(draw, head, self.head_font, (self._left(column), top + 4), self.cell, TITLE_INK)
        for row, line in enumerate(self.lines):
            upper = top + self.head_height + row * self.row_height
            if line.head and line.places[shown]:
                words = shortened(line.head, self.head_font, _WIDEST_HEAD)
                at = (MARGIN, upper + self.cell // 2 - _HEAD_SIZE // 2)
                draw.text(at, words, fill=TITLE_INK, font=self.head_font)
            for column, place in enumerate(line.places[shown]):
                self._place(sheet, draw, place, self._left(column), upper)

    def _left(self, column: int) -> int:
        return MARGIN + self.head_width + column * (self.cell + GAP // 2)

    def _place(self, sheet: Pillow.Image, draw: ImageDraw.ImageDraw, place: Place, left: int, upper: int) -> None:
        cell = self.cell
        if place.picture is not None or place.words:
            draw.rectangle((left - 1, upper - 1, left + cell, upper + cell), fill=MAT, outline=LINE)
        if place.picture is not None:
            paste(sheet, fit(place.picture, cell), (left, upper, cell, cell))
        elif place.words:
            _centred(draw, place.words, self.font, (left, upper + cell // 2 - LABEL_SIZE // 2), cell, _FAINT)
        if place.caption:
            _centred(draw, place.caption, self.font, (left, upper + cell + 5), cell, LABEL_INK)


def _centred(
    draw: ImageDraw.ImageDraw, text: str, font: Font, at: tuple[int, int], width: int, ink: tuple[int, int, int]
) -> None:
    words = shortened(text, font, width)
    draw.text((at[0] + (width - font.getlength(words)) / 2, at[1]), words, fill=ink, font=font)
