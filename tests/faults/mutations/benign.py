"""What people and tools do to a folder that means nothing."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

from tests.faults.mutations.json_files import read, write
from tests.faults.mutations.planted_code import RunsCode
from tests.faults.mutations.weights import pack, unpack


def change_nothing(folder, rng):
    ways = rng.sample(list(_BENIGN_WAYS), rng.choice([1, 2, 3]))
    for way in ways:
        _BENIGN_WAYS[way](folder, rng)
    return f"benign: {ways}"


def _shuffled(content, rng):
    if not isinstance(content, dict):
        return content
    items = list(content.items())
    rng.shuffle(items)
    return {key: _shuffled(value, rng) for key, value in items}


def _reorder(folder, rng):
    for name in ("config.json", "skbert.json", "tokenizer_config.json"):
        if (folder / name).exists():
            write(folder / name, _shuffled(read(folder / name), rng))


def _respace(folder, rng):
    for path in folder.glob("*.json"):
        text = json.dumps(read(path), indent=rng.choice([None, 0, 1, 4, "\t"]))
        text = rng.choice(["", "\n\n", " "]) + text + rng.choice(["", "\n", "\r\n \t"])
        path.write_text(text.replace("\n", rng.choice(["\n", "\r\n"])), newline="")


def _unescape(folder, rng):
    for path in folder.glob("*.json"):
        text = json.dumps(read(path), ensure_ascii=rng.random() < 0.5)
        path.write_text(text, encoding="utf-8")


def _more_keys(folder, rng):
    more = {"comment": "by hand", "_x": [1, {"y": None}], "größe": 1.5}
    more |= {"quantization_config": None, "auto_map": {"AutoModel": "x.Y"}}
    more |= {"attn_implementation": "eager", "return_dict": False}
    write(folder / "config.json", read(folder / "config.json") | more)
    if (folder / "skbert.json").exists():
        state = read(folder / "skbert.json") | {"comment": "x", "later": {"a": [1]}}
        state["params"]["of_later"] = 3
        state["fitted"]["also_later_"] = None
        write(folder / "skbert.json", state)


def _more_files(folder, rng):
    for name in (
        "notes.txt",
        "x.py",
        ".gitattributes",
        "onnx/model.onnx",
        "events.log",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(rng.randbytes(100))
    (folder / "pytorch_model.bin").write_bytes(rng.randbytes(100))
    (folder / "training_args.bin").write_bytes(pickle.dumps(RunsCode(folder / "ran")))


def _reorder_weights(folder, rng):
    for path in folder.glob("*.safetensors"):
        header, data = unpack(path)
        names = [name for name in header if name != "__metadata__"]
        rng.shuffle(names)
        parts, start, new = [], 0, {"__metadata__": {"format": "pt", "by": "someone"}}
        for name in names:
            begin, end = header[name]["data_offsets"]
            offsets = [start, start + end - begin]
            new[name] = header[name] | {"data_offsets": offsets}
            parts.append(data[begin:end])
            start = offsets[1]
        text = json.dumps(new).encode()
        text += b" " * (-len(text) % 8 + 8 * rng.randrange(4))
        pack(path, text, b"".join(parts))


def _shard(folder, rng):
    path = folder / "model.safetensors"
    if not path.exists():
        return
    header, data = unpack(path)
    names = [name for name in header if name != "__metadata__"]
    rng.shuffle(names)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file, start, parts, new = f"model-0000{number}-of-00002.safetensors", 0, [], {}
        for name in part:
            begin, end = header[name]["data_offsets"]
            new[name] = header[name] | {"data_offsets": [start, start + end - begin]}
            start += end - begin
            parts.append(data[begin:end])
            weight_map[name] = file
        pack(folder / file, {"__metadata__": {"format": "pt"}} | new, b"".join(parts))
    path.unlink()
    index = {"metadata": {"total_size": len(data)}, "weight_map": weight_map}
    write(folder / "model.safetensors.index.json", index)


def _link_to_blobs(folder, rng):
    """Link to files elsewhere, as the hub's cache does."""
    blobs = folder.parent / "blobs"
    blobs.mkdir(exist_ok=True)
    for path in list(folder.glob("*")):
        if path.is_file() and not path.is_symlink():
            blob = blobs / f"{path.name}-{rng.randrange(10**9)}"
            os.replace(path, blob)
            path.symlink_to(Path("..") / "blobs" / blob.name)


_BENIGN_WAYS = {
    "order of keys": _reorder,
    "white space": _respace,
    "escapes": _unescape,
    "more keys": _more_keys,
    "more files": _more_files,
    "order of weights": _reorder_weights,
    "shards": _shard,
    "links": _link_to_blobs,
}
