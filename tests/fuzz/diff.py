#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Differential fuzzing of nested VMX: the same seeds on the bare machine and on XMHF must give the same hashes.

usage: diff.py [--first N] [--seeds N] [--minutes M] [--chunk N] [--xmhf FILE] [--model MODEL]
Seeds run in chunks, a boot of both machines each, until all are done or the time is over. For a seed that differs
the story is told again with each part of its hash, and the first parts that differ are shown; where it does not differ
by itself, behind those of its chunk. A seed at which a machine stops counts as one that differs, and the chunk goes on
behind it. Exit status 1 if anything differed.
"""
import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "run"))
import emulator     # noqa: E402

GUEST = "build/guest/test.bzimage"
STOPS = 8       # so many boots that do not come to their end are enough
SHOWN = 12      # parts of a story around the first difference


def boot(o, seed, count, on_xmhf, more=""):
    """The serial log of one machine that runs these seeds."""
    iso = emulator.ROOT / f"build/fuzz-{seed}-{int(on_xmhf)}.iso"
    command = ["tools/mkiso.py", "-o", str(iso), "--loader", "syslinux" if on_xmhf else "grub", "--kernel-file", GUEST,
               "--append", f"test=vmx-diff seed={seed} count={count} {more}"]
    if on_xmhf:
        command += ["--xmhf", o.xmhf, "--xmhf-args", "log=debug" if more else ""]
    subprocess.run(command, cwd=emulator.ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    result = emulator.run(iso, timeout=o.timeout, model=o.model, expect=[r"^T end vmx-diff$"],
                          fail=[r"^T FAIL", r"^xmhf: PANIC"], name="fuzz")
    iso.unlink()
    if not result.ok:
        print(f"  {'XMHF' if on_xmhf else 'bare'}: {result.reason}")
    return result.serial_text


def both(o, *arguments):
    """The logs of the bare machine and of XMHF, which run at the same time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda on_xmhf: boot(o, *arguments[:2], on_xmhf, *arguments[2:]), (False, True)))


def hashes(text):
    """seed -> its hash and the exits, of a log."""
    return dict(re.findall(r"^T seed (\d+) (.+)$", text, re.M))


def tell(o, seed, first):
    """One seed's story on both machines, from where they part; told alone, or behind those of its chunk."""
    logs = both(o, seed, 1, f"show={seed}")
    if hashes(logs[0]) == hashes(logs[1]):
        logs = both(o, first, seed - first + 1, f"show={seed}")
    bare, nested = (re.sub(r"^T seed (?!%d ).*\n" % seed, "", text, flags=re.M).splitlines() for text in logs)
    skip = lambda lines: lines[next((i for i, l in enumerate(lines) if l.startswith("T test")), 0):]
    bare, nested = skip(bare), [l for l in skip(nested) if not l.startswith("xmhf:")]
    at = next((i for i, (a, b) in enumerate(zip(bare, nested)) if a != b), min(len(bare), len(nested)))
    last = max((i for i in range(at) if bare[i].startswith("exit ")), default=0)
    print(f"seed {seed}:", *(l for l in bare if re.match(r"moved|code|field|mode", l)), sep="\n    ")
    print("  last exit before:", bare[last:last + 3])
    for i in range(at, min(at + SHOWN, max(len(bare), len(nested)))):
        a, b = (lines[i] if i < len(lines) else "" for lines in (bare, nested))
        if a != b:
            print(f"    bare: {a:40} XMHF: {b}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1500)
    parser.add_argument("--chunk", type=int, default=1500)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--tell", type=int, default=5, help="stories told of seeds that differ (default: %(default)s)")
    parser.add_argument("--xmhf", default="build/xmhf.elf")
    parser.add_argument("--model", default="corei7_skylake_x")
    o = parser.parse_args()
    end, done, differ, start = time.monotonic() + 60 * o.minutes, 0, [], time.monotonic()
    seed, stops = o.first, 0
    while seed < o.first + o.seeds and time.monotonic() < end and stops < STOPS:
        count = min(o.chunk - (seed - o.first) % o.chunk, o.first + o.seeds - seed)
        bare, nested = both(o, seed, count)
        a, b = hashes(bare), hashes(nested)
        ran = min(len(a), len(b))
        differ += [int(n) for n in a if n in b and a[n] != b[n]]
        if ran < count:     # a seed that stops a machine differs; those behind it go on
            print(f"  ended early: bare behind seed {seed + len(a) - 1}, XMHF behind {seed + len(b) - 1}")
            differ.append(seed + ran)
            count, stops = ran + 1, stops + 1
        for n in differ[-SHOWN:]:
            if str(n) in a and str(n) in b:
                print(f"  seed {n}: bare {a[str(n)]}, XMHF {b[str(n)]}")
        done += count
        print(f"seeds {seed} to {seed + count - 1}: {len(differ)} differ so far {differ[-5:]}, "
              f"{done / (time.monotonic() - start):.0f} a second;",
              *re.findall(r"^entries .*", nested, re.M), flush=True)
        seed += count
    print(f"{done} seeds, {len(differ)} differ:", *differ[:50])
    for seed in differ[:o.tell]:
        tell(o, seed, seed - (seed - o.first) % o.chunk)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
