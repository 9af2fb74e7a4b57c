"""Links, pipes and folders in the place of files, and names that lead elsewhere."""

from __future__ import annotations

import os

from tests.faults.mutations.json_files import JUNK, write
from tests.faults.mutations.weights import unpack


def link(folder, rng):
    path = rng.choice(sorted(path for path in folder.glob("*") if path.is_file()))
    way = rng.choice(
        ["pipe", "folder", "/dev/zero", "/dev/random", "itself", "nothing", "index"]
    )
    if way == "index":
        return _link_index(folder, rng)
    path.unlink()
    if way == "pipe":
        os.mkfifo(path)
    elif way == "folder":
        path.mkdir()
    else:
        path.symlink_to({"itself": path, "nothing": folder / "nothing"}.get(way, way))
    return f"{path.name}: {way}"


def _link_index(folder, rng):
    names = [
        name for name in unpack(folder / "model.safetensors")[0] if name[:2] != "__"
    ]
    outside = folder.parent / "outside.safetensors"
    os.replace(folder / "model.safetensors", outside)
    os.mkfifo(folder / "pipe.safetensors")
    targets = [
        "../outside.safetensors",
        str(outside),
        "..\\outside.safetensors",
        3,
        None,
    ]
    targets += [
        "pipe.safetensors",
        "",
        ".safetensors",
        "nothing.safetensors",
        ["a"],
        "a\0",
    ]
    target = rng.choice(targets)
    weights = rng.choice([dict.fromkeys(names, target), rng.choice(JUNK), {}])
    index = rng.choice(
        [{"metadata": {}, "weight_map": weights}, {"weight_map": weights}]
    )
    write(folder / "model.safetensors.index.json", index)
    return f"index: {target!r}"
