import huggingface_hub.utils
import pytest
import transformers

from skbert.checkpoint import open_checkpoint
from skbert.silence import quiet_transformers

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


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("had_bars", [False, True])
@pytest.mark.parametrize("verbosity", [10, 20])
def test_silence_is_lifted_again(transformers_logging, verbosity, had_bars, fails):
    logging = transformers_logging
    logging.set_verbosity(verbosity)
    (logging.enable_progress_bar if had_bars else logging.disable_progress_bar)()
    try:
        with quiet_transformers():
            assert logging.get_verbosity() == logging.ERROR
            assert not logging.is_progress_bar_enabled()
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert logging.get_verbosity() == verbosity
    assert logging.is_progress_bar_enabled() == had_bars


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


def test_opening_says_nothing(checkpoint, capfd):
    folders = [checkpoint(family) for family in WITH_VOCABULARY]
    capfd.readouterr()  # some versions of transformers show a bar when they save
    for folder in folders:
        open_checkpoint(folder)
    assert capfd.readouterr() == ("", "")
