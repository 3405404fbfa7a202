# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: the includes under src/ against the table of docs/architecture.md."""

import re

from tree import COMMON_LIBRARIES, Finding, TableError, folder_of, read_table

TABLE_PATH = "docs/architecture.md"


def check(tree):
    try:
        rows = read_table(tree.text(TABLE_PATH))
    except (OSError, TableError) as error:
        yield Finding(TABLE_PATH, 1, str(error))
        return
    yield from rows_match_folders(tree, rows)
    yield from allowed_includes(tree, rows)
    yield from allowed_links(tree, rows)
    yield from no_cycles(tree)


def rows_match_folders(tree, rows):
    folders = tree.folders()
    for folder in folders:
        if folder not in rows:
            yield Finding(f"src/{folder}", 1, f"has no row in the table of {TABLE_PATH}")
    for row in rows.values():
        if row.folder not in folders:
            yield Finding(TABLE_PATH, row.line, f"src/{row.folder} has a row and no code")
        for used in row.may_use:
            if used.split("/")[0] not in rows:
                yield Finding(TABLE_PATH, row.line, f"{used} is in no folder of the table")
            elif "/" in used and f"src/{used}" not in tree.files:
                yield Finding(TABLE_PATH, row.line, f"src/{used} does not exist")


def allowed_includes(tree, rows):
    files = set(tree.files)
    for include in tree.includes("src"):
        row = rows.get(folder_of(include.path))
        if row is None:
            continue
        if include.quoted:
            target_folder = include.target.split("/")[0]
            if f"src/{include.target}" not in files:
                yield Finding(include.path, include.line, f"no file src/{include.target}; includes are written from src/")
            elif target_folder != row.folder and not {target_folder, include.target} & row.may_use:
                yield Finding(include.path, include.line, f"{row.folder} may not use {include.target}")
        elif include.library and include.library not in row.libraries | COMMON_LIBRARIES:
            yield Finding(include.path, include.line, f"{row.folder} may not use the library {include.library}")


def allowed_links(tree, rows):
    """The DEPENDS of each library: a header-only dependency must not come in through the linker instead."""
    for row in rows.values():
        path = f"src/{row.folder}/CMakeLists.txt"
        if path not in tree.files:
            yield Finding(f"src/{row.folder}", 1, "has no CMakeLists.txt")
            continue
        text = re.sub(r"#.*", "", tree.text(path))
        own = set(re.findall(r"sidecore_library\s*\(\s*(\w+)", text)) | {row.folder}
        usable = {used.split("/")[0] for used in row.may_use} | own
        for depends in re.findall(r"\bDEPENDS\s+((?:(?!SOURCES\b|LINK\b)[\w]+\s*)+)", text):
            for name in depends.split():
                if name not in usable:
                    yield Finding(path, 1, f"{row.folder} may not use {name}")


def no_cycles(tree):
    headers, folders = {}, {}
    files = set(tree.files)
    for include in tree.includes("src"):
        target = f"src/{include.target}"
        if not include.quoted or target not in files:
            continue
        headers.setdefault(include.path, set()).add(target)
        if folder_of(target) != folder_of(include.path):
            folders.setdefault(folder_of(include.path), set()).add(folder_of(target))
    for kind, graph in (("headers", headers), ("folders", folders)):
        cycle = find_cycle(graph)
        if cycle:
            yield Finding("src", 1, f"{kind} include each other: {' → '.join(cycle)}")


def find_cycle(graph):
    """One cycle as [a, b, …, a], or None. Iterative, so that its depth has no bound."""
    done = set()
    for start in sorted(graph):
        if start in done:
            continue
        path, on_path = [start], {start}
        edges = [iter(sorted(graph.get(start, ())))]
        while path:
            following = next(edges[-1], None)
            if following is None:
                node = path.pop()
                on_path.discard(node)
                done.add(node)
                edges.pop()
            elif following in on_path:
                return path[path.index(following):] + [following]
            elif following not in done:
                path.append(following)
                on_path.add(following)
                edges.append(iter(sorted(graph.get(following, ()))))
    return None
