# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges test=ways-down: what tests/boot/scan.S found in memory before each boot, and how the boot before went down."""
import re

EVENT = r"^xmhf: trustvisor: PALs: "


def wrong_boot(boot, way, scan):
    marks, secrets, where = scan
    done = re.search(rf"^T way {re.escape(way.name)}$", boot, re.M)
    if not done:
        return "was not gone"
    if way.wipes_all and int(marks, 16):
        return "the wake did not wipe all memory"
    if not way.wipes_all and not int(marks, 16):
        return "memory did not survive, so nothing is shown"
    if int(secrets, 16):
        return f"0x{secrets} words of secrets in the next boot's memory, one at 0x{where}"
    if not re.search(EVENT, boot[done.end():], re.M):
        return "no event went before"
    return None


class Way:
    """wipes_all: the firmware wakes the machine into the core's stub, which wipes L1's own memory as well."""
    def __init__(self, name, wipes_all=False):
        self.name, self.wipes_all = name, wipes_all


def leaves_nothing(*ways):
    def judge(_, text):
        scans = re.findall(r"^S (\w{8}) (\w{8}) (\w{8})$", text, re.M)
        boots = re.split(r"^S .*$", text, flags=re.M)[1:]
        if len(scans) != len(ways) + 1:
            return f"{len(scans)} boots, expected {len(ways) + 1}"
        for way, boot, scan in zip(ways, boots, scans[1:]):
            wrong = wrong_boot(boot, way, scan)
            if wrong:
                return f"{way.name}: {wrong}"
        return None
    return judge


TWO_CPUS = leaves_nothing(Way("port 0xCF9"), Way("keyboard controller, pulse"), Way("port 0x92"),
                          Way("keyboard controller, output port"), Way("triple fault"))
ONE_CPU = leaves_nothing(Way("INIT for the boot CPU"), Way("S3", wipes_all=True),
                         Way("S3 at a moved port", wipes_all=True))
