"""What the contract of a studio is tested with: a server process, a node that stumbles, and how two are compared."""

from __future__ import annotations

import collections.abc
import dataclasses
import json
import os
import re
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from intaglio.core.errors import IntaglioError, NotFound
from intaglio.core.wire import hints_of, is_callable, to_wire
from intaglio.studio.open import Studio

T = TypeVar("T")

# `how`: what it does. With "wait" it waits for the file `go`; with "fail" it has a bug.
_STUMBLES = '''
import time
from pathlib import Path
from intaglio.core.context import Context
from intaglio.core.image import Image
from intaglio.core.nodetype import node_type


@node_type("stumble", version=1)
def stumble(ctx: Context, image: Image, *, how: str = "", go: str = "") -> Image:
    """Stumble."""
    if how == "fail":
        raise ValueError("a bug")
    while how == "wait" and not Path(go).exists():
        ctx.hooks.check()
        time.sleep(0.005)
    return image
'''


def install_stumble(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Install the node type "stumble", here and for every process that is started from here."""
    facts = folder / "stumbles-1.0.dist-info"
    facts.mkdir(parents=True)
    (folder / "intaglio_stumbles.py").write_text(_STUMBLES)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: stumbles\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[intaglio.nodes]\nstumbles = intaglio_stumbles\n")
    patch.syspath_prepend(str(folder))
    patch.delitem(sys.modules, "intaglio_stumbles", raising=False)
    patch.setenv("PYTHONPATH", str(folder))


@contextmanager
def served(root: Path, log: Path) -> Iterator[str]:
    """The address of `intaglio serve` with one worker over a library, as a process of its own."""
    options = ["--library", str(root), "--port", "0", "--workers", "1", "--grace", "0", "--rate", "10000", "--json"]
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "intaglio", "serve", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=dict(os.environ),
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield json.loads(line)["url"]
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@dataclass
class Both:
    """The studio under test, and beside it an open library in which the same is done; `called` are the verbs so far."""

    studio: Studio
    beside: Studio
    root: Path
    called: set[str] = field(default_factory=set)

    def same(self, call: Callable[[Studio], T]) -> T:
        """What a call gives in the studio under test: the same as beside, as far as that is determined."""
        expected = call(self.beside)
        given = call(self.studio)
        assert alike(given, expected) == "", alike(given, expected)
        return given

    def refused(self, call: Callable[[Studio], object]) -> IntaglioError:
        """The error of a call: the same as beside in class, code, words and facts."""
        expected, given = raised(call, self.beside), raised(call, self.studio)
        assert type(given) is type(expected), f"{given!r} and not {expected!r}"
        if given.hint.startswith("There are: ") and isinstance(given, NotFound):  # they need not have the same
            assert expected.hint.startswith("There are: ")
            expected.hint = given.hint
        assert alike(error_facts(given), error_facts(expected)) == "", (error_facts(given), error_facts(expected))
        return given


def raised(call: Callable[[Studio], object], studio: Studio) -> IntaglioError:
    """The error that a call ends with."""
    try:
        found = call(studio)
    except IntaglioError as error:
        return error
    line = call.__code__.co_firstlineno if isinstance(call, types.FunctionType) else 0
    raise AssertionError(f"the call in line {line} was not refused: {found!r}")


def error_facts(error: IntaglioError) -> dict[str, Any]:
    """Everything that one can see of an error."""
    placed = {name: getattr(error, name) for name in ("code", "hint", "step", "field", "way_on")}
    own = {name: value for name, value in vars(error).items() if not name.startswith("_")}
    return {"said": str(error), **placed, **own}


_ID = r"(?:job-)?\d{8}-\d{6}-[0-9a-z]+"
_TOKEN = re.compile(
    rf"({_ID}|blake3:[0-9a-f]{{64}}|\d{{4}}-\d\d-\d\d[T ][\d:.]+(?:Z|\+00:00)?|(?<=blake3:)[0-9a-f]{{12}}\b)"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]")
# What a clock or a process says.
_PASSING = {"seconds", "pid", "time", "created", "started", "finished", "number", "elapsed", "preview"}


def alike(one: Any, other: Any) -> str:
    """Where two things differ; "" when they are the same up to times, and ids and digests that stand for the same."""
    if type(one) is not type(other):
        return f"{type(one).__name__} and {type(other).__name__}: {one!r} and {other!r}"
    return _alike(_plainly(one), _plainly(other), "", {}, {})


def _plainly(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plainly(item) for key, item in value.items()}
    return to_wire(value)


def _alike(one: Any, other: Any, where: str, there: dict[str, str], back: dict[str, str]) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        if list(map(_masked, one)) != list(map(_masked, other)):
            return f"{where}: {list(one)} and {list(other)}"
        pairs = [(key, one[key], mine) for key, mine in zip(one, other.values(), strict=True) if key not in _PASSING]
        return next(filter(None, (_alike(a, b, f"{where}.{key}", there, back) for key, a, b in pairs)), "")
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return f"{where}: {one!r} and {other!r}"
        numbered = enumerate(zip(one, other, strict=True))
        return next(filter(None, (_alike(a, b, f"{where}[{n}]", there, back) for n, (a, b) in numbered)), "")
    if isinstance(one, str) and isinstance(other, str):
        same = _masked(one) == _masked(other) and all(
            there.setdefault(a, b) == b and back.setdefault(b, a) == a
            for a, b in zip(_TOKEN.findall(one), _TOKEN.findall(other), strict=True)
            if not _TIME.match(a)
        )
        return "" if same else f"{where}: {one!r} and {other!r}"
    return "" if one == other else f"{where}: {one!r} and {other!r}"


def _masked(text: str) -> str:
    return _TOKEN.sub("*", text)


class Checked:
    """A studio whose every answer is held against the type that the verb declares; what was called is remembered."""

    def __init__(self, studio: Studio, called: set[str]) -> None:
        self._studio = studio
        self._called = called

    def __getattr__(self, noun: str) -> Any:
        return _CheckedNoun(getattr(self._studio, noun), noun, self._called)


class _CheckedNoun:
    def __init__(self, noun: Any, name: str, called: set[str]) -> None:
        self._noun, self._name, self._called = noun, name, called

    def __getattr__(self, verb: str) -> Any:
        from intaglio.api.routes import noun_class

        method, hint = getattr(self._noun, verb), hints_of(getattr(noun_class(self._name), verb))["return"]

        def called(*positional: Any, **named: Any) -> Any:
            self._called.add(f"{self._name}.{verb}")
            result = method(*positional, **named)
            why = misfit(result, hint)
            assert not why, f"{self._name}.{verb}: {why}"
            return result

        return called


def checked(studio: Studio, called: set[str]) -> Studio:
    """See `Checked`."""
    found: Studio = cast(Any, Checked(studio, called))
    return found


_ABSTRACT = (collections.abc.Mapping, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Iterator)


def misfit(value: Any, hint: Any) -> str:
    """Why a value is not what a type hint says, "" when it is."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or type(hint) is TypeVar:
        return ""
    if origin in (typing.Union, types.UnionType):
        whys = [misfit(value, each) for each in arguments]
        return "" if "" in whys else whys[0]
    if origin is typing.Literal:
        return "" if value in arguments else f"{value!r} is none of {arguments}"
    if origin is typing.Annotated:
        return misfit(value, arguments[0])
    if dataclasses.is_dataclass(hint):
        return _misfit_of_fields(value, cast(type[Any], hint))
    if origin is None:
        plain: Any = {None: type(None), float: (int, float)}.get(hint, hint)
        return "" if isinstance(value, plain) else f"{value!r} is no {hint}"
    if not isinstance(value, origin) or (origin not in _ABSTRACT and origin is not type(value)):
        return f"{type(value).__name__} is no {origin.__name__}"
    return _misfit_of_items(value, origin, arguments)


def _misfit_of_fields(value: Any, cls: type[Any]) -> str:
    if type(value) is not cls:
        return f"{type(value).__name__} is no {cls.__name__}"
    hints = hints_of(cls)
    known = [each for each in dataclasses.fields(cls) if not is_callable(hints[each.name])]
    found = ((each.name, misfit(getattr(value, each.name), hints[each.name])) for each in known)
    return next((f"{cls.__name__}.{name}: {why}" for name, why in found if why), "")


def _misfit_of_items(value: Any, origin: Any, arguments: tuple[Any, ...]) -> str:
    if isinstance(value, collections.abc.Mapping):
        return next(filter(None, (misfit(item, arguments[1]) for item in value.values())), "")
    if isinstance(value, collections.abc.Iterator) or origin is collections.abc.Callable:
        return ""
    if origin is tuple and arguments[1:] != (...,):
        return next(filter(None, (misfit(item, each) for item, each in zip(value, arguments, strict=True))), "")
    return next(filter(None, (misfit(item, arguments[0]) for item in value)), "")
