#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a bootable ISO: XMHF with its modules, or a kernel in bzImage format on the bare machine.

The loader (GRUB or ISOLINUX) gets one entry and no menu. The image is a hybrid: it boots as a CD-ROM and, written to
a USB stick, as a disk. The same inputs give the same bytes. Called by tools/images.mk and tests/run/check.py.

  loader    with --xmhf                            without
  grub      multiboot2 + module2                   linux + initrd (enters at the 32-bit entry point)
  syslinux  mboot.c32 (multiboot 1)                LINUX + INITRD (needs a real-mode part, so no test guests)

GRUB spends about 14 instructions on a byte that it loads and ISOLINUX 1 to 2, which is noticeable in Bochs.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

GRUB_DIR = pathlib.Path("/usr/lib/grub/i386-pc")
GRUB_MODULES = ["biosdisk", "iso9660", "part_msdos", "multiboot", "multiboot2", "linux", "boot"]
ISOLINUX_DIR = pathlib.Path("/usr/lib/ISOLINUX")
SYSLINUX_DIR = pathlib.Path("/usr/lib/syslinux/modules/bios")
SYSLINUX_MODULES = ["ldlinux.c32", "mboot.c32", "libcom32.c32"]


def fail(text):
    sys.exit(f"mkiso: {text}")


def grub_words(text):
    """Each word quoted for GRUB's command parser, which would expand $ and break at ; or {."""
    if "'" in text:
        fail("GRUB command lines cannot carry a single quote")
    return " ".join(f"'{word}'" for word in text.split())


def grub_config(o):
    lines = []
    if o.xmhf:
        command = "multiboot" if o.multiboot1 else "multiboot2"
        module = "module" if o.multiboot1 else "module2"
        lines.append(f"{command} /xmhf.elf {grub_words(o.xmhf_args)}")
        if o.kernel_file:
            lines.append(f"{module} /kernel {grub_words(o.append)}")
        if o.initrd:
            lines.append(f"{module} /initrd")
    else:
        lines.append(f"linux /kernel {grub_words(o.append)}")
        if o.initrd:
            lines.append("initrd /initrd")
    return "\n".join(lines + ["boot"]) + "\n"


def syslinux_config(o):
    lines = ["DEFAULT run", "PROMPT 0", "LABEL run"]
    if o.xmhf:
        parts = [f"/xmhf.elf {o.xmhf_args}"]
        if o.kernel_file:
            parts.append(f"/kernel {o.append}")
        if o.initrd:
            parts.append("/initrd")
        lines += ["COM32 mboot.c32", "APPEND " + " --- ".join(part.strip() for part in parts)]
    else:
        lines += ["LINUX /kernel", f"APPEND {o.append}"]
        if o.initrd:
            lines.append("INITRD /initrd")
    return "\n".join(lines) + "\n"


def add_grub(tree, o):
    """GRUB's core with everything built in and the commands as its embedded configuration: it reads no other file."""
    (tree / "boot").mkdir()
    config = tree / "boot" / "grub.cfg"
    config.write_text(grub_config(o))
    subprocess.run(["grub-mkimage", "-O", "i386-pc-eltorito", "-p", "/boot", "-c", str(config),
                    "-o", str(tree / "boot" / "loader.img"), *GRUB_MODULES], check=True)
    return ["--grub2-mbr", str(GRUB_DIR / "boot_hybrid.img"), "-b", "boot/loader.img", "--grub2-boot-info"]


def add_syslinux(tree, o):
    shutil.copy(ISOLINUX_DIR / "isolinux.bin", tree)
    for name in SYSLINUX_MODULES:
        shutil.copy(SYSLINUX_DIR / name, tree)
    (tree / "isolinux.cfg").write_text(syslinux_config(o))
    return ["-isohybrid-mbr", str(ISOLINUX_DIR / "isohdpfx.bin"), "-b", "isolinux.bin"]


def make(o):
    output = pathlib.Path(o.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=output.name + ".") as name:
        tree = pathlib.Path(name) / "tree"
        tree.mkdir()
        for source, target in ((o.xmhf, "xmhf.elf"), (o.kernel_file, "kernel"), (o.initrd, "initrd")):
            if source:
                shutil.copy(source, tree / target)
        boot = (add_grub if o.loader == "grub" else add_syslinux)(tree, o)
        part = pathlib.Path(name) / "iso"
        done = subprocess.run(
            ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "XMHF", "-o", str(part), *boot, "-c", "boot.cat",
             "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", str(tree)],
            env=dict(os.environ, SOURCE_DATE_EPOCH="1700000000"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            fail("xorriso failed:\n" + done.stdout.decode(errors="replace"))
        part.replace(output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="ISO")
    add("--loader", choices=("grub", "syslinux"), default="grub")
    add("--kernel-file", metavar="FILE", help="guest in Linux bzImage format")
    add("--append", default="", metavar="STR", help="its command line")
    add("--initrd", metavar="FILE")
    add("--xmhf", metavar="FILE", help="the hypervisor; without it the kernel boots on the bare machine")
    add("--xmhf-args", default="", metavar="STR", help="its command line")
    add("--multiboot1", action="store_true", help="GRUB: multiboot 1 in place of 2")
    o = parser.parse_args()
    if not o.xmhf and not o.kernel_file:
        parser.error("give --xmhf, --kernel-file or both")
    if o.initrd and not o.kernel_file:
        parser.error("--initrd needs --kernel-file")
    for text in (o.append, o.xmhf_args):
        if "\n" in text or "---" in text.split():
            fail("a command line must be one line and cannot have the word ---")
    make(o)


if __name__ == "__main__":
    main()
