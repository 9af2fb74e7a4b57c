import logging
import os
import subprocess
import sys

import huggingface_hub.utils
import pytest
import transformers

from skbert.models.checkpoint import open_checkpoint
from skbert.runtime.quiet import quiet_transformers

WITH_VOCABULARY = ("bert", "roberta", "deberta", "distilbert")


@pytest.fixture
def transformers_logging():
    """Give the module; what a test sets in it is put back."""
    logging = transformers.utils.logging
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_had_bars = not huggingface_hub.utils.are_progress_bars_disabled()
    yield logging
    logging.set_verbosity(verbosity)
    (logging.enable_progress_bar if had_bars else logging.disable_progress_bar)()
    if hub_had_bars:
        huggingface_hub.utils.enable_progress_bars()
    else:
        huggingface_hub.utils.disable_progress_bars()


class Heard(logging.Handler):
    """A handler of one's own, that keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def heard(transformers_logging):
    """Return what the user is told, of transformers and of others."""
    transformers_logging.set_verbosity_warning()
    handler = Heard()
    loggers = [logging.getLogger(name) for name in ("transformers", "transformers_of")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler.messages
    for logger in loggers:
        logger.removeHandler(handler)


def say(level, name="transformers.modeling_utils"):
    logging.getLogger(name).log(level, f"{name} {level}")


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("had_bars", [False, True])
def test_silence_is_lifted_again(transformers_logging, heard, had_bars, fails):
    logs = transformers_logging
    (logs.enable_progress_bar if had_bars else logs.disable_progress_bar)()
    try:
        with quiet_transformers():
            say(logging.WARNING)
            assert not logs.is_progress_bar_enabled()
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert heard == []
    say(logging.WARNING)
    assert heard == ["transformers.modeling_utils 30"]
    assert logs.is_progress_bar_enabled() == had_bars


def test_errors_and_others_are_heard(heard):
    with quiet_transformers():
        say(logging.ERROR)
        say(logging.WARNING, "transformers_of.mine")
    assert heard == ["transformers.modeling_utils 40", "transformers_of.mine 30"]


@pytest.mark.parametrize("propagates", [False, True])
def test_silence_is_kept_where_the_root_prints_too(
    transformers_logging, propagates, monkeypatch
):
    root, own = Heard(), logging.getLogger("transformers")
    monkeypatch.setattr(own, "propagate", propagates)
    monkeypatch.setattr(logging.getLogger(), "handlers", [root])
    transformers_logging.set_verbosity_warning()
    say(logging.WARNING)
    assert len(root.messages) == propagates
    with quiet_transformers():
        say(logging.WARNING)
    assert len(root.messages) == propagates


def test_the_verbosity_is_left_alone(transformers_logging):
    transformers_logging.set_verbosity_info()
    with quiet_transformers():
        assert transformers_logging.get_verbosity() == transformers_logging.INFO


def test_silence_leaves_the_hubs_progress_bars_as_they_were(transformers_logging):
    """transformers switches those along with its own."""
    transformers_logging.enable_progress_bar()
    huggingface_hub.utils.disable_progress_bars()
    with quiet_transformers():
        pass
    assert huggingface_hub.utils.are_progress_bars_disabled()

    huggingface_hub.utils.enable_progress_bars()
    transformers_logging.disable_progress_bar()
    huggingface_hub.utils.enable_progress_bars()
    with quiet_transformers():
        pass
    assert not huggingface_hub.utils.are_progress_bars_disabled()


# huggingface_hub reads the variable when it is imported.
QUIET_CHILD = """
import warnings
import huggingface_hub.utils
import transformers
from skbert.runtime.quiet import quiet_transformers

bars = transformers.utils.logging
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # here the hub's warning is right
    bars.{switch}_progress_bar()
before = bars.is_progress_bar_enabled()
with quiet_transformers():
    pass
assert bars.is_progress_bar_enabled() == before
print(huggingface_hub.utils.are_progress_bars_disabled())
"""


@pytest.mark.parametrize("switch", ["enable", "disable"])
@pytest.mark.parametrize("variable", ["0", "1"])
def test_silence_leaves_bars_to_the_variable_without_a_warning(variable, switch):
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", QUIET_CHILD.format(switch=switch)],
        env=os.environ | {"HF_HUB_DISABLE_PROGRESS_BARS": variable},
        capture_output=True,
        text=True,
    )

    assert process.stderr == ""
    assert process.stdout.strip() == str(variable == "1")


def test_opening_says_nothing(checkpoint, capfd):
    folders = [checkpoint(family) for family in WITH_VOCABULARY]
    capfd.readouterr()  # some versions of transformers show a bar when they save
    for folder in folders:
        open_checkpoint(folder)
    assert capfd.readouterr() == ("", "")


def test_the_first_thread_enters_and_the_last_one_leaves(heard):
    first, second = quiet_transformers(), quiet_transformers()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    say(logging.WARNING)
    assert heard == []
    second.__exit__(None, None, None)
    say(logging.WARNING)
    assert len(heard) == 1
