"""Settings: read once from the environment, frozen, refused when misspelled."""

from __future__ import annotations

import difflib
import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from intaglio.core.errors import Invalid, NoLibrary
from intaglio.core.seeds import POLICIES
from intaglio.studio.files import expanded

PREFIX = "INTAGLIO_"
FOLDER = ".intaglio"
DATABASE = "library.db"
DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in this container
        return ""


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """What can be set from outside; each is the environment variable INTAGLIO_<NAME>.

    library: the library's folder. author: the name on what is made. seeds: how seeds are drawn (random, date,
    sequence). threads: CPU threads a step may use. device: auto, cpu, cuda, cuda:N or mps. deterministic: exact
    algorithms, on unless switched off. memory: bytes of models to keep loaded, 0 for half of what there is. models:
    folders that models are scanned in when none is named, and the only ones a server takes models from. server: the
    address of a server whose library is meant instead of one here. token: what that server knows one by.
    """

    library: str = ""
    author: str = field(default_factory=_author)
    seeds: str = "random"
    threads: int = field(default_factory=_threads)
    device: str = "auto"
    deterministic: bool = True
    memory: int = 0
    models: str = ""
    server: str = ""
    token: str = field(default="", repr=False)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables. Raises Invalid for a misspelled one or a value that makes no sense."""
    known = {field.name: field for field in fields(Settings)}
    given: dict[str, str | int | bool] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {PREFIX}{near[0].upper()}?" if near else f"There are: {', '.join(known)}."
            raise Invalid(f"there is no setting {variable}", hint=hint)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise Invalid(f"{variable} is not text: {text[:40]!r}", hint="Write it in UTF-8.")
        given[name] = _value(variable, name, text)
    return Settings(**given)  # type: ignore[arg-type]  # each value was made for its field just above


def _value(variable: str, name: str, text: str) -> str | int | bool:
    if name == "deterministic":
        if text.lower() not in ("1", "true", "on", "0", "false", "off"):
            raise Invalid(f"{variable} is {text!r}", hint="Set it to on or off.")
        return text.lower() in ("1", "true", "on")
    if name in ("threads", "memory"):
        if (
            not (text.isascii() and text.isdecimal() and len(text) < 20)
            or int(text) > 2**50
            or (name == "threads" and int(text) < 1)
        ):
            least = 1 if name == "threads" else 0
            raise Invalid(f"{variable} is {text[:40]!r}", hint=f"Set it to a whole number from {least}.")
        return int(text)
    if name == "seeds" and text not in POLICIES:
        raise Invalid(f"{variable} is {text!r}", hint=f"Set it to one of: {', '.join(POLICIES)}.")
    if name == "device" and not DEVICE.fullmatch(text):
        raise Invalid(f"{variable} is {text[:40]!r}", hint="Set it to auto, cpu, cuda, cuda:N or mps.")
    return text


def model_folders(settings: Settings) -> list[Path]:
    """The folders that the setting `models` names, as whole paths."""
    return [expanded(each).absolute() for each in settings.models.split(os.pathsep) if each]


def find_library(start: Path) -> Path:
    """The nearest `.intaglio` folder at or above `start`. Raises NoLibrary."""
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    raise NoLibrary(f"no library in {start} or above it")


def library_folder(given: str | os.PathLike[str]) -> Path:
    """The library folder a person means: the `.intaglio` folder itself or the folder that holds it."""
    path = expanded(given).absolute()
    return path if path.name == FOLDER or (path / DATABASE).is_file() else path / FOLDER
