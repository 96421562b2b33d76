"""Reads the tables that reports print."""


def cells(text):
    """Returns the cells of a table in Markdown, by row name and column."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    columns, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines
    ]
    return {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
