# SPDX-License-Identifier: Apache-2.0
"""Plots of what bench/polling and bench/disks have left in build/bench, for docs/benchmarks.md. The same figures give the same bytes."""

import sys

from harness import ROOT

sys.path.insert(0, str(ROOT / "tools"))

from svg_plot import Axis, Panel, Series, panels  # noqa: E402

LOOKS = {
    "adaptive": ("strong", "circle"), "breakeven": ("blue", "square"), "never": ("green", "diamond"), "always": ("violet", "triangle"),
    "rate": ("pink", "cross"), "grow_shrink": ("teal", "square"), "fixed": ("ochre", "diamond"),
    "qemu-storage-daemon": ("grey", "square"), "qemu-storage-daemon, polls": ("grey", "cross"),
}
SATURATED_PERCENT = 100


def decades(low, high):
    """Ticks of a logarithmic axis, from the power of ten below to the one above."""
    ticks = [10.0 ** power for power in range(-6, 12)]
    first = max(i for i, tick in enumerate(ticks) if tick <= low)
    last = min(i for i, tick in enumerate(ticks) if tick >= high)
    return ticks[first:last + 1]


def logarithmic(values):
    ticks = decades(min(values), max(values))
    return Axis(ticks[0], ticks[-1], ticks, True)


def loads_of(polling):
    """The rows at parts of saturation with their percentage, of the distance that most runs had."""
    rows = polling["rows"]
    distances = [row["distance"] for row in rows]
    usual = max(set(distances), key=distances.count)
    chosen = []
    for row in rows:
        if row["distance"] == usual and (row["load"] == "saturated" or row["load"].endswith(" %")):
            percent = SATURATED_PERCENT if row["load"] == "saturated" else float(row["load"].removesuffix(" %"))
            chosen.append({**row, "percent": percent, "cpu_percent": 100 * row["backend_cpus"], "kicks_per_s": row["kicks_per_op"] * row["iops"]})
    return sorted(chosen, key=lambda row: row["percent"])


def by_policy(rows, x, y, least=0.0):
    series = []
    for policy in dict.fromkeys(row["policy"] for row in rows):
        points = [(row[x], max(row[y], least)) for row in rows if row["policy"] == policy]
        series.append(Series(policy, points, *LOOKS[policy]))
    return sorted(series, key=lambda one: one.colour == "strong")  # drawn last


def load_plot(polling):
    rows = loads_of(polling)
    percents = sorted({row["percent"] for row in rows})
    ticks = [percent for percent, above in zip(percents, [*percents[1:], 2 * percents[-1]]) if above >= 2 * percent]  # as far as there is room
    load = Axis(percents[0], percents[-1], ticks, True, [f"{percent:g} %" for percent in ticks])
    least_kicks = 10.0  # per second: less is drawn there
    open_loop = [row for row in rows if row["percent"] != SATURATED_PERCENT]
    cpu = Axis(0, 100, [0, 20, 40, 60, 80, 100])
    return panels("One queue under each policy, from nearly idle to saturated", [
        [Panel("p99 latency, us", load, logarithmic([row["lat_p99_us"] for row in open_loop]), "load", by_policy(open_loop, "percent", "lat_p99_us")),
         Panel("CPU of the worker, %", load, cpu, "load", by_policy(rows, "percent", "cpu_percent"))],
        [Panel("kicks per second", load, logarithmic([least_kicks, *(row["kicks_per_s"] for row in rows if row["kicks_per_s"] > least_kicks)]), "load",
               by_policy(rows, "percent", "kicks_per_s", least_kicks)),
         Panel("requests per second, by the CPU that they took", cpu, logarithmic([row["iops"] for row in rows]), "CPU of the worker, %",
               by_policy(rows, "cpu_percent", "iops"))],
    ])


def idle_plot(disks):
    rows = [row for row in disks["idle"]["rows"] if row["distance"] != "moved"]
    counts = sorted({int(row["load"].split()[0]) for row in rows})
    series = []
    for backend in dict.fromkeys(row["backend"] for row in rows):
        points = sorted({int(row["load"].split()[0]): 100 * row["backend_cpus"]["median"] for row in rows if row["backend"] == backend}.items())
        name = backend.removeprefix("sidecored ")
        series.append(Series(name, points, *LOOKS[name]))
    series.sort(key=lambda one: one.colour == "strong")
    panel = Panel("CPU of the back-end, %", Axis(counts[0], counts[-1], counts, True), Axis(0, 100, [0, 20, 40, 60, 80, 100]), "machines that do nothing", series)
    return panels("What machines cost that do nothing", [[panel]])


# {file in docs/benchmarks: (whose results, what draws it)}
PLOTS = {"load.svg": ("polling", load_plot), "idle.svg": ("disks", idle_plot)}


def write(folder, reports):
    """The plots whose results are among `reports`, {benchmark: what it left}."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (benchmark, draw) in PLOTS.items():
        if benchmark in reports:
            (folder / name).write_text(draw(reports[benchmark]), encoding="utf-8")
