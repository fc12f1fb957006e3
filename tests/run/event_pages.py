#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Has every event of hypapi a page of the fixed form, which says what the header says?

usage: event_pages.py    in the project's root; prints a line for each fault. For each member of enum hypapi_event_type
docs/events/NAME.md must exist and have the rows of FORM in this order, and the index docs/events.md a line in the
enum's order. Levels and "since" of header, page and index must agree, and with the core's table: levels, whether it
comes in two phases or to one hypapp alone, and capabilities. tools/timeline.py knows the same names.
"""
import pathlib
import re
import sys

sys.path.insert(0, "tools")
import timeline  # noqa: E402

HEADER = pathlib.Path("hypapi/include/hypapi/event.h")
CORE = pathlib.Path("xmhf/events/event_info.c")
INDEX = pathlib.Path("docs/events.md")
FORM = ["Levels", "Asked", "Valid fields", "Default", "Verdicts", "Quiesce", "Cost", "Since"]
MEMBER = re.compile(r"^\tHYPAPI_EV_(?!COUNT)(\w+)(?: = 0)?,\s*/\*\*<(.*?)\*/", re.M | re.S)
ROW = re.compile(r'\[HYPAPI_EV_(\w+)\] = \{ "[\w-]+"(?:, ([L0-2 |]+))?([^{}]*) \},')
faults = []


def levels(text):
    return sorted(set(re.findall(r"\bL[012]\b", text)))


def of_header(comment):
    """["L1", "L2"], "1.1": named as "level L1", or after a semicolon as "; L1, L2"; no levels if in other words."""
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
    return levels(re.split("[;:.]", rows["Levels"])[0]), rows["Since"], path.read_text()


def compare_with_core(name, page, core):
    said, _, text = page
    at, rest = levels(core[0]), core[1]
    if at and at != said:
        faults.append(f"{name}: {CORE} has the levels {at}, the page {said}")
    for flag, words in ((".two_phase", "[Two-phase]"), (".exclusive", "the one hypapp that subscribed at this level")):
        if (flag in rest) != (words in text):
            faults.append(f'{name}: {CORE} and the page differ in {flag}, "{words}"')
    for capability in re.findall(r"HYPAPI_CAP_\w+", rest):
        if f"`{capability}`" not in text:
            faults.append(f"{name}: the page does not name {capability}")


def expanded(text):
    """With the file's own macros of members in their places; without what an event comes by."""
    for name, members in re.findall(r"^#define (\w+) (\..*)$", text, re.M):
        text = re.sub(rf"\b{name}\b", members, text)
    return re.sub(r"\.comes_by = [^,}]*", "", text)


def of_index():
    lines = re.findall(r"^\| \[(\w+)\]\(events/(\w+)\.md\) \| .* \| (.*) \| (.*) \|$", INDEX.read_text(), re.M)
    return {name: (levels(at), since) for name, file, at, since in lines if file == name.lower()}


def main():
    members = MEMBER.findall(HEADER.read_text())
    index = of_index()
    core = {name: rest for name, *rest in ROW.findall(expanded(CORE.read_text()))}
    if not members or list(index) != [name for name, _ in members]:
        faults.append(f"{INDEX}: its lines are not the events of {HEADER} in their order: {' '.join(index)}")
    for path in INDEX.with_suffix("").glob("*.md"):
        if path.stem not in [name.lower() for name, _ in members]:
            faults.append(f"{path}: there is no such event")
    for name, comment in members:
        page = of_page(name)
        if not page:
            continue
        at, since = of_header(comment)
        said = dict(header=(at or page[0], since), page=page[:2], index=index.get(name))
        if not said["header"] == said["page"] == said["index"]:
            faults.append(f"{name}: levels and since differ: {said}")
        if name in core:
            compare_with_core(name, page, core[name])
        else:
            faults.append(f"{name}: not in {CORE}")
    if timeline.EVENTS != re.findall(r'\[HYPAPI_EV_\w+\] = \{ "([\w-]+)"', CORE.read_text()):
        faults.append(f"tools/timeline.py has other names of events than {CORE}")
    print("\n".join(faults) or f"{len(members)} events")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
