#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Has every event of hypapi a page of the fixed form, which says what the header says?

usage: event_pages.py    in the project's root; prints a line for each fault. For each member of enum hypapi_event_type
docs/events/NAME.md must exist and have the rows of FORM in this order, and the index docs/events.md a line in the enum's
order. Levels and "since" of header, page and index must agree.
"""
import pathlib
import re
import sys

HEADER = pathlib.Path("hypapi/include/hypapi/event.h")
INDEX = pathlib.Path("docs/events.md")
FORM = ["Levels", "Asked", "Valid fields", "Default", "Verdicts", "Quiesce", "Cost", "Since"]
MEMBER = re.compile(r"^\tHYPAPI_EV_(?!COUNT)(\w+)(?: = 0)?,\s*/\*\*<(.*?)\*/", re.M | re.S)
faults = []


def levels(text):
    return sorted(set(re.findall(r"\bL[012]\b", text)))


def of_header(comment):
    """("L1", "L2"), "1.1": named as "level L1", or after a semicolon as "; L1, L2"."""
    comment = re.sub(r"\s+", " ", comment)
    named = re.findall(r"level (L\d)", comment) or levels("".join(re.findall(r"; (L\d(?:, L\d)*)", comment)))
    since = re.search(r"Since (\d+\.\d+)", comment)
    return sorted(set(named)), since[1] if since else "1.0"


def of_page(name):
    path = INDEX.with_suffix("") / f"{name.lower()}.md"
    if not path.exists():
        return faults.append(f"{path} is missing")
    lines = path.read_text().splitlines()
    rows = dict(re.findall(r"^\| ([^|]+?) \| (.+) \|$", "\n".join(lines), re.M))
    if lines[0] != f"# {name}" or not lines[2].startswith(f"`HYPAPI_EV_{name}`: "):
        faults.append(f"{path} does not begin with its name and one line")
    if list(rows) != FORM:
        return faults.append(f"{path} has the rows {list(rows)}, not {FORM}")
    return levels(re.split("[;:.]", rows["Levels"])[0]), rows["Since"]


def of_index():
    lines = re.findall(r"^\| \[(\w+)\]\(events/(\w+)\.md\) \| .* \| (.*) \| (.*) \|$", INDEX.read_text(), re.M)
    return {name: (levels(at), since) for name, file, at, since in lines if file == name.lower()}


def main():
    members = MEMBER.findall(HEADER.read_text())
    index = of_index()
    if not members or list(index) != [name for name, _ in members]:
        faults.append(f"{INDEX}: its lines are not the events of {HEADER} in their order: {' '.join(index)}")
    for path in INDEX.with_suffix("").glob("*.md"):
        if path.stem not in [name.lower() for name, _ in members]:
            faults.append(f"{path}: there is no such event")
    for name, comment in members:
        said = dict(header=of_header(comment), page=of_page(name), index=index.get(name))
        if said["page"] and not said["header"] == said["page"] == said["index"]:
            faults.append(f"{name}: levels and since differ: {said}")
    print("\n".join(faults) or f"{len(members)} events")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
