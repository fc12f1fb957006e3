#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the tutorial's code compile, step by step, and is its end what examples/hypapp-tutorial/ holds?

usage: tutorial.py [--write] TUTORIAL FOLDER OUTPUT COMPILER FLAGS...
A fenced block of C adds definitions to a file, or replaces those of the same name; a new one stands behind the one
above it in the block, or in front of the one below. The file is journal.c, or what a comment "<!-- file: NAME -->"
before the block says. FLAGS are those of a hypapp. Other C files are programs of Linux, which are built, and tests on
the simulator.
--write makes FOLDER from the tutorial instead of comparing. shows() is for the runs in a machine.
"""
import pathlib
import re
import subprocess
import sys

HYPAPP = "journal.c"
TUTORIAL = "docs/tutorial.md"
BLOCK = re.compile(r"(?:<!-- file: (\S+) -->\n)?^```(?:c|sh)\n(.*?)^```$", re.M | re.S)
OUTPUT = re.compile(r"^<!-- log: ([a-z ]+) -->\n```text\n(.*?)^```$", re.M | re.S)
NAMES = [r"^(#.*)", r"^enum \{ (\w+)", r"^(struct \w+) \{", r"^(?:[\w*]+[\s*]+)*?(\w+)\(",
         r"(\w+)(?:\[.*?\])*(?: =.*|;.*)$"]


def name_of(definition):
    code = re.sub(r"/\*.*?\*/\s*", "", definition, flags=re.S)
    line = code.splitlines()[0]
    return next(match[1] for match in (re.search(pattern, line) for pattern in NAMES) if match)


def definitions(text):
    """(name, text) of what stands between blank lines, if it begins in the first column outside of braces."""
    parts = []
    for chunk in re.split(r"\n\n+", text.strip("\n")):
        inside = parts and parts[-1].count("{") != parts[-1].count("}")
        if inside or chunk[0] in "\t })":
            parts[-1] += "\n\n" + chunk
        else:
            parts.append(chunk)
    return [(name_of(part), part) for part in parts]


def apply(file, block):
    """`file` is a list of (name, text)."""
    parts = definitions(block)
    names = [name for name, _ in file]
    place = next((names.index(name) for name, _ in parts if name in names), len(file))
    for name, text in parts:
        names = [name for name, _ in file]
        if name in names:
            place = names.index(name)
            file[place] = (name, text)
        else:
            file.insert(place, (name, text))
        place += 1


def text_of(file):
    return "\n\n".join(text for _, text in file) + "\n"


def run(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(str(word) for word in command)}\n{done.stdout}tutorial: exit status {done.returncode}")


def shows(run):
    """A judge for check.py: the log has, line by line, each block of text that the tutorial shows of this run."""
    def judge(_, log):
        blocks = OUTPUT.findall((pathlib.Path(__file__).parents[2] / TUTORIAL).read_text())
        shown = [block for runs, block in blocks if run in runs.split()]
        missing = [block for block in shown if "\n" + block not in log.replace("\r", "")]
        return None if shown and not missing else f"{TUTORIAL} shows this, the log does not:\n" + "".join(missing)
    return judge


def build(output, name, compiler, flags):
    source = output / name
    if name == HYPAPP:
        run(*compiler, *flags, "-c", "-o", source.with_suffix(".o"), source)
        return
    if source.suffix != ".c":
        return
    if name.startswith("sim_"):
        return  # the project's `make test` builds and runs it
    # Its own flags: a hosted program, with hypapi's headers.
    run(*compiler, "-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all", "-Ihypapi/include", "-o", source.with_suffix(""), source)


def main():
    arguments = sys.argv[1:]
    write = arguments[0] == "--write"
    tutorial, folder, output = (pathlib.Path(name) for name in arguments[write:write + 3])
    compiler, flags = arguments[write + 3:write + 4], arguments[write + 4:]
    output.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, block in BLOCK.findall(tutorial.read_text()):
        name = name or HYPAPP
        file = files.setdefault(name, [])
        if name.endswith(".c"):
            apply(file, block)
        else:
            file[:] = [(name, block.rstrip("\n"))]
        (output / name).parent.mkdir(exist_ok=True)
        (output / name).write_text(text_of(file))
        build(output, name, compiler, flags)
    if len(files) < 2:
        sys.exit(f"tutorial: {tutorial} has no code")
    for name, file in files.items():
        if write:
            (folder / name).write_text(text_of(file))
        elif not (folder / name).exists() or (folder / name).read_text() != text_of(file):
            sys.exit(f"tutorial: {folder / name} is not what {tutorial} ends with; see {output / name}")


if __name__ == "__main__":
    main()
