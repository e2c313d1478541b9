"""A CLIP tokenizer in which every word that captions use is one token.

Byte-pair merges are learned from the captions until no word is split any more;
all other text falls back to shorter pieces and at last to single bytes, so any
prompt can be read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from train.captions import caption
from train.scenes import sample_scene

LENGTH: Final = 48
START: Final = "<|startoftext|>"
END: Final = "<|endoftext|>"
FIRST_SCENE: Final = 10_000_000
CAPTIONS: Final = 4000

Merge = tuple[str, str]


def count_words(captions: int = CAPTIONS) -> Counter[str]:
    """How often each word occurs in the captions of the first scenes."""
    counts: Counter[str] = Counter()
    for i in range(captions):
        dice = np.random.default_rng(FIRST_SCENE + i)
        counts.update(re.findall(r"[a-z]+", caption(sample_scene(dice), dice)))
    return counts


def merge(pieces: list[str], pair: Merge) -> list[str]:
    """`pieces` with every occurrence of the pair put together."""
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def learn_merges(counts: Counter[str]) -> list[Merge]:
    """The merges, most frequent pair first, that make every word one token."""
    words = {word: [*word[:-1], f"{word[-1]}</w>"] for word in counts}
    merges: list[Merge] = []
    while True:
        pairs: Counter[Merge] = Counter()
        for word, pieces in words.items():
            for pair in pairwise(pieces):
                pairs[pair] += counts[word]
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {word: merge(pieces, best) for word, pieces in words.items()}


def vocabulary(merges: list[Merge]) -> dict[str, int]:
    """Every token and its number: bytes, bytes that end a word, merges, start and end."""
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(pair) for pair in merges)]
    return {token: number for number, token in enumerate(dict.fromkeys([*tokens, START, END]))}


def build(folder: Path) -> CLIPTokenizer:
    """Learn the tokenizer, write it to `folder` and load it from there."""
    merges = learn_merges(count_words())
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {"model_max_length": LENGTH, "tokenizer_class": "CLIPTokenizer", **special}
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps(vocabulary(merges)), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer


def numbers(tokenizer: CLIPTokenizer, texts: list[str]) -> list[list[int]]:
    """The token numbers of each text, filled up or cut to the full length."""
    found: list[list[int]] = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH).input_ids
    return found
