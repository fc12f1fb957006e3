# SPDX-License-Identifier: GPL-2.0-or-later
"""What calls of a PAL cost, by the lines "B OPERATION 1 TICKS" of the benchmark guest (tests/guest/bench.c)."""
import re


def pal_calls_within(bounds):
    """A judge: operations, more of them joined by "+", take together no more ticks than `bounds` says."""
    def judge(_, text):
        found = dict(re.findall(r"^B (\S+) 1 (\d+)\r?$", text, re.M))
        for operations, bound in bounds.items():
            ticks = [int(found.get(operation, bound + 1)) for operation in operations.split("+")]
            if sum(ticks) > bound:
                return f"{operations}: {sum(ticks)} ticks, or none are told; allowed: {bound}"
        return None
    return judge
