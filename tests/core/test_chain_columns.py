"""The columns of a table of chains in the documentation are those of the code."""

from pathlib import Path

from ebmdiag.chains import CHAIN_COLUMNS
from ebmdiag.report.chain_columns import BEGIN, END, columns_markdown

PAGE = Path(__file__).parent.parent.parent / "docs" / "sampling.md"


def test_the_page_holds_the_table_as_it_is_generated():
    page = PAGE.read_text(encoding="utf-8")
    assert page[page.index(BEGIN) : page.index(END) + len(END)] == columns_markdown()


def test_each_column_has_a_row_of_four_cells():
    rows = columns_markdown().splitlines()[3:-1]
    assert len(rows) == len(CHAIN_COLUMNS)
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
    assert rows[0].startswith("| `phase` | string | ")
