# SPDX-License-Identifier: Apache-2.0
"""Habits that a machine can see: CONTRIBUTING.md has them in words."""

import os
import re

from tree import Finding, folder_of

LINES_MAX = 500
LICENCE = "SPDX-License-Identifier: Apache-2.0"

# Written so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK|not imple" r"mented|unimple" r"mented)\b")
SWITCHED_OFF = re.compile(r"\bDIS" r"ABLED_|\bGTEST_" r"SKIP\b|unittest\.sk" r"ip|(EXPECT|ASSERT)_TRUE\(tr" r"ue\)")
OLD_WORDS = re.compile(r"\b(sla" r"ve|door" r"bell|lco" r"re)s?\b", re.IGNORECASE)

TEXT_ENDINGS = (".cc", ".hh", ".py", ".sh", ".md", ".txt", ".cmake", ".json", ".toml", ".yml", ".service")


def check(tree):
    for path in tree.files:
        if not is_text(tree, path):
            continue
        lines = tree.lines(path)
        yield from common_habits(tree, path, lines)
        if path.endswith((".cc", ".hh")) or is_script(lines, path):
            yield from source_habits(path, lines)
        if path.endswith((".cc", ".hh")):
            yield from cpp_habits(path, lines)
        if path.endswith(".md"):
            yield from links_lead_somewhere(tree, path, lines)
    yield from every_source_is_built(tree)
    yield from every_folder_is_tested(tree)


def is_text(tree, path):
    if path.endswith(TEXT_ENDINGS):
        return True
    name = os.path.basename(path)
    if "." in name.lstrip("."):
        return False
    with open(tree.root / path, "rb") as file:
        return b"\0" not in file.read(4096)


def is_script(lines, path):
    return path.endswith((".py", ".sh")) or bool(lines and lines[0].startswith("#!"))


def common_habits(tree, path, lines):
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            yield Finding(path, number, "a mark of unfinished work; finish it or say what is so in words")
        if SWITCHED_OFF.search(line):
            yield Finding(path, number, "a test that is switched off or checks nothing")
        if line != line.rstrip() and not path.endswith(".md"):
            yield Finding(path, number, "trailing white space")
    text = tree.text(path)
    if text and not text.endswith("\n"):
        yield Finding(path, max(len(lines), 1), "no newline at the end")


def source_habits(path, lines):
    first = 1 if lines and lines[0].startswith("#!") else 0
    if len(lines) <= first or LICENCE not in lines[first]:
        yield Finding(path, first + 1, f"\"{LICENCE}\" is missing here")
    if len(lines) > LINES_MAX:
        yield Finding(path, len(lines), f"{len(lines)} lines; more than {LINES_MAX} is two things in one file")


def cpp_habits(path, lines):
    if path.endswith(".hh") and lines[1:2] != ["#pragma once"]:
        yield Finding(path, 2, "#pragma once is missing here")
    if not re.fullmatch(r"[a-z0-9_]+\.(cc|hh)", os.path.basename(path)):
        yield Finding(path, 1, "file names are snake_case")
    for number, line in enumerate(lines, 1):
        code = line.split("//")[0]
        if "\t" in line:
            yield Finding(path, number, "a tab")
        if re.search(r"\bvolatile\b", code) and "asm" not in code:
            yield Finding(path, number, "volatile; shared memory is read with std::atomic_ref")
        if code.startswith("#include <fmt/format.h>") and path != "src/base/format.hh":
            yield Finding(path, number, "base/format.hh has it, and spares this file the compilation of fmt's formatter")
        if re.search(r"\busing namespace\b", code) and (path.endswith(".hh") or re.search(r"\bstd;", code)):
            yield Finding(path, number, "using namespace, which reaches too far")
        if OLD_WORDS.search(line):
            yield Finding(path, number, "a word that docs/glossary.md replaces")
    if path.startswith("src/") and not any(re.match(r"(int|extern \"C\" int) (main|LLVMFuzzer)", line) for line in lines):
        folder = folder_of(path)
        wanted = "namespace sidecore" if folder == "base" else f"namespace sidecore::{folder}"
        if not any(line.startswith((wanted, "namespace fmt")) for line in lines):  # or of the library that it completes
            yield Finding(path, 1, f"{wanted} is missing")


def links_lead_somewhere(tree, path, lines):
    in_code = False
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            in_code = not in_code
        if in_code:
            continue
        for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", re.sub(r"`[^`]*`", "", line)):
            if re.match(r"[a-z]+:", target):
                continue
            if not os.path.exists(tree.root / os.path.dirname(path) / target):
                yield Finding(path, number, f"the link to {target} leads nowhere")


def every_source_is_built(tree):
    """A source that no CMakeLists.txt names is neither compiled nor tested, and nobody would notice."""
    for path in tree.cpp_files():
        if not path.endswith(".cc"):
            continue
        folder, name = os.path.split(path)
        lists = f"{folder}/CMakeLists.txt"
        if lists not in tree.files or not re.search(rf"(?<![\w/]){re.escape(name)}\b", tree.text(lists)):
            yield Finding(path, 1, f"{lists} does not build it")


def every_folder_is_tested(tree):
    for folder in tree.folders():
        if not any(f.startswith(f"tests/{folder}/") and f.endswith("_test.cc") for f in tree.files):
            yield Finding(f"src/{folder}", 1, f"has no test in tests/{folder}")
