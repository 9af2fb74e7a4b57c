import errno
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import transformers
from safetensors import SafetensorError
from transformers.models.auto.tokenization_auto import (
    TOKENIZER_MAPPING_NAMES,
    tokenizer_class_from_name,
)

import skbert.models.atomic_save
import skbert.models.saving
from skbert import TransformerMultiLabelClassifier
from skbert.models.atomic_save import replacement, target_folder
from skbert.models.configuration import load_config
from skbert.models.loading import SavedModel
from skbert.models.module import build_module
from skbert.models.saving import save_model
from skbert.models.tokenizer import load_tokenizer

NAMES = ["a", "b", "c"]
TEXTS = ["The invoice is attached.", "", "A crash after the update!"]
WHOLE = "What was there before is whole."


@pytest.fixture(scope="module")
def model(checkpoint):
    """Give a function that makes a model as `save_model` takes it, without a fit."""
    models = {}

    def get(family="bert", pooling="native"):
        if (family, pooling) not in models:
            folder = checkpoint(family, head=True, num_labels=3)
            config = load_config(folder)
            module, _ = build_module(folder, config, n_labels=3, pooling=pooling)
            models[family, pooling] = SavedModel(
                module=module.eval(),
                tokenizer=load_tokenizer(folder, config),
                pooling=pooling,
                label_names=NAMES,
                thresholds=[0.5] * 3,
                params={"max_length": 64},
            )
        return models[family, pooling]

    return get


@pytest.fixture
def answers(model, tmp_path_factory):
    """Give a function that says what a model answers from a folder of its own."""

    def get(family, pooling):
        folder = tmp_path_factory.mktemp("fresh") / "model"
        save_model(model(family, pooling), folder)
        return predict(folder), files_in(folder)

    return get


def predict(folder):
    clf = TransformerMultiLabelClassifier.from_pretrained(
        folder, device="cpu", precision="fp32"
    )
    return clf.predict_proba(TEXTS)


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def write(folder, contents):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


