# SPDX-License-Identifier: Apache-2.0
"""The tables of bench/net, from what it leaves in build/bench/net.json: printed, and put into docs/benchmarks.md."""

BEGIN, END = "<!-- bench/net: begin -->", "<!-- bench/net: end -->"


def spread(row, figure, scale=1.0, digits=2):
    if figure not in row:
        return "-"
    low, middle, high = (row[figure][key] * scale for key in ("min", "median", "max"))
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def middle(row, figure, scale=1.0, digits=2):
    return f"{row[figure]['median'] * scale:,.{digits}f}" if figure in row else "-"


# {part: (title, [(heading, width, how to show a row)], the columns by which rows are grouped)}
TABLES = {
    "speed": ("Frames of 64 bytes through one queue pair: a driver on one core, a back-end on another", [
        ("what", -14, lambda row: row["mode"]),
        ("driver", -17, lambda row: row["client"]),
        ("back-end", -19, lambda row: row["backend"]),
        ("runs", 4, lambda row: str(row["runs"])),
        ("M frames/s (from–to)", 24, lambda row: spread(row, "frames_per_s", 1e-6, 3) if row["mode"] != "idle" else "-"),
        ("p50 us", 8, lambda row: middle(row, "lat_p50_us") if row["mode"].endswith("rr") else "-"),
        ("p99 us", 8, lambda row: middle(row, "lat_p99_us") if row["mode"].endswith("rr") else "-"),
        ("kicks/frame", 11, lambda row: middle(row, "kicks_per_frame", digits=5) if row["mode"] not in ("rx", "idle") else "-"),
        ("CPUs", 5, lambda row: middle(row, "backend_cpus")),
        ("ping ns", 7, lambda row: f"{row['ping_pong_ns']:.0f}"),
    ], ("mode",)),
    "policies": ("Frames of 64 bytes from our own front-end, as many as it can send, to a network that forgets them", [
        ("load", -29, lambda row: row["load"]),
        ("policy", -11, lambda row: row["policy"]),
        ("runs", 4, lambda row: str(row["runs"])),
        ("k frames/s (from–to)", 29, lambda row: spread(row, "frames_per_s", 1e-3, 1) if row["load"] != "idle" else "-"),
        ("x never", 7, lambda row: middle(row, "frames_per_s_to_never")),
        ("k kicks/s", 10, lambda row: middle(row, "kicks_per_s", 1e-3, 2)),
        ("x never", 8, lambda row: middle(row, "kicks_per_s_to_never", digits=4)),
        ("CPU %", 6, lambda row: middle(row, "backend_cpus", 100, 1)),
        ("CPU ns/frame", 12, lambda row: middle(row, "cpu_ns_per_frame", digits=0)),
        ("p99 us", 8, lambda row: middle(row, "lat_p99_us") if row["load"] == "request-response" else "-"),
        ("ping ns", 7, lambda row: f"{row['ping_pong_ns']:.0f}"),
    ], ("load",)),
    "guest": ("Messages of 64 bytes from user-mode Linux guests", [
        ("load", -16, lambda row: row["load"]),
        ("policy", -11, lambda row: row["policy"]),
        ("runs", 4, lambda row: str(row["runs"])),
        ("Mbit/s (from–to)", 25, lambda row: spread(row, "payload_mbit_per_s", digits=1)),
        ("x never", 7, lambda row: middle(row, "payload_mbit_per_s_to_never")),
        ("k frames/s (from–to)", 25, lambda row: spread(row, "frames_per_s", 1e-3, 1)),
        ("x never", 7, lambda row: middle(row, "frames_per_s_to_never")),
        ("kicks/s", 9, lambda row: middle(row, "kicks_per_s", digits=0)),
        ("x never", 8, lambda row: middle(row, "kicks_per_s_to_never", digits=4)),
        ("CPU %", 6, lambda row: middle(row, "backend_cpus", 100, 1)),
        ("CPU ns/frame", 12, lambda row: middle(row, "cpu_ns_per_frame", digits=0)),
        ("ping ns", 7, lambda row: f"{row['ping_pong_ns']:.0f}"),
    ], ("load",)),
}


def cell(text, width):
    return text.ljust(-width) if width < 0 else text.rjust(width)


def table(part, measured):
    """The lines of a part's table, for each of the cores' distances; rows during which it changed are left out."""
    title, columns, group_keys = TABLES[part]
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


def write_into(path, report):
    """Replaces what is between the marks in a page by the tables of `report`."""
    text = path.read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{path} has no part between {BEGIN} and {END}")
    blocks = ["```\n" + "\n".join(table(part, report[part])) + f"\n```\n\n{describe(report[part])}"
              for part in TABLES if part in report]
    path.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(blocks) + f"\n\n{END}{after}", encoding="utf-8")
