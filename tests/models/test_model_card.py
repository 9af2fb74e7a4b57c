import os
import re
from html import unescape
from pathlib import Path

import pytest

from skbert.models.model_card import make_card, renew_card

OLD = make_card("models/old", "native", [("a", 0.25), ("b", 0.5)])
NEW = make_card("models/new", "mean", [("c", 0.125), ("d | e", 0.75), ("f", 1.0)])
TABLE = NEW[NEW.index("| label") : NEW.index("<!-- skbert ends")]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "README.md"


def write(path, text):
    path.write_text(text, encoding="utf-8")


def test_the_card_names_everything():
    assert "`models/new` with skbert (mean pooling)" in NEW
    assert TABLE.splitlines()[2:5] == [
        "| c | 0.125 |",
        r"| d \| e | 0.750 |",
        "| f | 1.000 |",
    ]


def test_without_a_name_on_the_hub_the_card_names_no_origin(path):
    card = make_card(None, "mean", [("c", 0.125)])
    assert "Fine-tuned with skbert (mean pooling). Load it with" in card
    write(path, OLD)
    assert renew_card(path, card) == card
    write(path, card)
    assert renew_card(path, NEW) == NEW


def test_a_label_of_two_lines_is_one_row():
    card = make_card("m", "mean", [("a\nb\r\nc", 0.5)])
    assert "| a b c | 0.500 |\n" in card


@pytest.mark.parametrize(
    "name",
    [
        *("a|b", "|", "a\\|b", "a\\", "\\", "`a|b`", "``", "*a*", "__init__", "_a_ b"),
        *("a_b", "<b>a</b>", "<!-- a", "[a](b)", "![a](b)", "&amp;", "~~a~~", "ß"),
    ],
)
def test_a_label_is_shown_as_it_is_called(name):
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark")
    markdown.enable(["table", "strikethrough"])
    card = make_card("m", "mean", [(name, 0.5), ("next", 0.25)])

    html = markdown.render(card[card.index("| label") : card.index("<!-- skbert ends")])

    cells = re.findall(r"<td>(.*?)</td>", html, flags=re.DOTALL)
    assert [unescape(cell) for cell in cells] == [name, "0.500", "next", "0.250"]


def test_a_label_twice_has_two_rows():
    assert make_card("m", "mean", [("a", 0.5), ("a", 0.25)]).count("\n| a |") == 2


def test_without_one_the_card_is_the_new_one(path):
    assert renew_card(path, NEW) == NEW


def test_what_skbert_wrote_is_replaced(path):
    write(path, OLD)
    assert renew_card(path, NEW) == NEW


def test_what_people_wrote_around_it_stays(path):
    mine = OLD.replace("tags: [", "license: mit\ntags: [mine, ")
    mine = mine.replace("# Multi-label text classifier\n", "# Mails\n\nAsk Anna.\n")
    write(path, mine + "\n## Limits\n")

    renewed = renew_card(path, NEW)

    assert "license: mit\ntags: [mine, multi-label" in renewed
    assert "# Mails\n\nAsk Anna.\n" in renewed
    assert "`models/new` with skbert (mean pooling)" in renewed
    assert TABLE in renewed
    assert renewed.endswith("\n## Limits\n")
    assert "models/old" not in renewed
    assert "| a |" not in renewed
    write(path, renewed)
    assert renew_card(path, NEW) == renewed


@pytest.mark.parametrize(
    "text",
    ["", "# My project\n", OLD[: OLD.index("<!-- skbert ends")], TABLE],
)
def test_a_file_without_both_markers_stays(path, text):
    write(path, text)
    assert renew_card(path, NEW) is None


def test_what_cannot_be_read_stays(path):
    path.write_bytes(b"\xff\xfe" + OLD.encode("utf-16-le"))
    assert renew_card(path, NEW) is None
    path.unlink()
    path.mkdir()
    assert renew_card(path, NEW) is None
    path.rmdir()
    path.symlink_to("nowhere")
    assert renew_card(path, NEW) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(path, monkeypatch):
    os.mkfifo(path)
    monkeypatch.setattr(Path, "read_text", None)  # it would wait for ever
    assert renew_card(path, NEW) is None
