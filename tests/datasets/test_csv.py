import numpy as np
import pandas as pd
import pytest

from skbert.datasets import read_csv


@pytest.fixture
def write_csv(tmp_path):
    def write(content, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content.encode(encoding))
        return path

    return write


def test_read_csv_gives_texts_and_an_int_label_frame(write_csv):
    bunch = read_csv(write_csv('text,joy,anger\n"Hi, you\nthere",1,0\nNo.,0,1\n'))

    assert bunch.data == ["Hi, you\nthere", "No."]
    assert all(type(text) is str for text in bunch.data)
    assert bunch.target_names == ["joy", "anger"]
    expected = pd.DataFrame({"joy": [1, 0], "anger": [0, 1]})
    pd.testing.assert_frame_equal(bunch.target, expected, check_column_type=False)
    assert (bunch.target.dtypes == np.int64).all()


def test_read_csv_never_takes_a_text_for_missing(write_csv):
    texts = ["NA", "", "nan", "null", "None", "007", "1.50", "true", " x "]
    path = write_csv("text,a\n" + "".join(f"{text},1\n" for text in texts))

    assert read_csv(path).data == texts


def test_read_csv_reads_every_spelling_of_a_label(write_csv):
    cells = ["0", "1", "0.0", "1.0", "True", "false", "TRUE", " 1 ", "", " "]
    path = write_csv("text,a\n" + "".join(f"t,{cell}\n" for cell in cells))

    target = read_csv(path).target

    nan = np.nan
    np.testing.assert_array_equal(target["a"], [0, 1, 0, 1, 1, 0, 1, 1, nan, nan])
    assert target["a"].dtype == np.float64


def test_read_csv_makes_all_columns_float_if_one_has_unknown_labels(write_csv):
    target = read_csv(write_csv("text,a,b\nx,1,\ny,0,1\n")).target

    assert (target.dtypes == np.float64).all()
    np.testing.assert_array_equal(target, [[1, np.nan], [0, 1]])


def test_read_csv_takes_cells_that_a_row_lacks_for_unknown(write_csv):
    target = read_csv(write_csv("text,a,b\nx,1,0\ny,1\n")).target

    np.testing.assert_array_equal(target, [[1, 0], [1, np.nan]])


def test_read_csv_takes_named_columns_in_the_order_asked_for(write_csv):
    path = write_csv("id;body;a;b;c\n7;hello;1;0;1\n")

    bunch = read_csv(path, text="body", labels=["c", "a"], sep=";")

    assert bunch.data == ["hello"]
    assert bunch.target_names == list(bunch.target.columns) == ["c", "a"]
    assert bunch.target.to_numpy().tolist() == [[1, 1]]


def test_read_csv_reads_back_what_pandas_wrote_compressed(tmp_path):
    frame = pd.DataFrame({"text": ["é", "NA", ""], "a": [1, np.nan, 0], "b": [0, 1, 1]})
    path = tmp_path / "data.csv.gz"
    frame.to_csv(path, index=False)

    bunch = read_csv(str(path))

    assert bunch.data == ["é", "NA", ""]
    np.testing.assert_array_equal(bunch.target, frame[["a", "b"]])


def test_read_csv_ignores_a_byte_order_mark(write_csv):
    assert read_csv(write_csv("\ufefftext,a\nx,1\n")).data == ["x"]


def test_read_csv_decodes(write_csv):
    path = write_csv("text,a\ncafé,1\n", encoding="cp1252")

    assert read_csv(path, encoding="cp1252").data == ["café"]
    with pytest.raises(ValueError, match=r"data\.csv is not encoded in utf-8.*cp1252"):
        read_csv(path)


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        # the text column
        ("body,a\nx,1\n", {}, r"no column 'text'; its columns are \['body', 'a'\]"),
        ("text;a\nx;1\n", {}, r"sep=\.\.\., if the columns look glued"),
        # labels by default: every other column
        (
            "text,a,date,id\nx,1,,5\ny,0,2020-01-01,6\n",
            {},
            r"column 'date' is not made of 0/1 labels; row 1 .* holds '2020-01-01'.*"
            r"labels=\[\.\.\.\]",
        ),
        ("text\nx\n", {}, r"no label columns; the columns are \['text'\]"),
        (",text,a\n0,x,1\n1,y,0\n", {}, "column 0 has no name.*index=False"),
        # labels by name
        ("text,a\nx,1\n", {"labels": "a"}, r"must be a list .*: labels=\['a'\]"),
        ("text,a\nx,1\n", {"labels": []}, "no label columns"),
        ("text,a\nx,1\n", {"labels": ["b"]}, "no column 'b'; its columns are"),
        ("text,a\nx,1\n", {"labels": ["text"]}, "'text', which is the text column"),
        ("text,a\nx,1\n", {"labels": ["a", "a"]}, "names a column twice"),
        (
            "text,a,b\nx,1,0\ny,0,2\nz,0,3\n",
            {"labels": ["a", "b"]},
            r"label column 'b', row 1 \(from 0, without the header\) holds '2'.*Write 0"
            " or 1.*empty",
        ),
        ("text,a\nx,yes\n", {"labels": ["a"]}, "holds 'yes'"),
        ("text,a\nx,nan\n", {"labels": ["a"]}, "holds 'nan'"),
        ("text,a\nx,-1\n", {"labels": ["a"]}, "holds '-1'"),
        # the table
        ("", {}, "is empty"),
        ("text,a\n", {}, "column names but no rows"),
        ("text,a,a\nx,1,0\n", {}, "two columns called 'a'"),
        ("text,a\nx,y,1\n", {}, "not a table: .*line 2.*in double quotes"),
        ('text,a\n"x,1\n', {}, "not a table: .*in double quotes"),
    ],
)
def test_read_csv_errors_name_the_file_and_the_remedy(
    write_csv, content, arguments, message
):
    path = write_csv(content)

    with pytest.raises(ValueError, match=message) as caught:
        read_csv(path, **arguments)

    assert str(path) in str(caught.value) or "labels" in str(caught.value)


def test_read_csv_of_an_open_file_has_errors_too(write_csv):
    with open(write_csv("text,a\nx,2\n"), encoding="utf-8") as file:
        with pytest.raises(ValueError, match=r"^the file: column 'a'"):
            read_csv(file)


def test_read_csv_without_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_csv(tmp_path / "nowhere.csv")
