"""What a version is found by: words, numbers and names, from its record and from what was said and measured later.

Everything is under a field. Fields of Intaglio's own begin with a colon (":tag"); the others are names of parameters,
of any node ("guidance"). What one node says is found under its own name too ("base.guidance"): where no other node of
the version has that parameter, by the mark ":only"; else it is under "base.guidance" as well.
"""

from __future__ import annotations

import itertools
import re
import struct
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from intaglio.core.errors import InvalidSeed
from intaglio.core.fidelity import Reproduction, Verdict
from intaglio.core.record import Json
from intaglio.core.seeds import exact_seed
from intaglio.core.version import Remark, Version, standing

# Longer texts are found by their beginning.
MOST_WORDS, MOST_LETTERS, MOST_OF_A_NAME = 20_000, 60, 200
# What was said: annotations, comments, label, tags and the answers to a form.
SAID = ":said"
PROMPT = "prompt"
_REPRODUCED: dict[Verdict, str] = {
    "identical bytes": "identical",
    "identical pixels": "identical",
    "similar": "similar",
    "different": "different",
    "missing": "missing",
}

# Scripts that put no spaces between words: each character is a word. Any other word is letters and digits in a row.
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_ALONE}]|(?:(?![{_ALONE}])[^\W_])+")
# What a query can name. A record from elsewhere may hold anything; the rest is in no field of its own.
_FIELD = re.compile(r"[^\W\d][\w.-]*")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIGN = 2**63


@dataclass(frozen=True)
class Facts:
    """What a version is found by. `words` are (field, word) and (field, two words in a row); `numbers` (field, key);
    `names` (field, name): texts that nearly every version has one of its own of; `texts` the words of each text."""

    words: frozenset[tuple[str, str]]
    numbers: frozenset[tuple[str, int]]
    names: frozenset[tuple[str, str]]
    texts: Mapping[str, tuple[tuple[str, ...], ...]]


def folded(text: str) -> str:
    """A text without what makes no difference to a search: capitals, accents, forms of the same letter."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", apart)).casefold()


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, as they are searched."""
    found = (match[0][:MOST_LETTERS] for match in _WORD.finditer(folded(text)))
    return tuple(word for word, _ in zip(found, range(MOST_WORDS), strict=False))


def name_key(text: str) -> str:
    """A name as it is searched: of a tag, a model, a branch, a label."""
    return "-".join(folded(text[:MOST_OF_A_NAME]).split())


def pairs(words: Sequence[str]) -> Iterator[str]:
    """Each two words in a row."""
    return (f"{first} {second}" for first, second in itertools.pairwise(words))


def number_key(value: float) -> int:
    """A number as an integer from -2^63 to 2^63-1 in the same order."""
    (bits,) = struct.unpack("<q", struct.pack("<d", value + 0.0))  # -0.0 is 0.0
    return int(bits) if bits >= 0 else int(bits) ^ (_SIGN - 1)


def seed_key(seed: int) -> int:
    """A seed, 0 to 2^64-1, as an integer from -2^63 to 2^63-1 in the same order."""
    return seed - _SIGN


