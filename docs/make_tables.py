"""Write the generated parts of the documentation: run it after changing ebmdiag/statistics.py."""

from pathlib import Path

from ebmdiag.report import glossary

PAGE = Path(__file__).with_name("trace.md")


def main() -> None:
    """Replace what stands between the markers."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = text.index(glossary.BEGIN), text.index(glossary.END) + len(glossary.END)
    PAGE.write_text(text[:begin] + glossary.statistics_markdown() + text[end:], encoding="utf-8")
    print(f"wrote the table of statistics into {PAGE}")


if __name__ == "__main__":
    main()
