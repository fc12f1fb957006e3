#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws a trace of the core as an SVG timeline: a lane for each CPU with what ran, the events and the stops.

usage: timeline.py [-o FILE] [--from TICK] [--to TICK] [--perfetto] TRACE
TRACE is the output of `xmhfctl trace --chrome`, or a serial log of a machine that ran with trace=on: the lines that
begin with "xmhf: trace". Ticks count from the first event. A stop is a band over all lanes, for all CPUs stop. A
pointer over a box shows what the event was about.
"""
import argparse
import html
import json
import pathlib
import re
import sys

LEVELS = ["L0", "L1", "L2", "PAL"]
COLOURS = {"L0": "#888888", "L1": "#9ecae1", "L2": "#a1d99b", "PAL": "#fdd0a2", "event": "#54278f", "stop": "#de2d26"}
LINE = re.compile(r"^xmhf: trace ((?:\w+ ){14}\w+(?: \w+ \w+ \w+)?)\r?$", re.M)
VERDICTS = ("pass", "handled", "deny", "retry", "kill")
EVENTS = ("init cpu-init hypercall cpuid ept-violation partition-exit port-io msr mtrr exit-102 exit-201 exit-202 "
          "ept02-root ept02-flush interrupt nmi interrupt-window shutdown reset init-signal triple-fault sleep "
          "nmi-window work dma-fault").split()
# What the number, the access, the address and the value of an entry are; None: it has none. As in xmhfctl.c.
SUBJECTS = {
    "hypercall": ("number", None, None, None), "cpuid": ("leaf", None, None, "subleaf"),
    "ept-violation": (None, "access", "address", "linear"),
    "partition-exit": ("reason", "vector", "address", "error-code"), "port-io": ("port", "access", "linear", "value"),
    "msr": ("msr", "access", None, "value"), "mtrr": ("msr", None, None, "value"),
    "exit-102": ("reason", None, None, None), "exit-201": ("reason", None, None, "qualification"),
    "exit-202": ("reason", None, None, "qualification"), "ept02-root": (None, None, "eptp12", "eptp12-before"),
    "ept02-flush": ("cause", None, "eptp12", None), "interrupt": ("vector", None, None, None),
    "sleep": ("type", None, None, None), "work": (None, None, None, "bits"),
    "dma-fault": ("reason", "access", "address", "device"),
}
WIDTH, LEFT, LANE, TOP = 1400, 70, 40, 60


def access_words(event, access):
    """The member `access` of hypapi/control.h, in words."""
    if event == "ept-violation":
        return "+".join(word for i, word in enumerate(("read", "write", "execute")) if access >> i & 1)
    if event == "port-io":
        return f"{'in' if access & 0x80 else 'out'}-{access & 7}{'-string' if access & 0x40 else ''}"
    return f"{'write' if access & 1 else 'read'}{'-list' if access & 2 else ''}"


def subject(event, *members):
    """{name: text} of what an event was about: number, access, address and value, as far as it has them."""
    names = SUBJECTS.get(event, (None,) * 4)
    return {name: access_words(event, member) if name == "access" else hex(member)
            for name, member in zip(names, members) if name}


def entries_of_log(text):
    """A dict for each delivery in the core's own lines, in their order."""
    hypapps = re.findall(r"^xmhf: hypapp (\w+), priority", text, re.M)
    for line in LINE.findall(text):
        (cpu, serial, start, ticks, kind, level, hypapp, verdict, number, after, stopped, stops, epoch, stop_start,
         stop_ticks, *more) = (int(word, 0) for word in line.split())
        event = EVENTS[kind] if kind < len(EVENTS) else f"event-{kind}"
        access, address, value = more or (0, 0, 0)    # cores before 1.3 do not tell
        yield dict(cpu=cpu, serial=serial, start=start, ticks=ticks, event=event, level=LEVELS[level],
                   hypapp=hypapps[hypapp] if hypapp < len(hypapps) else str(hypapp), verdict=VERDICTS[verdict],
                   number=number, next=LEVELS[after], stopped=stopped, stops=stops, epoch=epoch, stop_start=stop_start,
                   stop_ticks=stop_ticks, subject=subject(event, number, access, address, value) if more else {})


RING = re.compile(r"^xmhf: trace ring of CPU (\d+) at (0x\w+)\r?$", re.M)
ENTRY_WORDS = 10


def newest_of_memory(text, read):
    """The newest line of each CPU's ring, as the core would write it. text: a log that says where the rings are;
    read: a function that reads 8-byte words of physical memory, read(address, count)."""
    for cpu, address in RING.findall(text):
        serial = read(int(address, 0), 1)[0]
        # struct trace of report/trace.h: the newest serial number, an entry, the ring of 512.
        place = int(address, 0) + 8 + 8 * ENTRY_WORDS * (1 + (serial - 1) % 512)
        words = read(place, ENTRY_WORDS) if serial else []
        if words:
            number, (kind, level, hypapp, verdict) = words[6] & 0xffffffff, words[6].to_bytes(8, "little")[4:]
            stops, stopped, after, access = words[7].to_bytes(8, "little")[:4]
            yield (f"xmhf: trace {cpu} {words[0]} {words[1]} {words[2]} {kind} {level} {hypapp} {verdict} {number:#x} "
                   f"{after} {stopped} {stops} {words[3]} {words[4]} {words[5]} {access} {words[8]:#x} {words[9]:#x}")


