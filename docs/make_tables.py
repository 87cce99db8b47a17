"""Write the generated parts of the documentation: run it after changing a table of columns in the code."""

from pathlib import Path

from ebmdiag.report import chain_columns, glossary

HERE = Path(__file__).parent
TABLES = {
    "trace.md": (glossary.BEGIN, glossary.END, glossary.statistics_markdown),
    "sampling.md": (chain_columns.BEGIN, chain_columns.END, chain_columns.columns_markdown),
}


def main() -> None:
    """Replace what stands between the markers."""
    for name, (first, last, table) in TABLES.items():
        page = HERE / name
        text = page.read_text(encoding="utf-8")
        begin, end = text.index(first), text.index(last) + len(last)
        page.write_text(text[:begin] + table() + text[end:], encoding="utf-8")
        print(f"wrote the table into {page}")


if __name__ == "__main__":
    main()
