# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges what xmhfctl and the core's trace lines show of a PAL's life: which calls stopped the CPUs, that JSON and log
can be drawn, and that the simulator replays it."""
import json
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
REGISTER, RETRY = "hypercall 0x1", "retry"


def json_of(text):
    return re.search(r'^\{"traceEvents".*?^\]\}', text, re.M | re.S).group().replace("\r", "")


def timeline(text, *options):
    """What the tool makes of a file with this text: an SVG, or JSON with --perfetto."""
    with tempfile.NamedTemporaryFile("w", suffix=".trace") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([ROOT / "tools/timeline.py", *options, file.name], check=True, capture_output=True,
                              text=True)
    return done.stdout


def tells_alike(told, logged):
    """What xmhfctl and the log tell differently of the same deliveries, and what neither tells: a list."""
    logged = {(e["tid"], round(e["ts"] * 1000)): e for e in logged if e.get("cat") == "event"}
    both = [(e, logged[at]) for e in told if (at := (e["tid"], round(e["ts"] * 1000))) in logged]
    wrong = [f"the log tells of {e['name']} {l['name']} {l['args']}, not {e['args']}" for e, l in both
             if e["args"] != l["args"] or e["name"] != l["name"]][:3]
    violations = [e["args"] for e, _ in both if e["name"].startswith("ept-violation")]
    if not [v for v in violations if v.get("access") == "write" and int(v["address"], 0) and int(v["linear"], 0)]:
        wrong.append(f"no violation by a write, with both addresses, in {violations[:3]}")
    if not [e for e, _ in both if e["name"].startswith("partition-exit 0x1") and e["args"].get("vector") == "0xe"]:
        wrong.append("no partition's exit with a vector 0xe")
    return wrong


def replay(text):
    """What differs when the trace replays on the simulator: a list, empty if nothing does."""
    with tempfile.NamedTemporaryFile("w", suffix=".log") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([ROOT / "build/sim/replay", file.name], capture_output=True, text=True)
    return [] if done.returncode == 0 else [f"the replay: {(done.stdout + done.stderr).strip()}"]


def first_of_each(registers):
    """Of the deliveries of each register: the first, and what is wrong is not hidden: one with stops of its own."""
    return [e for i, e in enumerate(registers)
            if e["args"]["stops"] or i == 0 or registers[i - 1]["args"]["verdict"] != RETRY]


def shows_pal(_, text):
    """None, or what is wrong. Every register began one stop, and then came again to measure; no entry of a PAL and none
    of its exits did."""
    slices = [e for e in json.loads(json_of(text))["traceEvents"] if e["ph"] == "X"]
    events = [e for e in slices if e["cat"] == "event"]
    kinds = {"register": (1, first_of_each([e for e in events if e["name"] == REGISTER])),
             "invoke": (0, [e for e in events if e["args"]["next"] == "PAL"]),
             "return": (0, [e for e in events if e["name"].startswith("partition-exit")])}
    wrong = []
    for kind, (stops, found) in kinds.items():
        found = [e["args"]["stops"] for e in found]
        if not found or set(found) != {stops}:
            wrong.append(f"{kind}: stops {found}, not {stops} each")
    epochs = [e["args"]["epoch"] for e in slices if e["cat"] == "stop"]
    if 0 in epochs or len(epochs) != len(set(epochs)):
        wrong.append(f"epochs of stops {epochs}: one is 0, or twice there")
    seen = {e["name"] for e in slices}
    wrong += [f"no slice {name}" for name in ("L1", "PAL", "stop") if name not in seen]
    log = "\n".join(re.findall(r"^xmhf: (?:trace|hypapp) .*$", text, re.M))
    for what, drawing in (("JSON", timeline(json_of(text))), ("log", timeline(log))):
        wrong += [f"the timeline of the {what} has no {part}" for part in (r"CPU \d: PAL", r"CPU \d: stop", "</svg>")
                  if not re.search(part, drawing)]
    wrong += tells_alike(events, json.loads(timeline(log, "--perfetto"))["traceEvents"])
    wrong += replay(text)
    return "; ".join(wrong) or None