# --- where a model is saved -----------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "error", "message"),
    [
        ("", ValueError, "folder is '', which may be a variable that is not set; name"),
        (None, TypeError, r"folder is None \(NoneType\); it must be a path"),
        (b"model", TypeError, r"folder is b'model' \(bytes\); it must be a path"),
        ("~nobody-here/x", ValueError, "folder='~nobody-here/x' is not a valid path: "),
        ("a\0b", ValueError, r"folder='a\\x00b' is not a valid path"),
    ],
)
def test_what_is_no_folder_is_named(
    model, tmp_path, monkeypatch, folder, error, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        save_model(model(), folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/model", "file/a/b"])
def test_a_file_in_the_way_is_named(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="/file is a file; a model is saved to a fold"):
        target_folder(tmp_path / name)


FOREIGN = {
    "a config": {"config.json": '{"debug": true}'},
    "a list": {"config.json": "[1, 2]"},
    "no json": {"config.json": "debug = true"},
    "a config beside a tokenizer": {"config.json": "{}", "tokenizer_config.json": "{}"},
    "a vocabulary": {"vocab.txt": "a\nb\n"},
    "modules": {"modules.json": "[]"},
    "pooling": {"1_Pooling/config.json": "{}"},
    "weights": {"model.safetensors": "mine"},
    "a shard": {"model-00001-of-00002.safetensors": "mine"},
    "an adapter": {"adapter_config.json": "{}", "adapter_model.safetensors": "mine"},
}


@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize("contents", FOREIGN.values(), ids=FOREIGN)
def test_files_of_others_are_not_touched(
    model, tmp_path, monkeypatch, contents, pooling
):
    write(tmp_path, contents | {"README.md": "# My project", "src/main.py": "pass"})
    before = files_in(tmp_path)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ValueError, match="is not part of a model that") as caught:
        save_model(model(pooling=pooling), ".")

    assert str(tmp_path / next(iter(contents))) in str(caught.value)
    assert repr(str(tmp_path / "model")) in str(caught.value)
    assert files_in(tmp_path) == before


def test_a_project_without_such_files_takes_a_model(model, tmp_path, monkeypatch):
    mine = {"README.md": "# My project", "train.csv": "a,b", "src/config.json": "{}"}
    write(tmp_path, mine)
    monkeypatch.chdir(tmp_path)

    save_model(model(), ".")

    predict(tmp_path)
    assert (
        mine.items()
        <= {name: (tmp_path / name).read_text() for name in [*mine]}.items()
    )


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_a_trainers_folder_takes_a_model(model, answers, checkpoint, tmp_path, pooling):
    folder = tmp_path / "output"
    shutil.copytree(checkpoint("roberta", head=True, num_labels=2), folder)
    others = {
        "README.md": "---\nlibrary_name: transformers\n---\n# My model\n",
        "training_args.bin": "pickle",
        "checkpoint-500/config.json": "{}",
        "checkpoint-500/model.safetensors": "older",
        "notes.txt": "mine",
        "model-of-may.safetensors": "mine",
    }
    write(folder, others)

    save_model(model("bert", pooling), folder)

    expected, names = answers("bert", pooling)
    np.testing.assert_array_equal(predict(folder), expected)
    assert files_in(folder).keys() == names.keys() | others.keys()
    assert {name: (folder / name).read_text() for name in others} == others


def test_a_damaged_model_of_skbert_can_be_saved_anew(model, tmp_path):
    save_model(model(), tmp_path)
    (tmp_path / "config.json").write_text("")  # as after a power failure

    save_model(model(), tmp_path)

    predict(tmp_path)


def test_a_tokenizer_by_itself_is_replaced(model, tmp_path):
    model("roberta").tokenizer.save_pretrained(tmp_path)
    save_model(model(), tmp_path)
    predict(tmp_path)


# --- what an older model left ---------------------------------------------------------


LEFT = {
    "special tokens": {"special_tokens_map.json": '{"cls_token": "<s>"}'},
    "added tokens": {"added_tokens.json": '{"<new>": 99999}'},
    "an adapter": {
        "adapter_config.json": "{}",
        "adapter_model.safetensors": "",
    },
    "vocabularies": {
        "vocab.txt": "[PAD]\n[UNK]\n",
        "vocab.json": '{"<s>": 0}',
        "merges.txt": "#version: 0.2\na b\n",
        "spm.model": "no model",
        "spiece.model": "no model",
        "sentencepiece.bpe.model": "no model",
        "tokenizer.model": "no model",
        "tekken.json": "{}",
    },
    "templates": {
        "chat_template.jinja": "{{ x",
        "additional_chat_templates/tool.jinja": "{{ x",
    },
    "shards": {
        "model.safetensors.index.json": "{}",
        "model-00001-of-00002.safetensors": "",
    },
    "a head": {"head.safetensors": "", "modules.json": "[]"},
}


@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize("family", ["bert", "roberta", "canine"])
@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_nothing_is_left_of_another_model(
    model, answers, tmp_path, family, pooling, left
):
    save_model(model("deberta"), tmp_path)
    write(tmp_path, left | {"notes.txt": "mine"})

    save_model(model(family, pooling), tmp_path)

    expected, names = answers(family, pooling)
    np.testing.assert_array_equal(predict(tmp_path), expected)
    assert files_in(tmp_path).keys() == names.keys() | {"notes.txt"}


def save_in_shards(monkeypatch, saved, folder):
    save_pretrained = transformers.PreTrainedModel.save_pretrained
    with monkeypatch.context() as patch:
        patch.setattr(
            transformers.PreTrainedModel,
            "save_pretrained",
            with_settings(save_pretrained, max_shard_size="30KB"),
        )
        save_model(saved, folder)
    assert (folder / "model.safetensors.index.json").is_file()


def with_settings(function, **settings):
    return lambda self, *args, **kwargs: function(self, *args, **settings, **kwargs)


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_shards_and_one_file_replace_each_other(
    model, answers, tmp_path, monkeypatch, pooling
):
    save_model(model("roberta", pooling), tmp_path)
    save_in_shards(monkeypatch, model("bert", pooling), tmp_path)

    expected, names = answers("bert", pooling)
    np.testing.assert_array_equal(predict(tmp_path), expected)
    assert not (tmp_path / "model.safetensors").exists()

    save_model(model("bert", pooling), tmp_path)
    np.testing.assert_array_equal(predict(tmp_path), expected)
    assert files_in(tmp_path).keys() == names.keys()


def test_vocabularies_of_all_tokenizers_are_known():
    names = {
        name
        for classes in TOKENIZER_MAPPING_NAMES.values()
        for cls in ([classes] if isinstance(classes, str) else classes or [])
        for name in vocabularies(cls)
    }
    assert names > {"vocab.txt", "merges.txt"}
    assert names <= {*skbert.models.atomic_save._PARTS}


def vocabularies(name):
    cls = tokenizer_class_from_name(name) if name else None
    return getattr(cls, "vocab_files_names", {}).values()


# --- crashes --------------------------------------------------------------------------


@pytest.mark.parametrize("n_moved", range(6))
@pytest.mark.parametrize("first", ["skbert", "hugging face"])
def test_what_a_crash_leaves_is_refused_and_can_be_saved_over(
    model, answers, checkpoint, tmp_path, monkeypatch, first, n_moved
):
    folder = tmp_path / "model"
    if first == "skbert":
        save_model(model("roberta", "mean"), folder)
    else:
        shutil.copytree(checkpoint("roberta", head=True, num_labels=3), folder)
    move, moves = os.replace, []

    def move_some(source, target):
        if len(moves) == n_moved:
            raise OSError(errno.EIO, "unplugged")
        moves.append(target)
        move(source, target)

    monkeypatch.setattr(os, "replace", move_some)
    with pytest.raises(OSError, match="What is there now is refused until a model is"):
        save_model(model("bert", "mean"), folder)
    monkeypatch.undo()

    with pytest.raises(ValueError, match=r"has no config\.json"):
        predict(folder)
    save_model(model("bert", "native"), folder)
    expected, names = answers("bert", "native")
    np.testing.assert_array_equal(predict(folder), expected)
    assert files_in(folder).keys() == names.keys()


@pytest.mark.parametrize("exists", [False, True])
def test_all_is_on_the_disk_before_any_of_it_is_moved(
    model, tmp_path, monkeypatch, exists
):
    folder = tmp_path / "model"
    if exists:
        save_model(model("roberta", "mean"), folder)
    move, sync, events = os.replace, os.fsync, []

    def note_move(source, target):
        events.append("moved")
        move(source, target)

    def note_sync(handle):
        events.append(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "replace", note_move)
    monkeypatch.setattr(os, "fsync", note_sync)
    save_model(model(), folder)

    on_disk = set(events[: events.index("moved")])
    assert on_disk == {(folder / name).stat().st_ino for name in files_in(folder)}
    assert events[-1] == (folder if exists else tmp_path).stat().st_ino


def test_what_is_not_on_the_disk_takes_no_place(model, tmp_path, monkeypatch):
    save_model(model("roberta", "mean"), tmp_path)
    before = files_in(tmp_path)

    def fail(handle):
        raise OSError(errno.EIO, "x")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=f"Input/output error. {WHOLE}"):
        save_model(model(), tmp_path)
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("exists", [False, True])
def test_what_killed_saves_left_is_removed_after_a_day(model, tmp_path, exists):
    folder = tmp_path / "model"
    if exists:
        folder.mkdir()
    place = folder if exists else tmp_path
    now = time.time()
    for name, age in {
        ".skbert-saving-old": 25,
        ".skbert-saving-another": 23,
        ".skbert-mine": 100,
    }.items():
        write(place / name, {"model/model.safetensors": "half"})
        os.utime(place / name, (now - age * 3600,) * 2)

    save_model(model(), folder)

    left = {path.name for path in place.iterdir() if path.name.startswith(".")}
    assert left == {".skbert-saving-another", ".skbert-mine"}


