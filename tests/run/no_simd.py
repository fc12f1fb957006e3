#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: no_simd.py FILE...

Names each instruction of images that touches an FPU or SIMD register; exit status 1 if there is one. What a guest has
in them is in the CPU while root runs, and root keeps no copy otherwise. Three functions of the core may exchange the
registers of a partition and its caller, or clear them at the end. One of TrustVisor may compute with XMM registers, if
it begins with saving each, ends with restoring the same ones, has no other way out, and uses none but these, by legacy
encodings.

Begins by looking at planted instructions and functions, which must be found.
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
EXCHANGE = {"fpu_enter", "fpu_leave", "fpu_clear"} # xmhf/cpu/fpu.c
EXCHANGES = re.compile(r"(?:xsave|xrstor)(?:64)?\s")

BORROWS = "sha256_ni" # hypapps/trustvisor/tpm/sha256_ni.S
FRAME = re.compile(r"(sub|add)\s+\$(0x[0-9a-f]+),%rsp")
SAVE = re.compile(r"movdqa %(xmm\d+),(0x[0-9a-f]+)?\(%rsp\)$")
RESTORE = re.compile(r"movdqa (0x[0-9a-f]+)?\(%rsp\),%(xmm\d+)$")
GOOD = ("sub $0x28,%rsp; movdqa %xmm0,(%rsp); movdqa %xmm1,0x10(%rsp); 1: pxor %xmm0,%xmm1; movdqa %xmm1,0x20(%rsp); "
        "dec %rdx; jnz 1b; movdqa (%rsp),%xmm0; movdqa 0x10(%rsp),%xmm1; add $0x28,%rsp; ret")
# What is replaced, by what, and how the fault is named.
BAD = [("; movdqa %xmm0,(%rsp)", "", "xmm0 is used, not saved"),
       ("movdqa 0x10(%rsp),%xmm1; ", "", "xmm1 is not restored"),
       ("movdqa 0x10(%rsp),%xmm1; ", "movdqa (%rsp),%xmm1; ", "xmm1 is not restored"),
       ("movdqa %xmm1,0x20", "movdqa %xmm1,0x10", "the place of xmm1 is written"),
       ("1: pxor", "1: pxor %xmm9,%xmm0; pxor", "xmm9 is used, not saved"),
       ("1: pxor", "1: test %rax,%rax; jz .+0x100; pxor", "a jump out of the body"),
       ("1: pxor", "1: ret; pxor", "ret before the end"),
       ("dec %rdx", "call 1b", "call"),
       ("dec %rdx", "push %rax", "push"),
       ("dec %rdx", "vpxor %xmm0,%xmm0,%xmm0", "vpxor"),
       ("dec %rdx", "pxor %mm0,%mm0", "mm0"),
       ("; add $0x28", "; movd %eax,%xmm0; add $0x28", "xmm0 is touched after the body"),
       ("ret", "jmp 1b", "no ret at the end")]


