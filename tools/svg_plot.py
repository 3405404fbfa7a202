# SPDX-License-Identifier: Apache-2.0
"""Line plots, dot plots and panels of them as SVG. The colours follow the reader's light or dark mode, and the same input gives the same
bytes."""

import html
import math

# Light and dark of each series; the strong one is drawn last and thicker.
COLOURS = {
    "strong": ("#c2410c", "#fb923c"),
    "blue": ("#1d4ed8", "#7aa7ff"),
    "green": ("#15803d", "#5fd38d"),
    "violet": ("#7e22ce", "#c99bff"),
    "grey": ("#6b7280", "#9ca3af"),
    "teal": ("#0e7490", "#4fd1e0"),
    "ochre": ("#a16207", "#e3b341"),
    "pink": ("#be185d", "#f78fc0"),
}
MARKS = ("circle", "square", "diamond", "triangle", "cross")


def number(value):
    """A coordinate: two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def label_of(value):
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    if value >= 1e3:
        return f"{value / 1e3:g} k"
    return f"{value:g}"


class Axis:
    """From values to pixels."""

    def __init__(self, low, high, ticks, logarithmic=False, labels=None):
        self.low, self.high, self.ticks, self.logarithmic = low, high, ticks, logarithmic
        self.labels = labels or [label_of(tick) for tick in ticks]

    def place(self, value, start, end):
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return start + share * (end - start)


class Series:
    def __init__(self, name, points, colour, mark=None, line=True, dashed=False):
        self.name, self.points, self.colour, self.mark, self.line, self.dashed = name, points, colour, mark, line, dashed


def style():
    def rules(which):
        yield from (f".{name}{{stroke:{pair[which]};fill:{pair[which]}}}" for name, pair in COLOURS.items())
        yield f"text{{fill:{('#1f2937', '#e5e7eb')[which]}}}"
        yield f".soft{{fill:{('#4b5563', '#b6bcc6')[which]}}}"
        yield f".grid{{stroke:{('#d8dce2', '#3b424c')[which]}}}"
        yield f".frame{{stroke:{('#8a929e', '#8a929e')[which]};fill:none}}"

    return ("<style>text{font:13px system-ui,sans-serif}.small{font-size:11.5px}.title{font-weight:600}.middle{text-anchor:middle}"
            ".end{text-anchor:end}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.strong.line{stroke-width:3}"
            ".dashed{stroke-dasharray:6 4}.mark{stroke-width:1}" + "".join(rules(0)) +
            "@media(prefers-color-scheme:dark){" + "".join(rules(1)) + "}.line{fill:none}</style>")


def text(x, y, content, classes=""):
    return f'<text x="{number(x)}" y="{number(y)}" class="{classes}">{html.escape(content)}</text>'


def mark(kind, x, y, colour, size=4.0):
    attributes = f'class="{colour} mark"'
    if kind == "circle":
        return f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(size)}" {attributes}/>'
    if kind == "square":
        return (f'<rect x="{number(x - size * 0.85)}" y="{number(y - size * 0.85)}" width="{number(size * 1.7)}" '
                f'height="{number(size * 1.7)}" {attributes}/>')
    shapes = {"diamond": [(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)], "triangle": [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)]}
    if kind in shapes:
        points = " ".join(f"{number(x + dx * size)},{number(y + dy * size)}" for dx, dy in shapes[kind])
        return f'<polygon points="{points}" {attributes}/>'
    reach = size * 0.9
    return (f'<path d="M{number(x - reach)} {number(y - reach)}L{number(x + reach)} {number(y + reach)}M{number(x - reach)} '
            f'{number(y + reach)}L{number(x + reach)} {number(y - reach)}" class="{colour} line"/>')


class Panel:
    """A frame with axes and series."""

    def __init__(self, title, x_axis, y_axis, x_title="", series=()):
        self.title, self.x_axis, self.y_axis, self.x_title = title, x_axis, y_axis, x_title
        self.series = list(series)

    def draw(self, left, top, width, height):
        x0, x1, y0, y1 = left + 52, left + width - 14, top + height - 46, top + 30
        parts = [text(x0, top + 17, self.title, "title")]
        for tick, label in zip(self.x_axis.ticks, self.x_axis.labels):
            x = self.x_axis.place(tick, x0, x1)
            parts.append(f'<path d="M{number(x)} {number(y0)}V{number(y1)}" class="grid"/>')
            parts.append(text(x, y0 + 16, label, "small soft middle"))
        for tick, label in zip(self.y_axis.ticks, self.y_axis.labels):
            y = self.y_axis.place(tick, y0, y1)
            parts.append(f'<path d="M{number(x0)} {number(y)}H{number(x1)}" class="grid"/>')
            parts.append(text(x0 - 6, y + 4, label, "small soft end"))
        parts.append(f'<rect x="{number(x0)}" y="{number(y1)}" width="{number(x1 - x0)}" height="{number(y0 - y1)}" class="frame"/>')
        parts.append(text((x0 + x1) / 2, y0 + 36, self.x_title, "small middle"))
        for series in self.series:
            points = [(self.x_axis.place(x, x0, x1), self.y_axis.place(y, y0, y1)) for x, y in series.points]
            if series.line:
                path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
                parts.append(f'<path d="{path}" class="{series.colour} line{" dashed" if series.dashed else ""}"/>')
            if series.mark:
                parts += [mark(series.mark, x, y, series.colour) for x, y in points]
        return "\n".join(part for part in parts if part)


def legend(series, left, top, width):
    """Names beside their marks, in as many rows as it takes. Returns the parts and the height."""
    parts, x, y = [], left, top
    for one in series:
        needed = 34 + 7.2 * len(one.name)
        if x + needed > left + width and x > left:
            x, y = left, y + 20
        if one.line:
            parts.append(f'<path d="M{number(x)} {number(y)}h22" class="{one.colour} line{" dashed" if one.dashed else ""}"/>')
        if one.mark:
            parts.append(mark(one.mark, x + 11, y, one.colour))
        parts.append(text(x + 28, y + 4, one.name, "small"))
        x += needed + 8
    return parts, y - top + 30


def document(width, height, description, parts):
    body = "\n".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" role="img" '
            f'aria-label="{html.escape(description)}">\n{style()}\n{body}\n</svg>\n')


def panels(description, rows, width=860, height=300):
    """Rows of panels with one legend, which is the first panel's."""
    parts, used = legend(rows[0][0].series, 20, 16, width - 40)
    for number_of_row, row in enumerate(rows):
        each = width / len(row)
        parts += [panel.draw(i * each, used + number_of_row * height, each, height) for i, panel in enumerate(row)]
    return document(width, used + height * len(rows) + 6, description, parts)


