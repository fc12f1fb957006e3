#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""make bench: what operations cost on the bare machine and on XMHF, in ticks of the emulated CPU.

Runs the bare-metal guest (test=bench) and the tiny Linux with its benchmark programs on both machines, and writes into
the output folder: bench.tsv (operation, cpus, bare, xmhf; "-" where the bare machine has no such thing), counts.tsv
(VMX instructions, exits and IPIs of one operation, from a core built with --enable-insn-counts, and an estimate of its
cost on silicon), mitigations.tsv (what it does against speculation, on CPUs that need it), bench.svg, and the serial
logs. Ticks are medians of at least 100 rounds after a warm-up; Bochs counts executed instructions, so they are exact
for one CPU. `linux-boot` is one boot: from the start of the kernel's own clock to the init script, so no loader counts
in it. `churn` is a round of kvm-churn: L1 gives pages of an L2 back, forks, replaces pages and protects some, and after
each of these four the two vCPUs of the L2 walk over all 512 pages; so bare/XMHF is how many rounds are done in the time
that the bare machine takes for one. `l2-linux` is one boot, too: of a Linux in L2, from the start of QEMU to the init
script. `l3-exit` is an exit of the KVM guest of that Linux, and back: on the bare machine that guest is the L2 of a
guest hypervisor that is L1.
"""
import argparse
import concurrent.futures
import html
import math
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/run"))
import emulator  # noqa: E402

ROOT = emulator.ROOT
TICKS_PER_SECOND = 20000000     # tsc_early_khz of tools/linux/cmdline.bochs
STOP_CPUS = (2, 4, 8)
NO_CAP = "stop-share=100"       # or stops from L2 would be told to wait
OPERATIONS = """dispatch-first dispatch-further log-line l1-cpuid l1-hypercall l1-hypercall-stop l2-hypercall
l2-cpuid-reflected l2-switch l1-vmread l1-vmwrite l1-vmptrld l1-vmclear l1-invept ept02-fill-4k ept02-fill-2m
ept12-violation pal-register-l1 pal-invoke-l1 pal-return-l1 pal-call-again-l1 pal-unregister-l1 pal-register-l2
pal-invoke-l2 pal-return-l2 pal-call-again-l2 pal-unregister-l2 tpm-seal-l1 tpm-unseal-l1 tpm-quote-l1 linux-boot
linux-l2-exit churn l2-linux l3-exit""".split()
# The same PAL with 16 and 64 pages, not 4, and with 2, code and stack, the least that a PAL has; and registered by
# list, which a kernel does for CPL 3: in the tables, not in the chart.
PAL_FORMS = [f"pal-{part}-{form}-l{level}" for form in ("2", "16", "64", "list-2", "list", "list-16", "list-64")
             for level in (1, 2) for part in ("register", "invoke", "return", "call-again", "unregister")]
# With the image of tests/bench/stopper.c: forms of stops and of work on other CPUs; and of all CPUs in L2 together, in
# a million ticks, hypercalls, the same with a stop on each, and the ticks of all CPUs that each stop costs beside its
# call.
STOPPER = """l2-hypercall-stop stop-call stop-early stop-nested stop-flush stop-ept01 stop-ept02 work-post
work-stop""".split()
THROUGHPUT = {"l2-calls-per-mtick": (1, *STOP_CPUS), "l2-stops-per-mtick": STOP_CPUS, "l2-stop-lost": STOP_CPUS}
# Measured with shadow VMCS off: with it these two do not exit.
WITHOUT_SHADOW = ("l1-vmread", "l1-vmwrite")
# What the design aims at: (operation, cpus) to ticks; that of a PAL's call is for invoke and return together, that of
# register has two pages to hash, and what is hashed before them. A further hypapp is 19 and the 4 of an indirect call
# through a retpoline.
AIMS = {("dispatch-first", 1): 60, ("dispatch-further", 1): 23, ("log-line", 1): 300,
        ("l1-cpuid", 1): 150, ("l1-hypercall", 1): 250, ("l1-hypercall-stop", 2): 900, ("l2-hypercall", 1): 250,
        ("l2-hypercall-stop", 2): 900, ("l2-cpuid-reflected", 1): 1200, ("l2-switch", 1): 1800,
        ("l1-vmread", 1): 200, ("l1-vmwrite", 1): 200,
        ("l1-vmptrld", 1): 250, ("l1-vmclear", 1): 1000, ("l1-invept", 1): 300, ("ept02-fill-4k", 1): 700,
        ("ept02-fill-2m", 1): 700, ("ept12-violation", 1): 2500, ("pal-register-l1", 1): 400000,
        ("pal-invoke-l1", 1): 2300, ("pal-unregister-l1", 1): 3000, ("pal-register-l2", 1): 402000,
        ("pal-invoke-l2", 1): 3200, ("pal-unregister-l2", 1): 4200, ("linux-l2-exit", 1): 4500}
# Times the bare machine. churn: so 0.4 rounds in the time of one.
TIMES_BARE = {"linux-boot": 1.01, "churn": 2.5, "l2-linux": 1.09, "l3-exit": 2.5}
# What the core counts, and what one of each costs on silicon, in cycles. In the emulator each is one tick, so the
# estimate is these plus half a cycle for each tick. Exit with its entry: Agesen and others, "Software Techniques for
# Avoiding Hardware Virtualization Exits" (USENIX ATC 2012), has about 800 to 1,000 for CPUs of 2010; mitigations came
# since. The others are orders of magnitude that hypervisor authors report, and nobody measured them here. Aim at the
# counts.
WEIGHTS = {"VMREAD": 40, "VMWRITE": 40, "VMPTRLD": 250, "VMCLEAR": 300, "INVEPT": 500, "INVVPID": 500, "IPI": 1500,
           "exits": 1200}
TICK_WEIGHT = 0.5
# What a CPU that needs it does against speculation (docs/security.md): what it is done for each of, and its cost in
# cycles, again as orders of magnitude. No CPU needs all of them, and the emulated one needs none, so the estimate above
# has none.
MITIGATIONS = {"IBPB": ("IBPB", 3500), "IBPB-to-L1": ("IBPB-to-L1", 3500), "L1D-flush": ("flush", 2000),
               "VERW": ("flush", 500),
               "L1D-flush-to-L2": ("flush-to-L2", 2000), "SPEC_CTRL": ("exits", 300), "RSB-fill": ("exits", 60)}
COUNTERS = [*WEIGHTS, "IBPB", "IBPB-to-L1", "flush", "flush-to-L2"]


# ---- runs

class Bench:
    def __init__(self, o):
        self.o, self.out = o, pathlib.Path(o.out)

    def machine(self, name, kernel, append, cpus=1, xmhf="", xmhf_args="", initrd="", expect=(), until=None):
        """Boots one machine, to its end or to the line `until`; returns its serial log."""
        iso = self.out / f"{name}.iso"
        command = [ROOT / "tools/mkiso.py", "-o", iso, "--loader", "syslinux" if xmhf or initrd else "grub",
                   "--kernel-file", kernel, "--append", append]
        command += ["--xmhf", xmhf, "--xmhf-args", xmhf_args] if xmhf else []
        command += ["--initrd", initrd] if initrd else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        result = emulator.run(iso, cpus=cpus, timeout=self.o.timeout, expect=expect, until=until,
                              fail=[r"^xmhf: PANIC", "Kernel panic"],
                              serial=self.out / f"{name}.log", name=f"bench-{name}")
        iso.unlink()
        if not result.ok:
            raise RuntimeError(f"{name}: {result.report()}")
        print(f"  {name}: {result.seconds:.0f} s", flush=True)
        return result.serial_text

    def guest(self, name, append="", **more):
        more["xmhf_args"] = f"{NO_CAP} {more.get('xmhf_args', '')}"
        return self.machine(name, self.o.guest, f"test=bench {append}", expect=[r"^T end bench"], **more)

    def passers(self, count):
        name = f"passers{count}"
        return self.machine(name, self.o.guest, "test=bench passers=1", expect=[r"^T end bench"],
                            xmhf=f"{self.o.passers}/{name}.elf")

    def stopper(self, name, test, cpus):
        return self.machine(name, self.o.guest, test, expect=[rf"^T end {test.split()[0][5:]}$"], cpus=cpus,
                            xmhf=f"{self.o.passers}/stopper.elf", xmhf_args=NO_CAP)

    def linux(self, name, **more):
        append = " ".join((ROOT / "tools/linux" / file).read_text().strip() for file in ("cmdline", "cmdline.bochs"))
        # pal-bench says on the bare machine that there is no TrustVisor.
        return self.machine(name, self.o.kernel, append + " job=boot-clock,pal-bench,kvm-guest,kvm-churn",
                            initrd=self.o.initrd, expect=[r"^CLOCK", r"^B linux-l2-exit", r"^INIT DONE"], **more)

    def linux_in_l2(self, name, **more):
        append = " ".join((ROOT / "tools/linux" / file).read_text().strip() for file in ("cmdline", "cmdline.bochs"))
        return self.machine(name, self.o.kernel, append + " job=l2-linux l2job=kvm-guest", initrd=self.o.l2_initrd,
                            expect=[r"^L2 READY"], until=r"^L2: B linux-l2-exit 1 \d+\r?\n", **more)

    def all(self):
        """{name: serial log}"""
        off = dict(xmhf_args="shadow-vmcs=off")
        runs = {f"passers{count}": lambda count=count: self.passers(count) for count in (1, 3)}
        runs |= {"linux-bare": lambda: self.linux("linux-bare"),
                "linux-xmhf": lambda: self.linux("linux-xmhf", xmhf=self.o.xmhf),
                "l2-bare": lambda: self.linux_in_l2("l2-bare"),
                "l2-xmhf": lambda: self.linux_in_l2("l2-xmhf", xmhf=self.o.xmhf),
                "bare-1": lambda: self.guest("bare-1"),
                "no-shadow": lambda: self.guest("no-shadow", xmhf=self.o.xmhf, **off),
                "counts-no-shadow": lambda: self.guest("counts-no-shadow", xmhf=self.o.counts, **off)}
        for cpus in (1, *STOP_CPUS):
            for kind, xmhf in (("xmhf", self.o.xmhf), ("counts", self.o.counts)):
                name = f"{kind}-{cpus}"
                runs[name] = lambda name=name, cpus=cpus, xmhf=xmhf: self.guest(name, "pals=1", cpus=cpus, xmhf=xmhf)
        for cpus in STOP_CPUS:
            for name, test in (f"stopper-{cpus}", "test=bench stopper=1"), (f"throughput-{cpus}", "test=throughput"):
                runs[name] = lambda name=name, test=test, cpus=cpus: self.stopper(name, test, cpus)
        with concurrent.futures.ThreadPoolExecutor(self.o.jobs) as pool:
            futures = {name: pool.submit(run) for name, run in runs.items()}
            return {name: future.result() for name, future in futures.items()}


# ---- figures

def lines(text, kind):
    """{(operation, cpus): [values]} of the lines "KIND operation cpus value..."; "-" values are left out."""
    found = re.findall(rf"^{kind} (\S+) (\d+)((?: \d+)+)$", text, re.M)
    return {(operation, int(cpus)): [int(value) for value in values.split()] for operation, cpus, values in found}


def linux_boot(text):
    """Ticks from the start of the kernel's clock to the init script."""
    ready = int(re.search(r"^INIT READY .*ticks=(\d+)", text, re.M).group(1))
    now, seconds = re.search(r"^CLOCK ticks=(\d+) seconds=([0-9.]+)", text, re.M).groups()
    return ready - (int(now) - int(float(seconds) * TICKS_PER_SECOND))


