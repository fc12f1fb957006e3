#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lines of xmhf/nested the bare-metal tests and the fuzzer reach: make coverage-core, from the project's root.

usage: report.py --image XMHF.ELF --guest GUEST --out FOLDER [--only REGEX] [--least PERCENT]
The image logs its counters (coverage.c). They are added up over the runs and written as the .gcda files that gcov
reads, beside the .gcno files of the compiler. Prints a line a file and the lines that nothing reached, as FOLDER's
coverage.txt does. Exit status 1 if a run failed, or less than PERCENT was reached.
"""
import argparse
import collections
import json
import pathlib
import re
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "run"))
import emulator     # noqa: E402

# What the guest does, and with how many CPUs.
RUNS = [(f"test={test}", cpus) for test, cpus in (
    ("mini", 1), ("vmx-insn", 1), ("vmx-entry", 1), ("vmx-inject", 1), ("vmx-exits", 1), ("vmx-active", 1),
    ("vmx-ept", 1), ("vmx-ept-ad", 1), ("vmx-pml", 1), ("vmx-ve", 1), ("vmx-vmfunc", 1), ("vmx-shadow", 1),
    ("vmx-msr-lists", 1), ("vmx-vpid", 1),
    ("vmx-modes", 1), ("vmx-fuzz", 1), ("vmx-legacy", 1), ("vmx-hyperv", 1), ("vmx-smp", 2), ("hypercalls", 2),
    ("attack", 2),
    ("delivery-fault", 1), ("pal-armed", 2), ("pal-sizes", 1), ("verify", 1), ("verify-events", 1),
    ("verify-signals", 2), ("vmx-diff seed=0 count=1500", 1))]

FUNCTION, ARCS = 0x01000000, 0x01a10000     # tags of gcc/gcov-io.h


def symbols(image):
    """(source file, function) -> (offset behind coverage_start, count) of its counters."""
    text = subprocess.run(["readelf", "-sW", image], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in text.splitlines()]
    start = next(int(r[1], 16) for r in rows if r and r[-1] == "coverage_start")
    found, source = {}, None
    for r in rows:
        if len(r) == 8 and r[3] == "FILE":
            source = r[7]
        elif len(r) == 8 and r[7].startswith("__gcov0."):
            found[source, r[7][len("__gcov0."):]] = (int(r[1], 16) - start, int(r[2], 0) // 8)
    return found


def run(o, append, cpus):
    """The counters of one run, by their offsets; None if it failed."""
    iso = pathlib.Path(o.out) / "run.iso"
    subprocess.run(["tools/mkiso.py", "-o", str(iso), "--loader", "syslinux", "--kernel-file", o.guest,
                    "--append", append, "--xmhf", o.image,
                    "--xmhf-args", "log-output=once verify.word=hello partitions=300"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    result = emulator.run(iso, cpus=cpus, timeout=o.timeout, expect=[r"^T end", r"^xmhf: coverage: end$"],
                          fail=[r"^xmhf: PANIC"], name="coverage")
    counts = collections.Counter()
    for at, values in re.findall(r"^xmhf: coverage: ([0-9a-f]+):((?: [0-9a-f]+)+)$", result.serial_text, re.M):
        for i, value in enumerate(values.split()):
            counts[int(at, 16) + 8 * i] += int(value, 16)
    print(f"{append}: {result.reason}, {len([c for c in counts.values() if c])} counters, {result.seconds:.0f} s",
          flush=True)
    return counts if result.ok and counts else None


def functions(notes):
    """(ident, checksums, name) of each function of a .gcno file."""
    at = 16
    at += 4 + struct.unpack_from("<I", notes, at)[0] + 4
    while at + 8 <= len(notes):
        tag, size = struct.unpack_from("<II", notes, at)
        if tag == FUNCTION:
            *sums, length = struct.unpack_from("<IIII", notes, at + 8)
            yield sums, notes[at + 24:at + 24 + length - 1].decode()
        at += 8 + size


def write_data(notes_path, places, counts):
    """The .gcda file beside a .gcno file."""
    notes, source = notes_path.read_bytes(), notes_path.name.removesuffix(".gcno") + ".c"
    data = b"adcg" + notes[4:12] + bytes(4)
    for sums, name in functions(notes):
        if (source, name) not in places:
            continue        # the linker has left it out: no call
        offset, count = places[source, name]
        values = [counts[offset + 8 * i] for i in range(count)]
        data += struct.pack("<IIIII", FUNCTION, 12, *sums) + struct.pack(f"<II{count}Q", ARCS, 8 * count, *values)
    notes_path.with_suffix(".gcda").write_bytes(data + bytes(4))


def reached(notes_path):
    """(file, line) -> count, of what was compiled, by gcov; without headers."""
    text = subprocess.run(["gcov", "--json-format", "--stdout", str(notes_path.with_suffix(".gcda"))],
                          capture_output=True, text=True, check=True).stdout
    lines = collections.Counter()
    for file in json.loads(text)["files"]:
        name = file["file"].removeprefix("xmhf/nested/")
        if name != file["file"] and not name.endswith(".h"):
            for line in file["lines"]:
                lines[name, line["line_number"]] += line["count"]
    return lines


def ranges(numbers):
    """1 2 3 7 as "1-3 7"."""
    parts = []
    for n in numbers:
        if parts and parts[-1][1] == n - 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def report(o, counts):
    places = symbols(o.image)
    lines, out = {}, []
    for notes in sorted(pathlib.Path(o.image).parent.glob("core/xmhf/nested/*.gcno")):
        write_data(notes, places, counts)
        lines |= reached(notes)
    for name in sorted({name for name, _ in lines}):
        numbers = sorted(n for file, n in lines if file == name)
        missed = [n for n in numbers if not lines[name, n]]
        out.append(f"{name:16} {len(numbers) - len(missed):4} of {len(numbers):4} lines; not: {ranges(missed) or '-'}")
    seen = sum(count > 0 for count in lines.values())
    percent = 100 * seen / len(lines)
    out.append(f"xmhf/nested: {seen} of {len(lines)} lines, {percent:.1f} %")
    (pathlib.Path(o.out) / "coverage.txt").write_text("\n".join(out) + "\n")
    print(*out, sep="\n")
    return percent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", required=True)
    parser.add_argument("--guest", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--least", type=float, default=90)
    parser.add_argument("--timeout", type=float, default=600)
    o = parser.parse_args()
    all_counts, failed = collections.Counter(), False
    for append, cpus in RUNS:
        if re.search(o.only, append):
            counts = run(o, append, cpus)
            failed |= counts is None
            all_counts += counts or {}
    return report(o, all_counts) < o.least or failed


if __name__ == "__main__":
    sys.exit(main())
