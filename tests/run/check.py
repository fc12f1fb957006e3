#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the table in cases.py: machines in the emulator, transcripts compared, unit tests and other commands.

usage: check.py [--only REGEX] [--touched REV] [--long] [--jobs N] [--list] [UNIT_TEST_BINARY...]
Prints one line a case, "ok", "FAIL" or "skip", then the dearest cases, and a last line with the numbers; exit status 0
if nothing failed. The logs of each case stand in build/check/. Files that a case needs are built before, by make: a
missing one is a failure.
"""
import argparse
import concurrent.futures
import dataclasses
import difflib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing

import emulator

ROOT = emulator.ROOT
BUILD = ROOT / "build"
QUIET_SECONDS = 10    # without a word, then what runs is named
LOGS = BUILD / "check"
LINUX = {"tiny": ("build/linux/tiny/bzImage", "build/linux/tiny.cpio"),
         "debian": ("build/linux/debian/vmlinuz", "build/linux/debian.cpio"),
         "i386": ("build/linux/i386/vmlinuz", "build/linux/i386.cpio")}
XMHF = "build/xmhf.elf"
XMHF_FAILS = [r"^xmhf: PANIC"]
PR_SET_CHILD_SUBREAPER = 36
DEAREST = 10     # so many cases are named at the end
FAILURE_WORDS = r"FAIL|ERROR|[Ee]rror:|   LINE|differ"    # of cmocka, sanitizers, compilers, scripts
GUEST_FAILS = [r"^T FAIL", r"Kernel panic"]


@dataclasses.dataclass(kw_only=True)
class Case:
    """One row of cases.py: a machine or a command. Paths are relative to the project's root."""
    name: str
    # A machine. guest: "tiny", "debian" or "i386" (Linux), or a file in bzImage format.
    guest: str = ""
    initrd: str = ""            # for Linux the one with the jobs, unless given here
    append: str = ""            # guest's command line; Linux gets tools/linux/cmdline before it
    xmhf: str | bool = False    # True: the default image; a path: another build of it; False: the bare machine
    xmhf_args: str = ""
    loader: str = ""            # "grub" or "syslinux"; default: the faster one that can load the guest
    boot: str = ""              # order of the BIOS; default: the image, without one the disk
    disk: str = ""              # first hard disk: without a guest it is booted, on XMHF by a chain start
    compare: str = ""           # lines that must be the same on the bare machine and on XMHF; a regular expression
    judge: typing.Callable | None = None    # (bare log with `compare`, else None; log) -> None, or what is wrong
    # How it runs; see emulator.run().
    cpus: int = 1
    megs: int = 512
    model: str = "corei7_skylake_x"
    ips: int = 20000000
    expect: tuple | list = ()
    panics: bool = False        # the core shall: the case says by `until` and `expect` with which words
    fail: tuple | list = ()
    until: str | None = None
    triple_fault: str = "stop"
    firmware: str = emulator.BIOS
    options: tuple | list = ()
    # A command: must return 0.
    command: tuple | list = ()
    # Both
    long: bool = False          # takes minutes: runs in `make check-long` only
    timeout: float = 300        # seconds of CPU time, see emulator.Patience
    tools: tuple | list = ()    # programs that must be on the PATH, else the case is skipped

    def __post_init__(self):
        if bool(self.guest or self.disk or self.xmhf) == bool(self.command):
            raise ValueError(f"case {self.name}: give either a machine (guest, disk, xmhf) or a command")


class Failure(Exception):
    """First line: the reason. Further lines: details for the reader."""


def case_path(case, suffix):
    return LOGS / (re.sub(r"[^A-Za-z0-9.=-]", "_", case.name) + suffix)


def words(*texts):
    return " ".join(text for text in texts if text)


def linux_arguments(case):
    common, bochs = ((ROOT / "tools/linux" / name).read_text().strip() for name in ("cmdline", "cmdline.bochs"))
    return words(common, bochs.replace("tsc_early_khz=20000", f"tsc_early_khz={case.ips // 1000}"))


