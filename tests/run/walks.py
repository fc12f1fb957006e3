#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does each `file: function` that docs/walks.md names exist, defined in that file?

usage: walks.py       run from the project's root; prints those that do not
"""
import pathlib
import re
import sys

STEP = re.compile(r"`([\w/]+[.][chS]): (\w+)`")


def defines(path, name):
    """A function, from its first line, or a label of assembly."""
    text = path.read_text()
    if path.suffix == ".S":
        return re.search(rf"^{name}:", text, re.M)
    return re.search(rf"^[a-z][^;=\n]*\b{name}\([^;]*?\n\{{", text, re.M)


def main():
    text = pathlib.Path("docs/walks.md").read_text()
    steps = STEP.findall(re.sub(r"\s+", " ", text))
    missing = []
    for file, name in steps:
        path = next((p for p in (pathlib.Path("xmhf", file), pathlib.Path(file)) if p.exists()), None)
        if not path or not defines(path, name):
            missing.append(f"docs/walks.md: {file}: {name} does not exist")
    print("\n".join(missing) or f"{len(steps)} functions")
    return 1 if missing or len(steps) < 30 else 0


if __name__ == "__main__":
    sys.exit(main())