def of_l2(text):
    """{(operation, cpus): [value]} of a Linux in L2."""
    start, ready = (int(re.search(rf"^L2 {what} ticks=(\d+)", text, re.M).group(1)) for what in ("START", "READY"))
    return {("l2-linux", 1): [ready - start],
            ("l3-exit", 1): lines(re.sub("^L2: ", "", text, flags=re.M), "B")["linux-l2-exit", 1]}


def dispatch_costs(one, three):
    """Ticks to ask the first hypapp of an event, which passes, and each further one; from the logs of passers1,
    passers3.

    Without the handler's own two instructions (tests/bench/passer.c).
    """
    one, three = lines(one, "B"), lines(three, "B")
    first = one["hypercall-passed", 1][0] - one["hypercall-unclaimed", 1][0]
    return first - 2, math.ceil((three["l2-exit202", 1][0] - one["l2-exit202", 1][0]) / 2) - 2


def collect(logs):
    """([(operation, cpus, bare, xmhf)], [(name, cpus, bare, xmhf)] of further figures); None where there is none."""
    bare = {**lines(logs["linux-bare"], "B"), **lines(logs["bare-1"], "B"), **of_l2(logs["l2-bare"])}
    linux = lines(logs["linux-xmhf"], "B")
    xmhf = dict(linux)
    for cpus in (1, *STOP_CPUS):
        xmhf.update(lines(logs[f"xmhf-{cpus}"], "B"))
    for cpus in STOP_CPUS:
        xmhf.update({**lines(logs[f"stopper-{cpus}"], "B"), **lines(logs[f"throughput-{cpus}"], "B")})
    no_shadow = lines(logs["no-shadow"], "B")
    xmhf.update({(operation, 1): no_shadow[operation, 1] for operation in WITHOUT_SHADOW})
    xmhf.update(of_l2(logs["l2-xmhf"]))
    bare["linux-boot", 1], xmhf["linux-boot", 1] = [linux_boot(logs["linux-bare"])], [linux_boot(logs["linux-xmhf"])]
    for operation, ticks in zip(("dispatch-first", "dispatch-further"),
                                dispatch_costs(logs["passers1"], logs["passers3"])):
        xmhf[operation, 1] = [ticks]
    xmhf["log-line", 1] = [int(re.search(r"^xmhf: passer: .* a line took (\d+) ticks", logs["passers1"], re.M)[1])]
    rows = []
    wanted = {operation: (1, *STOP_CPUS) if operation.endswith("-stop") else (1,) for operation in OPERATIONS}
    wanted |= dict.fromkeys(PAL_FORMS, (1,))
    for operation, on in (wanted | dict.fromkeys(STOPPER, STOP_CPUS) | THROUGHPUT).items():
        for cpus in on:
            key = operation, cpus
            rows.append((*key, bare.get(key, [None])[0], xmhf.get(key, [None])[0]))
    extra_bare, extra_xmhf = lines(logs["bare-1"], "X"), lines(logs["xmhf-1"], "X")
    extra = [(*key, extra_bare.get(key, [None])[0], value[0]) for key, value in extra_xmhf.items()]
    reflected = "l2-cpuid-reflected", 1
    extra.append((f"{reflected[0]}, no shadow VMCS", 1, bare[reflected][0], no_shadow[reflected][0]))
    extra += [(f"{operation}, in Linux", cpus, None, value[0]) for (operation, cpus), value in linux.items()
              if operation.startswith("pal-")]
    return rows, extra


