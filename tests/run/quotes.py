#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Is what a guide quotes from a source file still what stands there?

usage: quotes.py GUIDE...
A comment "<!-- from: FILE -->" before a fenced block of C says that FILE has these lines, as they are and together.
"""
import pathlib
import re
import sys

QUOTE = re.compile(r"^<!-- from: (\S+) -->\n```c\n(.*?)^```$", re.M | re.S)


def main():
    failed = False
    for guide in sys.argv[1:]:
        text = pathlib.Path(guide).read_text()
        quotes = QUOTE.findall(text)
        if len(quotes) != text.count("<!-- from:") or not quotes:
            sys.exit(f"quotes: {guide} has {text.count('<!-- from:')} marks, but {len(quotes)} blocks of C behind them")
        for file, block in quotes:
            if "\n" + block not in pathlib.Path(file).read_text():
                print(f"quotes: {guide}: {file} does not have:\n{block}")
                failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
