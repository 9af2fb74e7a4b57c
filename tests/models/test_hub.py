"""What is made of the hub's answers, asked of a real server on this machine."""

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from checkpoints import MAX_LENGTH, make_checkpoint
from skbert import TransformerMultiLabelClassifier
from skbert.models.checkpoint import open_checkpoint

COMMIT = "0123456789abcdef" * 2 + "01234567"


class Hub(ThreadingHTTPServer):
    """A server on this machine that answers as the Hugging Face hub does.

    Parameters
    ----------
    repositories : dict of str to Path
        Name to folder. All have the revisions "main" and "v1".
    """

    daemon_threads = True

    def __init__(self, repositories):
        super().__init__(("127.0.0.1", 0), HubAnswers)
        self.repositories = repositories
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class HubAnswers(BaseHTTPRequestHandler):
    """What the hub answers, by the name of the repository."""

    # Keep-alive would leave threads behind that wait for the next request.
    protocol_version = "HTTP/1.0"

    def log_message(self, *args):
        """Say nothing on stderr."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        if path == "/stop":
            # Answered last: from then on nobody listens.
            self.server.shutdown()
            self.server.server_close()
            self.answer(200)
        elif path.startswith("/api/models/"):
            self.answer_about(path.removeprefix("/api/models/"))
        else:
            self.answer_file(path.removeprefix("/"))

    do_HEAD = do_GET

    def answer_about(self, path):
        owner, name, *rest = path.split("/")
        repository = f"{owner}/{name}"
        if repository == "team/down":
            return self.answer(500)
        if repository == "team/cut":
            return self.connection.close()
        if repository == "team/refused":
            message = "Invalid credentials in Authorization header"
            return self.answer(401, {"X-Error-Message": message})
        if repository == "team/deleted":
            return self.answer(404, {"X-Error-Code": "RepoNotFound"})
        if repository == "team/closed":
            return self.answer(403, {"X-Error-Code": "GatedRepo"})
        if repository not in self.server.repositories:
            # What the hub says to those who have not logged in.
            return self.answer(401, {"X-Error-Code": "RepoNotFound"})
        if rest and rest[0] == "revision" and rest[1] not in ("main", "v1"):
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        files = self.files_of(repository)
        if rest and rest[0] == "tree":
            kept = [
                {"type": "file", "path": p, "size": len(c), "oid": "0"}
                for p, c in files.items()
            ]
            return self.answer(200, body=json.dumps(kept).encode())
        about = {"id": repository, "sha": COMMIT}
        about["siblings"] = [{"rfilename": path} for path in files]
        return self.answer(200, body=json.dumps(about).encode())

    def files_of(self, repository):
        folder = self.server.repositories[repository]
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def answer_file(self, path):
        owner, name, _, _, path = path.split("/", 4)
        if name == "gated":
            # What the hub tells everybody, the files it gives to members only.
            return self.answer(401, {"X-Error-Code": "GatedRepo"})
        content = self.files_of(f"{owner}/{name}")[path]
        etag = f'"{abs(hash((name, path)))}"'
        headers = {"X-Repo-Commit": COMMIT, "ETag": etag}
        return self.answer(200, headers, content)

    def answer(self, status, headers=None, body=b""):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


# huggingface_hub reads its settings when it is imported, so it needs a process of its
# own; one for all cases, because the import takes seconds.
CHILD = """
import json, os, sys, urllib.request
from pathlib import Path
from skbert import TransformerMultiLabelClassifier
from skbert.models.checkpoint import open_checkpoint
from skbert.models.hub import resolve_model

def attempt(model, **options):
    try:
        folder = resolve_model(model, **options)
        names = [p.relative_to(folder).as_posix() for p in folder.rglob("*")]
        return {"files": sorted(n for n in names if (folder / n).is_file())}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}

answers = {
    "uncached": attempt("team/good", local_files_only=True),
    "good": attempt("team/good"),
    "revision": attempt("team/good", revision="v1"),
    "cached": attempt("team/good", local_files_only=True),
    "no revision": attempt("team/good", revision="v2"),
}
for name in "unknown deleted gated closed refused pickled down cut".split():
    answers[name] = attempt("team/" + name)
answers["vocabulary"] = len(open_checkpoint("team/good").tokenizer)
answers["vocabularies"] = attempt("team/vocabularies")
try:
    tokenizer = open_checkpoint("team/phobert").tokenizer
    answers["PhoBERT"] = tokenizer.tokenize("the invoice")
except Exception as error:
    answers["PhoBERT"] = f"{type(error).__name__}: {error}"
try:
    clf = TransformerMultiLabelClassifier.from_pretrained(
        "team/saved", revision="v1", device="cpu", precision="fp32"
    )
    answers["saved"] = clf.predict_proba(["the invoice"]).tolist()
    answers["origin of saved"] = [clf.model, clf.revision]
except Exception as error:
    answers["saved"] = f"{type(error).__name__}: {error}"
