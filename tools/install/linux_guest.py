# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux with the author's program in it, for hypapp-boot: in L1, or in a KVM guest of L1's.

The kernel is Debian's cloud kernel, taken out of its package and not installed, or a bzImage of the author's. The
scripts beside this file fetch and pack; what they fetch stays in a cache, so the next boot needs no network. The first
process runs the program once, prints "JOB name EXIT code" and powers off (examples/linux/init).
"""
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
MODULES = ("irqbypass", "kvm", "kvm-intel")
QEMU_FILES = ("/usr/bin/qemu-system-x86_64-microvm", "/usr/share/qemu/qboot.rom")
PT_INTERP = 3


def default_cache():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "hypapi"


def is_dynamic(program):
    """An ELF program that asks for a loader, which the Linux here does not have."""
    data = program.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return data[:4] == b"\x7fELF"    # 32-bit: no library for those either, so the same advice
    table, size, count = (int.from_bytes(data[at:at + n], "little") for at, n in ((32, 8), (54, 2), (56, 2)))
    return any(int.from_bytes(data[table + i * size:][:4], "little") == PT_INTERP for i in range(count))


def programs(o):
    """The author's, as they start: [(path, level), ...]."""
    return [*([(o.l1_program, 1)] if o.l1_program else []), (o.program, o.level)]


def check(o):
    """One line on what is wrong with the programs, or None."""
    for program, _ in programs(o):
        if not program.is_file():
            return f"{program}: there is no such program"
        if not re.fullmatch(r"[\w.-]+", program.name):
            return f"{program}: a program's name has letters, digits and . _ - only"
        if is_dynamic(program):
            return f"{program} is not a static 64-bit program: link it with -static, for that Linux has no libraries"
    missing = [name for name in QEMU_FILES if o.level == 2 and not os.path.exists(name)]
    return f"{missing[0]} is missing, which --level 2 runs in L1: install qemu-system-x86" if missing else None


def script(name, *arguments):
    """What one of the scripts beside this file prints; ends the program if it fails, for it has said why."""
    done = subprocess.run([HERE / name, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"hypapp-boot: {name} failed")
    return done.stdout


def fetch(o):
    """(kernel, modules): fetched once."""
    if not (o.cache / "busybox").exists() or not (o.kernel or (o.cache / "debian/vmlinuz").exists()):
        print(f"hypapp-boot: fetching from Debian's archive into {o.cache}, once: "
              f"{'' if o.kernel else 'linux-image-cloud-amd64 (about 35 MB), '}busybox-static", flush=True)
    o.cache.mkdir(parents=True, exist_ok=True)
    script("busybox", o.cache)
    if o.kernel:
        return o.kernel, []
    script("debian-kernel", o.cache)
    return o.cache / "debian/vmlinuz", [o.cache / f"debian/modules/{name}.ko" for name in MODULES]


def initramfs(o, output, jobs, modules=(), more=()):
    script("initramfs", "--plain", "-o", output, "--busybox", o.cache / "busybox", "--init", HERE / "init",
           "--bin", HERE / "ticks", *(word for job in jobs for word in ("--job", job)),
           *(word for module in modules for word in ("--module", module)), *more)


def make(o, work):
    """(kernel, initramfs, kernel's command line), with files in the folder `work`."""
    kernel, modules = fetch(o)
    words = (HERE / "cmdline").read_text().split() + (HERE / "cmdline.bochs").read_text().split()
    job, initrd = o.program.name, work / "linux.cpio"
    if o.level == 1:
        initramfs(o, initrd, [o.program], modules)
    else:
        inner, line = work / "l2.cpio", work / "l2.cmdline"
        initramfs(o, inner, [o.program])
        line.write_text(" ".join(words))
        jobs = [HERE / "l2-linux", *([o.l1_program] if o.l1_program else [])]
        initramfs(o, initrd, jobs, modules, script("qemu-files", kernel, inner, line).split())
        words.append(f"l2memory=256 l2job={job}")
        job = jobs[-1].name    # a program of the author's runs l2-linux itself
    return kernel, initrd, " ".join([*words, f"job={job}", o.append])


def exit_code(text, program, level):
    """How a program ended, None if it did not."""
    found = re.search(rf"^{'L2: ' if level == 2 else ''}JOB {re.escape(program.name)} EXIT (\d+)", text, re.M)
    return int(found[1]) if found else None
