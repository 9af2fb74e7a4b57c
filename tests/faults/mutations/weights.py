"""Files of safetensors changed at random, the header more than the data."""

from __future__ import annotations

import json
import struct

import torch
from safetensors.torch import load_file, save_file

from tests.faults.mutations.json_files import JUNK, flip


def unpack(path):
    """Return the header and the data of a file of safetensors."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def pack(path, header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(struct.pack("<Q", size % 2**64) + text + data)


def change_weights(folder, rng):
    files = sorted(folder.glob("*.safetensors"))
    path = rng.choice(files)
    header, data = unpack(path)
    names = [name for name in header if name != "__metadata__"]
    name, other = rng.choice(names), rng.choice(names)
    entry = header[name]
    whole = path.read_bytes()
    way = rng.choice(_WEIGHT_WAYS)
    if way == "length":
        text = json.dumps(header).encode()
        lies = [0, 1, len(text) - 1, len(text) + 1, 10**8 + 1, 2**40, 2**63, 2**64 - 1]
        pack(path, header, data, rng.choice(lies))
    elif way == "cut":
        path.write_bytes(whole[: rng.randrange(len(whole))])
    elif way == "grown":
        path.write_bytes(whole + bytes(rng.randrange(1, 10_000)))
    elif way == "flip header":
        end = len(whole) - len(data)
        path.write_bytes(flip(whole, rng.randrange(end), rng))
    elif way == "flip data":
        for _ in range(rng.choice([1, 1, 10, 1000])):
            data = flip(data, rng.randrange(len(data)), rng)
        pack(path, header, data)
    elif way == "numbers":
        value = rng.choice([float("nan"), float("inf"), 3e38, -3e38, 1e20, 1e9])
        begin, end = entry["data_offsets"]
        where = rng.randrange(begin, end, 4)
        data = data[:where] + struct.pack("<f", value) + data[where + 4 :]
        pack(path, header, data)
    elif way == "type":
        tensors = load_file(path)
        kind = rng.choice(_TYPES)
        for changed in rng.choice([[name], names]):
            tensors[changed] = tensors[changed].to(kind)
        save_file(tensors, path, {"format": "pt"})
    elif way == "other file":
        path.write_bytes(rng.choice(files).read_bytes())
    elif way == "gone":
        path.unlink()
    else:
        {
            "offsets": lambda: entry.update(
                data_offsets=rng.choice(
                    [
                        header[other]["data_offsets"],
                        [0, 2**63],
                        [-4, 4],
                        [8, 0],
                        [len(data), len(data)],
                        ["a", "b"],
                        [0],
                    ]
                )
            ),
            "dtype": lambda: entry.update(
                dtype=rng.choice(
                    ["F64", "F16", "BF16", "I32", "F8_E4M3", "C64", "X", 3]
                )
            ),
            "shape": lambda: entry.update(
                shape=rng.choice(
                    [
                        entry["shape"][::-1],
                        [*entry["shape"], 1],
                        [],
                        [0],
                        [2**32, 2**32],
                        [10**18],
                        [-1],
                        ["a"],
                        header[other]["shape"],
                    ]
                )
            ),
            "rename": lambda: header.update(
                {rng.choice(["x", "", "../x"]): header.pop(name)}
            ),
            "swap": lambda: header.update({name: header[other], other: header[name]}),
            "missing": lambda: header.pop(name),
            "metadata": lambda: header.update(__metadata__=rng.choice(JUNK)),
        }[way]()
        pack(path, header, data)
    return f"{path.name}: {way} of {name} and {other}"


_WEIGHT_WAYS = (
    *("length", "cut", "grown", "flip header", "flip data", "numbers", "type"),
    *("other file", "gone", "offsets", "dtype", "shape", "rename", "swap", "missing"),
    "metadata",
)
_TYPES = (
    *(torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
    *(torch.float8_e5m2, torch.complex64, torch.int64, torch.uint16, torch.uint8),
    torch.bool,
)
