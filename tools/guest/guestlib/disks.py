# SPDX-License-Identifier: Apache-2.0
"""What a back-end is asked to serve."""

import dataclasses
import os
import pathlib


@dataclasses.dataclass
class Disk:
    """One vhost-user-blk disk, or what a unit of a SCSI device is. `storage` is "file" (with `path`), "memory" or "null"."""

    name: str
    storage: str
    size: int
    path: pathlib.Path = None
    queues: int = 1
    read_only: bool = False
    socket: pathlib.Path = None  # where the back-end listens; set when it is added
    shared: bool = False  # units of several SCSI devices may be this disk; set when it is shared

    def create_file(self):
        """Makes the file, or empties it, with the disk's size and no blocks."""
        with open(self.path, "wb") as file:
            os.truncate(file.fileno(), self.size)

    def allocated_bytes(self):
        """What the file takes up on the host's disk."""
        return os.stat(self.path).st_blocks * 512


@dataclasses.dataclass
class Unit:
    """A disk at an address of a SCSI device; several devices may have the same one, if it is shared."""

    disk: Disk
    target: int = 0
    lun: int = 0
    keys: dict = dataclasses.field(default_factory=dict)  # more of what the configuration may say of it

    @property
    def address(self):
        return f"{self.target}:{self.lun}"


@dataclasses.dataclass
class ScsiDevice:
    """One vhost-user-scsi device."""

    name: str
    units: list
    queues: int = 1
    socket: pathlib.Path = None  # set when it is added