def test_a_scratch_folder_that_vanishes_meanwhile_is_no_error(tmp_path, monkeypatch):
    """Another process may finish its own save between two looks at the folder."""
    glob = Path.glob

    def find(path, pattern):
        found = [] if "saving" not in pattern else [path / ".skbert-saving-gone"]
        return [*found, *glob(path, pattern)]

    monkeypatch.setattr(Path, "glob", find)
    with replacement(tmp_path / "new") as work:
        write(work, {"skbert.json": "{}"})
    assert (tmp_path / "new" / "skbert.json").is_file()


# --- permissions ----------------------------------------------------------------------


def modes(folder):
    return {
        name: stat.S_IMODE((folder / name).stat().st_mode) for name in files_in(folder)
    }


posix = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027])
@pytest.mark.parametrize("exists", [False, True])
def test_all_files_are_as_readable_as_others(model, tmp_path, umask, exists):
    folder = tmp_path / "model"
    if exists:
        folder.mkdir()
    before = os.umask(umask)
    try:
        save_model(model(pooling="mean"), folder)
    finally:
        os.umask(before)
    assert {*modes(folder).values()} == {0o666 & ~umask}


@posix
def test_a_file_keeps_its_mode(model, tmp_path):
    save_model(model(pooling="mean"), tmp_path)
    set_by_hand = {"model.safetensors": 0o664, "skbert.json": 0o600}
    for name, mode in set_by_hand.items():
        (tmp_path / name).chmod(mode)
    before = modes(tmp_path)

    save_model(model(pooling="mean"), tmp_path)

    assert modes(tmp_path) == before
    assert set_by_hand.items() <= before.items()


