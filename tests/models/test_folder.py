"""What may be in a model's folder; the files are damaged or planted for real."""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from skbert.exceptions import ModelFormatError
from skbert.models.checkpoint import open_checkpoint
from skbert.models.folder import (
    TOKENIZER_FILES,
    WeightCount,
    check_numbers,
    count_weights,
    load_tensors,
    load_weights,
    read_json,
)
from skbert.models.hub import resolve_model
from skbert.models.tokenizer import load_tokenizer
from skbert.runtime.quiet import quiet_transformers


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


def make_long(path):
    path.parent.mkdir(exist_ok=True)
    with open(path, "ab") as file:
        file.truncate(2**33)  # which takes no space on the disk


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "tokenizer.json", "vocab.txt", "tokenizer.model.v3"),
        *("prophetnet.tokenizer", "bpe.codes", "source.spm", "qwen.tiktoken"),
        *("x.bpe", "x.vocab", "additional_chat_templates/x.jinja"),
    ],
)
def test_files_longer_than_memory_are_not_read(folder, name):
    make_long(folder / name)

    with pytest.raises(ModelFormatError, match=f"{name} is longer than any that"):
        open_checkpoint(folder)


OPEN_BENEATH_A_LIMIT = """
import resource, sys
from skbert.models.checkpoint import open_checkpoint
from skbert.exceptions import ModelFormatError
good, *bad = sys.argv[1:]
open_checkpoint(good)  # what it imports is no matter of the folders
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, used + 2**29))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for folder in bad:
    try:
        open_checkpoint(folder)
    except ModelFormatError as error:
        print(str(error).replace(chr(10), " "))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sizes_that_lie_take_no_memory(folder, tmp_path):
    """Each of them takes gigabytes where it is believed."""
    config = json.loads((folder / "config.json").read_text())
    sizes = ({"hidden_size": 2**14}, {"vocab_size": 10**6, "hidden_size": 2**10})
    files = ("vocab.txt", "additional_chat_templates/x.jinja")
    folders = []
    for lie in (*sizes, *files):
        copy = Path(shutil.copytree(folder, tmp_path / str(len(folders))))
        folders.append(str(copy))
        if isinstance(lie, str):
            make_long(copy / lie)
        else:
            (copy / "config.json").write_text(json.dumps(config | lie))
    command = [sys.executable, "-c", OPEN_BENEATH_A_LIMIT, str(folder), *folders]

    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    *refusals, kilobytes = said.splitlines()
    assert len(refusals) == len(folders)
    assert not [refusal for refusal in refusals if "allocate" in refusal]
    assert int(kilobytes) < 2**17


def test_templates_longer_than_memory_together_are_not_read(folder):
    (folder / "additional_chat_templates").mkdir()
    for i in range(10):
        with open(folder / "additional_chat_templates" / f"{i}.jinja", "wb") as file:
            file.truncate(2**27)

    with pytest.raises(ModelFormatError, match="templates is longer than any that"):
        open_checkpoint(folder)


def test_names_of_all_files_of_tokenizers_are_known():
    """What transformers may read whole is checked before."""
    names = set()
    for name in dir(transformers):
        if name.endswith(("Tokenizer", "TokenizerFast")):
            kind = getattr(transformers, name)
            with suppress(ImportError):  # of what some tokenizers need
                names |= set(getattr(kind, "vocab_files_names", {}).values())

    assert len(names) > 15
    assert names <= {*TOKENIZER_FILES}


def test_long_files_that_are_not_read_are_none_of_its_business(folder):
    for name in (
        *("train.csv", "training_args.bin", "model.onnx", "events.log"),
        *("checkpoint-500/optimizer.pt", "checkpoint-500/tokenizer.json"),
    ):
        make_long(folder / name)

    open_checkpoint(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "vocab.txt", "additional_chat_templates/x.jinja"]
)
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_no_file_is_not_opened(folder, name, kind, monkeypatch):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    monkeypatch.chdir(path.parent)  # the name of a socket must be short
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)

    with pytest.raises(ModelFormatError, match=f"{name} is not a file but a pipe"):
        open_checkpoint(folder)


def test_links_to_files_are_files(folder, tmp_path):
    """The hub's cache is made of them."""
    expected = load_tokenizer(folder)("the invoice")["input_ids"]
    for path in list(folder.glob("*")):
        os.replace(path, tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
    (folder / "notes.txt").symlink_to(folder / "nothing")

    assert open_checkpoint(folder).tokenizer("the invoice")["input_ids"] == expected


READ_AS_NOBODY = """
import os, sys
from pathlib import Path
from skbert.exceptions import ModelFormatError
from skbert.models.folder import load_tensors, read_json
path = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setuid(65534)  # the superuser may read everything
try:
    read_json(path) if path.suffix == ".json" else load_tensors(path)
except ModelFormatError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs permissions")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_may_not_be_read_is_not_called_missing(folder, name):
    (folder / name).chmod(0)
    # pytest keeps others out of the folders above, which a name alone does not need.
    folder.chmod(0o755)
    command = [sys.executable, "-c", READ_AS_NOBODY, name]

    said = subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout

    assert re.match(rf"{name} cannot be (read|loaded): .*Permission denied", said)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["model.safetensors", "x.json"])
def test_a_pipe_is_not_waited_for(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)

    with pytest.raises(ModelFormatError, match="it is not a regular file"):
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

    with pytest.raises(
        ModelFormatError, match="is not a safetensors file in that folder"
    ):
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


@pytest.mark.parametrize(
    "kind", [torch.complex64, torch.uint16, torch.int8, torch.int64, torch.bool]
)
def test_weights_that_are_no_floats_are_refused(kind, tmp_path):
    path = tmp_path / "head.safetensors"
    save_file({"weight": torch.ones(2, 3).to(kind)}, path)

    name = str(kind).removeprefix("torch.")
    with pytest.raises(ModelFormatError, match=f"'weight' is of the type {name}; wei"):
        load_tensors(path)


@pytest.mark.parametrize(
    "kind",
    [
        *(torch.float64, torch.float16, torch.bfloat16),
        *(torch.float8_e4m3fn, torch.float8_e5m2),
    ],
)
def test_floats_of_any_length_are_read_and_checked(kind, tmp_path):
    path = tmp_path / "head.safetensors"
    save_file({"weight": torch.ones(2, 3).to(kind)}, path)
    check_numbers(path, load_tensors(path).items())

    save_file({"weight": torch.full((2, 3), float("nan")).to(kind)}, path)
    with pytest.raises(ModelFormatError, match="'weight' holds NaN"):
        check_numbers(path, load_tensors(path).items())


def test_halves_of_a_byte_are_no_weights(tmp_path):
    entry = {"dtype": "F4", "shape": [2, 6], "data_offsets": [0, 6]}
    header = json.dumps({"weight": entry}).encode()
    path = tmp_path / "head.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(6))

    with pytest.raises(ModelFormatError, match="head.safetensors"):
        load_tensors(path)


def test_buffers_may_be_of_other_types(tmp_path):
    path = tmp_path / "model.safetensors"
    tensors = {
        "weight": torch.ones(2, dtype=torch.float16),
        "embeddings.position_ids": torch.arange(8),
        "h.0.attn.bias": torch.ones(1, 1, 2, 2, dtype=torch.bool).tril(),
    }
    save_file(tensors, path)
    torch.testing.assert_close(load_tensors(path), tensors, rtol=0, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
def test_weights_that_are_no_numbers_are_refused(value):
    tensors = {"good": torch.ones(3), "empty": torch.ones(0)}
    check_numbers(Path("x"), tensors.items())

    tensors["bad"] = torch.tensor([[0.5, value]])
    with pytest.raises(ModelFormatError, match="'bad' holds NaN, infinity or"):
        check_numbers(Path("x"), tensors.items())
