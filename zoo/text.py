"""The one tokenizer of the zoo: CLIP's byte-pair encoding, trained on the captions until every word is one token.

Words that no caption contains fall apart into letters instead of failing, so any prompt can be given.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from zoo.captions import words

LENGTH = 24  # the longest caption has 21 words; with both ends that is 23
START, END = "<|startoftext|>", "<|endoftext|>"


def build() -> CLIPTokenizer:
    """Trains the merges. END gets the highest id, because open_clip pools at the largest one."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=5000, min_frequency=1, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    # A file of lone words: one sequence each, so that the pre-tokenizer adds no spaces.
    trained.train_from_iterator([[word] for word in words()], trainer)
    merges = [tuple(pair) for pair in _merges(trained)]
    letters = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    tokens = list(dict.fromkeys([*letters, *("".join(pair) for pair in merges), START, END]))
    tokenizer = CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=merges, model_max_length=LENGTH
    )
    for word in words():
        if len(tokenizer(word, add_special_tokens=False).input_ids) != 1:
            raise RuntimeError(f"{word!r} is not one token")
    return tokenizer


def _merges(trained: Tokenizer) -> list[list[str]]:
    pairs: list[list[str]] = json.loads(trained.to_str())["model"]["merges"]
    return pairs


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Captions as (n, 24) ids, padded the way the pipelines pad."""
    encoded = tokenizer(captions, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    ids: torch.Tensor = encoded.input_ids
    return ids


def save(folder: Path) -> None:
    """Writes the tokenizer's files."""
    build().save_pretrained(folder)
