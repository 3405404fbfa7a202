#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_tree.py ROOT: prints what in the tree is not as docs/architecture.md and CONTRIBUTING.md say, and fails if anything is."""

import sys

import dependencies
import habits
from tree import Tree


def findings(root):
    tree = Tree(root)
    return [*dependencies.check(tree), *habits.check(tree)]


def main():
    if len(sys.argv) != 2:
        print("usage: check_tree.py ROOT", file=sys.stderr)
        return 2
    found = findings(sys.argv[1])
    for finding in found:
        print(finding)
    print(f"{len(found)} findings" if found else "the tree is as it should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