def functions(path):
    """Name and instructions of each, as pairs of address and text."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-j", ".text", path], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    found = [("", [])]
    for line in text.splitlines():
        if line.endswith(">:"):
            found.append((line.split("<")[-1][:-2], []))
        elif "\t" in line:
            address, insn = line.split("\t", 1)
            found[-1][1].append((int(address.strip(" :"), 16), " ".join(insn.split("#")[0].split())))
    return found


def slots(insns, form, reg, place):
    """Registers of leading instructions of one form, and the places on the stack; none twice."""
    pairs = {}
    for _, insn in insns:
        match = form.match(insn)
        if not match or match[reg] in pairs or int(match[place] or "0", 16) in pairs.values():
            break
        pairs[match[reg]] = int(match[place] or "0", 16)
    return pairs


def borrowing(insns):
    """What is wrong with a function that may use XMM registers."""
    frame = FRAME.match(insns[0][1])
    saved = slots(insns[1:], SAVE, 1, 2)
    if not frame or not saved:
        return ["it does not begin with saving registers"]
    start = 1 + len(saved)
    last = max((i for i, (_, insn) in enumerate(insns) if RESTORE.match(insn)), default=0)
    end = last + 1 - len(saved)
    restored = slots(insns[end:], RESTORE, 2, 1) if end >= start else {}
    wrong = [f"{reg} is not restored" for reg in saved if restored.get(reg) != saved[reg]]
    body, tail = insns[start:end], insns[last + 1:]
    for at, insn in body:
        wrong += [f"{reg} is used, not saved" for reg in re.findall(r"xmm\d+", insn) if reg not in saved]
        store = SAVE.match(insn)
        wrong += [f"the place of {reg} is written: {insn}" for reg in saved
                  if store and saved[reg] == int(store[2] or "0", 16)]
        if re.match(r"ret|iret", insn):
            wrong.append("ret before the end")
        target = re.match(r"(?:j\w+|loop\w*)\s+([0-9a-f]+)", insn)
        if target and not body[0][0] <= int(target[1], 16) <= body[-1][0]:
            wrong.append(f"a jump out of the body: {insn}")
        if re.match(r"call|push|pop|v[a-z]|(?:j\w+|call)\s+\*|x(?:save|rstor)|fx|ldmxcsr|leave", insn) or \
                re.search(r"%(?:[yz]mm|mm\d|st\b|k\d)|,%rsp$", insn):
            wrong.append(insn)
    for _, insn in tail[:-1]:
        if TOUCHES.search(insn):
            wrong.append(f"{' '.join(re.findall('xmm[0-9]+', insn))} is touched after the body: {insn}")
        if re.match(r"j|call|loop", insn):
            wrong.append(f"a jump after the body: {insn}")
    given_back = [insn for _, insn in tail if FRAME.match(insn)]
    if not given_back or FRAME.match(given_back[-1])[2] != frame[2]:
        wrong.append("its frame is not given back")
    if not tail or not tail[-1][1].startswith("ret"):
        wrong.append("no ret at the end")
    return wrong


def found(path):
    touches, count, borrowers = [], 0, 0
    for function, insns in functions(path):
        count += len(insns)
        if function == BORROWS:
            borrowers += 1
            while insns[-1][1].startswith(("nop", "xchg %ax,%ax", "cs nop", "data16")):
                insns.pop() # between functions
            touches += [f"{function}: {wrong}" for wrong in borrowing(insns)]
            continue
        touches += [f"{function}: {insn}" for _, insn in insns if TOUCHES.search(insn + " ") and
                    not (function in EXCHANGE and EXCHANGES.match(insn + " "))]
    return touches, count, borrowers


def found_in(source):
    with tempfile.NamedTemporaryFile(suffix=".o") as planted:
        subprocess.run(["gcc", "-x", "assembler", "-c", "-o", planted.name, "-"], input=source + "\n", text=True,
                       check=True)
        return found(planted.name)[0]


def check_itself():
    wrong = found_in("\n".join(PLANTED + ALLOWED))
    assert len(wrong) == len(PLANTED), wrong
    assert not found_in(f"{BORROWS}: {GOOD}"), found_in(f"{BORROWS}: {GOOD}")
    for old, new, name in BAD:
        assert old in GOOD
        wrong = found_in(f"{BORROWS}: {GOOD.replace(old, new)}")
        assert any(name in text for text in wrong), (old, new, wrong)
    assert found_in(f"another: {GOOD}")


def main():
    check_itself()
    wrong = []
    for path in sys.argv[1:]:
        lines, count, borrowers = found(path)
        wrong += [f"{path}: {line}" for line in lines]
        wrong += [] if count > 10000 and borrowers < 2 else [f"{path}: no image, or {BORROWS} twice"]
    print("\n".join(wrong))
    return bool(wrong) or len(sys.argv) < 2


if __name__ == "__main__":
    sys.exit(main())
