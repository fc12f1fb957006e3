#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does docs/options.md list the boot options that the core and the hypapps know, with the values that they take?

usage: options_table.py    in the project's root; prints a line for each difference.
"""
import pathlib
import re
import sys

TABLE = pathlib.Path("xmhf/core/cmdline.c")
DOCUMENT = pathlib.Path("docs/options.md")
HYPAPPS_OF_TESTS = {"verify"}


def of_core():
    """Name -> set of values, or None: any."""
    rows = re.findall(r'^\t\{ "([\w-]+)", (?:NULL|"\|(.*)\|") \},', TABLE.read_text(), re.M)
    return {name: set(values.split("|")) if values else None for name, values in rows}


def of_hypapps():
    text = "".join(path.read_text() for path in pathlib.Path("hypapps").glob("*/**/*.c"))
    names = re.findall(r'(?:hypapi_option\(|\.option = )"(\w+\.[\w-]+)"', text)
    return {name for name in names if name.partition(".")[0] not in HYPAPPS_OF_TESTS}


def of_document():
    """Name -> the words in backquotes of its second column."""
    rows = re.findall(r"^\| `(\w[\w.-]*)` \| (.*?) \|", DOCUMENT.read_text(), re.M)
    return {name: set(re.findall(r"`([^`]+)`", values)) for name, values in rows}


def main():
    core, hypapps, documented = of_core(), of_hypapps(), of_document()
    wrong = [f"option {name} has no row" for name in sorted(set(core) | hypapps) if name not in documented]
    wrong += [f"nobody knows option {name}" for name in sorted(documented) if name not in core and name not in hypapps]
    wrong += [f"option {name} takes {' '.join(sorted(values))}" for name, values in sorted(core.items())
              if values and name in documented and documented[name] != values]
    if len(core) < 10 or not hypapps:
        wrong.append(f"{TABLE} is not understood")
    for line in wrong:
        print(f"{DOCUMENT}: {line}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
