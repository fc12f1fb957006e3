#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a hard disk image that boots Linux through the BIOS, as an installed system does: GRUB's boot sector and core
in front of one FAT partition, which holds the kernel and the initrd, and with --multiboot a hypervisor that starts
them. No mounts and no loop devices. Called by boot.mk.
"""
import argparse
import os
import pathlib
import struct
import subprocess
import tempfile

GRUB_DIR = pathlib.Path("/usr/lib/grub/i386-pc")
GRUB_MODULES = ["biosdisk", "part_msdos", "fat", "linux", "multiboot", "boot"]
SECTOR = 512
PARTITION_SECTOR = 2048
PARTITION_MIB = 24              # or what the files need
BOOT_CODE_BYTES = 440           # of the first sector; behind it the disk's signature and the partition table
FAT16_LBA = 0x0e


def partition_entry(start, count, kind=FAT16_LBA):
    """Active; the cylinder, head and sector fields say "use the LBA"."""
    beyond = b"\xfe\xff\xff"
    return struct.pack("<B3sB3sII", 0x80, beyond, kind, beyond, start, count)


def grub_core(o, work):
    config = work / "grub.cfg"
    words, below_words = (" ".join(f"'{word}'" for word in text.split()) for text in (o.append, o.multiboot_append))
    root = "(hd0,msdos1)"
    if o.multiboot:
        initrd = f"module {root}/initrd\n" if o.initrd else ""
        text = f"multiboot {root}/below {below_words}\nmodule {root}/kernel {words}\n" + initrd
    else:
        text = f"linux {root}/kernel {words}\n" + (f"initrd {root}/initrd\n" if o.initrd else "")
    config.write_text(text + "boot\n")
    subprocess.run(["grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/", "-c", str(config), "-o", str(work / "core"),
                    *GRUB_MODULES], check=True)
    core = (work / "core").read_bytes()
    if len(core) > (PARTITION_SECTOR - 1) * SECTOR:
        raise SystemExit("mkdisk: GRUB's core does not fit in front of the partition")
    return core


def make(o, work):
    files = sum(os.path.getsize(source) for source in (o.kernel, o.initrd, o.multiboot) if source)
    sectors = max(PARTITION_MIB, 4 + (files >> 20)) << 20 >> 9
    disk = work / "disk"
    with open(disk, "wb") as file:
        # As they come, boot.img loads the core from sector 1 on and the core finds its own rest behind that.
        file.write((GRUB_DIR / "boot.img").read_bytes()[:BOOT_CODE_BYTES])
        file.write(bytes(6) + partition_entry(PARTITION_SECTOR, sectors) + bytes(48) + b"\x55\xaa")
        file.write(grub_core(o, work))
        file.truncate((PARTITION_SECTOR + sectors) * SECTOR)
    partition = f"{disk}@@{PARTITION_SECTOR * SECTOR}"
    subprocess.run(["mformat", "-i", partition, "-T", str(sectors), "-h", "16", "-s", "63", "-H", str(PARTITION_SECTOR),
                    "-N", "12345678", "::"], check=True)
    for source, target in ((o.kernel, "kernel"), (o.initrd, "initrd"), (o.multiboot, "below")):
        if source:
            subprocess.run(["mcopy", "-i", partition, source, f"::{target}"], check=True)
    os.replace(disk, o.output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", required=True, metavar="FILE")
    parser.add_argument("--kernel", required=True, metavar="FILE", help="bzImage")
    parser.add_argument("--initrd", metavar="FILE")
    parser.add_argument("--append", default="", metavar="STR", help="the kernel's command line")
    parser.add_argument("--multiboot", metavar="FILE", help="ELF image of the hypervisor that starts the kernel")
    parser.add_argument("--multiboot-append", default="", metavar="STR", help="its command line")
    o = parser.parse_args()
    output = pathlib.Path(o.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=output.name + ".") as name:
        make(o, pathlib.Path(name))


if __name__ == "__main__":
    main()