def ticks_of(rows, extra):
    """{(operation, cpus): ticks on XMHF}; a PAL's call includes its return."""
    ticks = {row[:2]: row[3] for row in [*extra, *rows] if row[3] is not None}
    for (operation, cpus), back in list(ticks.items()):
        if operation.startswith("pal-return"):
            ticks[operation.replace("return", "invoke"), cpus] += back
    return ticks


def collect_counts(logs, ticks):
    """[(operation, cpus, *counters, estimate in cycles)]; a PAL's invoke and return are one row."""
    counts = {}
    for cpus in (1, *STOP_CPUS):
        counts.update(lines(logs[f"counts-{cpus}"], "C"))
    no_shadow = lines(logs["counts-no-shadow"], "C")
    counts.update({(operation, 1): no_shadow[operation, 1] for operation in WITHOUT_SHADOW})
    order = {operation: i for i, operation in enumerate([*OPERATIONS, *PAL_FORMS])}

    def silicon(key):
        if key not in ticks:
            return None
        return round(TICK_WEIGHT * ticks[key] + sum(n * weight for n, weight in zip(counts[key], WEIGHTS.values())))

    return [(re.sub("pal-invoke", "pal-invoke-and-return", operation), cpus, *counts[operation, cpus],
             silicon((operation, cpus)))
            for operation, cpus in sorted(counts, key=lambda key: (order.get(key[0], len(order)), *key))]


