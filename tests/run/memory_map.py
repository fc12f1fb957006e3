# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges what tests/boot/boot.S saw of the machine's memory, on the bare machine and on XMHF ("M " lines).

Under XMHF the RAM of the map must be that of the bare machine, less root memory and less the block below 640 KiB where
INT 15h is served, byte by byte; every older call must say what follows from the map.
"""
import re

KIB, MIB, BLOCK = 1 << 10, 1 << 20, 64 << 10
RAM = 1
MAX_16BIT_KIB = 0xfc00


def numbers(pattern, text):
    return [tuple(int(number, 16) for number in found.groups()) for found in re.finditer(pattern, text, re.M)]


def memory_map(text, size):
    """[(start, end, type, attributes, next)] as E820h with a buffer of `size` bytes told."""
    rows = numbers(r"^M e820 (\w+): (\w+) (\w+) (\w+) (\w+) (\w+)$", text)
    return [(start, start + length, kind, attributes, follow) for got, start, length, kind, attributes, follow in rows
            if got == size]


def ram(rows):
    """RAM as a sorted list of ranges that do not touch."""
    ranges = []
    for start, end in sorted(row[:2] for row in rows if row[2] == RAM):
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((start, end))
    return ranges


def without(ranges, start, end):
    parts = [part for low, high in ranges for part in ((low, min(high, start)), (max(low, end), high))]
    return [(low, high) for low, high in parts if low < high]


def end_of_ram(ranges, start):
    return next((high for low, high in ranges if low <= start < high), start)


def base_memory(text):
    return numbers(r"^M int12=(\w+)$", text)[0][0] * KIB


def expected_sizes(ranges):
    """What each older call says: AX -> (carry, registers by name). EAX..EDX are zero at the call."""
    above_1m = (end_of_ram(ranges, MIB) - MIB) // KIB
    low, high = min(above_1m, 15 * KIB), (end_of_ram(ranges, 16 * MIB) - 16 * MIB) // BLOCK
    sizes = dict(eax=low, ebx=high, ecx=low, edx=high)
    return {0xe801: (0, sizes), 0xe881: (0, sizes), 0x8800: (0, dict(eax=min(above_1m, MAX_16BIT_KIB))),
            0x8a00: (0, dict(eax=above_1m & 0xffff, edx=above_1m >> 16)),
            0xda88: (0, dict(eax=0xda88, ebx=above_1m & 0xffff, ecx=above_1m >> 16)),
            0xc700: (1, dict(eax=0x8600)), 0xe802: (1, dict(eax=0x8602))}


def sizes_told(text):
    rows = numbers(r"^M int15 (\w+): (\w+) (\w+) (\w+) (\w+) (\w+)$", text)
    return {call: (carry, dict(zip(("eax", "ebx", "ecx", "edx"), registers)))
            for call, carry, *registers in rows}


def wrong_entry(rows, extended):
    """The continuation value ends with 0 and only there; a buffer of 24 bytes gets the attributes, others nothing."""
    for number, row in enumerate(rows, 1):
        if (row[4] == 0) != (number == len(rows)) or row[3] != (1 if extended else 0xeeeeeeee):
            return row
    return None


def hides_root_memory(bare, xmhf):
    """None, or what is wrong."""
    rows = memory_map(xmhf, 20)
    expected = ram(memory_map(bare, 20))
    if not expected or not rows:
        return "no memory map was told"
    if memory_map(xmhf, 24) and [row[:3] for row in memory_map(xmhf, 24)] != [row[:3] for row in rows]:
        return "a buffer of 24 bytes gets another map than one of 20"
    wrong = wrong_entry(rows, False) or wrong_entry(memory_map(xmhf, 24), True)
    if wrong:
        return f"bad entry: {wrong}"
    root = numbers(r"root memory (\w+) to (\w+)", xmhf)[0]
    expected = without(expected, *root)
    if base_memory(xmhf) >= base_memory(bare):
        return "INT 12h is not lowered"
    expected = without(expected, base_memory(xmhf), base_memory(bare))
    if ram(rows) != expected:
        return f"RAM told: {ram(rows)}, expected: {expected}"
    told = sizes_told(xmhf)
    for call, (carry, registers) in expected_sizes(expected).items():
        registers = dict(dict(eax=0, ebx=0, ecx=0, edx=0), **registers)
        if told.get(call) != (carry, registers):
            return f"INT 15h AX={call:04x} told {told.get(call)}, expected {(carry, registers)}"
    return None