def make_iso(case, xmhf):
    """The case's ISO image, with XMHF under the guest or (xmhf empty) without it."""
    kernel, initrd = LINUX.get(case.guest, (case.guest, ""))
    is_linux = case.guest in LINUX
    initrd = case.initrd or initrd
    for file in (kernel, initrd, xmhf):
        if file and not (ROOT / file).exists():
            raise Failure(f"{file} was not built")
    # ISOLINUX cannot start a guest that has no real-mode part; with XMHF the guest is a module like any other.
    loader = case.loader or ("syslinux" if is_linux or xmhf else "grub")
    iso = case_path(case, "-xmhf.iso" if xmhf else "-bare.iso")
    command = ["tools/mkiso.py", "-o", str(iso), "--loader", loader]
    if xmhf:
        # The CPU that handles the UART's interrupt is another one than that of the process: their lines are read here.
        whole = "log-output=once" if is_linux and case.cpus > 1 else ""
        command += ["--xmhf", xmhf, "--xmhf-args", words(whole, case.xmhf_args)]
    if kernel:
        command += ["--kernel-file", kernel, "--append", words(linux_arguments(case) if is_linux else "", case.append)]
    if initrd:
        command += ["--initrd", initrd]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failure("mkiso failed\n" + done.stdout)
    return iso


def run_machine(case, xmhf):
    """Boots one machine; returns its serial log."""
    iso = make_iso(case, xmhf) if case.guest or xmhf else None
    log = case_path(case, ".xmhf.log" if xmhf else ".bare.log")
    disk = str(ROOT / case.disk) if case.disk else None
    if disk and not os.path.exists(disk):
        raise Failure(f"{case.disk} was not built")
    result = emulator.run(
        iso, cpus=case.cpus, megs=case.megs, model=case.model, ips=case.ips, timeout=case.timeout,
        disk=disk, boot=case.boot or ("cdrom" if iso else "disk"),
        expect=case.expect, fail=[*case.fail, *GUEST_FAILS, *([] if case.panics else XMHF_FAILS)], until=case.until,
        serial=log, triple_fault=case.triple_fault, firmware=case.firmware,
        options=case.options, name=re.sub("/", "-", case.name))
    if not result.ok:
        raise Failure(("on XMHF: " if xmhf else "on the bare machine: ") + result.report())
    if iso:
        iso.unlink()
    return result.serial_text


def judge(case, bare, text):
    wrong = case.judge and case.judge(bare, text)
    if wrong:
        raise Failure(wrong)


def compare(case, xmhf):
    """The same guest on both machines must say the same."""
    texts = [run_machine(case, ""), run_machine(case, xmhf)]
    bare, nested = ([line for line in text.splitlines() if re.search(case.compare, line)] for text in texts)
    if not bare:
        raise Failure(f"the bare machine printed no line like /{case.compare}/")
    if bare != nested:
        diff = list(difflib.unified_diff(bare, nested, "bare", "XMHF", lineterm="", n=2))
        changed = sum(line[0] in "+-" for line in diff[2:])
        raise Failure(f"the transcripts differ in {changed} lines\n" + "\n".join(diff[:60]))
    judge(case, *texts)


def run_command(case):
    log = case_path(case, ".log")
    with open(log, "w") as file:
        try:
            process = subprocess.Popen(case.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=subprocess.STDOUT)
        except OSError as error:
            raise Failure(f"cannot start {case.command[0]}: {error.strerror}") from None
        why = wait_for(process, case.timeout)
    if why:
        raise Failure(f"{why}; log: {log}\n{tail_of(log)}")


def wait_for(process, timeout):
    """None once the command has returned 0, or what came of it."""
    patience = emulator.Patience(timeout)
    while True:
        try:
            status = process.wait(1)
            return f"exit status {status}" if status else None
        except subprocess.TimeoutExpired:
            if patience.is_over(process.pid):
                end(process)
                return f"timeout after {timeout} s"


def end(process):
    """With all that it has started: an emulator would go on."""
    end_family(process.pid, set())
    process.wait()


def end_family(pid, spared):
    """First all are stopped, until nobody is new: a script whose emulator is killed would start the next one."""
    stopped = set()
    while new := emulator.family(pid).keys() - stopped - spared:
        send(new, signal.SIGSTOP)
        stopped |= new
    send(stopped, signal.SIGKILL)


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass    # it has ended just now


def tail_of(log):
    """The lines that say what failed, wherever they are, and the last ones."""
    lines = log.read_text(errors="replace").splitlines()
    said = [line for line in lines[:-30] if re.search(FAILURE_WORDS, line)][:30]
    return "\n".join([*said, *(["..."] if said else []), *lines[-30:]])


