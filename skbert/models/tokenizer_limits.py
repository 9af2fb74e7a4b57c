"""Tokenizer limits: what of a folder's tokenizer would take too long, before it does.

transformers builds a tokenizer of whatever tables a folder has, some in time that grows
with their square. What the tokenizer does to a text before it looks up words is a list
of steps in the folder as well, and each may make the text many times as long.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from skbert.exceptions import ModelFormatError
from skbert.models.folder import read_json

__all__ = ["check_limits", "check_sizes"]

# Bytes of settings, and of tables beside those of each word: with its merges it is 130
# in those of Gemma and Llama.
_LONGEST = 2**23
_BYTES_PER_WORD = 512
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_ADDED = "added_tokens.json"
_TABLES = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "byte_maps.json")

# Words, where there is no table of embeddings to compare them with.
_MOST_WORDS = 2**18
_MERGES_PER_WORD = 10  # two or three are usual

# Gemma's 6,415 added tokens are the most of a model of text.
_MOST_ADDED = 20_000
_MOST_SPECIAL = 2_000
# transformers compares each special token that is no added one with all of those.
_MOST_COMPARISONS = 10**6
_LISTS_OF_SPECIAL = (
    *("extra_special_tokens", "additional_special_tokens"),
    "model_specific_special_tokens",
)
_NUMBERS_OF_SPECIAL = ("extra_ids", "offset", "num_madeup_words")

# WordPiece looks up each part of a word, with the prefix before it.
_LONGEST_PARTS = {"max_input_chars_per_word": 1000, "continuing_subword_prefix": 100}

# Steps from a text to its tokens, and tokens that are put around it.
_MOST_STEPS = 1000
_MOST_AROUND = 100

# How many times as long a text may become. As it is counted here, ALBERT and XLNet have
# the most of what is published, 1,296.
_MOST_GROWTH = 1500
# Added tokens are changed as texts are, and all of them are kept.
_MOST_CHARACTERS = 10**7

# Characters that a step makes of one at most; what makes 18 of one is U+FDFA.
_GROWTH = {
    **{"NFC": 3, "NFD": 4, "NFKC": 18, "NFKD": 18, "Lowercase": 2},
    **{"BertNormalizer": 3 * 4 * 2, "ByteLevel": 5, "Metaspace": 2},
    **dict.fromkeys(("Strip", "StripAccents", "Nmt", "Split", "Punctuation"), 1),
    **dict.fromkeys(("BertPreTokenizer", "Whitespace", "WhitespaceSplit"), 1),
    **dict.fromkeys(("Digits", "CharDelimiterSplit", "UnicodeScripts"), 1),
}
_UNKNOWN_GROWTH = 18

# The pattern of tokenizers that come of sentencepiece; most others may match nothing.
_SPACES = {"Regex": " {2,}"}

_LONGEST_SENTENCEPIECE = 2**25


def check_sizes(folder: Path, n_tokens: int | None) -> None:
    """Check that reading a tokenizer's files takes no more than a second or two.

    Parameters
    ----------
    folder, n_tokens
        As of `check_limits`.

    Raises
    ------
    ModelFormatError
        If one is longer than any real one for so many words.
    """
    longest = _LONGEST + _BYTES_PER_WORD * _most_words(n_tokens)
    for names, most in (((*_SETTINGS, _ADDED), _LONGEST), (_TABLES, longest)):
        for path in (folder / name for name in names):
            if path.is_file():
                _check_count(path, "bytes", path.stat().st_size, most)


def _most_words(n_tokens: int | None) -> int:
    return _MOST_WORDS if n_tokens is None else n_tokens


def check_limits(folder: Path, content: dict, n_tokens: int | None) -> None:
    """Check that a tokenizer can be built and used in seconds.

    What is damaged otherwise may raise anything.

    Parameters
    ----------
    folder : Path
    content : dict
        Of the folder's tokenizer.json; empty where there is none.
    n_tokens : int or None
        Rows of the model's table of embeddings; None where there is none.

    Raises
    ------
    ModelFormatError
        If some part is larger than that of any real one.
    """
    most = _most_words(n_tokens)
    path = folder / "tokenizer.json"
    _check_words(path, content.get("model") or {}, most)
    _check_lists_of_words(folder, most)
    added = _check_added(folder, content)
    steps = [
        *_steps(content.get("normalizer"), "normalizers"),
        *_steps(content.get("pre_tokenizer"), "pretokenizers"),
    ]
    processors = list(_steps(content.get("post_processor"), "processors"))
    _check_count(path, "steps", len(steps) + len(processors), _MOST_STEPS)
    _check_count(
        path, "special tokens around a text", _n_around(processors), _MOST_AROUND
    )
    _check_growth(path, _growth(steps), added)
    for path in [*folder.glob("*.model"), *folder.glob("*.spm")]:
        _check_sentencepiece(path, max(most, _MOST_WORDS), added)


def _check_count(path: Path, name: str, n: int, most: int) -> None:
    if n > most:
        raise ModelFormatError(
            f"{path}: {n} {name} are more than any tokenizer needs; skbert reads at "
            f"most {most}."
        )


def _check_words(path: Path, model: dict, most: int) -> None:
    _check_vocabulary(path, len(model.get("vocab") or ()), most)
    merges = len(model.get("merges") or ())
    _check_count(path, "merges", merges, _MERGES_PER_WORD * most)
    for name, longest in _LONGEST_PARTS.items():
        value = model.get(name) or 0
        n = len(value) if isinstance(value, str) else value
        _check_count(path, f"characters ({name})", n, longest)


def _check_lists_of_words(folder: Path, most: int) -> None:
    """Check what stands in the place of tokenizer.json where there is none."""
    path = folder / "vocab.json"
    if path.is_file():
        _check_vocabulary(path, len(read_json(path)), most)
    path = folder / "vocab.txt"
    if path.is_file():
        _check_vocabulary(path, _n_lines(path), most)
    path = folder / "merges.txt"
    if path.is_file():
        _check_count(path, "merges", _n_lines(path), _MERGES_PER_WORD * most)


def _n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def _check_vocabulary(path: Path, n_words: int, most: int) -> None:
    if n_words > most:
        raise ModelFormatError(
            f"{path} has {n_words} words, and the model embeddings for {most}. They "
            "belong to different models, or the model was not resized."
        )


def _check_added(folder: Path, content: dict) -> set[str]:
    """Check the tokens beside the vocabulary, and return their texts."""
    settings = {
        path: read_json(path) for name in _SETTINGS if (path := folder / name).is_file()
    }
    tables = {folder / "tokenizer.json": content.get("added_tokens") or []}
    for path, setting in settings.items():
        tables[path] = list((setting.get("added_tokens_decoder") or {}).values())
    path = folder / _ADDED
    if path.is_file():
        tables[path] = list(read_json(path))
    for path, tokens in tables.items():
        _check_count(path, "added tokens", len(tokens), _MOST_ADDED)
    added = {_text(token) for tokens in tables.values() for token in tokens}
    special: list[str | None] = []
    for path, setting in settings.items():
        special += _special_tokens(path, setting)
        _check_count(path, "special tokens", len(special), _MOST_SPECIAL)
        new = sum(text not in added for text in special)
        most = _MOST_COMPARISONS // max(sum(map(len, tables.values())), 1)
        _check_count(path, "special tokens that are no added ones", new, most)
    return added.union(filter(None, special))


def _special_tokens(path: Path, settings: dict) -> Iterator[str | None]:
    """Yield the texts of special tokens, None for one that is made up."""
    for name, value in settings.items():
        if name in _LISTS_OF_SPECIAL:
            tokens = value.values() if isinstance(value, dict) else value or ()
            yield from map(_text, tokens)
        elif name.endswith("_token") and isinstance(value, str | dict):
            yield _text(value)
        elif name in _NUMBERS_OF_SPECIAL and isinstance(value, int):
            _check_count(path, name, value, _MOST_SPECIAL)
            yield from [None] * value


def _text(token: Any) -> str:
    return token if isinstance(token, str) else token["content"]


def _steps(part: Any, inner: str) -> Iterator[dict]:
    """Yield the steps of a part of tokenizer.json, those of sequences one by one."""
    if part is None:
        return
    if part["type"] != "Sequence":
        yield part
        return
    for step in part[inner]:
        yield from _steps(step, inner)


def _n_around(processors: list[dict]) -> int:
    """Return how many tokens are put around a text of one, that one included."""
    n_tokens = 1
    for processor in processors:
        if n_tokens > _MOST_AROUND:
            break
        if processor["type"] != "TemplateProcessing":
            n_tokens += 4  # RoBERTa's, the most
            continue
        texts = around = 0
        for piece in processor["single"]:
            if "Sequence" in piece:
                texts += 1
            else:
                name = piece["SpecialToken"]["id"]
                around += len(processor["special_tokens"][name]["ids"])
        n_tokens = n_tokens * texts + around
    return n_tokens


def _growth(steps: list[dict]) -> int:
    """Return how many characters the steps make of one at most, or enough to refuse.

    It is counted from the last step on: then it is known what becomes of the characters
    that a step writes.
    """
    usual = 1  # what becomes of a character
    special: dict[str, int] = {}  # and of those that differ
    for step in reversed(steps):
        if step["type"] in ("Replace", "Prepend"):
            written = step["content" if step["type"] == "Replace" else "prepend"]
            if len(written) > _MOST_GROWTH:
                return len(written)
            n = sum(special.get(character, usual) for character in written)
            first = _first_character(step)
            if first is None:  # it may be written before each character
                usual += n
                special = {character: m + n for character, m in special.items()}
            else:
                special[first] = max(n, special.get(first, usual))
        else:
            usual = _growth_of(step) * max([usual, *special.values()])
            special = {}
        if max([usual, *special.values()]) > _MOST_GROWTH:
            break
    return max([usual, *special.values()])


def _first_character(step: dict) -> str | None:
    """Return what all that a step replaces begins with, None if that cannot be told."""
    if step["type"] == "Prepend":
        return None
    if step["pattern"] == _SPACES:
        return " "
    return step["pattern"].get("String", "")[:1] or None


def _growth_of(step: dict) -> int:
    if step["type"] == "Precompiled":
        return _charsmap_growth(base64.b64decode(step["precompiled_charsmap"]))
    return _GROWTH.get(step["type"], _UNKNOWN_GROWTH)


def _charsmap_growth(charsmap: bytes) -> int:
    """Return the length of the longest text by which sentencepiece replaces one."""
    # The length of a trie, the trie, and then the texts, each with a NUL behind it.
    start = 4 + int.from_bytes(charsmap[:4], "little")
    texts = charsmap[start:].split(b"\0")
    return max(1, *(len(text.decode(errors="replace")) for text in texts))


def _check_growth(path: Path, growth: int, added: set[str]) -> None:
    n_characters = sum(map(len, added))
    most = min(_MOST_GROWTH, _MOST_CHARACTERS // max(n_characters, 1))
    if growth > most:
        raise ModelFormatError(
            f"{path}: a text can become {growth} times as long, or longer, before it "
            f"is divided into tokens. skbert reads at most {most}, with added tokens "
            f"of {n_characters} characters."
        )


def _check_sentencepiece(path: Path, most: int, added: set[str]) -> None:
    _check_count(path, "bytes", path.stat().st_size, _LONGEST_SENTENCEPIECE)
    try:
        proto = import_module("sentencepiece.sentencepiece_model_pb2")
        model = proto.ModelProto.FromString(path.read_bytes())
    except Exception:  # it is of tiktoken, or nothing is installed that reads it
        return
    _check_count(path, "words", len(model.pieces), most)
    growth = _charsmap_growth(model.normalizer_spec.precompiled_charsmap)
    _check_growth(path, growth, added)
