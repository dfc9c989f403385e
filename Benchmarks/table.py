"""Tables of the benchmark drivers and of the pages that report their results."""


def cell(row, name, form):
    """A number of a row, or nothing where there is none."""
    return "" if row.get(name) is None else form.format(row[name])


def markdown(titles, rows):
    """The lines of a Markdown table, whose cells are text. Columns of numbers are right-aligned."""
    columns = list(zip(titles, *rows))
    widths = [max(3, *map(len, column)) for column in columns]
    numeric = [all(text[0] in "+-0123456789" for text in column[1:] if text) for column in columns]

    def line(cells):
        return "| " + " | ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(cells, widths, numeric)) + " |"

    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric)]
    return [line(titles), line(rule), *map(line, rows)]


def show(titles, rows):
    """Prints a Markdown table."""
    print("\n".join(markdown(titles, rows)))