def slices_of_json(text):
    """[(cpu, kind, name, start, ticks, arguments)], ticks as whole numbers."""
    found = [e for e in json.loads(text)["traceEvents"] if e["ph"] == "X"]
    return [(e["tid"], e["name"] if e["cat"] == "guest" else e["cat"], e["name"], round(e["ts"] * 1000),
             round(e["dur"] * 1000), e.get("args", {})) for e in found]


def slices_of_log(text):
    """The same from the core's own lines."""
    slices, last = [], {}
    for e in entries_of_log(text):
        cpu = e["cpu"]
        serial, end, ran = last.get(cpu, (0, 0, None))
        if serial and serial + 1 == e["serial"] and e["start"] > end:
            slices.append((cpu, ran, ran, end, e["start"] - end, {}))
        told = {"hypapp": e["hypapp"], "level": e["level"], "verdict": e["verdict"], "stops": e["stops"],
                "stopped-before": e["stopped"], "next": e["next"], **e["subject"]}
        slices.append((cpu, "event", f"{e['event']} {e['number']:#x}", e["start"], e["ticks"], told))
        if e["stops"]:
            slices.append((cpu, "stop", "stop", e["stop_start"], e["stop_ticks"], {"epoch": e["epoch"]}))
        last[cpu] = (e["serial"], e["start"] + e["ticks"], e["next"])
    return slices


def read(text):
    start = text.find('{"traceEvents"')
    if start >= 0 and not LINE.search(text):
        return slices_of_json(text[start:text.index("\n]}", start) + 3])
    return slices_of_log(text)


def box(x, y, width, height, colour, title, opacity=1.0):
    return (f'<rect x="{x:.2f}" y="{y}" width="{max(width, 0.5):.2f}" height="{height}" fill="{colour}" '
            f'fill-opacity="{opacity}"><title>{html.escape(title)}</title></rect>')


def draw(slices, first, last):
    """An SVG of the slices that touch the ticks from `first` to `last`."""
    base = min(s[3] for s in slices)
    slices = [(cpu, kind, name, start - base, *more) for cpu, kind, name, start, *more in slices]
    last = max(s[3] + s[4] for s in slices) if last is None else last
    if last <= first:
        sys.exit("timeline: --to must come after --from")
    slices = [s for s in slices if s[3] <= last and s[3] + s[4] >= first]
    cpus = sorted({s[0] for s in slices})
    scale = (WIDTH - LEFT - 10) / (last - first)
    height = TOP + LANE * len(cpus) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
           f'font-size="12">', f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>']
    for i, (name, colour) in enumerate((n, c) for n, c in COLOURS.items() if n != "L0"):
        x = LEFT + 90 * i
        out.append(box(x, 12, 14, 14, colour, name) + f'<text x="{x + 20}" y="24">{name}</text>')
    for i, cpu in enumerate(cpus):
        out.append(f'<text x="8" y="{TOP + LANE * i + 20}">CPU {cpu}</text>')
    order = ("event", "stop")    # over what ran, and stops over all
    for cpu, kind, name, start, ticks, told in sorted(slices, key=lambda s: (s[1] in order, s[1] == order[1])):
        x = LEFT + (max(start, first) - first) * scale
        width = (min(start + ticks, last) - max(start, first)) * scale
        title = f"CPU {cpu}: {name}, at {start}, {ticks} ticks"
        title += "".join(f"\n{key}: {value}" for key, value in told.items())
        if kind == "stop":
            out.append(box(x, TOP - 10, width, LANE * len(cpus) + 10, COLOURS[kind], title, 0.35))
        else:
            out.append(box(x, TOP + LANE * cpus.index(cpu) + (0 if kind == "event" else 6), width,
                           LANE - (10 if kind == "event" else 22), COLOURS[kind], title))
    for i in range(6):
        tick = first + (last - first) * i // 5
        out.append(f'<text x="{LEFT + (tick - first) * scale:.0f}" y="{height - 8}" '
                   f'text-anchor="{"start" if i == 0 else "end" if i == 5 else "middle"}">{tick:,}</text>')
    out.append(f'<text x="{LEFT}" y="{TOP - 16}" fill="#555555">ticks of the TSC since the first event</text>')
    return "\n".join(out + ["</svg>\n"])


def perfetto(slices):
    """The format of `xmhfctl trace --chrome`: 1,000 ticks are a microsecond there."""
    names = [{"ph": "M", "pid": 0, "name": "process_name", "args": {"name": "XMHF"}}]
    names += [{"ph": "M", "pid": 0, "tid": cpu, "name": "thread_name", "args": {"name": f"CPU {cpu}"}}
              for cpu in sorted({s[0] for s in slices})]
    return json.dumps({"traceEvents": names + [
        {"ph": "X", "pid": 0, "tid": cpu, "name": name, "cat": kind if kind in ("event", "stop") else "guest",
         "ts": start / 1000, "dur": ticks / 1000, "args": told}
        for cpu, kind, name, start, ticks, told in slices]}, indent=0) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trace", type=pathlib.Path)
    parser.add_argument("-o", "--output", type=pathlib.Path, help="default: standard output")
    parser.add_argument("--perfetto", action="store_true", help="write JSON for Perfetto instead of a picture")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--to", dest="last", type=int)
    args = parser.parse_args()
    slices = read(args.trace.read_text(errors="replace"))
    if not slices:
        sys.exit("timeline: there are no events; did the machine run with trace=on?")
    made = perfetto(slices) if args.perfetto else draw(slices, args.first, args.last)
    if args.output:
        args.output.write_text(made)
    else:
        sys.stdout.write(made)


if __name__ == "__main__":
    main()