def collect_mitigations(counts):
    """[(mitigation, operation, cpus, times, cycles)] of what collect_counts() found."""
    times = [(operation, cpus, dict(zip(COUNTERS, more))) for operation, cpus, *more in counts]
    return [(name, operation, cpus, of[counter], of[counter] * cycles)
            for name, (counter, cycles) in MITIGATIONS.items()
            for operation, cpus, of in times if of[counter]]


def aim(rows, row):
    """(ticks aimed at, ticks to compare with it), or None."""
    operation, cpus, bare, xmhf = row
    if operation in TIMES_BARE and bare:
        return int(bare * TIMES_BARE[operation]), xmhf
    if (operation, cpus) not in AIMS or xmhf is None:
        return None
    if operation.startswith("pal-invoke"):
        back = [other[3] for other in rows if other[0] == operation.replace("invoke", "return")]
        xmhf += back[0] or 0
    return AIMS[operation, cpus], xmhf


# ---- output

def write_tsv(path, head, rows):
    with open(path, "w") as file:
        for row in [head, *rows]:
            file.write("\t".join("-" if cell is None else str(cell) for cell in row) + "\n")


def print_table(head, rows):
    cells = [list(head)] + [["-" if c is None else f"{c:,}" if isinstance(c, int) else c for c in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  " + "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))).rstrip())


