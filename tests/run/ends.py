#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""No process stays behind: not of a case that is over its time, and not when check.py is told to end. And nobody waits
for a line of a core that has refused.

usage: ends.py                    judges
       ends.py MARK CASE SECONDS  runs check.py with this case alone; its processes sleep so long as the mark says
"""
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import cases
import check

SECONDS = 60
# A machine that is read from, as in cases.py; a script that starts the next when one is gone.
SCRIPTS = {"read": "exec 3< <(exec timeout {mark} sleep {mark}); read -r -u 3 text",
           "loop": "while :; do timeout {mark} sleep {mark}; done"}


def run_check(mark, name, seconds):
    case = dict(name=f"ends/{name}", command=["bash", "-c", SCRIPTS[name].format(mark=mark)], timeout=seconds)
    sys.modules["cases"] = types.SimpleNamespace(CASES=[case], TOUCHES={})
    sys.argv = ["check.py"]
    return check.main()


def alive(mark, word=""):
    """All that have the mark in their command; the script has it, too."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"{word}{mark}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue    # it has ended just now
    return found


def wait_until(is_so):
    end = time.monotonic() + SECONDS
    while not is_so() and time.monotonic() < end:
        time.sleep(0.1)
    return is_so()


def leaves_nobody(name, number):
    """The case is ended by the signal; without one, by its time: it sleeps, so by eight times that."""
    mark = f"{100000 + os.getpid()}.{list(SCRIPTS).index(name)}{number or 0}"
    process = subprocess.Popen([sys.executable, __file__, mark, name, str(1000 if number else 0.5)],
                               start_new_session=True)
    started = wait_until(lambda: alive(mark, "sleep\0"))
    if number:
        os.killpg(process.pid, number)
    process.wait(SECONDS)
    left = not wait_until(lambda: not alive(mark)) if started else None
    check.send(alive(mark), signal.SIGKILL)
    what = f"{name}, {signal.Signals(number).name if number else 'timeout'}"
    print(f"{what}: {'does not start' if not started else 'FAIL: somebody stays behind' if left else 'ok'}")
    return started and not left


def refusal_is_the_end():
    """By another line than the case expects."""
    row = cases.qemu_says("", f"sh -c 'echo xmhf: error: the machine is halted; exec sleep {2 * SECONDS}' sh", "no VMX")
    start = time.monotonic()
    done = subprocess.run(row["command"], capture_output=True, text=True)
    ends = time.monotonic() - start < SECONDS and "it does not say: no VMX" in done.stdout and done.returncode
    print(f"refusal: {'ok' if ends else 'FAIL: ' + done.stdout}")
    return ends


def main():
    if len(sys.argv) == 4:
        return run_check(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    return 0 if all([refusal_is_the_end()] + [leaves_nobody(name, number) for name in SCRIPTS
                     for number in (None, signal.SIGINT, signal.SIGTERM)]) else 1


if __name__ == "__main__":
    sys.exit(main())
