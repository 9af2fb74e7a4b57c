"""Tokenizers changed at random, and in the ways that are known to hurt."""

from __future__ import annotations

import json
import os

from tests.faults.folder_worker import SECRET
from tests.faults.mutations.json_files import JUNK, change_json, read, write


def change_tokenizer(folder, rng):
    if rng.random() < 0.55:
        names = ["tokenizer.json", "tokenizer_config.json"]
        return change_json(folder / rng.choice(names), rng)
    way = rng.choice(list(_TOKENIZER_WAYS))
    _TOKENIZER_WAYS[way](folder, rng)
    names = ("tokenizer_config.json", "special_tokens_map.json")
    paths = [folder / name for name in names]
    files = [path.read_text()[:500] for path in paths if path.is_file()]
    return f"tokenizer: {way}: {files}"


def _in_tokenizer(change):
    def apply(folder, rng):
        content = read(folder / "tokenizer.json")
        change(content, rng)
        write(folder / "tokenizer.json", content)

    return apply


def in_pipeline(change):
    """Change a step of a tokenizer.

    A class of a model would make its own in its place.
    """

    def apply(folder, rng):
        _in_tokenizer(change)(folder, rng)
        use_class(folder, "PreTrainedTokenizerFast")

    return apply


def _in_settings(change):
    def apply(folder, rng):
        content = read(folder / "tokenizer_config.json")
        content.update(change(rng))
        write(folder / "tokenizer_config.json", content)

    return apply


def _move_id(content, rng):
    vocabulary = content["model"]["vocab"]
    word = rng.choice(list(vocabulary))
    vocabulary[word] = rng.choice(
        [len(vocabulary), len(vocabulary) + 1, 10**6, 2**32 - 1]
    )


def _move_special(content, rng):
    ids = [rng.choice([999, 10**6])]
    content["post_processor"] = template([SPECIAL, TEXT], ids)


def _drop_special(content, rng):
    for token in rng.sample(content["added_tokens"], 1):
        content["added_tokens"].remove(token)
        content["model"]["vocab"].pop(token["content"], None)


def split(pattern):
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def replace(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


SPECIAL = {"SpecialToken": {"id": "x", "type_id": 0}}
TEXT = {"Sequence": {"id": "A", "type_id": 0}}


def template(single, ids):
    tokens = {"id": "x", "ids": ids, "tokens": ["x"] * len(ids)}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"x": tokens},
    }


BACKTRACKING = (
    "(a+)+$",
    "(a|a)*b",
    "(.*)*x",
    "(?=(a+))a*b\\1",
    "((a*)*)*$",
    "(",
    "[z-a]",
)
CLASSES = (
    *("AutoModel", "AutoTokenizer", "AutoConfig", "RagTokenizer", "RagRetriever"),
    *("PreTrainedModel", "BertModel", "pipeline", "models", "os", "__builtins__"),
    *(
        "AutoProcessor",
        "Trainer",
        "GenerationConfig",
        "CanineTokenizer",
        "GPT2Tokenizer",
    ),
    *("T5Tokenizer", "BertJapaneseTokenizer", "ByT5Tokenizer", "Wav2Vec2CTCTokenizer"),
    *(
        "LlamaTokenizer",
        "MistralCommonBackend",
        "TokenizersBackend",
        "",
        "a.b",
        "Nothing",
    ),
)


