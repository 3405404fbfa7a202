# SPDX-License-Identifier: Apache-2.0
"""What the structure test knows of a source tree: its files, the folder table of docs/architecture.md, the includes."""

import dataclasses
import pathlib
import re

SKIPPED_FOLDERS = {"build", ".git", ".cache", "__pycache__"}

# Headers of C, POSIX and Linux that have neither a folder nor the look of a C++ header.
SYSTEM_HEADERS = {
    "assert.h", "dirent.h", "dlfcn.h", "errno.h", "fcntl.h", "getopt.h", "grp.h", "immintrin.h", "inttypes.h",
    "limits.h", "net/if.h", "netdb.h", "poll.h", "pthread.h", "pwd.h", "sched.h", "semaphore.h", "signal.h", "spawn.h",
    "stdint.h", "stdio.h", "stdlib.h", "string.h", "strings.h", "syslog.h", "termios.h", "time.h", "ucontext.h",
    "unistd.h", "x86intrin.h",
}
SYSTEM_FOLDERS = {"arpa", "asm", "linux", "net", "netinet", "sys"}

# Vocabulary of the whole project; the table lists other libraries by folder.
COMMON_LIBRARIES = {"fmt", "spdlog", "tl"}


@dataclasses.dataclass(frozen=True)
class Finding:
    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


@dataclasses.dataclass(frozen=True)
class Include:
    path: str
    line: int
    target: str
    quoted: bool

    @property
    def library(self):
        """The library that an angle-bracket include belongs to; None for the C++ library's and the system's."""
        if re.match(r"linux/(virtio|vhost)", self.target):
            return "virtio"
        first, _, rest = self.target.partition("/")
        if self.target in SYSTEM_HEADERS or (rest and first in SYSTEM_FOLDERS):
            return None
        if not rest and "." not in first:
            return None
        return first.removesuffix(".h").removesuffix(".hpp")


@dataclasses.dataclass(frozen=True)
class Row:
    folder: str
    may_use: frozenset
    libraries: frozenset
    line: int


class TableError(Exception):
    pass


def read_table(text):
    """The rows between the "folders: begin" and "folders: end" marks, by folder."""
    lines = text.splitlines()
    try:
        begin = lines.index("<!-- folders: begin -->")
        end = lines.index("<!-- folders: end -->")
    except ValueError as error:
        raise TableError("the marks of the folder table are missing") from error
    rows = {}
    for number in range(begin + 1, end):
        cells = [cell.strip() for cell in lines[number].strip().strip("|").split("|")]
        match = re.fullmatch(r"`src/(\w+)/`", cells[0])
        if not match:
            continue
        if len(cells) != 4:
            raise TableError(f"line {number + 1}: a row has 4 cells, this one has {len(cells)}")
        folder = match.group(1)
        if folder in rows:
            raise TableError(f"line {number + 1}: {folder} has a row already")
        rows[folder] = Row(folder, names_in(cells[2], number), names_in(cells[3], number), number + 1)
    if not rows:
        raise TableError("the folder table is empty")
    return rows


def names_in(cell, number):
    if cell == "–":
        return frozenset()
    names = re.findall(r"`([^`]+)`", cell)
    if re.sub(r"`[^`]+`|[,\s]", "", cell) or not names:
        raise TableError(f"line {number + 1}: \"{cell}\" is neither a list of `names` nor –")
    return frozenset(names)


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.files = sorted(self._walk(self.root))

    def _walk(self, folder):
        for entry in folder.iterdir():
            if entry.is_symlink():
                continue
            if entry.is_dir():
                if entry.name not in SKIPPED_FOLDERS:
                    yield from self._walk(entry)
            else:
                yield entry.relative_to(self.root).as_posix()

    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def lines(self, path):
        return self.text(path).splitlines()

    def cpp_files(self, *tops):
        return [f for f in self.files if f.endswith((".cc", ".hh")) and f.split("/")[0] in (tops or ("src", "tests", "bench", "examples"))]

    def folders(self):
        """The folders of src/ that hold C++."""
        return sorted({f.split("/")[1] for f in self.cpp_files("src") if f.count("/") >= 2})

    def includes(self, *tops):
        for path in self.cpp_files(*tops):
            for number, line in enumerate(self.lines(path), 1):
                match = re.match(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', line)
                if match:
                    yield Include(path, number, match.group(1) or match.group(2), match.group(1) is not None)


def folder_of(path):
    return path.split("/")[1]
