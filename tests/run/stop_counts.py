# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges the stops that the core counted: only what must stop the CPUs did, and each such event once."""
import re


def events(text, hypapp):
    """{(event, level): (count, stops)} of the statistics at power-off."""
    found = re.findall(rf"^xmhf: stat event (\S+) (L\d) {hypapp} count (\d+) stops (\d+)", text, re.M)
    return {(event, level): (int(count), int(stops)) for event, level, count, stops in found}


def rounds_stop_twice(l1_rounds, l1_destroys):
    """For a run in which L1 does `l1_rounds` rounds of register, call and unregister and destroys `l1_destroys` PALs by
    writing to them, and L2 does what it likes."""
    def judge(_, text):
        seen = events(text, "trustvisor")
        wrong = [f"{event} in {level}: {stops} stops" for (event, level), (_, stops) in seen.items()
                 if event in ("cpuid", "partition-exit") and stops]
        want = {("hypercall", "L1"): 2 * l1_rounds, ("ept-violation", "L1"): l1_destroys}
        wrong += [f"{event} in {level}: {seen.get((event, level), (0, 0))[1]} stops instead of {stops}"
                  for (event, level), stops in want.items() if seen.get((event, level), (0, 0))[1] != stops]
        counted = {level: sum(int(n) for n in re.findall(rf"^xmhf: stat cpu \d+ .*\b{level} (\d+)", text, re.M))
                   for level in ("stops", "nmis-sent")}
        if len(re.findall(r"^xmhf: stat cpu", text, re.M)) > 1 and counted["stops"] != counted["nmis-sent"]:
            wrong.append(f"{counted['stops']} stops took {counted['nmis-sent']} NMIs")
        return "; ".join(wrong) or None
    return judge


def exits_of_l1(least, most):
    """All CPUs' exits of L1, whole run, are between the two."""
    def judge(_, text):
        count = sum(int(n) for n in re.findall(r"^xmhf: stat cpu \d+ exits-l1 (\d+)", text, re.M))
        return None if least <= count <= most else f"{count} exits of L1, not {least} to {most}"
    return judge


def as_the_hypapp_counts(_, text):
    """For hypapps/quiesce: the stops that it counted itself are those of the core's statistics."""
    core = {key: stops for key, (_, stops) in events(text, "quiesce").items() if stops}
    found = re.findall(r"^xmhf: quiesce: own count (\S+) (L\d) stops (\d+)", text, re.M)
    own = {(event, level): int(stops) for event, level, stops in found if int(stops)}
    if len(own) < 7 or own != core:
        return f"the hypapp counted {own}, the core {core}"
    if not re.search(r"^xmhf: quiesce: CPU \d+ .* stale answers [1-9]", text, re.M):
        return "no CPU ever lost a stop to another"
    return None
