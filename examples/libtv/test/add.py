# SPDX-License-Identifier: GPL-2.0-or-later
"""A PAL in Python, with an installed libtv. usage: add.py LIBRARY

On a machine without TrustVisor: the answers that libtv gives there.
"""
import ctypes
import sys

import tv

lib = tv.library(sys.argv[1])
sizes = [ctypes.sizeof(kind) for kind in (tv.Sections, tv.Params, tv.Entry, tv.Status, tv.Options)]
if sizes != [168, 168, 176, 40, 40]:
    sys.exit(f"Python: the structs have sizes {sizes}")
pal = tv.Pal(bytes.fromhex("488d043ec3"), b"", [tv.INTEGER, tv.INTEGER])
try:
    pal.register(owner_tag=b"of this test".ljust(32))
    inside = pal.memory[0]
    total = pal.call(40, 2)
    print(f"Python: register: success, code reads as {inside:#x}, {total}")
    pal.unregister()
    sys.exit(0 if (inside, total) == (0xcc, 42) else 1)
except tv.Error as error:
    print("Python: register:", error)
    sys.exit(0 if tv.level() == 0 and error.result == 24 and pal.status() is None else 1)