def use_word_list(folder):
    """Keep the vocabulary as a list of words; there is no tokenizer.json then."""
    vocabulary = read(folder / "tokenizer.json")["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.get)
    text = "\n".join(words) + "\n"
    (folder / "vocab.txt").write_text(text, encoding="utf-8")
    (folder / "tokenizer.json").unlink()


def use_class(folder, name):
    path = folder / "tokenizer_config.json"
    write(path, read(path) | {"tokenizer_class": name})


def _places(folder):
    """Make what is no business of the folder's, and return the paths."""
    room = folder.parent
    os.mkfifo(room / "pipe")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", SECRET]
    (room / "outside.txt").write_text("\n".join(words) + "\n")
    (room / "outside.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    os.mkfifo(folder / "pipe")
    paths = [room / "pipe", room / "outside.txt", room / "outside.json"]
    paths += [folder / "pipe", "/dev/zero", "/dev/random", "/etc/passwd", "/nothing"]
    return [*map(str, paths), "../outside.txt", "../pipe", 0, "vocab.txt", ""]


_PATH_KEYS = (
    *("vocab", "merges", "vocab_file", "merges_file", "tokenizer_file", "spm_file"),
    *("source_spm", "target_spm", "gguf_file", "emoji_file", "model_file"),
    *("src_vocab_file", "monolingual_vocab_file", "entity_vocab_file"),
    *("special_tokens_map_file", "added_tokens_file", "chat_template_file"),
)
_PATH_CLASSES = (
    *("BertTokenizer",) * 6,
    *("RobertaTokenizer", "TokenizersBackend"),
    *("BertJapaneseTokenizer", "ProphetNetTokenizer", "BertGenerationTokenizer"),
    *("MarianTokenizer", "MyT5Tokenizer", "BertweetTokenizer", "LlamaTokenizer"),
)


def _lead_elsewhere(folder, rng):
    """Name files that are none of a tokenizer's in its settings."""
    place = rng.choice(_places(folder))
    names = rng.choice([["vocab"], ["vocab_file"], rng.sample(_PATH_KEYS, 3)])
    settings = dict.fromkeys(names, place)
    nested = ({"sp_model_kwargs": settings}, {"a": [settings]})
    settings = rng.choice([settings, settings, *nested, {"init_inputs": [place]}])
    path = folder / "tokenizer_config.json"
    content = read(path) | {"tokenizer_class": rng.choice(_PATH_CLASSES)}
    if rng.random() < 0.5:
        # With this one transformers leaves special_tokens_map.json alone.
        content.pop("added_tokens_decoder", None)
        write(folder / "special_tokens_map.json", settings)
    else:
        content |= settings
    write(path, content)
    if rng.random() < 0.8:
        use_word_list(folder)


def _tables_elsewhere(folder, rng):
    """Name a file in the place of a table."""
    place = rng.choice(_places(folder))
    if rng.random() < 0.3:
        maps = {"decompose_map": place, "merge_map": {}}
        write(folder / "byte_maps.json", maps)
        use_class(folder, "MyT5Tokenizer")
        return
    content = read(folder / "tokenizer.json")
    content["model"] |= {rng.choice(["vocab", "vocab", "merges"]): place}
    content["model"]["type"] = rng.choice(["WordPiece", "BPE", "WordLevel"])
    write(folder / "tokenizer.json", content)
    use_class(folder, rng.choice(_PATH_CLASSES))


_TOKENIZER_WAYS = {
    "id beyond": _in_tokenizer(_move_id),
    "special beyond": in_pipeline(_move_special),
    "special gone": _in_tokenizer(_drop_special),
    "regex": in_pipeline(
        lambda content, rng: content.update(
            pre_tokenizer=split(rng.choice(BACKTRACKING))
        )
    ),
    "normalizer": in_pipeline(
        lambda content, rng: content.update(
            normalizer=rng.choice(
                [
                    replace({"Regex": rng.choice(BACKTRACKING)}, "a"),
                    replace({"String": "a"}, "a" * 100),
                    {"type": "Prepend", "prepend": "x" * 10_000},
                    {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
                    {"type": "Sequence", "normalizers": []},
                    None,
                ]
            )
        )
    ),
    "padding": _in_tokenizer(
        lambda content, rng: content.update(
            padding={
                "strategy": {"Fixed": rng.choice([10**6, 10**9])},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "[PAD]",
            }
        )
    ),
    "truncation": _in_tokenizer(
        lambda content, rng: content.update(
            truncation={
                "direction": "Right",
                "max_length": rng.choice([0, 1, 2, 10**9]),
                "strategy": "LongestFirst",
                "stride": rng.choice([0, 5]),
            }
        )
    ),
    "no post-processor": in_pipeline(
        lambda content, rng: content.update(post_processor=None)
    ),
    "class": _in_settings(lambda rng: {"tokenizer_class": rng.choice(CLASSES)}),
    "setting": _in_settings(
        lambda rng: {
            rng.choice(
                [
                    *(
                        "init_inputs",
                        "vocab_file",
                        "tokenizer_file",
                        "extra_special_tokens",
                    ),
                    *(
                        "model_max_length",
                        "padding_side",
                        "truncation_side",
                        "pad_token",
                    ),
                    *("added_tokens_decoder", "do_lower_case", "model_input_names"),
                    *(
                        "gguf_file",
                        "from_slow",
                        "tokenizer_object",
                        "max_length",
                        "stride",
                    ),
                    *(
                        "fast_tokenizer_files",
                        "processor_class",
                        "cls_token",
                        "backend",
                    ),
                    *(
                        "additional_special_tokens",
                        "is_local",
                        "name_or_path",
                        "config",
                    ),
                ]
            ): rng.choice(JUNK)
        }
    ),
    "added tokens": lambda folder, rng: write(
        folder / "added_tokens.json", {"new": rng.choice(JUNK)}
    ),
    "special tokens": lambda folder, rng: write(
        folder / "special_tokens_map.json",
        {rng.choice(["pad_token", "cls_token", "x"]): rng.choice(JUNK)},
    ),
    "gone": lambda folder, rng: (folder / "tokenizer.json").unlink(),
    "words": lambda folder, rng: use_word_list(folder),
    "paths": _lead_elsewhere,
    "paths again": _lead_elsewhere,
    "tables elsewhere": _tables_elsewhere,
    "both gone": lambda folder, rng: [p.unlink() for p in folder.glob("tokenizer*")],
}
