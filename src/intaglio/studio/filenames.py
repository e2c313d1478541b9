"""Names for files that somebody else named: safe on every file system, and still to be recognised."""

from __future__ import annotations

import re
import unicodedata

NAMELESS = "upload"
_LONGEST = 120  # bytes of what stands before the ending
_SEPARATORS = re.compile(r"[/\\]")
_UNFIT = re.compile(r'[<>:"|?*\s]+')
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,16}\Z")
# What Windows takes for a device, whatever ending it has.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\.|\Z)", re.IGNORECASE)


def fit(name: str) -> str:
    """The last part of a name, without what no file's name may hold, turns its direction or hides it."""
    last = next((part for part in reversed(_SEPARATORS.split(name)) if part.strip(" .")), "")
    text = unicodedata.normalize("NFC", last)
    # Categories C: control, format (which turns the direction), surrogate, private, unassigned.
    text = "".join(each for each in text if unicodedata.category(each)[0] != "C" or each in "\t\n\r")
    text = _UNFIT.sub("_", text).rstrip("._- ")
    ending = found[0] if (found := _ENDING.search(text)) else ""
    stem = text[: len(text) - len(ending)].lstrip("._- ").encode()[:_LONGEST].decode(errors="ignore").rstrip("._- ")
    fitted = f"{stem or NAMELESS}{ending}"
    return f"_{fitted}" if _DEVICE.match(fitted) else fitted
