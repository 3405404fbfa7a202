# SPDX-License-Identifier: Apache-2.0
"""What a back-end is asked to serve."""

import dataclasses
import os
import pathlib


@dataclasses.dataclass
class Disk:
    """One vhost-user-blk disk. `storage` is "file" (with `path`), "memory" or "null"."""

    name: str
    storage: str
    size: int
    path: pathlib.Path = None
    queues: int = 1
    read_only: bool = False
    socket: pathlib.Path = None  # where the back-end listens; set when it is added

    def create_file(self):
        """Makes the file, or empties it, with the disk's size and no blocks."""
        with open(self.path, "wb") as file:
            os.truncate(file.fileno(), self.size)

    def allocated_bytes(self):
        """What the file takes up on the host's disk."""
        return os.stat(self.path).st_blocks * 512