urllib.request.urlopen(os.environ["HF_ENDPOINT"] + "/stop").read()
answers["good, stopped"] = attempt("team/good")
answers["unknown, stopped"] = attempt("team/never-asked-for")
Path(sys.argv[1]).write_text(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def saved_with_mean_pooling(checkpoint, tmp_path_factory):
    """Give a classifier and the folder to which it was saved."""
    clf = TransformerMultiLabelClassifier(
        checkpoint("bert", sentence_transformers=True),
        max_length=16,
        max_epochs=1,
        precision="fp32",
        device="cpu",
        random_state=0,
    )
    texts = ["the invoice", "a crash", "the invoice of the crash", "a note"]
    clf.fit(texts, [[1, 0], [0, 1], [1, 1], [0, 0]])
    folder = tmp_path_factory.mktemp("saved")
    clf.save_pretrained(folder)
    return clf, folder


VOCABULARIES = [
    *("bpe.codes", "merges.txt", "prophetnet.tokenizer", "qwen.tiktoken"),
    *("source.spm", "spiece.model", "target.spm", "tokenizer.model.v3", "x.bpe"),
]


def make_phobert(folder):
    """Make a RoBERTa whose tokenizer is PhoBERT's: words and codes of byte pairs."""
    make_checkpoint("roberta", folder)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    settings = {"tokenizer_class": "PhobertTokenizer", "model_max_length": MAX_LENGTH}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "vocab.txt").write_text("the 9\ninvo@@ 5\nice 5\n")
    merges = ["t h", "th e</w>", "i n", "in v", "inv o", "i c", "ic e</w>"]
    (folder / "bpe.codes").write_text("".join(f"{merge} 1\n" for merge in merges))
    return folder


@pytest.fixture(scope="module")
def hub(checkpoint, saved_with_mean_pooling, tmp_path_factory):
    """Give what skbert makes of the hub's answers, and what it asked for."""
    tmp = tmp_path_factory.mktemp("hub")
    good = make_checkpoint("bert", tmp / "good", sentence_transformers=True)
    for name in ("pytorch_model.bin", "flax_model.msgpack", "modeling_x.py"):
        (good / name).write_bytes(b"\x80")
    for name in ("onnx/model.onnx", "onnx/config.json", "openvino/config.json"):
        (good / name).parent.mkdir(exist_ok=True)
        (good / name).write_bytes(b"{}")
    pickled = shutil.copytree(checkpoint("bert"), tmp / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    vocabularies = shutil.copytree(checkpoint("bert"), tmp / "vocabularies")
    for name in VOCABULARIES:
        (vocabularies / name).write_bytes(b"a")
    server = Hub(
        {
            "team/good": good,
            "team/gated": good,
            "team/phobert": make_phobert(tmp / "phobert"),
            "team/pickled": pickled,
            "team/saved": saved_with_mean_pooling[1],
            "team/vocabularies": vocabularies,
        }
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    environment = os.environ | {
        "HF_ENDPOINT": server.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    process = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp / "answers.json")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,  # rather an error than a test that never ends
    )
    server.shutdown()
    server.server_close()
    thread.join()
    assert process.returncode == 0, process.stderr
    answers = json.loads((tmp / "answers.json").read_text())
    return answers | {"asked": server.asked, "output": process.stdout + process.stderr}


def test_the_hub_gives_a_model(hub):
    files = [
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert hub["good"] == hub["revision"] == {"files": files}
    assert hub["vocabulary"] > 100


def test_no_pickle_and_no_code_is_downloaded(hub):
    good = [path for path in hub["asked"] if path.startswith("/team/good/resolve/")]

    assert {path.rpartition(".")[2] for path in good} == {"json", "safetensors"}


def test_the_vocabularies_of_all_tokenizers_are_downloaded(hub):
    assert set(hub["vocabularies"]["files"]) > set(VOCABULARIES)


def test_a_tokenizer_of_several_files_comes_from_the_hub_whole(hub, tmp_path):
    tokens = open_checkpoint(make_phobert(tmp_path)).tokenizer.tokenize("the invoice")

    assert hub["PhoBERT"] == tokens == ["the", "invo@@", "ice"]


def test_a_downloaded_model_is_found_without_the_hub(hub):
    assert "local_files_only=True" in hub["uncached"]["message"]
    assert hub["cached"] == hub["good, stopped"] == hub["good"]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("unknown", "'team/unknown': there is no such folder here, and it does not ex"),
        ("deleted", "and it does not exist on the Hugging Face hub (or is private:"),
        ("gated", "'team/gated' is gated on the Hugging Face hub: accept its terms"),
        ("closed", "'team/closed' is gated on the Hugging Face hub: accept its terms"),
        ("no revision", "'team/good' has no revision 'v2' on the Hugging Face hub"),
        ("down", "'team/down' could not be loaded: there is no such folder here, it"),
        ("cut", "'team/cut' could not be loaded: there is no such folder here, it"),
        ("unknown, stopped", "the Hugging Face hub cannot be reached"),
    ],
)
def test_what_went_wrong_on_the_hub_is_told_apart(hub, case, message):
    assert hub[case].get("error") == "ValueError", hub[case]
    assert message in hub[case]["message"]


def test_a_token_that_the_hub_refuses_is_named(hub):
    assert hub["refused"]["error"] == "ValueError"
    assert "the Hugging Face hub refuses your token" in hub["refused"]["message"]


def test_a_hub_model_of_pickles_only_is_refused_with_the_remedy(hub):
    assert hub["pickled"]["error"] == "ModelFormatError"
    assert "a pickle" in hub["pickled"]["message"]


def test_a_saved_classifier_comes_back_from_the_hub(hub, saved_with_mean_pooling):
    clf, _ = saved_with_mean_pooling

    expected = clf.predict_proba(["the invoice"])
    np.testing.assert_allclose(hub["saved"], expected, atol=1e-6)
    # It was fitted from a folder; a refit starts from what was loaded.
    assert hub["origin of saved"] == ["team/saved", "v1"]


def test_the_hub_is_asked_without_a_word(hub):
    assert hub["output"] == ""
