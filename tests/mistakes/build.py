#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Mistakes of a hypapp's author that are found before the image boots, each with the line that it gets.

A row edits the hypapp that hypapp-new writes, compiles it with an installation's flags and links it with hypapp-link.
The mistake must be refused, by the compiler or by hypapp-link, with the line of the row; by hypapp-link with one line
alone. Those that are seen only at run time are in hypapps/careless/sim_careless.c. Run from the project's root.
usage: build.py STAGE    STAGE: the installation's prefix
"""
import pathlib
import re
import subprocess
import sys
import tempfile

INIT = "{ .type = HYPAPI_EV_INIT, .handler = on_init },"
CALL = "{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },"
CLAIM = """{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CALL_COUNT,
\t\t  .last = CALL_LAST },"""
CAPS = ".capabilities = HYPAPI_CAP_REGISTERS,"
BODY = '\thypapi_log("careless: ready");'
X = "hypapp careless"


def also(line, anchor=INIT):
    """A line more beside the anchor."""
    return anchor, f"{anchor}\n{line}"


def on(event, rest=""):
    return also(f"{{ .type = HYPAPI_EV_{event}, .handler = on_init{rest} }},")


# name, edits, the line; then, for some: a flag more, a flag less
COMPILER = [
    ("a handler that answers nothing", [("\treturn HYPAPI_PASS;\n", "")], "error: .*no return statement"),
    ("a handler of another type", [("enum hypapi_verdict on_init(struct hypapi_event *ev)", "void on_init(int ev)"),
                                   ("\treturn HYPAPI_PASS;\n", "")], "error: .*incompatible pointer type"),
    ("an address of another space", [(BODY, "\tuint8_t b; return hypapi_copy_from(ev, &b, GPA1(0), 1);")],
     "error: incompatible type for argument 3"),
    ("a call that does not exist", [(BODY, "\thypapi_reg_put(ev, 0, 0);")],
     "error: implicit declaration of function .hypapi_reg_put"),
    ("a frame over the limit", [(BODY, "\tchar b[1100]; hypapi_log(\"%p\", b);")],
     "error: the frame size of 1[0-9]* bytes is larger than 1024 bytes"),
    ("floating point", [(BODY, "\tcalls = (uint32_t)(calls * 1.5);")], "error: SSE register"),
    ("an answer that nobody looks at", [
        (BODY, "\thypapi_memory_restrict(ev, GPA1(0x100000), 1, HYPAPI_R);")],
     "warning: ignoring return value of .hypapi_memory_restrict"),
    ("a format that does not fit", [(BODY, '\thypapi_log("%s", 5);')], "warning: format .%s. expects"),
    ("a member given twice", [(CAPS, CAPS + " .priority = 501,")], "warning: initialized field overwritten"),
]
LINK = [
    ("no priority", [("\t.priority = 500,", "\t")],
     f"{X}: .priority is not given: choose one that is not 0 and unique.*"),
    ("a priority of another hypapp", [(".priority = 500", ".priority = 1000")],
     "hypapps careless and helloworld have the same priority 1000"),
    ("a claim of another hypapp", [("CALL_COUNT = 0x200", "CALL_COUNT = 0x10f")],
     "hypapps careless and helloworld both claim hypercalls 0x10f to 0x10f"),
    ("no handler", [also("{ .type = HYPAPI_EV_SHUTDOWN },")],
     f"{X}: .subscriptions.1., of event shutdown, has no .handler"),
    ("a gap", [(CALL, "[3] = " + CALL)], f"{X}: .subscriptions.3., of event hypercall, lies behind an empty entry, .*"),
    ("no levels", [(CALL, CALL.replace(" .levels = HYPAPI_LEVELS_GUEST,", ""))],
     f"{X}: the subscription to event hypercall has no .levels of L1 and L2: .*"),
    ("a level for a mask of levels", [(CALL, CALL.replace("HYPAPI_LEVELS_GUEST", "HYPAPI_L1"))],
     f"{X}: the subscription to event hypercall has no .levels of L1 and L2: .*"),
    ("a level where it does not occur", [on("EXIT102", ", .levels = HYPAPI_LEVEL_BIT(HYPAPI_L1)")],
     f"{X}: the subscription to event exit-102 has no .levels of L2, where it occurs"),
    ("two handlers of one event", [also(CALL)], f"{X} subscribes to event hypercall twice at one level: .*"),
    ("two phases of an event with one", [on("RESET", ", .two_phase = true")],
     f"{X}: the subscription to event reset has .two_phase, and the event has one phase"),
    ("an event that does not exist", [on("COUNT")], f"{X} subscribes to event 2[0-9], which this core does not raise"),
    ("a claim without its subscription", [(CALL, "")],
     f"{X}: the claim of hypercalls 0x200 to 0x20f in L1 and L2 needs a subscription to event hypercall there"),
    ("a claim of more levels", [(CALL, CALL.replace("S_GUEST", "_BIT(HYPAPI_L1)"))],
     f"{X}: the claim of hypercalls 0x200 to 0x20f in L2 needs a subscription to event hypercall there"),
    ("a subscription without its claim", [on("PORT_IO", ", .levels = HYPAPI_LEVELS_GUEST")],
     f"{X}: the subscription to event port-io in L1 and L2 needs a claim of ports there"),
    ("a claim without levels", [(CLAIM, CLAIM.replace(" .levels = HYPAPI_LEVELS_GUEST,", ""))],
     f"{X}: the claim of hypercalls 0x200 to 0x20f has no .levels of L1 and L2: .*"),
    ("a claim without kind", [(CLAIM, CLAIM.replace(".kind = HYPAPI_CLAIM_HYPERCALL,", ""))],
     f"{X}: .claims.0., 0x200 to 0x20f, has no .kind"),
    ("a claim behind a gap", [(CLAIM, "[1] = " + CLAIM)], f"{X}: .claims.1., 0x200 to 0x20f, lies behind .*"),
    ("a claim whose end is before its beginning", [("CALL_LAST = 0x20f", "CALL_LAST = 0x1f")],
     f"{X}: the claim of hypercalls 0x200 to 0x1f is out of range"),
    ("a claim out of range", [("CALL_LAST = 0x20f", "CALL_LAST = 0x1000")],
     f"{X}: the claim of hypercalls 0x200 to 0x1000 is out of range"),
    ("a claim of the core's own", [("CALL_COUNT = 0x200, CALL_LAST = 0x20f", "CALL_COUNT = 0xe00, CALL_LAST = 0xfff")],
     f"{X}: hypercalls 0xf00 to 0xf0f are the core's own"),
    ("a call without its capability", [(CAPS, "")],
     f"{X} calls hypapi_reg_set\\(\\): add HYPAPI_CAP_REGISTERS to .cap.*"),
    ("a stop without its capability", [(BODY, "\t(void)hypapi_quiesce(ev);")],
     f"{X} calls hypapi_quiesce\\(\\): add HYPAPI_CAP_QUIESCE to .capabilities"),
    ("a quiesce flag without its capability", [on("SHUTDOWN", ", .quiesce = true")],
     f"{X}: the subscription to event shutdown has .quiesce: add HYPAPI_CAP_QUIESCE to .capabilities"),
    ("WORK without its capability", [on("WORK")],
     f"{X} subscribes to event work, which never comes without .*_WORK in .*"),
    ("violations, and no pages", [on("EPT_VIOLATION", ", .levels = HYPAPI_LEVELS_GUEST")],
     f"{X} subscribes to event ept-violation, which never comes without HYPAPI_CAP_MEMORY or .*"),
    ("interrupts without their capability", [on("NMI", ", .levels = HYPAPI_LEVELS_GUEST")],
     f"{X} subscribes to event nmi: add HYPAPI_CAP_INTERRUPTS to .capabilities"),
    ("a capability that does not exist", [(CAPS, ".capabilities = HYPAPI_CAP_REGISTERS | 1u << 9,")],
     f"{X}: .capabilities has 0x200, which is no capability of hypapi"),
    ("a feature that does not exist", [also(".needs = 1u << 9,", CAPS)],
     f"{X}: .needs has 0x200, which is no feature of hypapi"),
    ("too much storage", [also(".cpu_bytes = 65537,", CAPS)], f"{X}: .cpu_bytes is 65537, the most is 65536"),
    ("more subscriptions without their count", [
        ("HYPAPP_DEFINE(", f"static const struct hypapi_subscription more[] = {{ {INIT} }};\nHYPAPP_DEFINE("),
        also(".more_subscriptions = more,", CAPS)],
     f"{X}: .more_subscriptions and .more_claims each need the array and its count"),
    ("a constructor", [("HYPAPP_DEFINE(",
                        "__attribute__((constructor)) static void early(void) { calls = 1; }\nHYPAPP_DEFINE(")],
     f"{X} has a constructor, which nobody calls: use HYPAPI_EV_INIT"),
    ("the C library", [(BODY, "\textern int puts(const char *); puts(\"ready\");")], ".*undefined reference to .puts'"),
    ("another name than the Makefile's", [("HYPAPP_DEFINE(careless", "HYPAPP_DEFINE(carelss")],
     "there is no hypapp in .*is the name in HYPAPP_DEFINE\\(\\) that of HYPAPP in the Makefile.*"),
    ("a name of the core's hypapps", [("HYPAPP_DEFINE(careless", "HYPAPP_DEFINE(helloworld")],
     "two hypapps have the name helloworld: .*"),
    ("a frame over the limit, by other flags", [(BODY, "\tchar b[1100]; hypapi_log(\"%p\", b);")],
     ".*: on_init\\(\\) has a frame of more than 1024 bytes: .*", "-Wno-error=frame-larger-than=1024"),
    ("SIMD registers, by other flags", [(BODY, "\tcalls = (uint32_t)(calls * 1.5);")],
     ".*: on_init\\(\\) uses FPU or SIMD registers, which are the guest's: .*", "-msse2", "-mgeneral-regs-only"),
]


def edited(source, edits):
    for old, new in edits:
        if source.count(old) != 1:
            raise SystemExit(f"build.py: \"{old}\" is {source.count(old)} times in the template")
        source = source.replace(old, new)
    return source


def run(words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()


def compile_hypapp(prefix, folder, source, more="", less=""):
    (folder / "careless.c").write_text(source)
    mk = (prefix / "share/hypapi/hypapp.mk").read_text()
    flags = [f for f in re.search(r"^HYPAPP_FLAGS := (.*)$", mk, re.M)[1].split() + more.split() if f != less]
    return run(["gcc", *flags, "-I", str(prefix / "include"), "-c", "-o", str(folder / "careless.o"),
                str(folder / "careless.c")])


def judge_compiler(prefix, folder, base, name, edits, line):
    status, said = compile_hypapp(prefix, folder, edited(base, edits))
    if bool(status) != line.startswith("error") or not any(re.search(line, s) for s in said):
        return f"{name}: wanted \"{line}\", the compiler ends with {status} and says {said}"
    return None


def judge_link(prefix, folder, base, name, edits, line, *flags):
    status, said = compile_hypapp(prefix, folder, edited(base, edits), *flags)
    if status:
        return f"{name}: does not compile: {said}"
    # As hypapp.mk does: what is not this hypapp's descriptor is no global name.
    run(["objcopy", "--wildcard", "--keep-global-symbol=hypapp_careless", "--keep-global-symbol=hypapp_helloworld",
         str(folder / "careless.o")])
    status, said = run([str(prefix / "bin/hypapp-link"), "-o", str(folder / "careless.elf"),
                        str(folder / "careless.o")] + ["helloworld"] * ("no hypapp in" not in line))
    alone = len(said) == 1 or "undefined" in line
    if not status or not alone or not any(re.fullmatch("(hypapp-link: )?" + line, s) for s in said):
        return f"{name}: wanted \"{line}\", hypapp-link ends with {status} and says {said}"
    return None


def main():
    prefix = pathlib.Path(sys.argv[1]).resolve()
    base = pathlib.Path("tools/install/template/hypapp.c").read_text().replace("@NAME@", "careless")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        faults = [judge_link(prefix, folder, base, "no mistake", [], "") or "no mistake: refused nothing"]
        if "ends with 0 and says []" in faults[0]:
            faults = []
        faults += [judge_compiler(prefix, folder, base, *row) for row in COMPILER]
        faults += [judge_link(prefix, folder, base, *row) for row in LINK]
    faults = [f for f in faults if f]
    for fault in faults:
        print("FAIL:", fault)
    print(f"{len(COMPILER) + len(LINK)} mistakes, {len(faults)} without their line")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
