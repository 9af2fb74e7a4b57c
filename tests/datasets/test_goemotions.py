import hashlib
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

from skbert.datasets import fetch_goemotions, goemotions

# The last text has line separators that end no line, and no label but "neutral".
LINES = {
    "train": [
        "I love it!\t17,18\ted00001",
        '"She said ""no"" twice, twice"\t10\ted00002',
        "a, b; c\u2028d\x85e 😀\t27\ted00003",
    ],
    "dev": ["NA\t0\ted00004"],
    "test": [" \t2,3,27\ted00005", "'Why?\\n\t7\ted00006"],
}
TEXTS = {
    "train": ["I love it!", 'She said "no" twice, twice', "a, b; c\u2028d\x85e 😀"],
    "dev": ["NA"],
    "test": [" ", "'Why?\\n"],
}
MARKS = {"train": [[17, 18], [10], [27]], "dev": [[0]], "test": [[2, 3, 27], [7]]}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Print nothing."""


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Give a function that puts files where a server on this machine offers them."""
    place = tmp_path / "published"
    place.mkdir()
    handler = partial(Quiet, directory=place)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def publish_lines(lines):
        checksums = {}
        for subset, rows in lines.items():
            path = place / f"{subset}.tsv"
            path.write_bytes("".join(f"{row}\n" for row in rows).encode())
            checksums[subset] = hashlib.sha256(path.read_bytes()).hexdigest()
        # Stand-ins: the published files are no part of the project.
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(
            goemotions, "_URL", f"http://127.0.0.1:{server.server_port}"
        )
        monkeypatch.setattr(goemotions, "_SHA256", checksums)
        return place

    yield publish_lines
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def home(publish, tmp_path):
    """Give an empty data home, with small files to be downloaded to it."""
    publish(LINES)
    return tmp_path / "home"


def indicators(marks):
    return np.array([[int(label in row) for label in range(28)] for row in marks])


@pytest.mark.parametrize("subset", ["train", "dev", "test"])
def test_a_subset_has_its_texts_and_labels(home, subset):
    bunch = fetch_goemotions(subset=subset, data_home=home)
    assert isinstance(bunch.data, pd.Series)
    assert bunch.data.name == "text"
    assert bunch.data.to_list() == TEXTS[subset]
    assert list(bunch.target.columns) == bunch.target_names
    assert (bunch.target.dtypes == np.int64).all()
    np.testing.assert_array_equal(bunch.target, indicators(MARKS[subset]))
    assert list(bunch.frame.columns) == ["text", *bunch.target_names]
    assert bunch.frame["text"].equals(bunch.data)
    assert bunch.frame[bunch.target_names].equals(bunch.target)


def test_all_are_the_three_after_each_other(home):
    bunch = fetch_goemotions(subset="all", data_home=home)
    assert bunch.data.to_list() == TEXTS["train"] + TEXTS["dev"] + TEXTS["test"]
    marks = MARKS["train"] + MARKS["dev"] + MARKS["test"]
    np.testing.assert_array_equal(bunch.target, indicators(marks))
    assert bunch.data.index.equals(pd.RangeIndex(6))


def test_without_frames_there_are_a_list_and_an_array(home):
    bunch = fetch_goemotions(data_home=home, as_frame=False)
    assert bunch.data == TEXTS["train"]
    assert type(bunch.target) is np.ndarray
    assert bunch.target.dtype == np.int64
    np.testing.assert_array_equal(bunch.target, indicators(MARKS["train"]))
    assert "frame" not in bunch


@pytest.mark.parametrize("as_frame", [True, False])
def test_data_and_target_alone(home, as_frame):
    options = {"data_home": home, "as_frame": as_frame}
    X, y = fetch_goemotions(return_X_y=True, **options)
    bunch = fetch_goemotions(**options)
    assert type(X) is type(bunch.data) and list(X) == list(bunch.data)
    assert type(y) is type(bunch.target)
    np.testing.assert_array_equal(y, bunch.target)


def test_the_labels_are_27_emotions_and_neutral(home):
    names = fetch_goemotions(data_home=home).target_names
    assert len(names) == 28
    assert names[:2] == ["admiration", "amusement"]
    assert names[:-1] == sorted(names[:-1])
    assert names[-1] == "neutral"


def test_only_the_files_asked_for_are_downloaded_and_each_once(home):
    fetch_goemotions(subset="dev", data_home=str(home))
    folder = home / "goemotions"
    assert [path.name for path in folder.iterdir()] == ["dev.tsv"]
    (home.parent / "published" / "dev.tsv").unlink()
    fetch_goemotions(subset="all", data_home=home)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["dev.tsv", "test.tsv", "train.tsv"]


def test_a_folder_filled_by_hand_is_read_without_the_network(publish, tmp_path):
    published = publish(LINES)
    published.rename(tmp_path / "goemotions")
    bunch = fetch_goemotions(
        subset="test", data_home=tmp_path, download_if_missing=False
    )
    assert bunch.data.to_list() == TEXTS["test"]


def test_the_error_without_the_network_says_how_to_fill_the_folder(publish, tmp_path):
    published = publish(LINES)
    (published / "train.tsv").unlink()
    folder = re.escape(str(tmp_path / "home" / "goemotions"))
    message = rf"could not be downloaded: .*train\.tsv elsewhere.*folder {folder}\."
    with pytest.raises(ConnectionError, match=message):
        fetch_goemotions(data_home=tmp_path / "home", n_retries=0)


def test_another_file_than_the_published_one_is_refused(publish, tmp_path):
    published = publish(LINES)
    (published / "train.tsv").write_text("<html>Log in</html>")
    with pytest.raises(ConnectionError, match="SHA256 checksum"):
        fetch_goemotions(data_home=tmp_path / "home", n_retries=0)
    assert list((tmp_path / "home" / "goemotions").iterdir()) == []


def test_nothing_is_written_where_nothing_may_be_downloaded(home):
    with pytest.raises(FileNotFoundError, match="download_if_missing=False"):
        fetch_goemotions(data_home=home, download_if_missing=False)
    assert not home.exists()


def test_retries_are_passed_on(home):
    (home.parent / "published" / "train.tsv").unlink()
    with pytest.warns(UserWarning, match="Retry downloading") as caught:
        with pytest.raises(ConnectionError):
            fetch_goemotions(data_home=home, n_retries=2, delay=0)
    assert len(caught) == 2


def test_the_default_home_is_that_of_scikit_learn(home, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(home / "chosen"))
    fetch_goemotions()
    assert (home / "chosen" / "goemotions" / "train.tsv").is_file()
    monkeypatch.delenv("SCIKIT_LEARN_DATA")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    fetch_goemotions()
    assert (home / "scikit_learn_data" / "goemotions" / "train.tsv").is_file()
    fetch_goemotions(subset="dev", data_home="~/mine")
    assert (home / "mine" / "goemotions" / "dev.tsv").is_file()


@pytest.mark.parametrize("subset", ["validation", "", None, "Train"])
def test_an_unknown_subset_is_an_error_that_names_the_others(home, subset):
    message = "subset must be 'train', 'dev', 'test' or 'all'; got "
    with pytest.raises(ValueError, match=message + repr(subset)):
        fetch_goemotions(subset=subset, data_home=home)


def test_a_negative_number_of_retries_is_an_error(home):
    with pytest.raises(ValueError, match="n_retries must be at least 0; got -1"):
        fetch_goemotions(data_home=home, n_retries=-1)


def test_what_is_downloaded_is_described(home):
    assert "Demszky" in fetch_goemotions(data_home=home).DESCR
