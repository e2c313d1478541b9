"""Textual inversions: words of a prompt that stand for vectors, for the length of one generation."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from intaglio.backends.files import adapter_tensors
from intaglio.backends.quiet import library
from intaglio.core.context import Embedding, Generation, Hooks, ModelFile
from intaglio.core.errors import Invalid, InvalidModel

# Characters that no text holds stand for the vectors, one each: a private area of Unicode.
_STANDINS = range(0xF0000, 0xFFFFE)
_LEGACY_END = 2


@dataclass(frozen=True)
class Words:
    """A request whose prompts hold stand-ins for vectors, and the tokenizers that know them, by component name."""

    request: Generation
    tokenizers: Mapping[str, Any] = field(default_factory=dict)
    typed: Mapping[int, str] = field(default_factory=dict)

    def written(self, text: str) -> str:
        """`text` with the words as they were typed."""
        return text.translate(dict(self.typed))


@contextmanager
def known(base: Any, request: Generation, hooks: Hooks) -> Iterator[Words]:
    """While it runs, `base`'s text encoders know the vectors of the request's embeddings.

    The tokenizers are copies and the encoders get their own table of words back, so nothing of it is left. A word is
    known as it was typed, capitals included, and only where it stands alone. Raises InvalidModel for vectors that are
    not as wide as the model's words, and Invalid for a model whose text encoders are not CLIP's.
    """
    if not request.embeddings:
        yield Words(request)
        return
    encoders = _encoders(base)
    vectors = [_vectors(each.file, encoders) for each in request.embeddings]
    standins = _standins(request, [len(tables[0]) for tables in vectors])
    tokenizers: dict[str, Any] = {}
    with ExitStack() as stack:
        for index, name in enumerate(encoders):
            own = [row for tables in vectors for row in tables[index]]
            tokenizer = base.components[name.replace("text_encoder", "tokenizer")]
            learned, ids = _taught(tokenizer, [sign for signs in standins for sign in signs])
            tokenizers[name.replace("text_encoder", "tokenizer")] = learned
            stack.enter_context(_table(encoders[name], dict(zip(ids, own, strict=True))))
            stack.enter_context(_end_found(encoders[name], tokenizer.eos_token_id))
        yield _worded(request, standins, tokenizers, hooks)


def _encoders(base: Any) -> dict[str, Any]:
    parts = base.components.items()
    found = {name: part for name, part in parts if name.startswith("text_encoder") and part is not None}
    if not found or not all(type(part).__name__.startswith("CLIPText") for part in found.values()):
        raise Invalid(f"{type(base).__name__} takes no textual inversions: its text encoders are not CLIP's")
    return found


def _vectors(file: ModelFile, encoders: Mapping[str, Any]) -> list[Any]:
    """One table of vectors for each encoder, all of the same length."""
    tensors = adapter_tensors(file, "textual-inversion")
    if isinstance(tensors.get("string_to_param"), Mapping):
        tensors = dict(tensors["string_to_param"])
    names = ["clip_l", "clip_g"] if {"clip_l", "clip_g"} <= set(tensors) else sorted(tensors)
    if len(names) != len(encoders):
        raise InvalidModel(
            f"textual inversion {file.name!r} is for {len(names)} text encoders, this model has {len(encoders)}",
            hint="Use one that was trained for this family of models.",
        )
    tables = [tensors[name].reshape(-1, tensors[name].shape[-1]) for name in names]
    for table, encoder in zip(tables, encoders.values(), strict=True):
        width = encoder.get_input_embeddings().weight.shape[1]
        if table.shape[1] != width:
            raise InvalidModel(
                f"textual inversion {file.name!r} has vectors of {table.shape[1]} numbers, this model's have {width}",
                hint="Use one that was trained for this family of models.",
            )
    if len({len(table) for table in tables}) > 1:
        raise InvalidModel(f"textual inversion {file.name!r} has another number of vectors for each text encoder")
    return tables


def _standins(request: Generation, counts: list[int]) -> list[list[str]]:
    taken = request.prompt + request.negative_prompt + (request.toward.prompt if request.toward else "")
    free = (chr(code) for code in _STANDINS if chr(code) not in taken)
    return [[next(free) for _ in range(count)] for count in counts]


def _taught(tokenizer: Any, words: list[str]) -> tuple[Any, list[int]]:
    """A copy of `tokenizer` that knows `words`, and their numbers."""
    learned = copy.deepcopy(tokenizer)
    token = library("tokenizers").AddedToken
    learned.add_tokens([token(word, normalized=False, special=False) for word in words])
    return learned, [int(learned.convert_tokens_to_ids(word)) for word in words]


@contextmanager
def _table(encoder: Any, rows: Mapping[int, Any]) -> Iterator[None]:
    """While it runs, `encoder` knows the vectors `rows` by number, beside its own words."""
    torch = library("torch")
    own = encoder.get_input_embeddings()
    weight = own.weight.new_zeros((max(own.weight.shape[0], max(rows) + 1), own.weight.shape[1]))
    weight[: own.weight.shape[0]] = own.weight.detach()
    for number, row in rows.items():
        weight[number] = row.to(weight)
    encoder.set_input_embeddings(torch.nn.Embedding.from_pretrained(weight))
    try:
        yield
    finally:
        encoder.set_input_embeddings(own)


@contextmanager
def _end_found(encoder: Any, number: int) -> Iterator[None]:
    """While it runs, the end of a text is found by its own number.

    Encoders with an old configuration take the highest number for the end, which a new word would have.
    """
    marked = [part for part in encoder.modules() if getattr(part, "eos_token_id", None) == _LEGACY_END]
    for part in marked:
        part.eos_token_id = number
    try:
        yield
    finally:
        for part in marked:
            part.eos_token_id = _LEGACY_END


def _worded(request: Generation, standins: list[list[str]], tokenizers: Mapping[str, Any], hooks: Hooks) -> Words:
    signs = {each.token: " ".join(own) for each, own in zip(request.embeddings, standins, strict=True)}
    pattern = re.compile("|".join(_alone(token) for token in sorted(signs, key=len, reverse=True)))
    met: set[str] = set()

    def swap(found: re.Match[str]) -> str:
        met.add(found[0])
        return signs[found[0]]

    toward = request.toward
    worded = replace(
        request,
        prompt=pattern.sub(swap, request.prompt),
        negative_prompt=pattern.sub(swap, request.negative_prompt),
        toward=replace(toward, prompt=pattern.sub(swap, toward.prompt)) if toward is not None else None,
    )
    for each in request.embeddings:
        _note_unused(each, met, hooks)
    typed = {ord(own[0]): each.token for each, own in zip(request.embeddings, standins, strict=True)}
    return Words(worded, tokenizers, {ord(sign): "" for own in standins for sign in own} | typed)


def _alone(token: str) -> str:
    """A pattern for `token` that does not match inside a longer word."""
    before = r"(?<!\w)" if re.match(r"\w", token) else ""
    after = r"(?!\w)" if re.search(r"\w$", token) else ""
    return before + re.escape(token) + after


def _note_unused(embedding: Embedding, met: set[str], hooks: Hooks) -> None:
    if embedding.token not in met:
        hooks.note(
            f"textual inversion {embedding.file.name!r} was not used: no prompt has the word {embedding.token!r}"
        )
