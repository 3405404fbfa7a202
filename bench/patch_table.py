# SPDX-License-Identifier: Apache-2.0
"""The experiments of the 2014 patch "vhost: Add polling mode" beside ours, from what bench/disks and bench/net have left in build/bench, as a table for docs/benchmarks.md."""

# (experiment, the patch's throughput and exits, [(ours, report, part, load, figure of throughput)])
EXPERIMENTS = [
    ("TCP stream of 64-byte messages, one VM", "+33 %, ÷ 6", [
        ("own front-end, frames one by one", "net", "policies", "one front-end, batches of 1", "frames_per_s"),
        ("Linux guest, datagrams, a system call each", "net", "guest", "udp, 1 guest", "frames_per_s"),
        ("Linux guest, raw frames", "net", "guest", "frames, 1 guest", "frames_per_s"),
        ("Linux guest, TCP without delay", "net", "guest", "tcp, 1 guest", "payload_mbit_per_s"),
    ]),
    ("the same, three VMs on one worker", "+36 %", [
        ("own front-ends, frames one by one", "net", "policies", "3 front-ends, batches of 1", "frames_per_s"),
        ("Linux guests, datagrams", "net", "guest", "udp, 3 guests", "frames_per_s"),
        ("Linux guests, raw frames", "net", "guest", "frames, 3 guests", "frames_per_s"),
        ("Linux guests, TCP without delay", "net", "guest", "tcp, 3 guests", "payload_mbit_per_s"),
    ]),
    ("random reads, two threads, one VM", "+13 %, − 31 %", [
        ("own front-end, block device", "disks", "policies", "blk, one front-end", "iops"),
        ("own front-end, SCSI device", "disks", "policies", "scsi, one front-end", "iops"),
        ("Linux guest, block device", "disks", "guest", "blk, 1 guest", "iops"),
        ("Linux guest, SCSI device", "disks", "guest", "scsi, 1 guest", "iops"),
    ]),
    ("the same, three VMs on one worker", "similar", [
        ("own front-ends, block devices", "disks", "policies", "blk, 3 front-ends", "iops"),
        ("own front-ends, SCSI devices", "disks", "policies", "scsi, 3 front-ends", "iops"),
        ("Linux guests, block devices", "disks", "guest", "blk, 3 guests", "iops"),
        ("Linux guests, SCSI devices", "disks", "guest", "scsi, 3 guests", "iops"),
    ]),
]
POLICIES = ["always", "rate", "adaptive"]


def find_row(report, part, load, policy, figure):
    """Of the rows that were compared with `never` the one at whose distance most runs were; None if there is none."""
    rows = [row for row in report.get(part, {}).get("rows", []) if row["load"] == load and row["policy"] == policy and {f"{figure}_to_never", "kicks_per_s_to_never"} <= row.keys()]
    return max(rows, key=lambda row: row["runs"], default=None)


def change(row, figure):
    """Throughput and kicks, to those without polling, as a person writes them; "-" for what was not measured."""
    if row is None:
        return "-"
    left = row["kicks_per_s_to_never"]["median"]
    kicks = "no kicks" if left < 1e-3 else f"÷ {1 / left:.0f}" if left < 0.2 else f"{100 * (left - 1):+.0f} %"
    return f"{100 * (row[f'{figure}_to_never']['median'] - 1):+.0f} %, {kicks}".replace("-", "−")


def table(reports):
    """`reports`: {"disks": what bench/disks left, "net": likewise}, or fewer."""
    lines = ["| the patch's experiment | its figures | ours | " + " | ".join(f"`{policy}`" for policy in POLICIES) + " |",
             "|---|---|---|" + "---|" * len(POLICIES)]
    for experiment, patch, ours in EXPERIMENTS:
        for name, report, part, load, figure in ours:
            cells = [change(find_row(reports.get(report, {}), part, load, policy, figure), figure) for policy in POLICIES]
            lines.append(f"| {experiment} | {patch} | {name} | " + " | ".join(cells) + " |")
            experiment, patch = "", ""
    return "\n".join(lines)
