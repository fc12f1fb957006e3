# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges the log of tests/guest/log_load.c: each line is whole, all that a hypapp logged is written or counted as left
out, the lines of a CPU are in order, and one costs its caller no more than is allowed."""
import re

ROUNDS, LINES, ALLOWED_TICKS = 11114, 9, 300
OWN_LINES = 1389    # of every eighth round of the load, where there is one CPU
LINE = re.compile(r"xmhf: passer: round (\d+) of CPU (\d+), line (\d) of a load")
TOOK = re.compile(r"xmhf: passer: round (\d+) of CPU (\d+): a line took (\d+) ticks")
LEFT_OUT = re.compile(r"xmhf: warning: (\d+) lines were left out, the like of which follow")
OWN = re.compile(r"T CPU (\d+) prints in round (\d+) of its load, and this line ends here\.")


def whole_and_counted(cpus):
    """For a case with so many CPUs: None, or what is wrong."""
    def judge(_, text):
        lines = text.splitlines()
        begin = next(i for i, line in enumerate(lines) if line.startswith("T test log-load"))
        end = next(i for i, line in enumerate(lines) if line.startswith("T end log-load"))
        written = own = left_out = 0
        last, took = {}, []
        for line in lines[begin + 1:end]:
            if match := LINE.fullmatch(line) or TOOK.fullmatch(line):
                round_, cpu, rest = (int(n) for n in match.groups())
                at = round_, rest if match.re is LINE else LINES
                if at <= last.get(cpu, (-1, 0)):
                    return f"out of order: {line}"
                last[cpu] = at
                written += 1
                took += [rest] if match.re is TOOK else []
            elif match := LEFT_OUT.fullmatch(line):
                left_out += int(match[1])
            elif OWN.fullmatch(line):
                own += 1
            elif line:
                return f"a torn line: {line}"
        logged = ROUNDS * LINES * cpus
        if written + left_out != logged or not left_out or own != (OWN_LINES if cpus == 1 else 0):
            return f"{written} written, {left_out} left out, of {logged}; {own} of the guest's own"
        if sorted(took)[len(took) // 2] > ALLOWED_TICKS:
            return f"a line took {sorted(took)} ticks"
        print(f"    {written} lines written, {left_out} counted as left out; one took {sorted(took)[len(took) // 2]}")
        return None
    return judge
