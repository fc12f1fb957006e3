#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: no_simd.py FILE...

Names each instruction of images that touches an FPU or SIMD register, other than those by which two functions of the
core exchange the registers of a partition and its caller; exit status 1 if there is one. What a guest has in them is in
the CPU while root runs, and root keeps no copy otherwise. Begins by looking at a planted instruction of each kind,
which must be found.
"""
import re
import subprocess
import sys
import tempfile

TOUCHES = re.compile(r"%(?:[xyz]mm\d|mm[0-7]\b|st\b|k[0-7]\b|tmm\d)|"
                     r"\bf(?:ld|st|add|mul|div|sub|ninit|nstcw|ldcw|xch|com|wait)\w*\s|"
                     r"\b(?:emms|v?ldmxcsr|v?stmxcsr|f?xsave\w*|f?xrstor\w*)\b")
PLANTED = ["movd %eax, %xmm0", "vpxor %ymm1, %ymm1, %ymm1", "movq %rax, %mm1", "fld1", "fninit", "fxsave (%rax)",
           "kmovw %eax, %k1", "ldmxcsr (%rax)", "fstp %st(0)", "xsave (%rax)",
           "fpu_enter: fxsave (%rax)", "fpu_leave_not: xrstor (%rax)"]
ALLOWED = ["fpu_leave: xsave64 (%rax)"]
EXCHANGE = {"fpu_enter", "fpu_leave"} # xmhf/cpu/fpu.c
EXCHANGES = re.compile(r"(?:xsave|xrstor)(?:64)?\s")


def found(path):
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-j", ".text", path], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    function, count, touches = "", 0, []
    for line in text.splitlines():
        if line.endswith(">:"):
            function = line.split("<")[-1][:-2]
        if "\t" not in line:
            continue
        insn = line.split("\t", 1)[1] + " "
        count += 1
        if TOUCHES.search(insn) and not (function in EXCHANGE and EXCHANGES.match(insn)):
            touches.append(f"{function}: {insn}")
    return touches, count


def main():
    with tempfile.NamedTemporaryFile(suffix=".o") as planted:
        source = "\n".join(PLANTED + ALLOWED) + "\n"
        subprocess.run(["gcc", "-x", "assembler", "-c", "-o", planted.name, "-"], input=source, text=True, check=True)
        assert len(found(planted.name)[0]) == len(PLANTED), found(planted.name)[0]
    wrong = []
    for path in sys.argv[1:]:
        lines, count = found(path)
        wrong += [f"{path}: {line}" for line in lines] + ([] if count > 10000 else [f"{path}: no image"])
    print("\n".join(wrong))
    return bool(wrong) or len(sys.argv) < 2


if __name__ == "__main__":
    sys.exit(main())
