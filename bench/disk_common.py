# SPDX-License-Identifier: Apache-2.0
"""What the parts of bench/disks share: daemons with disks."""

import pathlib
import tempfile

import harness


class DiskDaemon:
    """sidecored under `policy` with disks, {name: its type, "blk" or "scsi"}, all with the same `storage`, on one worker."""

    def __init__(self, policy, disks, storage, options, folder):
        self.name = f"sidecored {policy}"
        self.policy = policy
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.sockets = {name: self.folder / f"{name}.sock" for name in disks}
        text = (f'[daemon]\ncontrol_socket = "{self.folder}/control.sock"\n\n[policy]\nkind = "{policy}"\n\n'
                f'[[worker]]\nname = "worker0"\ncpu = {options.backend_cpu}\n\n')
        for name, device in disks.items():
            text += (f'[[device]]\nname = "{name}"\ntype = "{device}"\nsocket = "{self.sockets[name]}"\n'
                     + ("[[device.unit]]\n" if device == "scsi" else "") + f"storage = {storage}\n\n")
        config = self.folder / "config.toml"
        config.write_text(text)
        self._backend = harness.run_sidecored(self.name, config, self.sockets[list(disks)[-1]], options, self.folder / "log")

    def __enter__(self):
        try:
            self._backend.wait_until_ready()
        except BaseException:
            self._backend.stop()
            raise
        return self

    def __exit__(self, *_):
        self._backend.stop()

    @property
    def pid(self):
        return self._backend.process.pid


def bench_command(options, device, sockets, pid, *arguments):
    """`sidecore bench` on the disks behind these sockets, at once."""
    return harness.bench_command(options, device, *(word for socket in sockets for word in ("--socket", socket)), "--pid", pid,
                                 "--seconds", options.seconds, "--cpu", options.cpu, "--backend-cpu", options.backend_cpu,
                                 "--format", "json", *arguments)
