# SPDX-License-Identifier: Apache-2.0
"""Writes cpio archives in the "newc" form, the one that Linux unpacks as an initramfs.

The kernel takes several archives one behind the other, so a test adds its own files to a cached image by appending.
"""

import os
import stat


class CpioWriter:
    """An archive in memory. Directories must be added before what is in them; parents() does so."""

    def __init__(self):
        self._chunks = []
        self._size = 0
        self._inode = 0
        self._names = set()

    def directory(self, name):
        self._parents(name)
        self._once(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, content, mode=0o644):
        self._parents(name)
        self._once(name, stat.S_IFREG | mode, content)

    def symlink(self, name, target):
        self._parents(name)
        self._once(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name, major, minor, mode=0o600):
        self._parents(name)
        self._once(name, stat.S_IFCHR | mode, b"", (major, minor))

    def copy(self, name, source):
        """The file at `source`, its symbolic links followed, as `name`."""
        with open(source, "rb") as stream:
            self.file(name, stream.read(), 0o755 if os.access(source, os.X_OK) else 0o644)

    def bytes(self):
        """The finished archive. Padded to whole pages, so that the kernel finds one appended to it."""
        self._entry("TRAILER!!!", 0, b"")
        self._append(b"\0" * (-self._size % 4096))
        return b"".join(self._chunks)

    def _parents(self, name):
        parent = os.path.dirname(name)
        if parent and parent not in self._names:
            self.directory(parent)

    def _once(self, name, mode, content, device=(0, 0)):
        if name not in self._names:
            self._names.add(name)
            self._entry(name, mode, content, device)

    def _entry(self, name, mode, content, device=(0, 0)):
        self._inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self._inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(encoded), 0)
        self._append(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        self._append(b"\0" * (-self._size % 4))
        self._append(content)
        self._append(b"\0" * (-self._size % 4))

    def _append(self, chunk):
        self._chunks.append(chunk)
        self._size += len(chunk)
