#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: indirect_branches.py FILE...

Names each indirect call and jump in the text of linked images or objects that does not stand in a thunk of
xmhf/cpu/thunks.S; exit status 1 if there is one, or if a linked image has no thunk. Section .boot is not looked at: it
is unmapped before a guest runs.
"""
import re
import subprocess
import sys

FUNCTION = re.compile(r"^[0-9a-f]+ <(\S+)>:$")
INDIRECT = re.compile(r"^\s*[0-9a-f]+:\s+(?:(?:notrack|bnd|data16|cs|ds|rex\S*)\s+)*"
                      r"((?:call|jmp|lcall|ljmp)\S*\s+\*.*)$")


def indirect_branches(path):
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-j", ".text", path], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    function, found, instructions = "", [], 0
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            function = match.group(1)
        elif match := INDIRECT.match(line):
            if not function.startswith("__x86_indirect_thunk_"):
                found.append(f"{path}: {function}: {match.group(1)}")
        instructions += line.startswith("ffff")
    if path.endswith(".elf") and ("<__x86_indirect_thunk_rax>:" not in text or instructions < 1000):
        found.append(f"{path}: not an image of the core")
    return found


def main():
    found = [line for path in sys.argv[1:] for line in indirect_branches(path)]
    print("\n".join(found))
    return bool(found) or len(sys.argv) < 2


if __name__ == "__main__":
    sys.exit(main())