def dots(description, names, series, axis, x_title, width=860, row_height=19):
    """One row for each name; each series has a point in it. `series`: (name, colour, mark, values)."""
    keys = [Series(name, [], colour, kind, line=False) for name, colour, kind, _ in series]
    parts, used = legend(keys, 20, 16, width - 40)
    left, right, top = 190, width - 20, used + 12
    bottom = top + row_height * len(names)
    for tick, label in zip(axis.ticks, axis.labels):
        x = axis.place(tick, left, right)
        parts.append(f'<path d="M{number(x)} {number(top)}V{number(bottom)}" class="grid"/>')
        parts.append(text(x, bottom + 16, label, "small soft middle"))
    for row, name in enumerate(names):
        y = top + row_height * (row + 0.5)
        parts.append(text(left - 8, y + 4, name, "small end"))
        parts.append(f'<path d="M{number(left)} {number(y)}H{number(right)}" class="grid"/>')
        parts += [mark(kind, axis.place(values[row], left, right), y, colour, 5.2 if colour == "strong" else 4)
                  for _, colour, kind, values in series]
    parts.append(f'<rect x="{number(left)}" y="{number(top)}" width="{number(right - left)}" height="{number(bottom - top)}" class="frame"/>')
    parts.append(text((left + right) / 2, bottom + 36, x_title, "small middle"))
    return document(width, bottom + 46, description, parts)
