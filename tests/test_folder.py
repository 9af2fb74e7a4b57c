"""What may be in a model's folder; the files are damaged or planted for real."""

import json
import os
import shutil
import struct
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from skbert.checkpoint import open_checkpoint, resolve_model
from skbert.folder import (
    ModelFormatError,
    WeightCount,
    check_numbers,
    count_weights,
    load_weights,
    read_json,
)
from skbert.silence import quiet_transformers
from skbert.tokenizer import load_tokenizer


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """Give a copy of the tiny BERT that a test may damage."""
    return shutil.copytree(tiny_bert, tmp_path / "bert")


# --- what a folder must hold ----------------------------------------------------------


def test_a_folder_without_a_config_is_refused(folder):
    (folder / "config.json").unlink()

    with pytest.raises(ModelFormatError, match=r"has no config\.json"):
        resolve_model(folder)


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()

    with pytest.raises(ModelFormatError, match=r"no weights \(model\.safetensors\)"):
        resolve_model(folder)


class RunsCode:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_read(folder, tmp_path):
    torch.save({"x": RunsCode(tmp_path / "ran")}, folder / "pytorch_model.bin")

    open_checkpoint(folder)  # the safe weights beside it are what counts
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFormatError, match=r"only as pytorch_model\.bin, a pickle"):
        open_checkpoint(folder)

    assert not (tmp_path / "ran").exists()
    # The test would be no test if the pickle were harmless.
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "ran").exists()


def test_a_pickle_is_converted_as_the_message_says(folder, tmp_path, monkeypatch):
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFormatError) as caught:
        open_checkpoint(folder)
    code = [line for line in str(caught.value).splitlines() if line.startswith(" ")]

    monkeypatch.chdir(tmp_path)
    with quiet_transformers():
        exec("\n".join(line.strip() for line in code), {})
    for path in folder.glob("tokenizer*"):
        shutil.copy(path, "safe")

    assert open_checkpoint("safe").tokenizer.vocab_size == len(load_tokenizer(folder))
    # Not the files: some versions of transformers save weights under older names.
    with quiet_transformers():
        converted = transformers.AutoModel.from_pretrained("safe").state_dict()
    torch.testing.assert_close(dict(converted), weights)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("", "cannot be read as JSON"),
        (b"\xff\xfe{}", "cannot be read as JSON"),
        # deep enough to exhaust Python's stack
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "does not hold a JSON object"),
        ("null", "does not hold a JSON object"),
        ('"bert"', "does not hold a JSON object"),
    ],
    ids=["cut", "empty", "other encoding", "deep", "list", "null", "text"],
)
def test_json_that_is_no_object(folder, content, message):
    path = folder / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    for read in (lambda: read_json(path), lambda: open_checkpoint(folder)):
        with pytest.raises(ModelFormatError, match=message) as caught:
            read()
        assert str(path) in str(caught.value)


def test_json_that_is_missing(tmp_path):
    with pytest.raises(ModelFormatError, match=r"x\.json cannot be read"):
        read_json(tmp_path / "x.json")


def test_json_is_read_as_utf_8(tmp_path):
    (tmp_path / "x.json").write_bytes('{"é": [1]}'.encode())

    assert read_json(tmp_path / "x.json") == {"é": [1]}


def test_json_of_many_brackets_is_refused(tmp_path):
    """Python reads it, and runs out of stack where it copies it."""
    path = tmp_path / "x.json"
    path.write_text('{"a":' + "[" * 49 + "]" * 49 + "}")
    assert list(read_json(path)) == ["a"]

    path.write_text('{"a":' + "[" * 50 + "]" * 50 + "}")
    with pytest.raises(ModelFormatError, match="more than 50 nested brackets"):
        read_json(path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "vocab.txt"])
def test_files_longer_than_memory_are_not_read(folder, name):
    with open(folder / name, "ab") as file:
        file.truncate(2**33)  # which takes no space on the disk

    with pytest.raises(ModelFormatError, match=f"{name} is longer than any that"):
        open_checkpoint(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["model.safetensors", "x.json"])
def test_a_pipe_is_not_waited_for(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)

    with pytest.raises(ModelFormatError, match="it is no file"):
        load_weights(folder) if name.startswith("model") else read_json(folder / name)


def test_an_adapter_is_refused(folder):
    """With peft installed transformers would load it, from wherever it says."""
    (folder / "adapter_config.json").write_text("{}")

    with pytest.raises(ModelFormatError, match=r"holds an adapter.*Merge it"):
        resolve_model(folder)


# --- weights --------------------------------------------------------------------------


def split_weights(folder):
    """Write a folder's weights as two shards; return the index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = ["model-1.safetensors", "model-2.safetensors"]
    weight_map = {name: files[i % 2] for i, name in enumerate(weights)}
    for file in files:
        part = {name: weights[name] for name in weights if weight_map[name] == file}
        save_file(part, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def test_weights_are_counted_as_they_are_loaded(folder):
    weights = load_weights(folder)
    count = WeightCount(len(weights), sum(t.numel() for t in weights.values()))
    assert count_weights(folder) == count

    split_weights(folder)

    assert count_weights(folder) == count
    torch.testing.assert_close(load_weights(folder), weights, rtol=0, atol=0)


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/tmp/model.safetensors",
        "..\\model.safetensors",
        "C:model.safetensors",
        "pytorch_model.bin",
        "",
        3,
        None,
    ],
)
def test_shards_elsewhere_are_refused(folder, name):
    index = split_weights(folder)
    content = json.loads(index.read_text())
    content["weight_map"]["x"] = name
    index.write_text(json.dumps(content))

    with pytest.raises(ModelFormatError, match="is no name of a safetensors file in"):
        load_weights(folder)


@pytest.mark.parametrize("content", [{}, {"weight_map": []}, {"weight_map": {}}])
def test_an_index_without_names_is_refused(folder, content):
    split_weights(folder).write_text(json.dumps(content))

    with pytest.raises(ModelFormatError, match="'weight_map' must be an object"):
        count_weights(folder)


def test_a_header_that_lies_is_refused(folder):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for length in (0, 1, 10**9, 2**63):
        path.write_bytes(struct.pack("<Q", length) + data[8:])
        for read in (count_weights, load_weights):
            with pytest.raises(ModelFormatError, match="model.safetensors cannot be"):
                read(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
def test_weights_that_are_no_numbers_are_refused(value):
    tensors = {"good": torch.ones(3), "empty": torch.ones(0)}
    check_numbers(Path("x"), tensors.items())

    tensors["bad"] = torch.tensor([[0.5, value]])
    with pytest.raises(ModelFormatError, match="'bad' holds NaN, infinity or"):
        check_numbers(Path("x"), tensors.items())