def run_case(case):
    """Returns ("ok" | "FAIL" | "skip", text)."""
    missing = [tool for tool in case.tools if not shutil.which(tool)]
    if missing:
        return "skip", f"{missing[0]} is not installed"
    xmhf = XMHF if case.xmhf is True else case.xmhf or ""
    try:
        if case.command:
            run_command(case)
        elif case.compare:
            compare(case, xmhf or XMHF)
        else:
            judge(case, None, run_machine(case, xmhf))
    except Failure as failure:
        return "FAIL", str(failure)
    except Exception as error:      # a mistake in a row or in this file must not hide the other cases
        return "FAIL", f"{type(error).__name__}: {error}"
    return "ok", ""


def select_cases(arguments):
    import cases    # here, so that cases.py may import this module
    rows = [Case(name="unit/" + os.path.basename(path), command=[os.path.abspath(path)])
            for path in arguments.binaries]
    rows += [Case(**row) for row in cases.CASES]
    names = [case.name for case in rows]
    double = {name for name in names if names.count(name) > 1}
    if double:
        sys.exit(f"check: two cases are named {double.pop()}")
    patterns = [arguments.only or ""]
    if arguments.touched:
        patterns.append("|".join(touched_patterns(arguments.touched, cases.TOUCHES)) or "$^")
    return [case for case in rows if case.long == arguments.long and all(re.search(p, case.name) for p in patterns)]


def touched_patterns(revision, touches):
    """Names of the cases that concern the files changed since a revision, new files included."""
    commands = (["git", "diff", "--name-only", revision], ["git", "ls-files", "--others", "--exclude-standard"])
    files = [file for command in commands
             for file in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()]
    return [pattern for path, pattern in touches.items() if any(re.match(path, file) for file in files)]


def print_dearest(seconds):
    if len(seconds) > 1:
        print("dearest cases, in seconds:")
    for name, taken in sorted(seconds.items(), key=lambda item: -item[1])[:DEAREST if len(seconds) > 1 else 0]:
        print(f"  {taken:7.1f} {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", metavar="REGEX", help="only the cases whose name matches")
    add("--touched", metavar="REV", help="only the cases of the folders that changed since this revision")
    add("--long", action="store_true", help="the cases that take minutes, and no others")
    add("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="cases at the same time (default: %(default)s)")
    add("--list", action="store_true", help="only print the names")
    add("--failed", action="append", default=[], metavar="NAME", help="a failure from before; is counted")
    add("binaries", nargs="*", metavar="UNIT_TEST_BINARY")
    arguments = parser.parse_args()
    selected = select_cases(arguments)
    if arguments.list:
        print("\n".join(case.name for case in selected))
        return 0
    LOGS.mkdir(parents=True, exist_ok=True)
    # When this script is told to end, so does all that its cases have started, be the process between them gone.
    emulator.LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Cases that run make are not part of the make that runs this script.
    os.environ.pop("MAKEFLAGS", None)
    count = dict(ok=0, FAIL=0, skip=0)
    seconds = {}
    lock = threading.Lock()
    running, said, over = {}, [time.monotonic()], threading.Event()

    def tell_what_runs():
        while not over.wait(1):
            with lock:
                if time.monotonic() - said[0] >= QUIET_SECONDS and running:
                    said[0] = time.monotonic()
                    print("...", ", ".join(f"{name} ({said[0] - start:.0f} s)" for name, start in running.items()),
                          flush=True)

    threading.Thread(target=tell_what_runs, daemon=True).start()

    def run_and_print(case):
        start = time.monotonic()
        with lock:
            running[case.name] = start
        verdict, text = run_case(case)
        taken = time.monotonic() - start
        first, *rest = text.splitlines() or [""]
        with lock:
            del running[case.name]
            said[0] = time.monotonic()
            count[verdict] += 1
            seconds[case.name] = taken
            print(f"{verdict} {case.name} ({taken:.1f} s) {first}".rstrip(), *(f"     {line}" for line in rest),
                  sep="\n", flush=True)

    for name in arguments.failed:
        count["FAIL"] += 1
        print(f"FAIL {name} see above")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        try:
            list(pool.map(run_and_print, selected))
        except KeyboardInterrupt:
            end_family(os.getpid(), {os.getpid()})
            os._exit(130)
    over.set()
    print_dearest(seconds)
    print(f"{count['ok']} passed, {count['FAIL']} failed, {count['skip']} skipped")
    return 1 if count["FAIL"] or not (selected or arguments.touched) else 0


if __name__ == "__main__":
    sys.exit(main())
