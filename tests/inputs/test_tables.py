import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skbert.inputs.tables import column_names, first_column, hint_to_collect, shown

COLUMNS = {"text": ["a", "b"], "é 1": ["c", "d"]}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_tables_of_all_makers_are_read_alike(make):
    table = make(COLUMNS)
    assert column_names(table) == ["text", "é 1"]
    column = first_column(table)
    assert (column.to_pylist if make is pa.table else column.to_list)() == ["a", "b"]
    assert hint_to_collect(table, "X") == ""


def test_names_are_texts():
    assert column_names(pd.DataFrame([[0, 1]])) == ["0", "1"]


@pytest.mark.parametrize("other", [["a"], "a", None, 3, pd.Series(["a"])])
def test_what_is_no_table_has_no_names(other):
    assert column_names(other) is None


def test_a_lazy_frame_is_to_be_collected():
    hint = hint_to_collect(pl.LazyFrame(COLUMNS), "X_val")
    assert hint.endswith("pass X_val.collect().")


def test_columns_of_any_name_are_columns():
    frame = pd.DataFrame({"collect": [0], "column_names": [1]})
    assert column_names(frame) == ["collect", "column_names"]
    assert first_column(frame).tolist() == [0]
    assert hint_to_collect(frame, "y") == ""


def test_a_cell_is_shown_in_a_line_whatever_it_is():
    class Nameless:
        def __repr__(self):
            raise RuntimeError

    assert shown("a") == "'a'"
    assert shown("a" * 1000) == f"'{'a' * 59}..."
    assert shown(10**5000) == shown(Nameless()) == "what cannot be shown"
