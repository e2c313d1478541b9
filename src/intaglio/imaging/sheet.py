"""Many pictures side by side on one sheet, each with its label."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from intaglio.core.image import Image
from intaglio.imaging.adjust import MAX_PIXELS, composite, resize, upscale
from intaglio.imaging.arrays import from_array, to_array

_MARGIN, _GAP = 36, 24
_TITLE_SIZE, _LABEL_SIZE = 26, 15
_TITLE_HEIGHT, _LABEL_HEIGHT = 58, 34
_PAPER, _MAT, _LINE = (250, 250, 248), (242, 242, 239), (222, 222, 217)
_TITLE_INK, _LABEL_INK = (24, 24, 27), (63, 63, 70)
_SMALLEST_CELL = 32
_CHECKER, _CHECKS = 8, (255, 224)
_ELLIPSIS = "..."
_SIGNS = str.maketrans({"\u00d7": "x", "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u00df": "ss"})

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


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
    top = _MARGIN + (_TITLE_HEIGHT if title else 0)
    step_x, step_y = cell + _GAP, cell + _LABEL_HEIGHT + _GAP
    width = 2 * _MARGIN + columns * step_x - _GAP
    height = top + -(-len(cells) // columns) * step_y - _GAP + _MARGIN
    if width * height > MAX_PIXELS:
        raise ValueError(f"a contact sheet of {width} x {height} pixels is too large: use smaller cells")
    sheet = Pillow.new("RGB", (width, height), _PAPER)
    draw, label_font = ImageDraw.Draw(sheet), ImageFont.load_default(size=_LABEL_SIZE)
    if title:
        font = ImageFont.load_default(size=_TITLE_SIZE)
        draw.text((_MARGIN, _MARGIN - 4), _shortened(title, font, width - 2 * _MARGIN), fill=_TITLE_INK, font=font)
    for number, (label, image) in enumerate(cells):
        left, upper = _MARGIN + number % columns * step_x, top + number // columns * step_y
        draw.rectangle((left - 1, upper - 1, left + cell, upper + cell), fill=_MAT, outline=_LINE)
        shown = to_array(_on_checks(_fit(image, cell)))
        offset = left + (cell - shown.shape[1]) // 2, upper + (cell - shown.shape[0]) // 2
        sheet.paste(Pillow.fromarray(shown.squeeze(axis=2) if shown.shape[2] == 1 else shown), offset)
        draw.text((left, upper + cell + 9), _shortened(label, label_font, cell), fill=_LABEL_INK, font=label_font)
    return from_array(np.asarray(sheet))


def _fit(image: Image, cell: int) -> Image:
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


def _shortened(text: str, font: _Font, width: int) -> str:
    text = " ".join(_plain(text).split())
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    while kept and font.getlength(text[:kept].rstrip() + _ELLIPSIS) > width:
        kept -= 1
    return text[:kept].rstrip() + _ELLIPSIS
