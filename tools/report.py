#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""make run: boots an image, shows how far it is, and reports what ran, which events came, and what they cost.

Everything is read from the serial log: the core's lines ("xmhf: ..."), the init script's ("INIT", "JOB"), and what the
example programs print, one line a check: "[L2 ]what: text[  FAILED]". The last line is "make run: OK" or
"make run: FAILED: why"; exit status 0 only for the first.
"""
import argparse
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/run"))
import emulator  # noqa: E402

# What is worth a line while the machine runs: a pattern and what to say.
STAGES = [
    (r"xmhf: XMHF (\S+), hypapi (\S+): .*\((\d+ MiB)\), (\d+) CPUs",
     "XMHF {0} with hypapi {1} runs: {2} of root memory, {3} CPUs"),
    (r"xmhf: starts (\w+)", "{0} starts in L1"),
    (r"INIT READY cpus=(\d+) kvm=(\w+)", "Linux runs in L1: {0} CPUs, /dev/kvm: {1}"),
    (r"((?:pal-demo|pal-demo32|pal-stress|kvm-guest): .*(?:ok|FAILED))", "{0}"),
    (r"B linux-l2-exit", "the KVM guest runs in L2"),
    (r"L2: INIT READY cpus=(\d+)", "Linux runs in L2: {0} CPUs"),
    (r"JOB (\S+) EXIT (\d+)", "job {0} ended with exit code {1}"),
    (r"INIT DONE", "all jobs are done, the machine goes off"),
    (r"xmhf: (PANIC.*|error.*|warning.*)", "XMHF: {0}"),
    (r"(.*Kernel panic.*)", "{0}"),
]

# The kinds of lines that the example programs print, and the row of the table that they belong to.
RESULT_KINDS = [
    (r"PAL result", "PAL result"),
    (r"way to register", "ways to register"),
    (r"outside .*|wrong entry|fault address|after unregister", "protection"),
    (r"stress|pal-stress", "all CPUs at once"),
]

# What the table says when all checks of a kind went well.
SUMMARY = {
    "PAL result": lambda said: said[0],
    "ways to register": lambda said: ", ".join(dict.fromkeys(said)),
    "protection": lambda said: ", ".join(dict.fromkeys(text.split(":")[0] for text in said)),
    "all CPUs at once": lambda said: said[-1],
}


class Progress:
    """Prints a line for each stage, with the seconds since the start."""

    def __init__(self, show_serial):
        self.start, self.show_serial, self.partial = time.monotonic(), show_serial, ""

    def say(self, text):
        print(f"{time.monotonic() - self.start:8.1f} s  {text}", flush=True)

    def feed(self, text):
        if self.show_serial:
            emulator.print_now(text)
        *lines, self.partial = (self.partial + text).split("\n")
        for line in lines:
            for pattern, stage in STAGES:
                found = re.match(pattern, line)
                if found:
                    self.say(stage.format(*found.groups()))


def table(title, head, rows):
    """Right-aligned numbers, left-aligned words."""
    cells = [list(head)] + [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    is_number = [all(isinstance(row[i], (int, float)) or row[i] == "-" for row in rows) for i in range(len(head))]
    print(f"\n{title}")
    for row in cells:
        print("  " + "  ".join(cell.rjust(width) if number else cell.ljust(width)
                               for cell, width, number in zip(row, widths, is_number)).rstrip())


def job_results(text):
    """{(level, kind): [(text, ok)]} from the lines of the jobs."""
    results = {}
    for line in text.splitlines():
        found = re.match(r"(L2 )?([^:]+): (.*?)(  FAILED|: FAILED)?$", line)
        if not found:
            continue
        level, what, said, failed = found.groups()
        for pattern, kind in RESULT_KINDS:
            if re.fullmatch(pattern, what):
                said = said if kind != "protection" else f"{what}: {said}"
                results.setdefault(("L2" if level else "L1", kind), []).append((said, not failed))
    return results


def jobs_table(text, jobs):
    """Prints what ran; returns the reasons for which that is a failure."""
    failures, rows = [], []
    for (level, kind), checks in sorted(job_results(text).items()):
        wrong = [said for said, ok in checks if not ok]
        if wrong:
            failures.append(f"{kind} in {level}: {wrong[0]}")
        rows.append([level, kind, "FAILED" if wrong else "ok", f"{len(checks) - len(wrong)} of {len(checks)}",
                     wrong[0] if wrong else SUMMARY[kind]([said for said, _ in checks])])
    for job in jobs:
        codes = re.findall(rf"^JOB {re.escape(job)} EXIT (\d+)", text, re.M)
        ended = f"exit code {codes[0]}" if codes else "did not end"
        rows.append(["-", f"job {job}", "ok" if codes == ["0"] else "FAILED", "-", ended])
        if codes != ["0"]:
            failures.append(f"job {job}: {ended}")
    if rows:
        table("What ran", ["level", "what", "result", "checks", ""], rows)
    has_trustvisor = re.search(r"^xmhf: hypapp trustvisor", text, re.M)
    for level, job in (("L1", "pal-l1"), ("L2", "pal-l2")):
        if has_trustvisor and job in jobs and not any(row[0] == level and row[1] == "PAL result" for row in rows):
            failures.append(f"no PAL result in {level}")
    return failures


def numbers(line):
    """{"name": value} of the "name value" pairs of a statistics line."""
    return {name: int(value) for name, value in re.findall(r"([a-z0-9-]+) (\d+)", line)}


def statistics_tables(text):
    """Prints the core's counts of the last machine that went down; returns the reasons for failure."""
    failures = []
    events = re.findall(r"^xmhf: stat event (\S+) (L\d) (\S+) (count .*)$", text, re.M)
    rows = []
    for event, level, hypapp, rest in events:
        n = numbers(rest)
        rows.append([event, level, hypapp, n["count"], n["stops"], n["ticks"] // n["count"]])
        if event in ("cpuid", "partition-exit") and n["stops"]:
            failures.append(f"{n['stops']} stops for {event} in {level}: these need none")
    if rows:
        table("Events", ["event", "level", "hypapp", "count", "stops", "ticks each"], rows)
    columns = "exits-l1 exits-l2 exits-pal stops nmis-sent served ticks-waiting ticks-stopped".split()
    cpus = [(int(cpu), numbers(rest)) for cpu, rest in re.findall(r"^xmhf: stat cpu (\d+) (.*)$", text, re.M)]
    if cpus:
        table("CPUs (stops: asked for here; served: stood still for another)",
              ["CPU"] + [column.replace("-", " ") for column in columns],
              [[cpu] + [n.get(column, "-") for column in columns] for cpu, n in cpus])
    if not rows or not cpus:
        failures.append("the core printed no statistics: it did not see the machine go off")
    return failures


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--image", required=True)
    add("--emulator", choices=("bochs", "qemu", "auto"), default="bochs")
    add("--cpus", type=int, default=2)
    add("--megs", type=int, default=1024)
    add("--jobs", default="", help="names of the jobs that must end with exit code 0, with commas between")
    add("--timeout", type=float, default=900)
    add("--log", required=True, help="receives the serial log")
    add("--serial", action="store_true", help="show the serial log")
    return parser.parse_args()


def main():
    o = parse_arguments()
    progress = Progress(o.serial)
    jobs = [job for job in re.split("[, ]+", o.jobs) if job]
    try:
        progress.say(f"{emulator.choose_emulator(o.emulator)} starts: {o.cpus} CPUs, {o.megs} MiB")
        result = emulator.run(o.image, cpus=o.cpus, megs=o.megs, emulator=o.emulator, timeout=o.timeout,
                              name="make-run", show=progress.feed, serial=o.log,
                              fail=[r"^xmhf: PANIC", r"Kernel panic"],
                              expect=["^INIT DONE"])
    except ValueError as error:
        print(f"make run: FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    progress.say(f"the emulator {result.reason}")
    failures = [] if result.ok else [result.reason]
    failures += jobs_table(result.serial_text, jobs)
    failures += statistics_tables(result.serial_text)
    print(f"\nSerial log: {o.log}")
    print(f"make run: FAILED: {failures[0]}" if failures else "make run: OK")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