# --- disks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "code", "message"),
    [
        (OSError(errno.ENOSPC, "x"), OSError, errno.ENOSPC, "No space left on device"),
        (
            PermissionError(errno.EACCES, "x", "/scratch"),
            PermissionError,
            errno.EACCES,
            "Permission denied",
        ),
        (OSError("unplugged"), OSError, None, "unplugged"),
        (SafetensorError("too long"), OSError, None, "too long"),
        (
            SafetensorError("I/O error: full (os error 28)"),
            OSError,
            errno.ENOSPC,
            "No space left on device",
        ),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_an_error_of_the_disk_names_the_folder(
    model, tmp_path, monkeypatch, error, kind, code, message, exists
):
    folder = tmp_path / "model"
    if exists:
        save_model(model(), folder)
    before = files_in(tmp_path)

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(skbert.models.saving, "save_file", fail)
    with pytest.raises(kind) as caught:
        save_model(model("roberta", "mean"), folder)

    expected = f"the model could not be saved to {folder}: {message}. {WHOLE}"
    assert str(caught.value).endswith(expected)
    assert caught.value.errno == code
    assert caught.value.__cause__ is error
    assert files_in(tmp_path) == before


def test_a_place_that_cannot_be_written_to_is_named(model, tmp_path, monkeypatch):
    def refuse(suffix, prefix, place):
        raise PermissionError(errno.EACCES, "Permission denied", f"{place}/{prefix}xyz")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(PermissionError) as caught:
        save_model(model(), tmp_path / "model")
    message = (
        f"the model could not be saved to {tmp_path / 'model'}: Permission denied."
    )
    assert message in str(caught.value)
    assert "saving-" not in str(caught.value)


@pytest.fixture
def short_files():
    """Give a function that lets files grow to so many bytes only."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("part", ["weights", "tokenizer"])
def test_what_safetensors_and_tokenizers_say_of_a_disk_is_understood(
    model, tmp_path, monkeypatch, short_files, part
):
    """They are written in Rust, and the errors of one are plain exceptions."""
    saved = model()
    if part == "tokenizer":
        monkeypatch.setattr(
            type(saved.module.model),
            "save_pretrained",
            lambda model, folder: folder.mkdir(),
        )
    short_files(2000)
    with pytest.raises(
        OSError, match=f"{tmp_path / 'model'}: File too large"
    ) as caught:
        save_model(saved, tmp_path / "model")
    assert caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt()])
def test_other_errors_stay_as_they_are(model, tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(skbert.models.saving, "make_card", fail)
    with pytest.raises(type(error)) as caught:
        save_model(model(), tmp_path / "model")
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []
