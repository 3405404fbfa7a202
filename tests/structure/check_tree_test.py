#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Feeds the structure check good and bad trees: each rule has to be seen failing."""

import pathlib
import tempfile
import unittest

import check_tree
import dependencies
import tree

TABLE = """# Architecture

<!-- folders: begin -->

| folder | holds | may use | libraries |
|---|---|---|---|
| `src/base/` | ground | – | – |
| `src/ring/` | rings | `base` | `virtio` |
| `src/disk/` | disks | `base`, `ring/ring.hh` | `liburing` |

<!-- folders: end -->
"""

LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"


def header(folder, *includes):
    namespace = "sidecore" if folder == "base" else f"sidecore::{folder}"
    lines = "".join(f"#include {include}\n" for include in includes)
    return f"{LICENCE}#pragma once\n\n{lines}\nnamespace {namespace} {{}}\n"


def source(folder, *includes):
    return header(folder, *includes).replace("#pragma once\n", "")


def good_tree():
    files = {
        "docs/architecture.md": TABLE,
        "src/base/error.hh": header("base", "<string>", "<fmt/ranges.h>"),
        "src/base/error.cc": source("base", '"base/error.hh"', "<unistd.h>", "<sys/uio.h>"),
        "src/ring/ring.hh": header("ring", "<linux/virtio_ring.h>", '"base/error.hh"'),
        "src/ring/layout.hh": header("ring"),
        "src/ring/ring.cc": source("ring", '"ring/ring.hh"', '"ring/layout.hh"'),
        "src/disk/disk.hh": header("disk", '"ring/ring.hh"'),
        "src/disk/disk.cc": source("disk", '"disk/disk.hh"', "<liburing.h>", '"base/error.hh"'),
        "src/base/CMakeLists.txt": "sidecore_library(base SOURCES error.cc)\n",
        "src/ring/CMakeLists.txt": "sidecore_library(ring SOURCES ring.cc DEPENDS base)\n",
        "src/disk/CMakeLists.txt": "sidecore_library(disk SOURCES disk.cc DEPENDS base ring LINK uring)\n",
    }
    for folder, file in (("base", "error"), ("ring", "ring"), ("disk", "disk")):
        files[f"tests/{folder}/{file}_test.cc"] = LICENCE + f'#include "{folder}/{file}.hh"\n'
        files[f"tests/{folder}/CMakeLists.txt"] = f"sidecore_test({folder} SOURCES {file}_test.cc)\n"
    return files


class StructureTest(unittest.TestCase):
    def findings(self, changes):
        """The findings in a good tree with these texts by path in place of its own; None removes the file."""
        files = {path: text for path, text in {**good_tree(), **changes}.items() if text is not None}
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                target = pathlib.Path(root, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            return [str(finding) for finding in check_tree.findings(root)]

    def expect(self, path, text, changes):
        found = self.findings(changes)
        self.assertTrue(any(f.startswith(path) and text in f for f in found), f"{path} … {text} is not in {found}")

    def test_a_good_tree_has_no_findings(self):
        self.assertEqual(self.findings({}), [])

    # dependencies

    def test_forbidden_folder(self):
        self.expect("src/base/error.hh:4", "base may not use ring/ring.hh",
                    {"src/base/error.hh": header("base", '"ring/ring.hh"')})

    def test_what_is_used_is_not_inherited(self):
        table = TABLE.replace("`base`, `ring/ring.hh`", "`ring/ring.hh`")
        self.expect("src/disk/disk.cc:5", "disk may not use base/error.hh", {"docs/architecture.md": table})

    def test_forbidden_header_of_a_folder_used_in_part(self):
        self.expect("src/disk/disk.hh:4", "disk may not use ring/layout.hh",
                    {"src/disk/disk.hh": header("disk", '"ring/layout.hh"')})

    def test_include_of_nothing(self):
        self.expect("src/ring/ring.hh:4", "no file src/ring/gone.hh",
                    {"src/ring/ring.hh": header("ring", '"ring/gone.hh"')})

    def test_include_of_a_test(self):
        self.expect("src/ring/ring.hh:4", "no file src/tests/ring/fake.hh",
                    {"src/ring/ring.hh": header("ring", '"tests/ring/fake.hh"')})

    def test_include_without_folder(self):
        self.expect("src/ring/ring.cc:3", "no file src/ring.hh",
                    {"src/ring/ring.cc": source("ring", '"ring.hh"')})

    def test_forbidden_library(self):
        self.expect("src/base/error.hh:4", "base may not use the library liburing",
                    {"src/base/error.hh": header("base", "<liburing.h>")})

    def test_kernel_header_of_wire_formats(self):
        for name in ("virtio_blk", "vhost_types"):
            self.expect("src/base/error.hh:4", "base may not use the library virtio",
                        {"src/base/error.hh": header("base", f"<linux/{name}.h>")})

    def test_unknown_library_in_a_folder_of_its_own(self):
        self.expect("src/ring/ring.hh:4", "ring may not use the library boost",
                    {"src/ring/ring.hh": header("ring", "<boost/asio.hpp>")})

    def test_forbidden_link(self):
        self.expect("src/base/CMakeLists.txt", "base may not use ring",
                    {"src/base/CMakeLists.txt": "sidecore_library(base SOURCES error.cc\n  DEPENDS ring LINK x)\n"})

    def test_folder_without_row(self):
        self.expect("src/extra", "has no row", {"src/extra/extra.hh": header("extra")})

    def test_row_without_folder(self):
        table = TABLE.replace("\n<!-- folders: end", "| `src/gone/` | nothing | – | – |\n\n<!-- folders: end")
        self.expect("docs/architecture.md", "src/gone has a row and no code",
                    {"docs/architecture.md": table.replace("|\n\n| `src/gone", "|\n| `src/gone")})

    def test_row_that_names_what_does_not_exist(self):
        self.expect("docs/architecture.md", "nonsense is in no folder",
                    {"docs/architecture.md": TABLE.replace("`base`, `ring", "`nonsense`, `ring")})
        self.expect("docs/architecture.md", "src/ring/gone.hh does not exist",
                    {"docs/architecture.md": TABLE.replace("ring/ring.hh", "ring/gone.hh")})

    def test_no_table(self):
        self.expect("docs/architecture.md", "marks", {"docs/architecture.md": "# Architecture\n"})
        self.expect("docs/architecture.md", "No such file", {"docs/architecture.md": None})

    def test_unreadable_table(self):
        for row in ("| `src/base/` | ground | anything | – |", "| `src/base/` | ground | – |", "| `src/ring/` | a | – | – |"):
            with self.assertRaises(tree.TableError):
                tree.read_table(TABLE.replace("| `src/base/` | ground | – | – |", row))

    def test_headers_in_a_circle(self):
        self.expect("src", "headers include each other: src/ring/ring.hh → src/ring/layout.hh → src/ring/ring.hh",
                    {"src/ring/ring.hh": header("ring", '"ring/layout.hh"'),
                    "src/ring/layout.hh": header("ring", '"ring/ring.hh"')})

    def test_folders_in_a_circle(self):
        self.expect("src", "folders include each other: disk → ring → disk",
                    {"src/ring/ring.cc": source("ring", '"disk/disk.hh"')})

    def test_cycles_are_found_wherever_they_are(self):
        self.assertIsNone(dependencies.find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}))
        self.assertEqual(dependencies.find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}), ["b", "c", "b"])
        self.assertEqual(dependencies.find_cycle({"a": {"a"}}), ["a", "a"])
        chain = {str(i): {str(i + 1)} for i in range(10_000)}
        self.assertIsNone(dependencies.find_cycle(chain))

    # habits

    def expect_in_header(self, text, finding):
        self.expect("src/ring/layout.hh", finding, {"src/ring/layout.hh": text})

    def test_licence(self):
        self.expect_in_header(header("ring").replace(LICENCE, ""), "SPDX")
        self.expect("tools/run:2", "SPDX", {"tools/run": "#!/bin/sh\ntrue\n"})

    def test_pragma_once(self):
        self.expect_in_header(header("ring").replace("#pragma once\n", ""), "#pragma once")

    def test_namespace(self):
        self.expect_in_header(header("disk"), "namespace sidecore::ring is missing")

    def test_length(self):
        self.assertEqual(self.findings({"src/ring/layout.hh": header("ring") + "//\n" * 495}), [])
        self.expect_in_header(header("ring") + "//\n" * 496, "501 lines")

    def test_unfinished_work(self):
        for mark in ("TO" + "DO", "FIX" + "ME", "X" + "XX", "not imple" + "mented"):
            self.expect_in_header(header("ring") + f"// {mark}: later\n", "unfinished")
            self.expect("README.md:1", "unfinished", {"README.md": f"{mark}\n"})
        self.assertEqual(self.findings({"tools/run": f"#!/bin/sh\n# {LICENCE[3:]}mktemp a.{'X' * 6}\n"}), [])

    def test_switched_off_tests(self):
        for code in ("TEST(A, DIS" + "ABLED_B) {}", "GTEST_" + "SKIP();", "EXPECT_TRUE(tr" + "ue);"):
            self.expect("tests/ring/ring_test.cc:3", "switched off",
                        {"tests/ring/ring_test.cc": good_tree()["tests/ring/ring_test.cc"] + code + "\n"})

    def test_fmt_is_included_through_base(self):
        self.expect_in_header(header("ring", "<fmt/format.h>"), "base/format.hh")

    def test_volatile(self):
        self.expect_in_header(header("ring") + "extern volatile int index;\n", "volatile")
        self.assertEqual(self.findings({"src/ring/layout.hh": header("ring") + '// volatile\nasm volatile("");\n'}), [])

    def test_using_namespace_in_a_header(self):
        self.expect_in_header(header("ring") + "using namespace fmt;\n", "using namespace")

    def test_words(self):
        self.expect_in_header(header("ring") + "int door" + "bell;\n", "glossary")

    def test_white_space(self):
        self.expect_in_header(header("ring") + "int a; \n", "trailing")
        self.expect_in_header(header("ring") + "\tint a;\n", "a tab")
        self.expect_in_header(header("ring") + "int a;", "no newline")

    def test_file_names(self):
        self.expect("src/ring/Layout.hh", "snake_case", {"src/ring/Layout.hh": header("ring")})

    def test_source_that_nothing_builds(self):
        self.expect("src/ring/new.cc", "does not build it", {"src/ring/new.cc": source("ring")})
        self.expect("tests/ring/second_test.cc", "does not build it", {"tests/ring/second_test.cc": LICENCE})

    def test_folder_without_test(self):
        self.expect("src/ring", "has no test", {"tests/ring/ring_test.cc": None})

    def test_broken_link(self):
        self.expect("docs/guide.md:1", "gone.md leads nowhere", {"docs/guide.md": "See [that](gone.md#part).\n"})
        good = "See [a](architecture.md), [b](https://example.org/x), `[c](nowhere)`.\n```\n[d](nowhere)\n```\n"
        self.assertEqual(self.findings({"docs/guide.md": good}), [])


if __name__ == "__main__":
    unittest.main()
