"""Sizes that lie: numbers without the weights, and files that are long and empty."""

from __future__ import annotations

import math

from tests.faults.mutations.json_files import read, write
from tests.faults.mutations.tokenizers import use_class
from tests.faults.mutations.weights import pack

_SIZES = (
    *("hidden_size", "dim", "intermediate_size", "hidden_dim", "num_hidden_layers"),
    *("n_layers", "num_attention_heads", "n_heads", "vocab_size", "type_vocab_size"),
    *("max_position_embeddings", "num_labels", "attention_window", "downsampling_rate"),
    *("num_hidden_groups", "embedding_size", "num_experts", "chunk_size_feed_forward"),
)


def lie_about_sizes(folder, rng):
    return rng.choice(
        [_large_config, _large_config, _large_state, _sparse, _many_labels]
    )(folder, rng)


def _large_config(folder, rng):
    size = rng.choice([10**4, 10**5, 10**6, 4 * 10**6, 10**7, 10**9, 10**12, 2**62])
    change = dict.fromkeys(rng.sample(_SIZES, rng.choice([1, 1, 2])), size)
    change = rng.choice([change, dict.fromkeys(_SIZES, size), {"layers": [change] * 3}])
    if rng.random() < 0.2:  # where layers share their weights
        change |= {
            "model_type": rng.choice(["albert", "modernbert", "longformer", "canine"])
        }
    write(folder / "config.json", read(folder / "config.json") | change)
    return f"config.json: {change}"


def _large_state(folder, rng):
    if not (folder / "skbert.json").exists():
        return _large_config(folder, rng)
    content = read(folder / "skbert.json")
    size = rng.choice([10**4, 10**6, 10**9, 2**63])
    windows = {"long_text": "windows", "long_text_params": {"max_windows": size}}
    change = rng.choice([{"max_length": size}, {"batch_size": size}, windows])
    content["params"] |= change
    write(folder / "skbert.json", content)
    return f"skbert.json: {change}"


def _sparse(folder, rng):
    """Make a file long, which takes no space on the disk."""
    if rng.random() < 0.5:
        return _sparse_of_tokenizer(folder, rng)
    path = rng.choice(sorted(path for path in folder.glob("*") if path.is_file()))
    # Safetensors are mapped into memory before they are looked at, and not read.
    gigabytes = 1 if path.suffix == ".safetensors" else 20
    return _make_long(path, gigabytes)


def _make_long(path, gigabytes):
    path.parent.mkdir(exist_ok=True)
    with open(path, "ab") as file:
        file.truncate(gigabytes * 2**30)
    return f"{path.name}: {gigabytes} GB"


def _sparse_of_tokenizer(folder, rng):
    """Make a file long that only some tokenizers read."""
    name, kind = rng.choice(_READ_BY_TOKENIZERS)
    if kind is not None:
        use_class(folder, kind)
        (folder / "tokenizer.json").unlink()
    if kind == "PhobertTokenizer":
        (folder / "vocab.txt").write_text("a 1\n")
    return f"{_make_long(folder / name, 3)}, {kind}"


_READ_BY_TOKENIZERS = (
    *(("additional_chat_templates/x.jinja", None), ("chat_template.jinja", None)),
    *(("added_tokens.json", None), ("special_tokens_map.json", None)),
    *(("vocab.txt", "BertTokenizer"), ("vocab.json", "RobertaTokenizer")),
    *(
        ("prophetnet.tokenizer", "ProphetNetTokenizer"),
        ("dict.txt", "BartphoTokenizer"),
    ),
    *(("bpe.codes", "PhobertTokenizer"), ("source.spm", "MarianTokenizer")),
    *(("tokenizer.model", "LlamaTokenizer"), ("spiece.model", "SiglipTokenizer")),
)


def _many_labels(folder, rng):
    """Name labels without end, of a model so wide that a layer of them is gigabytes."""
    names = [str(i) for i in range(20_000)]
    content = read(folder / "config.json") | {"id2label": dict(enumerate(names))}
    write(folder / "config.json", content)
    if not (folder / "skbert.json").exists():
        return "20,000 labels"
    state = read(folder / "skbert.json") | {"pooling": "mean"}
    state |= {"label_names": names, "thresholds": [0.5] * len(names)}
    write(folder / "skbert.json", state)
    _widen(folder, 2**13)
    shape = rng.choice([[3, 16], [3, 2**13], [len(names), 1]])
    entries = {"weight": shape, "bias": rng.choice([[3], [len(names)]])}
    _write_zeros(folder / "head.safetensors", entries)
    return f"20,000 labels of a wide model, with a head of {entries}"


def _widen(folder, width):
    """Put an encoder without layers there: wide and yet of a few megabytes."""
    old = read(folder / "config.json")
    rows = {"word": old["vocab_size"], "position": old["max_position_embeddings"]}
    config = {"model_type": "distilbert", "n_layers": 0, "n_heads": 1, "dim": width}
    config |= {"hidden_dim": 1, "vocab_size": rows["word"], "pad_token_id": 0}
    config |= {"max_position_embeddings": rows["position"]}
    write(folder / "config.json", config | {"id2label": old["id2label"]})
    shapes = {
        f"embeddings.{key}_embeddings.weight": [n, width] for key, n in rows.items()
    }
    shapes |= {f"embeddings.LayerNorm.{key}": [width] for key in ("weight", "bias")}
    _write_zeros(folder / "model.safetensors", shapes)


def _write_zeros(path, shapes):
    header, start = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        offsets = [start, start + 4 * math.prod(shape)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        start = offsets[1]
    pack(path, header, bytes(start))
