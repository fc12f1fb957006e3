#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a hard disk image with an EFI system partition, which UEFI firmware boots: the files that are named, each as
FILE=PATH on the partition, and texts. No mounts and no loop devices. Called by boot.mk.
"""
import argparse
import os
import pathlib
import subprocess
import tempfile

from mkdisk import PARTITION_SECTOR, SECTOR, partition_entry

EFI_SYSTEM = 0xef


def tool(*command, **more):
    subprocess.run(command, check=True, **more)


def make(o, work):
    sectors = o.mib << 20 >> 9
    disk = work / "disk"
    with open(disk, "wb") as file:
        file.write(bytes(446) + partition_entry(PARTITION_SECTOR, sectors, EFI_SYSTEM) + bytes(48) + b"\x55\xaa")
        file.truncate((PARTITION_SECTOR + sectors) * SECTOR)
    partition = f"{disk}@@{PARTITION_SECTOR * SECTOR}"
    tool("mformat", "-i", partition, "-T", str(sectors), "-h", "16", "-s", "63", "-H", str(PARTITION_SECTOR),
         "-N", "12345678", "::")
    folders = {str(folder) for item in o.file + o.text for folder in pathlib.PurePath(item.split("=")[-1]).parents}
    for folder in sorted(folders - {"."}):
        tool("mmd", "-i", partition, f"::{folder}")
    for item in o.file:
        source, target = item.split("=")
        tool("mcopy", "-i", partition, source, f"::{target}")
    for item in o.text:
        text, target = item.rsplit("=", 1)
        (work / "text").write_text(text.replace("\\n", "\n") + "\n")
        tool("mcopy", "-i", partition, str(work / "text"), f"::{target}")
    os.replace(disk, o.output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", required=True, metavar="FILE")
    parser.add_argument("--mib", type=int, default=48, help="size of the partition")
    parser.add_argument("--file", action="append", default=[], metavar="FILE=PATH")
    parser.add_argument("--text", action="append", default=[], metavar="TEXT=PATH", help=r"a text; \n ends a line")
    o = parser.parse_args()
    output = pathlib.Path(o.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=output.name + ".") as name:
        make(o, pathlib.Path(name))


if __name__ == "__main__":
    main()
