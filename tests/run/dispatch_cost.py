#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What asking a hypapp costs, and fails if it is more than the design allows. Run from the project's root.

usage: dispatch_cost.py GUEST PASSERS OUT    PASSERS: folder of passers1.elf and passers3.elf (bench.mk); OUT: for logs
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import bench  # noqa: E402


def main():
    guest, passers, out = sys.argv[1:]
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
    runs = bench.Bench(argparse.Namespace(guest=guest, passers=passers, out=out, timeout=120))
    costs = dict(zip(("dispatch-first", "dispatch-further"), bench.dispatch_costs(runs.passers(1), runs.passers(3))))
    allowed = {name: bench.AIMS[name, 1] * 102 // 100 for name in costs}    # what a compiler may make of it
    for name, ticks in costs.items():
        print(f"{name}: {ticks} ticks, allowed {allowed[name]}")
    return any(ticks > allowed[name] for name, ticks in costs.items())


if __name__ == "__main__":
    sys.exit(main())
