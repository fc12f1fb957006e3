#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does docs/panics.md have a row with a reason for each place where the core can panic, and for no other?

usage: panic_sites.py [--write]    in the project's root; prints a line for each difference.
--write makes the table anew from the sources: reasons stay with their place, and a new place gets an empty one, which
is a difference until somebody has written why no guest gets there.
"""
import pathlib
import re
import sys

DOCUMENT = pathlib.Path("docs/panics.md")
SITE = re.compile(r'\bpanic\(\s*"((?:[^"\\]|\\.)*)"')
# The definition's own file; what only declares or describes it has no string behind the parenthesis.
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| (.*) \|$", re.M)


def in_sources():
    return {(str(path), text.replace("|", "/")) for path in sorted(pathlib.Path("xmhf").rglob("*.[ch]"))
            for text in SITE.findall(path.read_text())}


def main():
    text = DOCUMENT.read_text()
    sites, rows = in_sources(), {(file, line): why.strip() for file, line, why in ROW.findall(text)}
    if "--write" in sys.argv[1:]:
        head, tail = text[:text.index("|---")].rpartition("\n")[0], text[text.rindex("|\n") + 2:]
        table = "".join(f"| `{file}` | `{line}` | {rows.get((file, line), '')} |\n" for file, line in sorted(sites))
        DOCUMENT.write_text(head + "\n" + "|---|---|---|\n" + table + tail)
        return 0
    calls = sum(len(re.findall(r'\bpanic\(', path.read_text())) for path in pathlib.Path("xmhf").rglob("*.c"))
    wrong = [f"{file}: a new place that panics, \"{line}\": no reason why no guest gets there"
             for file, line in sorted(sites) if not rows.get((file, line))]
    wrong += [f"docs/panics.md: nothing in {file} panics with \"{line}\"" for file, line in sorted(rows) if
              (file, line) not in sites]
    if calls < 20 or len(sites) < 15:
        wrong.append("the sources were not understood")
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
