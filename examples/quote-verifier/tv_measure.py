#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: tv_measure.py PAL.json

Prints the measurement of a PAL, in hexadecimal (SHA-256). The file says how it is registered:

    { "level": 1, "width": 64, "flags": 0, "owner_tag": "<64 hexadecimal digits, may be left out>",
      "sections": [ { "type": "code", "address": 4194304, "pages": 1, "file": "pal.bin", "offset": 0 }, ... ],
      "entries": [ { "address": 4194304, "params": [ ["integer"], ["pointer", 16] ] } ] }

Types: code, data, param, stack, shared; integer, pointer, buffer. Sizes of parameters are in words. What a file lacks
of a section's pages is zeros. Addresses count only from one another, unless flags say fixed (4). The formats are those
of include/trustvisor/tpm.h; nothing else of TrustVisor is used.
"""
import hashlib
import json
import os
import struct
import sys

SECTIONS = {"code": 1, "data": 2, "param": 3, "stack": 4, "shared": 5}
PARAMS = {"integer": 1, "pointer": 2, "buffer": 3}
CONTENT = {1, 2, 5}
FIXED = 4
PAGE = 4096
MAGIC = 0x314d5654


def measured(level, width, flags, owner_tag, sections, entries):
    """What is hashed. sections: (type, address, pages, content); entries: (address, [(type, size)])."""
    first = entries[0][0]
    base = next(a for t, a, n, _ in sections if a <= first < a + n * PAGE)
    out = struct.pack("<IIIIQ32sII", MAGIC, level, width, flags, base if flags & FIXED else 0, owner_tag,
                      len(sections), len(entries))
    out += b"".join(struct.pack("<IIq", t, n, a - base) for t, a, n, _ in sections).ljust(192, b"\0")
    for address, params in entries:
        out += struct.pack("<qII", address - base, len(params), 0)
        out += b"".join(struct.pack("<IIQ", t, 0, 0 if t == 1 else s) for t, s in params).ljust(176, b"\0")
    return out + b"".join(c.ljust(n * PAGE, b"\0") for t, _, n, c in sections if t in CONTENT)


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        pal = json.load(f)
    folder = os.path.dirname(sys.argv[1])
    sections = []
    for s in pal["sections"]:
        content = b""
        if "file" in s:
            with open(os.path.join(folder, s["file"]), "rb") as f:
                f.seek(s.get("offset", 0))
                content = f.read(s["pages"] * PAGE)
        sections.append((SECTIONS[s["type"]], s["address"], s["pages"], content))
    entries = [(e["address"], [(PARAMS[p[0]], p[1] if len(p) > 1 else 0) for p in e["params"]]) for e in pal["entries"]]
    data = measured(pal["level"], pal["width"], pal.get("flags", 0), bytes.fromhex(pal.get("owner_tag", "00" * 32)),
                    sections, entries)
    print(hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main()
