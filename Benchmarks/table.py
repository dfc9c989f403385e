"""Tables of the benchmark drivers."""


def cell(row, name, form):
    """A number of a row, or nothing where there is none."""
    return "" if row.get(name) is None else form.format(row[name])


def show(titles, rows):
    """Prints a Markdown table whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(titles, *rows)]
    rule = ["-" * width for width in widths]
    for row in [titles, rule, *rows]:
        print("| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |")
