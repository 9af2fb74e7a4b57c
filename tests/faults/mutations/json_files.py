"""JSON changed at random: config.json, skbert.json, and any other."""

from __future__ import annotations

import copy
import json

JUNK = (
    *(None, True, False, 0, 1, 2, 3, 7, -1, -32, 64, 1000, 100_000),
    *(10**6, 10**9, -(10**9), 2**31, 2**63, 10**30, 10**400),
    *(0.0, 0.5, 1.0, 1.5, -1.0, 1e-300, 1e30, 1e308),
    *(float("nan"), float("inf"), float("-inf")),
    *(
        "",
        "junk",
        "0",
        "gelu",
        "\ud800",
        "\0",
        "../../model",
        "/etc/passwd",
        "x" * 10**5,
    ),
    *([], {}, [1], ["a"], [None, 1.5, "b"], {"a": 1}, {"0": "a", "1": "b"}),
    [0] * 1000,
    [[[[[[[[[[[[]]]]]]]]]]]],
    json.loads("[" * 400 + "]" * 400),
)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


def _places(content, inside=()):
    """Yield the way to each value of a JSON object."""
    for key, value in (
        content.items() if isinstance(content, dict) else enumerate(content)
    ):
        yield (*inside, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*inside, key))


def change_value(path, rng):
    """Change one or two values of a JSON file."""
    content, done = read(path), []
    for _ in range(rng.choice([1, 1, 1, 2])):
        # A place at the top as likely as one in a vocabulary of hundreds of words.
        top = rng.choice(list(content))
        inner = [p for p in _places({top: content[top]}) if p != (top,)]
        place = rng.choice(inner) if inner and rng.random() < 0.6 else (top,)
        parent = content
        for key in place[:-1]:
            parent = parent[key]
        old = parent[place[-1]]
        way = rng.choice(["junk", "junk", "junk", "delete", "type", "swap"])
        if way == "delete":
            del parent[place[-1]]
        elif way == "type":
            parent[place[-1]] = [old] if rng.random() < 0.3 else str(old)
        elif way == "swap":
            parent[place[-1]] = copy.deepcopy(content[rng.choice(list(content))])
        else:
            parent[place[-1]] = rng.choice(JUNK)
        done.append(f"{way} at {place}")
        if not content:
            break
    write(path, content)
    return f"{path.name}: {'; '.join(done)}: {path.read_text()[:3000]}"


def change_text(path, rng):
    """Change the bytes of a file of text."""
    data = path.read_bytes()
    where = rng.randrange(len(data))
    changed = {
        "cut": lambda: data[:where],
        "empty": lambda: b"",
        "mark": lambda: b"\xef\xbb\xbf" + data,
        "utf-16": lambda: data.decode("utf-8").encode("utf-16"),
        "flip": lambda: flip(data, where, rng),
        "nul": lambda: data[:where] + b"\0" + data[where:],
        "brackets": lambda: b"[" * 100_000,
        "deep": lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "more": lambda: data + b"{}",
        "latin-1": lambda: data + b"\xe9",
        "list": lambda: b"[" + data + b"]",
        "twice": lambda: b"{" + data.strip()[1:-1] + b"," + data.strip()[1:-1] + b"}",
        "digits": lambda: b'{"model_type": ' + b"1" * 10_000 + b"}",
    }
    way = rng.choice(list(changed))
    path.write_bytes(changed[way]())
    return f"{path.name}: {way} at {where}"


def flip(data, where, rng):
    flipped = data[where] ^ (1 << rng.randrange(8))
    return data[:where] + bytes([flipped]) + data[where + 1 :]


def change_json(path, rng):
    return (change_value if rng.random() < 0.8 else change_text)(path, rng)


def change_config(folder, rng):
    names = ["config.json"] * 9 + ["1_Pooling/config.json"]
    path = folder / rng.choice([name for name in names if (folder / name).exists()])
    return change_json(path, rng)


def change_state(folder, rng):
    if not (folder / "skbert.json").exists():  # a folder of Hugging Face has none
        content = {"format_version": 1, "pooling": "native", "label_names": ["a"] * 3}
        content |= {"thresholds": [0.5] * 3, "classes": None, "params": {}}
        write(folder / "skbert.json", content | {"fitted": {}})
    if rng.random() < 0.3:
        content = read(folder / "skbert.json")
        changes = [
            {"format_version": rng.choice([0, 2, 99, -1, 1.0, True, "1"])},
            {"thresholds": [rng.choice(JUNK) for _ in range(3)]},
            {"thresholds": [0.5] * rng.randrange(6)},
            {"label_names": [rng.choice(JUNK) for _ in range(3)]},
            {"label_names": ["a"] * rng.randrange(6)},
            {"classes": [rng.choice(JUNK), rng.choice(JUNK)]},
            {"params": {"max_length": rng.choice(JUNK)}},
            {"params": {"long_text": "windows", "long_text_params": rng.choice(JUNK)}},
            {"params": {"net_callbacks": ["os.system"], "verbose": 9, "device": "x"}},
            {"params": {rng.choice(["threshold", "pos_weight"]): rng.choice(JUNK)}},
            {"fitted": {"history_": rng.choice(JUNK)}},
            {"fitted": {"history_": [rng.choice(JUNK)]}},
            {"pooling": rng.choice(["native", "mean", "max"])},
        ]
        change = rng.choice(changes)
        write(folder / "skbert.json", content | change)
        return f"skbert.json: {change!r}"[:500]
    return change_json(folder / "skbert.json", rng)
