#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""No line has more than 120 columns, in code and in prose; no function of the core has more than 60 lines.

usage: layout.py       run from the project's root; prints what is too long

Columns are characters, a tab goes to the next multiple of 8. Left out are tables and code in Markdown, and what a
program has made (tests/abi, tools/linux/tiny.config).
"""
import os
import pathlib
import re
import sys

COLUMNS, FUNCTION_LINES = 120, 60
MADE = re.compile(r"(build|autom4te[.]cache|[.]git|tests/abi)/|tools/linux/tiny[.]config$|"
                  r"config(ure~?|[.]log|[.]status)$")
ENDS = {".c", ".h", ".S", ".s", ".def", ".lds", ".ld", ".mk", ".in", ".py", ".sh", ".md", ".pml", ".ac"}
TABLE_OR_CODE = re.compile(r"\s*\||    |<!--|\[[^]]*\]: ")


def is_text(path):
    """By its name, or a script by its first two bytes."""
    if path.suffix in ENDS or path.name == "Makefile":
        return True
    return not path.suffix and path.open("rb").read(2) == b"#!"


def files():
    """Relative to the root. Folders that are made are not entered: there, others come and go meanwhile."""
    for folder, folders, names in os.walk("."):
        here = pathlib.Path(folder)
        folders[:] = sorted(name for name in folders if not MADE.match(f"{here / name}/"))
        for path in (here / name for name in sorted(names)):
            if path.is_file() and not path.is_symlink() and not MADE.match(path.as_posix()) and is_text(path):
                yield path


def long_lines(path):
    in_code = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        in_code ^= path.suffix == ".md" and line.startswith("```")
        if path.suffix == ".md" and (in_code or TABLE_OR_CODE.match(line)):
            continue
        columns = len(line.expandtabs(8))
        if columns > COLUMNS:
            yield f"{path}:{number}: {columns} columns"


def long_functions(path):
    """From a line without indentation that is followed by an opening brace in column 0, to the closing one there."""
    name, start = "", 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line == "{":
            start = number
        elif line.startswith("}"):
            if start and number - start - 1 > FUNCTION_LINES:
                yield f"{path}:{start}: {name} has {number - start - 1} lines"
            start = 0
        elif re.match(r"[A-Za-z_].*\w+\(", line):
            name = re.findall(r"(\w+)\(", line)[0]


def main():
    found = [text for path in files() for text in long_lines(path)]
    found += [text for path in sorted(pathlib.Path("xmhf").rglob("*.c")) for text in long_functions(path)]
    print("\n".join(found) or "nothing is too long")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