def print_ticks(rows, extra):
    table = []
    for row in rows:
        goal = aim(rows, row)
        verdict = "" if goal is None else "reached" if goal[1] <= goal[0] else f"{goal[1] / goal[0]:.2f} times"
        table.append((*row, "" if goal is None else goal[0], verdict))
    print("\nTicks (a PAL's aim for invoke is for invoke and return together)")
    print_table(["operation", "CPUs", "bare", "XMHF", "aim", ""], table)
    print("\nFurther figures")
    print_table(["operation", "CPUs", "bare", "XMHF"], extra)


LABELS, PLOT, ROW, TOP, RIGHT = 210, 640, 24, 70, 110
STYLE = """text { font: 12px sans-serif; fill: #222 }
.value { font-size: 11px } .title { font-size: 16px; font-weight: bold }
.grid { stroke: #ddd } .bare { fill: #b0b0b0 } .xmhf { fill: #3b6fb6 } .aim { stroke: #c0392b; stroke-width: 2 }"""


def chart(rows):
    """The SVG text: for each operation bars for XMHF and the bare machine, and a mark for the aim, on a log scale."""
    top_decade = max(len(str(value)) for row in rows for value in row[2:] if value is not None)
    bottom = TOP + ROW * len(rows)

    def x(value):
        digits = 0.0 if value < 1 else math.log10(value)
        return LABELS + PLOT * digits / top_decade

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LABELS + PLOT + RIGHT}" height="{bottom + 40}">',
           f"<style>{STYLE}</style>", '<rect width="100%" height="100%" fill="white"/>',
           '<text class="title" x="12" y="24">Cost of operations in ticks (executed instructions), log scale</text>']
    for i, (css, name) in enumerate((("xmhf", "on XMHF"), ("bare", "bare machine"))):
        out.append(f'<rect class="{css}" x="{LABELS + 140 * i}" y="38" width="14" height="12"/>'
                   f'<text x="{LABELS + 140 * i + 20}" y="48">{name}</text>')
    out.append(f'<line class="aim" x1="{LABELS + 287}" x2="{LABELS + 287}" y1="37" y2="51"/>'
               f'<text x="{LABELS + 296}" y="48">aim</text>')
    for decade in range(top_decade + 1):
        at = x(10 ** decade)
        out.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{bottom}"/>'
                   f'<text class="value" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{10 ** decade:,}</text>')
    for i, row in enumerate(rows):
        operation, cpus, bare, xmhf = row
        y = TOP + ROW * i
        label = operation + (f", {cpus} CPUs" if cpus > 1 else "")
        out.append(f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end">{html.escape(label)}</text>')
        if xmhf is not None:
            out.append(f'<rect class="xmhf" x="{LABELS}" y="{y + 2}" width="{x(xmhf) - LABELS:.1f}" height="10"/>')
        if bare is not None:
            out.append(f'<rect class="bare" x="{LABELS}" y="{y + 13}" width="{x(bare) - LABELS:.1f}" height="6"/>')
        goal = aim(rows, row)
        if goal and not operation.startswith("pal-invoke"):
            out.append(f'<line class="aim" x1="{x(goal[0]):.1f}" x2="{x(goal[0]):.1f}" y1="{y}" y2="{y + 20}"/>')
        if xmhf is not None:
            end = max(x(value) for value in (xmhf, bare or 1, goal[0] if goal else 1))
            out.append(f'<text class="value" x="{end + 6:.1f}" y="{y + 13}">{xmhf:,}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--xmhf", required=True, help="the core")
    add("--counts", required=True, help="the core with --enable-insn-counts")
    add("--passers", required=True, help="folder of passers1.elf, passers3.elf and stopper.elf")
    add("--guest", required=True, help="the bare-metal guest")
    add("--kernel", required=True, help="the tiny Linux kernel")
    add("--initrd", required=True)
    add("--l2-initrd", required=True, help="one with QEMU and a Linux for L2")
    add("--out", required=True, help="output folder")
    add("--timeout", type=float, default=600)
    add("--jobs", type=int, default=2, help="machines at the same time")
    return parser.parse_args()


def main():
    o = parse_arguments()
    bench = Bench(o)
    bench.out.mkdir(parents=True, exist_ok=True)
    try:
        logs = bench.all()
    except RuntimeError as error:
        print(f"make bench: FAILED: {error}")
        return 1
    rows, extra = collect(logs)
    counts = collect_counts(logs, ticks_of(rows, extra))
    write_tsv(bench.out / "bench.tsv", ["operation", "cpus", "bare", "xmhf"], rows)
    write_tsv(bench.out / "counts.tsv", ["operation", "cpus", *COUNTERS, "silicon"], counts)
    mitigations = collect_mitigations(counts)
    write_tsv(bench.out / "mitigations.tsv", ["mitigation", "operation", "cpus", "times", "cycles"], mitigations)
    (bench.out / "bench.svg").write_text(chart([row for row in rows if row[0] not in PAL_FORMS]))
    print_ticks(rows, extra)
    print("\nVMX instructions, IPIs (a broadcast is one) and exits of one operation, on all CPUs; estimate in cycles")
    print_table(["operation", "CPUs", *COUNTERS, "silicon"], counts)
    print("\nWhat is done against speculation in one operation, on CPUs that need it; estimates in cycles")
    print_table(["mitigation", "operation", "CPUs", "times", "cycles"], mitigations)
    print(f"\nFiles: {o.out}/bench.tsv, counts.tsv, mitigations.tsv, bench.svg")
    missing = [f"{operation} on {cpus} CPUs" for operation, cpus, _, xmhf in rows if xmhf is None]
    if missing:
        print(f"make bench: FAILED: no figure for {', '.join(missing)}")
        return 1
    print("make bench: OK")
    return 0


if __name__ == "__main__":
    sys.exit(main())
