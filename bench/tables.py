# SPDX-License-Identifier: Apache-2.0
"""Tables of medians and extremes, from what a benchmark leaves in build/bench: printed, and put into docs/benchmarks.md."""


def spread(row, figure, scale=1.0, digits=2):
    if figure not in row:
        return "-"
    low, middle, high = (row[figure][key] * scale for key in ("min", "median", "max"))
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def middle(row, figure, scale=1.0, digits=2):
    return f"{row[figure]['median'] * scale:,.{digits}f}" if figure in row else "-"


def cell(text, width):
    return text.ljust(-width) if width < 0 else text.rjust(width)


def table(layout, measured):
    """The lines of a part's table, for each of the cores' distances; rows during which it changed are left out.

    `layout`: (title, [(heading, width, how to show a row)], the columns by which rows are grouped); a negative width is for text."""
    title, columns, group_keys = layout
    rows = measured["rows"]
    lines = [title]
    for distance in ("close", "far"):
        chosen = [row for row in rows if row["distance"] == distance]
        if not chosen:
            continue
        groups = list(dict.fromkeys(tuple(row[key] for key in group_keys) for row in rows))
        lines += ["", f"Cores {distance} to each other:", "  ".join(cell(heading, width) for heading, width, _ in columns).rstrip()]
        for number, group in enumerate(groups):
            of_group = [row for row in chosen if tuple(row[key] for key in group_keys) == group]
            if number and of_group:
                lines.append("")
            lines += ["  ".join(cell(show(row), width) for _, width, show in columns).rstrip() for row in of_group]
    moved = sum(row["runs"] for row in rows if row["distance"] == "moved")
    if moved:
        lines += ["", f"{moved} of {sum(row['runs'] for row in rows)} runs are left out: the cores' distance changed meanwhile."]
    if measured["failures"]:
        lines += ["", f"{len(measured['failures'])} runs failed, and are missing above."]
    return lines


def describe(measured):
    """How a part was measured."""
    machine, settings = measured["machine"], measured["settings"]
    busy = f"; load {machine['load_at_start']:.1f} at the start: take the figures for what they are" if machine["load_at_start"] > 1.5 else ""
    return (f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}; {settings['repetitions']} x {settings['seconds']:g} s of each, "
            f"medians{busy}.")


def put(path, name, text):
    """Replaces what is between the marks of benchmark `name` in a page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{path} has no part between {begin} and {end}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def write_into(path, name, layouts, report):
    """Puts the tables of `report` between the marks of benchmark `name` in a page."""
    put(path, name, "\n\n".join("```\n" + "\n".join(table(layout, report[part])) + f"\n```\n\n{describe(report[part])}"
                                for part, layout in layouts.items() if part in report))
