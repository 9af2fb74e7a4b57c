"""Sizes that lie: numbers without the weights, and files that are long and empty."""

from __future__ import annotations

from faults.mutations.json_files import read, write

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
    path = rng.choice(sorted(path for path in folder.glob("*") if path.is_file()))
    # Safetensors are mapped into memory before they are looked at, and not read.
    gigabytes = 1 if path.suffix == ".safetensors" else 20
    with open(path, "r+b") as file:
        file.truncate(gigabytes * 2**30)
    return f"{path.name}: {gigabytes} GB"


def _many_labels(folder, rng):
    names = [str(i) for i in range(20_000)]
    content = read(folder / "config.json") | {"id2label": dict(enumerate(names))}
    write(folder / "config.json", content)
    if (folder / "skbert.json").exists():
        state = read(folder / "skbert.json")
        state |= {"label_names": names, "thresholds": [0.5] * len(names)}
        write(folder / "skbert.json", state)
    return "20,000 labels"
