"""No network call is made for a model that is in a folder or comes as a package.

`socket.socket` and the look-up of names are replaced, in a process of its own, by what
notes the call and raises: there is no other way to see that nothing was asked. Errors
alone would not tell, because transformers catches them and goes on.
"""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, socket, sys

calls = []

class Refused(socket.socket):
    def __init__(self, *args, **kwargs):
        calls.append("socket")
        raise OSError("no network in this test")

def refuse(*args, **kwargs):
    calls.append(repr(args))
    raise OSError("no network in this test")

socket.socket = Refused
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse

from skbert import TransformerMultiLabelClassifier
from skbert.models.hub import resolve_model
from skbert.models.tokenizer import load_tokenizer

def use(model, folder):
    texts = ["the bill is wrong", "it crashes", "a crash and a bill", "hello"]
    y = [[1, 0], [0, 1], [1, 1], [0, 0]]
    clf = TransformerMultiLabelClassifier(model, max_length=16, max_epochs=1)
    clf.fit(texts, y).predict(texts)
    clf.save_pretrained(folder)
    loaded = TransformerMultiLabelClassifier.from_pretrained(folder)
    loaded.predict_proba(texts)
    load_tokenizer(resolve_model(folder))

for number, model in enumerate(sys.argv[1:]):
    use(model, f"saved-{number}")
quiet = list(calls)
try:
    resolve_model("someone/model")  # which must be asked for: the calls are noted
except ValueError:
    pass
print(json.dumps({"quiet": quiet, "asked": calls[len(quiet):]}))
"""


@pytest.fixture(scope="module")
def calls(tiny_bert, minilm, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {"HF_HOME": str(home), "HOME": str(home)}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    # Otherwise huggingface_hub would not ask, whatever it is asked for.
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        environment.pop(name, None)
    default = "sentence-transformers/all-MiniLM-L6-v2"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tiny_bert), default],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_asked_of_the_network(calls):
    assert calls["quiet"] == []


def test_a_call_would_have_been_noticed(calls):
    assert calls["asked"]
