#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one machine in Bochs or QEMU until it ends, and judges its serial log.

Used as a module (`run(image, ...) -> Result`) by check.py and the benchmarks, and as a command by people and make.
Each run owns a directory under build/run/ and one child process; nothing else is touched or killed, so several runs
can go on at the same time. A guest ends the machine by writing the string "Shutdown" to port 0x8900, or by ACPI S5.
"""
import argparse
import ctypes
import dataclasses
import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN_DIR = ROOT / "build" / "run"
POLL_SECONDS = 0.05
GRACE_SECONDS = 0.5
DEBUGGER_SECONDS, ASK_AGAIN_SECONDS = 300, 5
SECONDS_ASLEEP = 8    # of the host's clock for each second of a CPU that a process may take
HEADS, SECTORS, SECTOR_BYTES = 16, 63, 512
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

BIOS = "/usr/share/bochs/BIOS-bochs-latest"
OVMF = "/usr/share/ovmf/OVMF.fd"    # the build of 2 MiB, which Bochs can map
MSRS = pathlib.Path(__file__).with_name("bochs.msrs")

BOCHSRC = """\
cpu: model={model}, count={cpus}:1:1, ips={ips}, quantum=16, reset_on_triple_fault={reset}
cpu: ignore_bad_msrs=0, msrs="{msrs}"
memory: guest={megs}, host={megs}
romimage: file={firmware}
vgaromimage: file=/usr/share/vgabios/vgabios.bin
display_library: term
clock: sync=none, time0=1700000000, rtc_sync=0
com1: enabled=1, mode=file, dev="{dir}/serial.log"
boot: {boot}
log: "{dir}/bochs.log"
logprefix: %t%e%d
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
"""


@dataclasses.dataclass
class Result:
    """What a run gave. `ok` is the verdict, `reason` its one-line explanation.

    ended: "shutdown" (port 0x8900), "poweroff" (ACPI S5), "panic" (Bochs gave up), "exit" (other end of the emulator),
    "until", "fail" (a fail pattern was seen) or "timeout".
    ticks: Bochs' instruction clock when the machine ended by itself, else None.
    """
    ok: bool
    reason: str
    ended: str
    serial_text: str
    emulator_log: str
    seconds: float
    ticks: int | None
    dir: pathlib.Path

    def report(self, lines=25):
        """The explanation with what the guest called failed and the tails of both logs, for a failed run."""
        failed = [line for line in self.serial_text.splitlines() if "FAILED" in line][:lines]
        tail = "\n".join(self.serial_text.splitlines()[-lines:])
        log = "\n".join(self.emulator_log.splitlines()[-lines:])
        named = "".join(f"\n{line}" for line in failed)
        return (f"{self.reason}{named}\n--- serial (last lines; all: {self.dir}/serial.log)\n{tail}\n"
                f"--- emulator log (last lines; all: {self.dir}/bochs.log)\n{log}\n---")


def qemu_refusal():
    """Why QEMU cannot run a VMX hypervisor on this host: one line, or None if it can."""
    if not shutil.which("qemu-system-x86_64"):
        return "qemu-system-x86_64 is not installed"
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    if not re.search(r"^flags\s*:.*\bvmx\b", cpuinfo, re.M):
        return "this host's CPU offers no VMX (no vmx flag in /proc/cpuinfo)"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm is missing or not accessible"
    nested = pathlib.Path("/sys/module/kvm_intel/parameters/nested")
    if not nested.exists() or nested.read_text().strip() not in ("Y", "1"):
        return "nested VMX is off (load kvm_intel with nested=1)"
    return None


def choose_emulator(wish):
    """Resolves "auto"; raises ValueError with the reason if QEMU was asked for and cannot work."""
    if wish == "bochs":
        return wish
    refusal = qemu_refusal()
    if refusal is None:
        return "qemu"
    if wish == "qemu":
        raise ValueError(f"EMULATOR=qemu cannot be used: {refusal}; use EMULATOR=bochs")
    return "bochs"


def family(pid):
    """A process and its descendants: {pid: the ticks of a CPU that it and its ended children have had}."""
    parents, ticks = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue    # it has ended just now
        process = int(stat.parent.name)
        parents[process], ticks[process] = int(words[1]), sum(int(word) for word in words[11:15])
    members, found = set(), {pid}
    while found:
        members |= found
        found = {process for process, parent in parents.items() if parent in found} - members
    return {process: ticks[process] for process in members if process in ticks}


class Patience:
    """When a process has had its time: on a busy host that is not what a clock says. So what counts is its CPU time; of
    one that sleeps, or that nobody lets run, the host's clock with room. Never sooner than the host's clock says."""

    def __init__(self, seconds):
        self.seconds, self.start, self.look = seconds, time.monotonic(), seconds

    def is_over(self, pid):
        host = time.monotonic() - self.start
        if host < self.look:
            return False
        self.look = host + 1    # all of /proc is read
        used = sum(family(pid).values()) / os.sysconf("SC_CLK_TCK")
        return used >= self.seconds or host >= SECONDS_ASLEEP * self.seconds


def copy_disk(source, target):
    """A private copy, padded to whole cylinders; so a killed run leaves no lock and no half-written image behind."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], check=True)
    cylinder = HEADS * SECTORS * SECTOR_BYTES
    cylinders = -(-target.stat().st_size // cylinder)
    os.truncate(target, cylinders * cylinder)
    return cylinders


def bochs_command(image, disk, work, o):
    if not MSRS.exists():
        raise ValueError(f"{MSRS} is missing: without the MSRs of a usual CPU in it no Linux boots")
    text = BOCHSRC.format(dir=work, msrs=MSRS, boot=o["boot"], cpus=o["cpus"], megs=o["megs"], model=o["model"],
                          ips=o["ips"], firmware=o["firmware"], reset=int(o["triple_fault"] == "reset"))
    if image:
        text += f'ata0-slave: type=cdrom, path="{os.path.abspath(image)}", status=inserted\n'
    if disk:
        cylinders = copy_disk(disk, work / "disk.img")
        text += (f'ata0-master: type=disk, path="{work}/disk.img", mode=flat, cylinders={cylinders}, heads={HEADS}, '
                 f'spt={SECTORS}, translation=auto\n')
    text += "".join(line + "\n" for line in o["options"])
    (work / "bochsrc").write_text(text)
    (work / "debugger.rc").write_text("c\n")    # Debian's Bochs has the debugger built in and would wait at its prompt
    return ["bochs", "-q", "-f", str(work / "bochsrc"), "-rc", str(work / "debugger.rc")]


def qemu_command(image, disk, work, o):
    command = ["qemu-system-x86_64", "-enable-kvm", "-cpu", "host", "-smp", str(o["cpus"]), "-m", str(o["megs"]),
               "-display", "none", "-monitor", "none", "-nic", "none", "-serial", f"file:{work}/serial.log",
               "-boot", "d" if o["boot"] == "cdrom" else "c",
               # One byte written to port 0x8900 ends QEMU, as the whole string ends Bochs.
               "-device", "isa-debug-exit,iobase=0x8900,iosize=1"]
    if image:
        command += ["-cdrom", os.path.abspath(image)]
    if disk:
        copy_disk(disk, work / "disk.img")
        command += ["-drive", f"file={work}/disk.img,format=raw,index=0,media=disk"]
    return command


class Child:
    """One emulator process under a private pseudo-terminal, which the `term` display needs and nobody reads."""

    def __init__(self, command, work):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
        env = dict(os.environ, TERM="vt100", LC_ALL="C")
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, cwd=work, env=env, start_new_session=True,
            # If this script is killed, the emulator must not stay behind.
            preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        os.close(slave)
        self.master = master
        self.screen, self.stopped = b"", False
        self.drain = threading.Thread(target=self._drain, daemon=True)
        self.drain.start()
        threading.Thread(target=self._drain_display, daemon=True).start()

    def _drain(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            self.screen = (self.screen + data)[-20000:]

    def _drain_display(self):
        """Bochs' `term` draws the screen on a pseudo-terminal that it makes itself, and stands still once that is full.
        """
        while self.running():
            for info in pathlib.Path(f"/proc/{self.process.pid}/fdinfo").glob("*"):
                try:
                    index = re.search(r"^tty-index:\s*(\d+)$", info.read_text(), re.M)
                    if index:
                        self._read_away(f"/dev/pts/{index.group(1)}")
                        return
                except OSError:
                    pass    # it has ended, or closes a file just now
            time.sleep(POLL_SECONDS)

    def _read_away(self, path):
        terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            tty.setraw(terminal)    # or what is drawn would come back as keys
            while self.running():
                if select.select([terminal], [], [], 1)[0] and not os.read(terminal, 65536):
                    return
        except OSError:
            pass    # the emulator has closed its side
        finally:
            os.close(terminal)

    def running(self):
        return self.process.poll() is None

    def read_memory(self, address, count):
        """So many 8-byte words of physical memory, by Bochs' debugger. Stops the machine. OSError: no answer."""
        row = re.compile(rb"0x([0-9a-f]+) <bogus\+ +\d+>:((?:[ \t]+0x[0-9a-f]+)+)\r?\n")
        addresses = [address + 8 * i for i in range(count)]
        self.screen, start, asked, found = b"", time.monotonic(), 0, {}
        while time.monotonic() < start + DEBUGGER_SECONDS and self.running():
            if time.monotonic() >= start + asked * ASK_AGAIN_SECONDS:    # a busy host may lose what came early
                if not self.stopped:
                    os.kill(self.process.pid, signal.SIGINT)
                os.write(self.master, f"xp /{count}gx {address:#x}\n".encode())
                asked += 1
            for place, words in row.findall(self.screen):
                found.update((int(place, 16) + 8 * i, int(word, 16)) for i, word in enumerate(words.split()))
            if found.keys() >= set(addresses):
                self.stopped = True
                return [found[place] for place in addresses]
            time.sleep(POLL_SECONDS)
        raise OSError("Bochs' debugger does not answer")

    def stop(self):
        self.process.kill()     # at once: Bochs only notes a SIGTERM, and all its files are private to the run
        self.process.wait()
        self.drain.join(3)
        os.close(self.master)


def print_now(text):
    sys.stdout.write(text)
    sys.stdout.flush()


class SerialTail:
    """Follows the serial log; `show` gets what is new. A carriage return carries no information here and is dropped."""

    def __init__(self, path, show):
        self.path, self.show, self.offset, self.text = path, show, 0, ""

    def update(self):
        """Reads what is new; returns whether there was anything."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return False
        self.offset += len(data)
        new = data.decode("latin-1").replace("\r", "")
        self.text += new
        if self.show and new:
            self.show(new)
        return bool(data)


def watch(child, tail, until, fail, timeout):
    """Waits for the first of: end of the emulator, a fail pattern, the until pattern, the timeout."""
    patience = Patience(timeout)
    while True:
        alive = child.running()     # asked before the last read, so that nothing written at the end is missed
        if tail.update():
            if any(re.search(pattern, tail.text, re.M) for pattern in fail):
                time.sleep(GRACE_SECONDS)   # the lines after a panic message say why
                return "fail"
            if until and re.search(until, tail.text, re.M):
                return "until"
        if not alive:
            return "exit"
        if patience.is_over(child.process.pid):
            return "timeout"
        time.sleep(POLL_SECONDS)


def classify_end(log):
    """How Bochs ended by itself, and at which tick, from its log."""
    ends = (("shutdown", "shutdown requested"), ("poweroff", "ACPI control: soft power off"))
    for name, mark in ends:
        found = re.search(r"^(\d+)\D.*" + mark, log, re.M)
        if found:
            return name, int(found.group(1))
    panic = re.search(r"^(\d+)p.*$", log, re.M)
    if panic:
        return "panic", int(panic.group(1))
    return "exit", None


def judge(ended, text, log, expect, fail, timeout):
    """The verdict: (ok, reason)."""
    for pattern in fail:
        found = re.search(pattern, text, re.M)
        if found:
            return False, f"saw what must not be there: /{pattern}/: {found.group(0)[:120]!r}"
    missing = [pattern for pattern in expect if not re.search(pattern, text, re.M)]
    lacks = f"; not seen: /{missing[0]}/" + (f" and {len(missing) - 1} more" if missing[1:] else "") if missing else ""
    if ended == "timeout":
        return False, f"timeout after {timeout} s{lacks}"
    if ended == "panic":
        panic = re.search(r"^\d+p.*$", log, re.M).group(0)
        return False, f"the emulator panicked: {panic}{lacks}"
    if missing:
        return False, f"ended ({ended}){lacks}"
    return True, f"ended ({ended})"


def read_log(path, child):
    """The emulator's own log, or the end of what it printed when it never opened one."""
    if path.exists():
        return path.read_text(errors="replace")
    return child.screen.decode("latin-1")


def run(image=None, cpus=1, megs=512, model="corei7_skylake_x", ips=20000000, timeout=120, expect=(), fail=(),
        until=None, disk=None, boot="cdrom", emulator="bochs", firmware=BIOS, triple_fault="stop", options=(),
        show=False, keep=False, serial=None, name="run", at_stop=None):
    """Runs a machine and returns its Result. Raises ValueError if the emulator cannot be used on this host.

    image: ISO file; disk: disk image file (a copy is used); boot: "cdrom" or "disk"; expect, fail: regular expressions
    (multi-line mode) on the serial log; until: one that ends the run; triple_fault: "stop" (Bochs panics) or "reset";
    firmware: ROM image (Bochs); options: further lines for the bochsrc; show: True to print the serial log as it grows,
    or a function that gets each new piece of it; serial: file that receives a copy of the serial log; keep: leave the
    run's directory behind (it is left behind after a failure in any case); at_stop: called at `until` and at the
    timeout with the serial log and a function that reads physical memory, read(address, count) -> 8-byte words.
    """
    emulator = choose_emulator(emulator)
    RUN_DIR.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix=f"{re.sub('[^A-Za-z0-9.-]', '_', name)}-", dir=RUN_DIR))
    settings = dict(cpus=cpus, megs=megs, model=model, ips=ips, boot=boot, triple_fault=triple_fault, options=options,
                    firmware=firmware)
    command = (bochs_command if emulator == "bochs" else qemu_command)(image, disk, work, settings)
    start = time.monotonic()
    child = Child(command, work)
    tail = SerialTail(work / "serial.log", print_now if show is True else show)
    try:
        ended = watch(child, tail, until, fail, timeout)
        if ended in ("timeout", "until") and at_stop and emulator == "bochs":
            at_stop(tail.text, child.read_memory)
    finally:
        child.stop()
    tail.update()
    log = read_log(work / "bochs.log", child)
    ticks = None
    if ended == "exit" and emulator == "bochs":
        ended, ticks = classify_end(log)
    ok, reason = judge(ended, tail.text, log, expect, fail, timeout)
    if serial:
        pathlib.Path(serial).write_text(tail.text)
    if ok and not keep:
        shutil.rmtree(work)
    return Result(ok, reason, ended, tail.text, log, time.monotonic() - start, ticks, work)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--image", metavar="ISO", help="ISO image, the CD-ROM")
    add("--disk", metavar="FILE", help="disk image, the first hard disk; the run works on a copy")
    add("--boot", choices=("cdrom", "disk"), help="default: cdrom if there is an --image")
    add("--cpus", type=int, default=1)
    add("--megs", type=int, default=512)
    add("--model", default="corei7_skylake_x", help="Bochs CPU model")
    add("--ips", type=int, default=20000000, help="Bochs instructions per emulated second")
    add("--timeout", type=float, default=120, metavar="SECONDS")
    add("--serial", metavar="FILE", help="write the serial log there as well")
    add("--expect", action="append", default=[], metavar="REGEX", help="must be in the serial log (repeatable)")
    add("--fail", action="append", default=[], metavar="REGEX", help="must not be there; ends the run (repeatable)")
    add("--until", metavar="REGEX", help="ends the run when seen")
    add("--emulator", choices=("bochs", "qemu", "auto"), default=os.environ.get("EMULATOR") or "bochs")
    add("--firmware", default=BIOS, metavar="FILE", help="ROM image, for Bochs; for UEFI: " + OVMF)
    add("--triple-fault", choices=("stop", "reset"), default="stop")
    add("--option", action="append", default=[], dest="options", metavar="LINE", help="further bochsrc line")
    add("--show", action="store_true", help="print the serial log as it grows")
    add("--keep", action="store_true", help="keep the run's directory under build/run/")
    add("--name", default="run", help="prefix of the run's directory")
    add("--which", action="store_true", help="only print the emulator that would run: bochs or qemu")
    arguments = parser.parse_args()
    if arguments.which:
        print(choose_emulator(arguments.emulator))
        sys.exit(0)
    del arguments.which
    if not arguments.image and not arguments.disk:
        parser.error("give --image or --disk")
    arguments.boot = arguments.boot or ("cdrom" if arguments.image else "disk")
    return arguments


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        result = run(**vars(parse_arguments()))
    except ValueError as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if not result.ok:
        print(f"FAILED: {result.report()}")
        return 1
    ticks = "" if result.ticks is None else f", {result.ticks} ticks"
    print(f"ok: {result.reason}, {result.seconds:.1f} s{ticks}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
