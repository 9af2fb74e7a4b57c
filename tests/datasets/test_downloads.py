"""What is made of a server's answers, asked of a real one on this machine."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from skbert.datasets.downloads import PublishedFile, read_published

CONTENT = "".join(f"line {i}\n" for i in range(50_000)).encode()


class Server(ThreadingHTTPServer):
    """Answers from a list, the last answer again and again.

    Parameters
    ----------
    answers : list of str
        "whole", "cut" (half of what is announced), "other" (another file), "missing",
        "down", or "held" (half of it, and the rest when `go_on` is set).
    """

    daemon_threads = False  # so that `server_close` waits for them

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Answers)
        self.answers = answers
        self.asked = []
        self.halves = threading.Semaphore(0)  # of those that are held
        self.go_on = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data.tsv"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *args):
        """Say nothing on stderr."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        place = min(len(server.asked), len(server.answers)) - 1
        answer = server.answers[place]
        status = {"missing": 404, "down": 503}.get(answer, 200)
        body = CONTENT if answer in ("whole", "cut", "held") else b"<html>Log in</html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.wfile.flush()
        if answer == "held":
            server.halves.release()
            server.go_on.wait(60)
        if answer != "cut":
            try:
                self.wfile.write(body[half:])
            except ConnectionError:  # who asked was interrupted
                pass


@pytest.fixture
def serve(monkeypatch):
    """Give a function that starts a server and describes its file."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = []

    def start(*answers):
        server = Server(answers)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        running.append((server, thread))
        digest = hashlib.sha256(CONTENT).hexdigest()
        return server, PublishedFile("data.tsv", server.url, digest)

    yield start
    for server, thread in running:
        server.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def read(file, folder, *, download_if_missing=True, n_retries=0):
    return read_published(
        file,
        folder,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=0,
    )


def test_a_file_is_downloaded_once_and_kept_as_it_is(serve, tmp_path):
    server, file = serve("whole")
    folder = tmp_path / "new" / "folder"
    assert read(file, folder) == CONTENT
    assert read(file, folder) == CONTENT
    assert read(file, folder, download_if_missing=False) == CONTENT
    assert server.asked == ["/data.tsv"]
    assert [path.name for path in folder.iterdir()] == ["data.tsv"]
    assert (folder / "data.tsv").read_bytes() == CONTENT


def test_a_kept_file_may_be_read_by_whoever_may_read_new_files(serve, tmp_path):
    _, file = serve("whole")
    read(file, tmp_path)
    (tmp_path / "ordinary").touch()
    modes = [(tmp_path / name).stat().st_mode for name in ("data.tsv", "ordinary")]
    assert modes[0] == modes[1]


def test_a_download_cut_short_leaves_nothing_and_says_so(serve, tmp_path):
    _, file = serve("cut")
    folder = tmp_path / "folder"
    with pytest.raises(ConnectionError, match="could not be downloaded: Incomplete"):
        read(file, folder)
    assert not folder.exists()


def test_a_download_that_fails_is_tried_again(serve, tmp_path):
    server, file = serve("down", "cut", "whole")
    with pytest.warns(UserWarning, match="is tried again") as caught:
        assert read(file, tmp_path, n_retries=2) == CONTENT
    assert len(caught) == 2
    assert "503" in str(caught[0].message)
    assert len(server.asked) == 3


def test_a_download_is_not_tried_for_ever(serve, tmp_path):
    server, file = serve("down")
    with pytest.warns(UserWarning), pytest.raises(ConnectionError, match="HTTP.* 503"):
        read(file, tmp_path, n_retries=3)
    assert len(server.asked) == 4


def test_another_file_than_the_published_is_refused_at_once(serve, tmp_path):
    server, file = serve("other")
    message = rf"did not give the published file but 19 bytes.*not {file.sha256}.*proxy"
    with pytest.raises(ValueError, match=message):
        read(file, tmp_path, n_retries=3)
    assert len(server.asked) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", ["missing", "nobody listens"])
def test_without_the_file_on_the_network_the_error_says_what_to_do_by_hand(
    serve, tmp_path, answer
):
    server, file = serve(answer)
    if answer == "nobody listens":
        server.shutdown()
        server.server_close()
    with pytest.raises(ConnectionError) as caught:
        read(file, tmp_path)
    assert f"get {file.url} elsewhere and put it, as data.tsv, into the folder" in str(
        caught.value
    )
    assert str(caught.value).endswith(f"{tmp_path}.")


def test_a_missing_file_that_must_not_be_downloaded_is_an_error(serve, tmp_path):
    server, file = serve("whole")
    folder = tmp_path / "folder"
    with pytest.raises(FileNotFoundError, match=r"no .*data\.tsv.*elsewhere and put"):
        read(file, folder, download_if_missing=False)
    assert server.asked == []
    assert not folder.exists()


def test_a_file_put_there_by_hand_is_read_without_the_network(serve, tmp_path):
    server, file = serve("whole")
    (tmp_path / "data.tsv").write_bytes(CONTENT)
    assert read(file, tmp_path) == CONTENT
    assert server.asked == []


def test_a_damaged_file_is_named_and_left_alone(serve, tmp_path):
    server, file = serve("whole")
    damaged = CONTENT.replace(b"\n", b"\r\n")
    (tmp_path / "data.tsv").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"data\.tsv is not the published.*Delete it"):
        read(file, tmp_path)
    assert (tmp_path / "data.tsv").read_bytes() == damaged
    assert server.asked == []


# A process of its own, told what to do by its arguments.
CHILD = """
import signal, sys
from pathlib import Path
from skbert.datasets.downloads import PublishedFile, read_published

# A shell that starts a job in the background lets it ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
url, sha256, folder = sys.argv[1:]
content = read_published(
    PublishedFile("data.tsv", url, sha256),
    Path(folder),
    download_if_missing=True,
    n_retries=0,
    delay=0,
)
print(len(content))
"""


def start_process(file, folder):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, file.url, file.sha256, str(folder)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_in_the_middle_of_a_download_leaves_no_half_file(serve, tmp_path):
    server, file = serve("held")
    process = start_process(file, tmp_path)
    assert server.halves.acquire(timeout=60)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_while_the_file_is_written_leaves_no_half_file(
    serve, tmp_path, monkeypatch
):
    _, file = serve("whole")

    def interrupted(source, target):
        assert source.read_bytes() == CONTENT  # it is there, and not yet in its place
        raise KeyboardInterrupt

    # No signal could be timed to come between the two.
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read(file, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_may_download_one_file_at_once(serve, tmp_path):
    server, file = serve("held")
    processes = [start_process(file, tmp_path) for _ in range(2)]
    for _ in processes:  # each has found that there is no file
        assert server.halves.acquire(timeout=60)
    server.go_on.set()
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert (output, errors) == (f"{len(CONTENT)}\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["data.tsv"]
    assert (tmp_path / "data.tsv").read_bytes() == CONTENT