def time_key(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


class _Gathering:
    """Facts while they are gathered."""

    def __init__(self) -> None:
        self.words: set[tuple[str, str]] = set()
        self.numbers: set[tuple[str, int]] = set()
        self.names: set[tuple[str, str]] = set()
        self.texts: dict[str, dict[tuple[str, ...], None]] = {}

    def text(self, field: str, text: str) -> None:
        words = words_of(text)
        if words:
            self.texts.setdefault(field, {})[words] = None
            self.words.update((field, word) for word in words)
            self.words.update((field, pair) for pair in pairs(words))

    def value(self, field: str, value: Json) -> None:
        """A parameter's value; lists and groups by what is in them."""
        if isinstance(value, bool):
            self.text(field, "true" if value else "false")
        elif isinstance(value, (int, float)):
            self.numbers.add((field, number_key(float(value))))
        elif isinstance(value, str):
            self.text(field, value)
        elif isinstance(value, Mapping):
            for each in value.values():
                self.value(field, each)
        elif isinstance(value, (list, tuple)):
            for each in value:
                self.value(field, each)

    def facts(self) -> Facts:
        texts = {field: tuple(found) for field, found in self.texts.items()}
        return Facts(frozenset(self.words), frozenset(self.numbers), frozenset(self.names), texts)


def facts_of(version: Version, remarks: Iterable[Remark] = (), reproductions: Sequence[Reproduction] = ()) -> Facts:
    """What a version is found by, with the remarks on it and its reproductions, both oldest first."""
    facts = _Gathering()
    _record(facts, version)
    _parameters(facts, version)
    _seeds(facts, version)
    for name, answer in version.fields.items():
        facts.text(SAID, answer)
        if _FIELD.fullmatch(name_key(name)):
            facts.text(name_key(name), answer)
    _said(facts, version, remarks)
    if reproductions:
        newest = reproductions[-1]
        facts.words |= {(":grade", newest.grade.grade), (":reproduced", _REPRODUCED[newest.fidelity.verdict])}
    else:
        facts.words.add((":reproduced", "never"))
    return facts.facts()


def _record(facts: _Gathering, version: Version) -> None:
    facts.words |= {(":branch", name_key(version.workflow.name)), (":number", str(version.number))}
    facts.text(":by", version.author)
    facts.names.add((":task", version.task))
    if version.label:
        facts.names.add((":label", name_key(version.label)))
    made = _moment(version.created)
    if made is not None:
        facts.numbers.add((":created", time_key(made)))
    for models in version.models.values():
        for model in models.values():
            name, _, digest = model.rpartition(" ")
            facts.words |= {(":model", name_key(name)), (":model", name_key(name.rpartition(":")[0]))}
            facts.words.add((":model-digest", digest.removeprefix("blake3:")))


def _moment(text: str) -> datetime | None:
    """When a record says it was made; None where that is no time, as in a record from elsewhere."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _parameters(facts: _Gathering, version: Version) -> None:
    having: dict[str, dict[str, dict[tuple[type, Json], Json]]] = {}
    for step, params in version.parameters.items():
        for name, value in params.items():
            if _FIELD.fullmatch(name):
                values = having.setdefault(name.casefold(), {}).setdefault(node_of(step), {})
                values[type(value), value] = value  # once for all pictures of a batch
    for name, nodes in having.items():
        for node, values in nodes.items():
            if len(nodes) == 1:
                facts.words.add((":only", f"{node}.{name}"))
            for field in (name,) if len(nodes) == 1 else (name, f"{node}.{name}"):
                for value in values.values():
                    facts.value(field, value)


def _seeds(facts: _Gathering, version: Version) -> None:
    for step, seed in version.seeds.items():
        with suppress(InvalidSeed):
            number = exact_seed(seed.value)
            for field in (":seed", f":{node_of(step)}.seed"):
                facts.numbers.add((field, seed_key(number)))
                facts.words.add((field, str(number)))


def node_of(step: str) -> str:
    """The node of a step of a batch ("base" of "base[2]"), as it is searched."""
    return step.partition("[")[0].casefold()


def _said(facts: _Gathering, version: Version, remarks: Iterable[Remark]) -> None:
    now = standing(remarks)
    annotated = bool(version.annotation or now.annotations)
    facts.words.add((":is", "annotated" if annotated else "unannotated"))
    facts.words |= {(":is", each) for each in (now.approval, "legacy" if now.legacy else "") if each}
    facts.words |= {(":tag", name_key(tag)) for tag in now.tags}
    for text in (version.annotation, version.label, *now.tags):
        facts.text(SAID, text)
    for remark in (*now.annotations, *now.comments):
        facts.text(SAID, remark.note)
