# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges which MSRs guests wrote, by level, with the core's option msr=watch; the list goes to
build/check/NAME.msrs.
"""
import pathlib
import re

CHECK = pathlib.Path(__file__).resolve().parents[2] / "build" / "check"
NAMES = {
    0x10: "TSC", 0x1b: "APIC_BASE", 0x3b: "TSC_ADJUST", 0x48: "SPEC_CTRL", 0x49: "PRED_CMD",
    0x8b: "BIOS_SIGN_ID", 0x140: "MISC_FEATURE_ENABLES",
    0x174: "SYSENTER_CS", 0x175: "SYSENTER_ESP", 0x176: "SYSENTER_EIP", 0x17a: "MCG_STATUS", 0x17b: "MCG_CTL",
    0x19b: "THERM_INTERRUPT", 0x1a0: "MISC_ENABLE", 0x1b0: "ENERGY_PERF_BIAS", 0x1b2: "PACKAGE_THERM_INTERRUPT",
    0x1d9: "DEBUGCTL",
    0x277: "PAT", 0x2ff: "MTRR_DEF_TYPE", 0x38f: "PERF_GLOBAL_CTRL", 0x6e0: "TSC_DEADLINE", 0xda0: "XSS",
    0xc0000080: "EFER", 0xc0000081: "STAR", 0xc0000082: "LSTAR", 0xc0000083: "CSTAR", 0xc0000084: "SYSCALL_MASK",
    0xc0000100: "FS_BASE", 0xc0000101: "GS_BASE", 0xc0000102: "KERNEL_GS_BASE", 0xc0000103: "TSC_AUX",
}
# What Linux complains of on the bare emulated machine, too: MSRs that it lacks although CPUID implies them.
BARE_COMPLAINTS = {"0x19b", "0x345"}


def written(text):
    """{level: {number: answer}} of the core's lines at power-off."""
    seen = {}
    for level, number, answer in re.findall(r"^xmhf: stat msr (\S+) 0x(\w+) (\w+)", text, re.M):
        seen.setdefault(level, {})[int(number, 16)] = answer
    return seen


def name_of(number):
    if 0x200 <= number <= 0x26f:
        return "MTRR"
    if 0x400 <= number <= 0x47f or 0x280 <= number <= 0x29f:
        return "machine check bank"
    if 0x800 <= number <= 0x8ff:
        return "x2APIC"
    return NAMES.get(number, "?")


def msrs_written(name, **must):
    """The system starts, no write of it is lost or refused, and all that it writes has a name here; must: numbers by
    level that it writes for certain, or the watch does not see."""
    def judge(_, text):
        seen = written(text)
        lines = [f"{level:4} {number:8x} {answer:6} {name_of(number)}" for level in seen
                 for number, answer in seen[level].items()]
        (CHECK / f"{name}.msrs").write_text("\n".join(lines) + "\n")
        wrong = [line for line in lines if re.search(r" (drop|refuse) | \?$", line)]
        wrong += [f"no write of {number:x} in {level}" for level, numbers in must.items() for number in numbers
                  if number not in seen.get(level, {})]
        wrong += re.findall(r"^xmhf: .*writes of MSR.*", text, re.M)
        wrong += [f"Linux complains: {line}" for line, number in
                  re.findall(r"(unchecked MSR access error: \w+ \w+ (0x\w+))", text) if number not in BARE_COMPLAINTS]
        return "; ".join(wrong) or None
    return judge
