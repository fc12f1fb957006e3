# SPDX-License-Identifier: GPL-2.0-or-later
"""The test cases of `make check`: one row each. The columns are the fields of Case in check.py.

Names are paths, so that `check.py --only ^vmx/` selects a group. `bare/` shows that the tests' own ground (kernels,
init script, emulator) works without XMHF, so that a failure elsewhere is ours.
"""
import os

from log_lines import whole_and_counted
from memory_map import hides_root_memory
from msrs import msrs_written
from stop_counts import as_the_hypapp_counts, exits_of_l1, rounds_stop_twice
from pal_cost import pal_calls_within
from trace_shows import shows_pal
from emulator import OVMF, ROOT
import tutorial
import ways_down

GUEST = "build/guest/test.bzimage"
AUDIT = "build/audit/xmhf.elf"
BY_PATH = "build/by-path/xmhf.elf"
OUT_OF_TREE = "build/install/greeter.elf"
TUTORIAL = "build/tutorial/journal/build/journal.elf"
NO_CAP = "stop-share=100"         # or stops from L2 would be told to wait
HELLO_ALONE = "build/install/hello.elf"
# More lines of one kind than a guest may cause.
FLOOD = r"(?s)(by no MOV or 32-bit XCHG.*){40}"
DISK = "build/boot/test.img"
DANGER_MSRS = [f'cpu: msrs="{ROOT}/tests/run/danger.msrs"']
XEN_MSRS = [f'cpu: msrs="{ROOT}/tests/run/xen.msrs"']
LINUX_WRITES = [0x174, 0xc0000080, 0xc0000082, 0xc0000100, 0xc0000101]
ASLEEP = r"^xmhf: lockdown: sleep of type 1$"
IVY_BRIDGE = "corei7_ivy_bridge_3770k"
L2_INITRD = "build/linux/l2.cpio"
L2_DRIVER_INITRD = "build/linux/l2-driver.cpio"
TWO_L2 = r"(?s)(L2 START.*){2}(L2: INIT READY cpus=1 kvm=yes.*){2}"    # both have started before the first is ready
POWERED_OFF = [r"^INIT DONE", r"reboot: Power down"]
OVERFLOW = r"^xmhf: PANIC: root stack overflow on CPU 0: its main stack, "
ROOT_TABLES = r"^xmhf: audit: root's tables, \d+ leaves: only text executes"
NO_SIGNATURE = r"^xmhf: drive 0x80: its first sector has no boot signature but 0x0000$"
REFUSED = r"^xmhf: drive 0x80: its first sector cannot be read, INT 13h says AX=0x0c00$"
NO_DRIVE = r"^xmhf: drive 0x81: its first sector cannot be read, INT 13h says AX=0x01\w\w$"
NOT_KNOWN = r"^xmhf: error: smm=require: open on 0 CPUs, 0 more did not start, SMRAM is not known to be locked$"
SLEEPS = (r"(?s)sleep type 1: prepare.*hypapp bystander denies event sleep.*sleep type 1: abort.*T S3, denied: ok.*"
          r"sleep type 1: prepare.*sleep type 1: commit.*bystander: shutdown")
# Named, and then the machine goes down without it: hypapps wipe, and it boots anew.
SILENT_CPU = (r"(?s)T test.*CPU 0 has not answered stop.*it took the NMI.*is reset without the CPUs that do not answer"
              r".*trustvisor: PALs: .*T booted again.*T end reset-silent-cpu")
# What QEMU's intel-iommu can be. aw-bits=48: tables of four levels.
IOMMUS = [(f"{bits}-bits{interrupts}{caching}{ats}", ",".join((
               f"aw-bits={bits}", f"intremap={'on' if interrupts else 'off'}",
               f"caching-mode={'on' if caching else 'off'}", f"device-iotlb={'on' if ats else 'off'}")))
          for bits in (39, 48) for interrupts in ("", "-intremap") for caching in ("", "-caching")
          for ats in ("", "-device-iotlb")]
BAD_DRIVE = r"^xmhf: .*option drive=0x80: not a BIOS drive number"


def fault_of(boot, level, vector, at="fault", after=None):
    """The lines about a fault of hypapps/verify in that boot, and that the machine comes back."""
    return (rf"(?s)T boot {boot}\n.*PANIC: hypapp verify, event hypercall from {level}, handler on_hypercall\n"
            rf"xmhf: PANIC: {vector} .*\nxmhf: PANIC: at 0x[0-9a-f]+: {at}\+0x[0-9a-f]+, \w+\.c, lines \d+ to \d+\n.*"
            r"PANIC: called from 0x[0-9a-f]+: on_hypercall\+0x.*the machine reset\n"
            rf".*{after or f'T boot {boot + 1}'}\n")


FAULTS = [fault_of(0, "L1", "#PF"), fault_of(1, "L2", "#DE"), fault_of(2, "L1", "#UD"),
          fault_of(3, "L1", "#PF", r"\w+"), fault_of(4, "L1", "#PF", r"overflow(?:\.\w+)?"),
          r"^T all faults are over$", r"^xmhf: RAM has kept \d+ lines of the boot before"]


NO_S3 = r"^sleep: \[s2idle\]\r?$"

# hypapps/careless, in the order of tests/guest/mistakes.c.
MISTAKES = [
    r"warning: hypapp careless: hypapi_reg_get\(\) of register 0 in event init answers 0: no guest caused it$",
    r"warning: hypapp careless answers event hypercall with 7 \(unknown\), which is no verdict: taken for deny$",
    r"warning: hypapp careless answers event hypercall with -3 \(HYPAPI_EPERM\), which is no verdict: taken for deny$",
    r"careless: hypapi_reg_set\(\) with an event that is not the one at hand: an event is valid until its handler ",
    r"(?s)T the event of the call before.*careless: hypapi_reg_set\(\) with an event that is not the one at hand",
    r"careless: hypapi_reg_get\(\) of register 34 in event hypercall answers 0: there is none$",
    r"careless: event hypercall of L1 at RIP 0x[0-9a-f]+, address 0x0 has come 2000 times in a row: the guest makes ",
    r"careless: event ept-violation of L1 at RIP 0x[0-9a-f]+, address 0x[0-9a-f]+ has come 2000 times in a row: the ",
    r"warning: hypapp careless took \d+ ticks for event hypercall of L1$",
    r"(?s)T two handlers .*CPU 2 is in hypapp careless, in its handler of event hypercall$",
    r"(?s)T two handlers .*CPU 1 is in hypapp careless, in its handler of event hypercall$",
]


def drop_of(boot, event, level, vector, handler="on_hypercall"):
    """The lines about a hypapp that is dropped, and that all checks after it are made, until the guest's own reset."""
    return (rf"(?s)T boot {boot}\n(?:(?!T boot).)*"
            rf"xmhf: error: hypapp careless, event {event} from {level}, handler {handler}\n"
            rf"(?:(?!T boot).)*xmhf: error: {vector} \(\d+\), error code 0x[0-9a-f]+, on CPU \d+\n"
            rf"(?:(?!T boot).)*xmhf: error: at 0x[0-9a-f]+: [\w.]+\+0x"
            r"(?:(?!T boot).)*xmhf: error: hypapp careless is dropped: (?:(?!T boot|careless: reset).)*"
            rf"others are told: ok\n(?:(?!T boot|careless: reset).)*T boot {boot + 1}\n")


def not_dropped(boot, why, until):
    return (rf"(?s)T boot {boot}\n(?:(?!T boot).)*PANIC: not dropped: {why}(?:(?!T boot).)*the machine reset\n"
            rf"(?:(?!T boot).)*{until}\n")


DROPS = [drop_of(0, "hypercall", "L1", "#PF"), drop_of(1, "hypercall", "L1", "#UD"),
         drop_of(2, "hypercall", "L2", "#DE"), drop_of(3, "hypercall", "L1", "#UD"),
         drop_of(4, "ept-violation", "L1", "#UD", "on_violation"), drop_of(5, "hypercall", "L1", "#PF"),
         drop_of(6, "work", "L0", "#PF", "on_other"), drop_of(7, "mtrr", "L0", "#PF", "on_other"),
         not_dropped(8, "RIP is not in its own code", "T boot 9"), not_dropped(9, "a lock is held", "T boot 10"),
         not_dropped(10, "it has injected an exception", "T boot 11"),
         not_dropped(11, "RIP is not in its own code", "T all faults are over")]


def linux_ready(cpus):
    return rf"^INIT READY cpus={cpus} kvm=yes"


def l2_ready(cpus):
    return rf"^L2: INIT READY cpus={cpus} kvm=yes"


def transcript(test, suffix="", **more):
    """A bare-metal VMX test: every line that begins with "T " is the same on the bare machine and on XMHF."""
    return dict(name=f"vmx/{test}{suffix}", guest=GUEST, append=f"test={test}", compare=r"^T ",
                expect=[rf"^T end {test}$"], **more)


MEASURED = [r"^T measured: good$", r"^T SIMD registers: good$", r"^T measured without FPU and SSE: good$"]


def on_xmhf(test, suffix="", expect=None, **more):
    """A bare-metal guest that judges itself and has a sense on XMHF only."""
    return dict(name=f"vmx/{test}{suffix}", guest=GUEST, append=f"test={test}", xmhf=True,
                expect=expect or [rf"^T end {test}$"], **more)


def security(test, expect=None, **more):
    return dict(name=f"security/{test}", guest=GUEST, append=f"test={test}", xmhf=True,
                expect=expect or [rf"^T end {test}$"],
                **more)


def torture(suffix, rounds, **more):
    """hypapps/quiesce. For the long run see the head of tests/guest/quiesce.c."""
    return dict(name=f"audit/quiesce{suffix}", guest=GUEST, append=f"test=quiesce rounds={rounds}", xmhf=AUDIT,
                xmhf_args=NO_CAP,
                judge=as_the_hypapp_counts,
                expect=[r"^T end quiesce$", r"^xmhf: stat cpu 0", r"^xmhf: starter: (\d+) CPUs started, \1 had work$"],
                fail=[r"^xmhf: quiesce: FAULT"], **more)


def soak(suffix, image, seconds, seed="", args="", room=r"\d+", **more):
    """All PALs for whoever comes first: in the end as many must fit in as at the beginning."""
    return dict(name=f"pal/soak{suffix}", guest="tiny", xmhf=image, cpus=2, megs=192,
                xmhf_args=f"trustvisor.share-user=512,131072 trustvisor.share-l2=512,131072 {args}",
                append=f"job=soak seconds={seconds} seed={seed}", timeout=900 + 20 * int(seconds),
                expect=[rf"^pal-soak: 0 wrong results, room for {room} PALs before", r"^JOB soak EXIT 0$",
                        *POWERED_OFF], **more)


# Of the host's clock, for a QEMU that never says what is waited for. The dearest, with Secure Boot, needs 22 s of CPU;
# where others are busy, any needs ten times as long as alone.
QEMU_SECONDS = 600


def qemu_says(name, qemu, *lines, **more):
    """What comes on the console of QEMU, which has no VMX, in this order; all of it is in the log. The machine is ended
    as soon as the last line is there: the rest is not run, and one that is halted would go on. So is one whose core has
    refused for another reason."""
    # One reader: what a second grep shall find, the first may have read with its own line.
    words = " ".join(f"'{line}'" for line in lines)
    look = (f"set -- {words}; while [ $# != 0 ] && read -r -u 3 text; do "
            "printf '%s\\n' \"$text\"; case $text in *\"$1\"*) shift;; *'error: the machine is halted'*) break; esac; "
            "done; "
            '[ $# = 0 ] || echo "FAIL: it does not say: $1"')
    run = f"exec 3< <(exec timeout {QEMU_SECONDS} {qemu} -display none 2>&1); machine=$!"
    return dict(name=name, command=["bash", "-c", f"{run}; {look}; kill $machine; exit $#"], timeout=QEMU_SECONDS + 30,
                **more)


def refuses(name, qemu, line, image="build/xmhf.elf", serial="-serial stdio"):
    """`qemu -kernel` loads the image by multiboot 1. What the machine or the command line lacks is one line and a halt.
    """
    return qemu_says(f"boot/{name}", f"{qemu} -kernel {image} -m 256 {serial} -no-reboot", f"xmhf: error: {line}")


def efi_says(name, image, firmware, *lines, **more):
    return qemu_says(f"efi/{name}", f"qemu-system-x86_64 {firmware} -m 256 -smp 2 -serial stdio "
                     f"-net none -drive file=build/boot/{image}.img,format=raw,snapshot=on", *lines, **more)


def efi_refuses(name, line, image="efi-alone"):
    """The application says on the screen, as on the serial line, what the machine lacks; and the firmware goes on, here
    to its shell."""
    qemu = (f"qemu-system-x86_64 -M q35 -bios {OVMF} -m 256 -smp 2 -no-reboot "
            f"-drive file=build/boot/{image}.img,format=raw,snapshot=on")
    return dict(name=f"efi/{name}", timeout=QEMU_SECONDS + 30,
                command=["tests/run/screen.py", "--firmware", f"--seconds={QEMU_SECONDS}", "--shows=xmhf: XMHF 0",
                         f"--shows=error: {line}", f"--serial=error: {line}", "--shows=XMHF is not started", "--",
                         *qemu.split()])


# Firmware with Secure Boot on and the keys of ovmf's package enrolled.
SECURE_BOOT = ("-M q35,smm=on -global driver=cfi.pflash01,property=secure,value=on "
               "-drive if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd "
               "-drive if=pflash,format=raw,unit=1,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd")


def under_grub(cpus):
    """XMHF, then Debian's GRUB, then a Linux with the firmware's runtime services and all CPUs."""
    return [rf"^xmhf: {cpus} of {cpus} CPUs run under the core", r"xmhf: starts .EFI.debian.grubx64.efi",
            r"efi: EFI v\d", r"Registered efivars operations", r"^xmhf: the firmware's boot services have ended",
            linux_ready(cpus)]


def on_screen(name, shows, qemu, *more):
    """The screen shows the text, by VGA's text mode or a framebuffer."""
    return dict(name=f"screen/{name}", command=["tests/run/screen.py", *more, *(f"--shows={text}" for text in shows),
                                                "--", *f"qemu-system-x86_64 -m 256 -no-reboot {qemu}".split()],
                timeout=QEMU_SECONDS + 30)


def selftest(name, image, *qemu, says=None):
    """An image of tests/selftest: it ends QEMU with 33 when all its checks held. Or one that shall say a line."""
    run = " ".join([f"timeout -k 5 {QEMU_SECONDS} qemu-system-x86_64 -M q35,kernel-irqchip=split -display none",
                    "-serial stdio -monitor none -net none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=1",
                    *qemu, f"-kernel build/selftest/{image}.elf"])
    judge = f"| tee /dev/stderr | grep -q '{says}'" if says else "; test $? = 33"
    return dict(name=name, command=["bash", "-c", f"{run} {judge}"], timeout=QEMU_SECONDS + 30)


# A transfer of edu takes 100 ms of a clock that runs by instructions: so it is short, and the same in each run.
COUNTED = "-icount shift=10,sleep=off"


def iommu(name, options, image="iommu", append="log=info", megs=256, **more):
    """Devices are kept out: by tests/selftest/iommu.c, or taken.c, which needs RAM above 4 GiB."""
    unit = f"-device intel-iommu,{options}" if options else ""
    return selftest(f"iommu/{name}", image, f"-m {megs} {COUNTED}", unit,
                    f"-device edu,dma_mask=0xffffffffffffffff -append {append}", **more)


CASES = [
    dict(name="unit/public-headers-alone", command=["make", "-s", "public-headers"]),
    # The tests must notice a missing fence (66: ThreadSanitizer) and a missing restart.
    dict(name="unit/threads-notice-no-release",
         command=["sh", "-c", "build/unit/quiesce_threads_no_release; test $? = 66"]),
    dict(name="unit/threads-notice-no-restart",
         command=["sh", "-c", "build/unit/quiesce_threads_no_restart; test $? = 1"]),
    dict(name="unit/verify-checks-all-answers", command=["tests/run/calls_of_verify"]),
    dict(name="docs/site", command=["make", "-s", "docs"]),
    dict(name="docs/readme-compiles", command=["make", "-s", "readme-check"]),
    dict(name="docs/event-pages", command=["tests/run/event_pages.py"]),
    dict(name="docs/security-tests", command=["tests/run/security_tests.py"]),
    dict(name="docs/options-table", command=["tests/run/options_table.py"]),
    dict(name="docs/panics", command=["tests/run/panic_sites.py"]),
    dict(name="docs/tutorial-compiles", command=["make", "-s", "tutorial-check"]),
    # Its last state, built as its reader builds it.
    dict(name="docs/tutorial-hypapp", guest=GUEST, append="test=journal", xmhf=TUTORIAL, cpus=2,
         expect=[r"^xmhf: journal: ready$", r"^T end journal$"]),
    dict(name="docs/tutorial-test", command=["make", "-s", "-C", "build/tutorial/journal", "test"]),
    dict(name="docs/tutorial-boot", guest="build/guest/mini-hypervisor.bzimage", append="test=call number=0x300",
         xmhf=TUTORIAL, judge=tutorial.shows("boot"), expect=[r"^T end call$"]),
    dict(name="docs/tutorial-linux", guest="tiny", initrd="build/tutorial/linux.cpio", append="job=notes",
         xmhf=TUTORIAL, judge=tutorial.shows("linux"), expect=POWERED_OFF),
    dict(name="run/ends", command=["tests/run/ends.py"]),
    dict(name="docs/quotes", command=["tests/run/quotes.py", "docs/porting.md"]),
    dict(name="model/quiesce", command=["tests/model/check"], timeout=900),

    dict(name="events/dispatch-cost",
         command=["tests/run/dispatch_cost.py", GUEST, "build/bench", "build/check/dispatch"]),

    refuses("no-64-bit", "qemu-system-i386 -cpu qemu32", "this CPU has no 64-bit mode"),
    refuses("no-vmx", "qemu-system-x86_64 -append log=debug", "this CPU has no VMX"),
    refuses("unknown-option", "qemu-system-x86_64 -append logg=debug", 'unknown option "logg"'),
    refuses("bad-value", "qemu-system-x86_64 -append boot=floppy", "option boot=floppy: the value is none of"),

    # The same on the screen; and GRUB's framebuffer. After the guest's start it is a panic alone, if that is wanted.
    on_screen("no-64-bit", ["this CPU has no 64-bit mode"], "-cpu qemu32 -kernel build/xmhf.elf"),
    on_screen("no-vmx", ["XMHF 0", "this CPU has no VMX: switch", "the machine is halted"], "-kernel build/xmhf.elf"),
    on_screen("unknown-option", ['unknown option "logg"'], "-kernel build/xmhf.elf -append logg=debug"),
    on_screen("no-memory", ["MiB of free RAM below 4 GiB"], "-kernel build/xmhf.elf -m 32"),
    on_screen("framebuffer", ["XMHF 0", "this CPU has no VMX: switch", "the machine is halted"], "-M q35 -vga std "
              f"-bios {OVMF} -drive file=build/boot/efi-screen.img,format=raw,snapshot=on", "--pixels"),
    on_screen("panic", ["XMHF 0", "PANIC: for the screen"],
              "-kernel build/selftest/screen.elf -append panic-screen=on", "--never=for nobody"),
    on_screen("no-panic", ["the screen is the core's"], "-kernel build/selftest/screen.elf",
              "--serial=PANIC: for the screen", "--never=PANIC"),

    # Another serial port, by PCI and by the firmware's table, here COM2; and none, with the screen.
    refuses("console-pci", "qemu-system-x86_64 -append console=pci:0:5.0", "this CPU has no VMX",
            serial="-serial null -chardev stdio,id=c -device pci-serial,chardev=c,addr=5"),
    refuses("console-acpi", "qemu-system-x86_64 -append console=acpi -acpitable sig=SPCR,data=build/boot/spcr.bin",
            "this CPU has no VMX", serial="-serial null -serial stdio"),
    refuses("console-no-table", "qemu-system-x86_64 -append console=acpi", "console=acpi: the firmware has no table"),
    refuses("console-empty", "qemu-system-x86_64 -append console=mmio32:f0000000", "console=mmio32:f0000000: no "),
    on_screen("console-none", ["this CPU has no VMX: switch"], "-kernel build/xmhf.elf -append console=none",
              "--silent"),

    # What needs no VMX, in images of its own on QEMU.
    selftest("selftest/start", "start", "-m 256 -smp 2"),
    *(iommu(name, options) for name, options in IOMMUS),
    iommu("registers", "intremap=off", "iommu-registers"),
    iommu("no-unit", "", says="no DMA protection: the firmware shows no Intel IOMMU"),
    iommu("off", "intremap=on", append="iommu=off", says="no DMA protection: iommu=off"),
    refuses("iommu-required", "qemu-system-x86_64 -M q35 -append iommu=require",
            "iommu=require: devices of this machine", "build/selftest/linux.elf"),
    dict(name="iommu/linux", command=["tests/run/linux_on_iommu", "2", "intremap=on"], timeout=QEMU_SECONDS + 30),
    dict(name="iommu/linux-48-bits", timeout=900, long=True,
         command=["tests/run/linux_on_iommu", "600", "aw-bits=48,caching-mode=on,device-iotlb=on"]),
    iommu("no-tables", "dma-translation=off", says="no DMA protection: .* tables of neither three nor four levels"),
    iommu("notices-no-flush", "intremap=off", "iommu-no-flush", says="a device cannot write the page .0x2000000.: NO"),
    *(iommu(f"taken-{name}", options, "taken", megs=3072) for name, options in IOMMUS),
    iommu("taken-without-iommu", "intremap=on,aw-bits=48", "taken", "iommu=off", megs=3072),
    iommu("notices-no-take", "intremap=off,aw-bits=48", "taken-no-take", megs=3072,
          says="a partition.s page: a device does not write 0x40000000: NO"),
    iommu("notices-no-restrict", "intremap=off,aw-bits=48", "taken-no-restrict", megs=3072,
          says="a hypapp.s page: a device does not write 0x40000000: NO"),

    # hypapp-link's image of helloworld and of a hypapp that hypapp-new wrote, what is seen of it, what is refused.
    dict(name="install/commands", command=["tests/run/install", "build/install"]),
    dict(name="install/driver", command=["tests/run/driver_builds", "build/check/driver-builds",
                                         "build/linux/debian-headers"]),
    dict(name="install/mistakes", command=["tests/mistakes/build.py", "build/install/stage/usr/local"]),
    dict(name="install/linux", command=["tests/run/boot_linux", "build/install", "build/linux/tiny/bzImage"],
         timeout=900),
    dict(name="install/linux-debian", command=["tests/run/boot_linux", "build/install"], timeout=3600, long=True),
    dict(name="install/reproducible", command=["tests/run/reproducible", "build/check/reproducible"]),
    dict(name="docs/licences", command=["tests/run/licences"]),
    dict(name="docs/layout", command=["tests/run/layout.py"]),
    dict(name="docs/walks", command=["tests/run/walks.py"]),
    refuses("out-of-tree", "qemu-system-x86_64", "this CPU has no VMX", OUT_OF_TREE),
    dict(name="install/boots", guest=GUEST, append="test=l1-basics", xmhf=OUT_OF_TREE,
         expect=[r"^xmhf: greeter: ready$", r"^xmhf: helloworld: hello", r"^T end l1-basics$"]),

    # 1,000 CPUIDs are the exits, and 1,000 each of four instructions that nobody claims are not.
    dict(name="install/helloworld-alone", guest=GUEST, append="test=no-exits off=1", xmhf=HELLO_ALONE,
         judge=exits_of_l1(1000, 1200), expect=[r"^T OUT: good$", r"^xmhf: stat cpu 0 exits-l1"]),
    dict(name="install/hypapps-of-1.0-to-1.2", guest=GUEST, append="test=abi", xmhf=OUT_OF_TREE,
         expect=[r"^xmhf: warning: hypapp made_for_1_1: \.priority is not given: .*",
                 r"^xmhf: warning: hypapp made_for_1_1: \.subscriptions\[4\], of event mtrr, lies behind an empty ",
                 r"^xmhf: warning: hypapp made_for_1_1: the subscription to event msr in L1 and L2 needs a claim of ",
                 r"^xmhf: hypapp made_for_1_1, priority 0, hypapi 1\.1$",
                 r"^xmhf: hypapp made_for_1_0, priority 7000, hypapi 1\.0$",
                 r"^xmhf: hypapp made_for_1_2, priority 7001, hypapi 1\.2$", r"^T end abi$"]),

    # An image with a hypapp that stands outside of hypapps/, named by its path, and with one that has a library.
    dict(name="by-path/refuses", command=["tests/run/by-path", "build/by-path/refused"]),
    dict(name="by-path/boots", guest=GUEST, append="test=l1-basics", xmhf=BY_PATH,
         expect=[r"^xmhf: greeter: ready$", r"^xmhf: checksum: ready$", r"^xmhf: helloworld: hello",
                 r"^T end l1-basics$"]),

    # A hypapp's faults: named, and the machine is reset.
    dict(name="fault/reset", guest=GUEST, append="test=faults", xmhf=AUDIT, panics=True, expect=FAULTS, timeout=400),
    dict(name="fault/stopped", guest=GUEST, append="test=faults", xmhf=AUDIT, cpus=2, panics=True,
         until=r"bystander: reset\n", expect=[fault_of(0, "L1", "#UD", after="bystander: reset")]),

    # The machine goes on without a hypapp that says so, where that is safe; the last four are resets.
    dict(name="fault/drop", guest=GUEST, append="test=drop", xmhf=AUDIT, panics=True, timeout=600,
         xmhf_args="hypapp-fault=drop", expect=DROPS),
    *(dict(name=f"fault/drop-2cpu-{way}", guest=GUEST, append=f"test=drop way={way}", xmhf=AUDIT, cpus=2,
           xmhf_args="hypapp-fault=drop partition-time=60s",
           expect=[r"the second CPU: ok$", r"others are told: ok$", r"^T end drop$"]) for way in (0, 1, 3)),

    # Each mistake of an author that shows at run time has its line; the last two are handlers that never return.
    dict(name="fault/mistakes", guest=GUEST, append="test=mistakes", xmhf=AUDIT, cpus=3, timeout=300,
         xmhf_args="hypapp-time=1ms stop-bound=100ms", until=MISTAKES[-1].partition(".*")[2], expect=MISTAKES),

    # The log under load, and a hypapp's lines while no guest exits.
    *(dict(name=f"log/load{suffix}", guest=GUEST, append="test=log-load", xmhf="build/bench/passers1.elf", cpus=cpus,
           judge=whole_and_counted(cpus), expect=[r"^T end log-load$"]) for suffix, cpus in (("", 1), ("-2cpu", 2))),

    dict(name="bare/linux-tiny", guest="tiny", expect=[linux_ready(1), *POWERED_OFF]),
    dict(name="bare/linux-tiny-2cpu", guest="tiny", cpus=2, expect=[linux_ready(2), *POWERED_OFF]),
    # Of use where the same fails on XMHF: KVM works there without us.
    *(dict(name=f"bare/linux-l2{suffix}", guest="tiny", initrd=L2_INITRD, cpus=cpus,
           append=f"job=l2-linux l2cpus={cpus}", timeout=600, long=True, expect=[l2_ready(cpus), *POWERED_OFF])
      for suffix, cpus in (("", 1), ("-2cpu", 2))),
    # S3 is offered on the bare machine, and on XMHF not.
    dict(name="bare/linux-debian", guest="debian", cpus=2, append="job=sleep-states",
         expect=[linux_ready(2), r"^sleep: s2idle \[deep\]\r?$", *POWERED_OFF]),

    dict(name="xmhf/linux-tiny", guest="tiny", xmhf=True, expect=[linux_ready(1), *POWERED_OFF]),
    dict(name="xmhf/linux-tiny-grub", guest="tiny", xmhf=True, xmhf_args="msr=watch", loader="grub",
         append="loglevel=5",
         judge=msrs_written("tiny", L1=LINUX_WRITES), expect=[linux_ready(1), *POWERED_OFF]),
    dict(name="xmhf/linux-tiny-2cpu", guest="tiny", xmhf=True, cpus=2, expect=[linux_ready(2), *POWERED_OFF]),
    dict(name="xmhf/linux-tiny-8cpu", guest="tiny", xmhf=True, cpus=8, megs=1024, timeout=900,
         expect=[linux_ready(8), *POWERED_OFF]),
    dict(name="xmhf/linux-reboot", guest="tiny", xmhf=True, append="after=reboot",
         until=r"(?s)INIT DONE.*INIT READY", expect=[r"(?s)INIT DONE.*INIT READY"]),
    # Linux resets by a triple fault: XMHF reports it and resets the machine. (Bare Bochs hangs in its own.)
    dict(name="xmhf/linux-triple-fault", guest="tiny", xmhf=True, append="after=reboot reboot=t",
         until=r"(?s)INIT DONE.*INIT READY", expect=[r"(?s)INIT DONE.*triple fault.*INIT READY"]),
    dict(name="xmhf/linux-l2", guest="tiny", initrd=L2_INITRD, xmhf=True, xmhf_args="msr=watch", timeout=600,
         append="job=l2-linux l2job=pal-demo32 loglevel=5",
         judge=msrs_written("linux-l2", L1=LINUX_WRITES, L2=[0xc0000100, 0xc0000102]),
         expect=[l2_ready(1), r"^L2: JOB pal-demo32 EXIT 0$", *POWERED_OFF]),
    # The memory of an L2 with two vCPUs changes all the time.
    dict(name="xmhf/churn", guest="tiny", xmhf=AUDIT, cpus=2, append="job=kvm-churn rounds=1", timeout=900,
         expect=[r"^JOB kvm-churn EXIT 0$", *POWERED_OFF]),
    dict(name="xmhf/linux-l2-2cpu", guest="tiny", initrd=L2_INITRD, xmhf=True, cpus=2, append="job=l2-linux l2cpus=2",
         timeout=900, expect=[l2_ready(2), *POWERED_OFF]),

    # Two Linux at once in L2; KVM in an XMHF that runs below XMHF; a 32-bit Linux, and Xen with its first domain.
    *(dict(name=f"{name}/linux-l2-two", guest="tiny", initrd=L2_INITRD, xmhf=xmhf, cpus=2, megs=768,
           append="job=l2-linux l2count=2", timeout=1800, long=True, expect=[TWO_L2, *POWERED_OFF])
      for name, xmhf in (("bare", False), ("xmhf", True))),
    *(dict(name=f"{name}/xmhf-kvm", disk="build/boot/twice-kvm.img", xmhf=xmhf, megs=768, timeout=3600, long=True,
           expect=[rf"(?s)(XMHF \S+, hypapi.*){{{levels}}}INIT READY cpus=1 kvm=yes", l2_ready(1), *POWERED_OFF])
      for name, xmhf, levels in (("bare", False, 1), ("xmhf", True, 2))),
    dict(name="bare/linux-i386", guest="i386", append="mce=off loglevel=5", timeout=900, long=True, expect=POWERED_OFF),
    dict(name="bare/xen", disk="build/boot/xen.img", megs=768, timeout=1500, long=True, options=XEN_MSRS,
         expect=[r"INIT READY", r"INIT DONE"]),

    # The firmware stays as a part of L1 and starts Linux by its EFI stub: PALs from there and from a KVM guest.
    dict(name="efi/linux-debian", disk="build/boot/efi.img", firmware=OVMF, cpus=2, timeout=900,
         expect=[r"^xmhf: 2 of 2 CPUs run under the core", linux_ready(2), r"^JOB pal-l1 EXIT 0$",
                 r"^JOB pal-l2 EXIT 0$", r"^xmhf: ACPI: _S3_ is not offered", NO_S3,
                 r"^xmhf: the firmware's boot services have ended", *POWERED_OFF]),

    dict(name="efi/linux-tiny-grub", disk="build/boot/efi-grub.img", firmware=OVMF, cpus=2, timeout=900,
         expect=[r"^xmhf: 2 of 2 CPUs run under the core", linux_ready(2), r"^JOB pal-l1 EXIT 0$",
                 r"^JOB pal-l2 EXIT 0$", *POWERED_OFF]),
    # Debian's kernel has the firmware's runtime services, too.
    dict(name="efi/linux-debian-grub", disk="build/boot/efi-grub-debian.img", firmware=OVMF, cpus=2, timeout=900,
         long=True, expect=[r"^xmhf: 2 of 2 CPUs run under the core", r"efi: EFI v\d", r"Registered efivars operations",
                            linux_ready(2), *POWERED_OFF]),
    # Debian's own GRUB as the next loader, with the file that grub-install writes; Linux by both of its commands. For
    # the second, Linux' EFI stub, a GRUB starts XMHF, too, and goes on if XMHF comes back.
    dict(name="efi/next-grub", disk="build/boot/efi-next-grub.img", firmware=OVMF, cpus=2, timeout=900, long=True,
         expect=[*under_grub(2), r"^JOB pal-l1 EXIT 0$", r"^JOB pal-l2 EXIT 0$", *POWERED_OFF]),
    dict(name="efi/next-grub-stub", disk="build/boot/efi-next-stub.img", firmware=OVMF, cpus=1, timeout=900, long=True,
         expect=[*under_grub(1), r"efi: .*INITRD=0x", *POWERED_OFF]),
    # The next entry of the boot menu; power-off by the firmware's runtime services.
    dict(name="efi/shell", disk="build/boot/efi-shell.img", firmware=OVMF, cpus=2, timeout=900, long=True,
         expect=[r"^xmhf: 2 of 2 CPUs run under the core", r"starts the boot entry EFI Internal Shell",
                 r"THE SHELL IS L1", r"xmhf: the guest asks for sleep type 0"]),
    # And reset. In Bochs OVMF does not start a second time: it waits for its timer at port 8, where none is.
    dict(name="efi/shell-reset", disk="build/boot/efi-reset.img", firmware=OVMF, cpus=2, timeout=900, long=True,
         until=r"^xmhf: stat event reset", expect=[r"THE SHELL IS L1", r"^xmhf: the guest resets the machine"]),
    # The other CPU's firmware asks for 1,000 stops as soon as it is a guest; the boot CPU takes part in each. XMHF
    # starts the disk's boot entry, an application that looks at what it is told, and then the shell.
    dict(name="efi/stops-at-start", disk="build/boot/efi-stops.img", firmware=OVMF, cpus=2, timeout=900,
         expect=[r"^xmhf: 2 of 2 CPUs run under the core", r"device and file are told", r"THE SHELL IS L1",
                 r"xmhf: the guest asks for sleep type 0",
                 r"^xmhf: stat event cpuid L1 quiesce count 1000 stops 1000", r"^xmhf: stat cpu 0 .* served 100"]),
    efi_refuses("no-vmx", "this CPU has no VMX"),
    efi_refuses("cpu-off", "the firmware has a CPU that it does not use", "efi-disabled"),
    efi_refuses("bad-config", r"\EFI\xmhf\xmhf.conf: a line is none of options, next, next-options, or too long",
                "efi-bad"),
    efi_says("refused-to-grub", "efi-next-stub", f"-M q35 -bios {OVMF}", "error: this CPU has no VMX", "not started",
             "GRUB goes on"),
    efi_refuses("no-mp-services", "the CPU with APIC id 1 is in the firmware's tables, but its MP services do not",
                "efi-no-mp"),
    # By the firmware's shell, whose first word is the path. An option of the file, then one of the load options.
    efi_says("load-options", "efi-options", f"-M q35 -bios {OVMF}", "error: option log=none: the value", "not started",
             "error: option log=other: the value", "not started"),
    efi_says("signed", "efi-signed", SECURE_BOOT, "error: this CPU has no VMX", "not started"),
    efi_says("signed-and-changed", "efi-changed", SECURE_BOOT, "Access Denied"),
    efi_says("unsigned", "efi-alone", SECURE_BOOT, "Access Denied", long=True),

    dict(name="efi/vmx-locked", disk="build/boot/efi-locked.img", firmware=OVMF, timeout=900, long=True,
         until=r"machine is halted", expect=[r"^xmhf: error: the firmware has disabled VMX \(IA32_FEATURE_CONTROL is "
                                             r"locked at 0x1\): switch on .* then power off and on"]),

    # Another CPU refuses: all go back, the application says why, and the firmware goes on.
    dict(name="efi/vmx-locked-other", disk="build/boot/efi-locked-other.img", firmware=OVMF, cpus=2, timeout=900,
         long=True, until=r"TR is as before|Shell>",
         expect=[r"^xmhf: error: the firmware has disabled VMX .*locked at 0x1",
                 r"^xmhf: error: the CPU with APIC id 1 cannot be used", r"XMHF is not started", r"TR is as before"]),

    # Another CPU never comes: the firmware's own time limit ends the wait for it.
    dict(name="efi/cpu-never-comes", disk="build/boot/efi-lost.img", firmware=OVMF, cpus=2, timeout=900, long=True,
         until=r"XMHF is not started",
         expect=[r"a CPU does not start: if nothing follows in a minute",
                 r"^xmhf: error: the firmware does not start the CPU with APIC id 1", r"XMHF is not started"]),
    # All CPUs are in x2APIC mode before XMHF.
    dict(name="efi/x2apic", disk="build/boot/efi-x2apic.img", firmware=OVMF, cpus=2, timeout=900, long=True,
         expect=[r"^xmhf: 2 of 2 CPUs run under the core", r"x2APIC mode under XMHF", r"THE SHELL IS L1",
                 r"xmhf: the guest asks for sleep type 0"]),

    # The table of MSRs and a 32-bit Linux; Xen and its first domain.
    dict(name="xmhf/linux-i386", guest="i386", xmhf=True, xmhf_args="msr=watch", append="mce=off loglevel=5",
         timeout=900, long=True, judge=msrs_written("i386", L1=[0x174, 0xc0000080]), expect=POWERED_OFF),
    dict(name="xmhf/xen", disk="build/boot/xen.img", xmhf=True, xmhf_args="msr=watch", megs=768, timeout=1500,
         long=True, options=XEN_MSRS, judge=msrs_written("xen", L1=[0x830, 0xc0000080, 0xc0000082, 0xc0000102]),
         expect=[r"INIT READY", r"INIT DONE", r"^xmhf: stat cpu 0"]),

    # PALs called from L1 and from a KVM guest; then on both CPUs of L1 and in the guest at once.
    dict(name="pal/l1-and-l2", guest="tiny", xmhf=True, cpus=2, append="job=pal-l1,pal-l2,pal-list",
         expect=[r"^JOB pal-l1 EXIT 0$", r"^JOB pal-l2 EXIT 0$", r"^JOB pal-list EXIT 0$", *POWERED_OFF]),
    dict(name="pal/l1-and-l2-debian", guest="debian", xmhf=True, xmhf_args="msr=watch", cpus=2, megs=1024,
         initrd="build/linux/debian-nodes.cpio",
         append="job=pal-l1,pal-l2,words,languages,moved,sleep-states numa_balancing=disable loglevel=5",
         judge=msrs_written("debian", L1=LINUX_WRITES), timeout=600,
         expect=[linux_ready(2), r"^JOB pal-l1 EXIT 0$", r"^JOB pal-l2 EXIT 0$", r"^JOB words EXIT 0$",
                 r"^JOB languages EXIT 0$", r"^JOB moved EXIT 0$", NO_S3, *POWERED_OFF]),
    # By the driver: what reaches pages of processes, hostile requests, deaths. And no other way. With page tables of
    # the kernel and of its processes apart (pti), SMAP, SMEP and PCID.
    dict(name="pal/driver", guest="debian", xmhf=True, xmhf_args="trustvisor.register=kernel", cpus=2, megs=1024,
         initrd="build/linux/debian-nodes.cpio", timeout=600,
         append="job=driver numa_balancing=disable loglevel=5 pti=on",
         expect=[r"^register: not allowed to this caller", r"^JOB driver EXIT 0$", *POWERED_OFF]),
    # The driver in a Linux of L2, Debian's, on a small one of L1. On a fast machine: its timer, 250 times a second,
    # would take most of a slow one's time.
    dict(name="pal/driver-l2", guest="tiny", xmhf=True, xmhf_args="trustvisor.register=kernel", megs=1024,
         initrd=L2_DRIVER_INITRD, append="job=l2-linux l2memory=256 l2job=driver-short", ips=100000000,
         timeout=1800, expect=[r"^L2: register: not allowed to this caller", r"^L2: 2$",
                 r"^L2: JOB driver-short EXIT 0$", *POWERED_OFF]),
    dict(name="examples/libtv", command=["examples/libtv/test/run", "build/check/libtv"]),
    # Without the cap on stops, or most of the time would be the callers' wait for their share of it.
    dict(name="pal/both-at-once", guest="tiny", xmhf=True, xmhf_args=NO_CAP, cpus=2, append="job=pal-both rounds=100",
         timeout=900,
         judge=rounds_stop_twice(200, l1_destroys=1), expect=[r"^JOB pal-both EXIT 0$", *POWERED_OFF]),

    # A call of a PAL and its return, the first one and a further one, have a bound.
    dict(name="pal/cost", guest=GUEST, append="test=bench", xmhf=True, xmhf_args=NO_CAP, expect=[r"^T end bench"],
         judge=pal_calls_within({"pal-invoke-l1+pal-return-l1": 3120, "pal-invoke-l2+pal-return-l2": 3835,
                                 "pal-call-again-l1": 2535, "pal-call-again-l2": 3085})),

    # In memory that EPT12 and EPT01 map by leaves of each size.
    dict(on_xmhf("pal-sizes"), name="pal/sizes"),
    dict(name="pal/misuse", guest="tiny", xmhf=True, cpus=2,
         xmhf_args="partition-time=100ms trustvisor.share-l2=8,344",
         append="job=pal-misuse,vm-killed", timeout=600,
         expect=[r"^endless loop: the PAL is destroyed, its caller faults\r?$",
                 r"^time of that loop: not twice that of the first one\r?$", r"^JOB pal-misuse EXIT 0$",
                 r"^JOB vm-killed EXIT 0$", *POWERED_OFF]),

    # One process goes for another's functions and PALs.
    dict(name="security/pal-owner", guest="tiny", xmhf=True, cpus=2, append="job=owners",
         expect=[r"^JOB owners EXIT 0$", *POWERED_OFF]),

    # The core's own hypercalls, and #UD without the option.
    dict(name="trace/pal", guest="tiny", xmhf=True, xmhf_args="trace=on control=values", cpus=2, append="job=ctl",
         judge=shows_pal, expect=[r"^JOB ctl EXIT 0$", r"^\d+ XMHF .* hypapi 1\.3", *POWERED_OFF]),
    dict(name="trace/off", guest="tiny", xmhf=True, append="job=ctl",
         expect=[r"^xmhfctl: there is no XMHF with control=on below\r?$", r"^JOB ctl EXIT 2$", *POWERED_OFF],
         fail=[r"^xmhf: trace "]),

    # The same under a core that walks all live EPTs after each change and panics where they reach what they must not.
    dict(name="audit/verify", guest=GUEST, append="test=verify", xmhf=AUDIT,
         xmhf_args="verify.word=hello partitions=300",
         expect=[r"^T end verify$"],
         fail=[r"^xmhf: verify:"]),
    dict(name="audit/verify-events", guest=GUEST, append="test=verify-events", xmhf=AUDIT,
         expect=[r"^T end verify-events$"],
         fail=[r"^xmhf: verify:"]),
    dict(name="audit/verify-signals", guest=GUEST, append="test=verify-signals", xmhf=AUDIT, cpus=2,
         expect=[r"^T end verify-signals$"], fail=[r"^xmhf: verify:"]),
    dict(name="audit/verify-sleep", guest=GUEST, append="test=verify-sleep", xmhf=AUDIT, until=SLEEPS, expect=[SLEEPS],
         fail=[r"^xmhf: verify:"]),
    # Without the cap on stops: these are so long here that their share would be all that the calls wait for.
    dict(name="audit/l1-and-l2", guest="tiny", xmhf=AUDIT, xmhf_args=NO_CAP, cpus=2, append="job=pal-l1,pal-l2",
         timeout=1800,
         expect=[r"^JOB pal-l1 EXIT 0$", r"^JOB pal-l2 EXIT 0$", *POWERED_OFF]),

    # Random work with PALs in L1 and two guests, with kills and memory pressure; and as many PALs as there can be, each
    # called once: 300. The long form: half an hour of the emulated clock, which is an hour of one core's work, or
    # SOAK_SECONDS; SOAK_SEED repeats one (times differ, so not to the last step). The audit makes stops so long that a
    # cap on them would leave nothing else.
    soak("", True, 8, args="partitions=300", room="300"),
    soak("-long", AUDIT, os.environ.get("SOAK_SECONDS", 1800), os.environ.get("SOAK_SEED", ""), args=NO_CAP,
         long=True),

    # A hypapp that uses its stack up; the audit of root's own tables.
    dict(name="security/root-stack", guest="build/guest/mini-hypervisor.bzimage", append="test=call number=0x20e",
         xmhf=AUDIT,
         cpus=2, until=OVERFLOW, panics=True, expect=[ROOT_TABLES, OVERFLOW], fail=[r"^xmhf: PANIC: audit"]),

    # No indirect branch of root but in the thunks; and that is noticed. Then the returns guarded at each exit.
    dict(name="security/no-indirect-branch", command=["tests/run/indirect_branches.py", "build/xmhf.elf", AUDIT]),
    dict(name="security/no-simd", command=["tests/run/no_simd.py", "build/xmhf.elf", AUDIT]),
    dict(name="security/no-indirect-branch-notices",
         command=["sh", "-c", "echo 'void f(void (*g)(void)) { g(); }' | gcc -O2 -c -x c -o build/check/planted.o - && "
                  "tests/run/indirect_branches.py build/check/planted.o | grep -q 'f: jmp'"]),
    dict(name="security/mitigations-full", guest=GUEST, append="test=hypercalls", xmhf=True,
         xmhf_args="mitigations=full",
         cpus=2, expect=[r"^xmhf: mitigations: rsb-fill$", r"^T end hypercalls$"]),

    # hypapps/lockdown beside TrustVisor, with the disk to itself and with a part of it; S3 ends the first.
    dict(name="audit/lockdown", guest=GUEST, append="test=lockdown sleep=yes", xmhf=AUDIT, cpus=2, disk=DISK,
         until=ASLEEP, expect=[r"^T L2, all sectors: ok$", ASLEEP]),
    dict(name="audit/lockdown-window", guest=GUEST, append="test=lockdown window=yes sleep=yes", xmhf=AUDIT, cpus=2,
         disk=DISK,
         xmhf_args="lockdown.disk=16-63",
         expect=[r"^xmhf: lockdown: sleep of type 1 is refused$", r"^T end lockdown$"]),

    # Writes that would reach past the tables, by both levels and by lists, on a CPU that takes them.
    dict(name="security/msr", guest=GUEST, append="test=msr-policy", xmhf=True, options=DANGER_MSRS,
         expect=[r"(?s)T L1: done.*T L2: done.*T list: done", r"^T levels of XMHF: 1$", r"^T end msr-policy$",
                 r"^xmhf: warning: CPU 0: writes of MSR 0x5f0 are dropped \(unknown\)$"]),

    # XMHF below XMHF: each fills a register of its own.
    dict(name="security/xmhf-twice", disk="build/boot/twice.img", xmhf=True, megs=256,
         expect=[r"(?s)XMHF \S+, hypapi.*XMHF \S+, hypapi", r"^T levels of XMHF: 2$", r"^T end xmhf-levels$"]),

    # SMIs of L1 run nothing of L1's; with smm=off the CPUs are open, and what the core drops and masks is all that
    # helps.
    dict(name="security/smm", guest=GUEST, append="test=smm", xmhf=True, xmhf_args="smm=require", cpus=2,
         expect=[r"^xmhf: host bridge 440FX: SMRAM is locked",
                 r"^xmhf: SMM: closed by the firmware on 1 CPUs, by the core on 1$", r"^T end smm$"]),
    dict(name="security/smm-open", guest=GUEST, append="test=smm open=1", xmhf=True, xmhf_args="smm=off", cpus=2,
         expect=[r"^xmhf: warning: CPU 1: SMM is open", r"^T end smm$"]),
    dict(name="security/smm-require", guest=GUEST, append="test=smm", xmhf=True, xmhf_args="smm=require", cpus=2,
         options=["pci: enabled=1, chipset=i440bx"], until=NOT_KNOWN,
         expect=[r"^xmhf: warning: host bridge 8086:7190", NOT_KNOWN]),

    torture("", rounds=40000, cpus=2, timeout=600),
    torture("-8cpu", rounds=6000, cpus=8, timeout=600),
    *(dict(name=f"audit/quiesce-{name}-8cpu", guest=GUEST, append=f"test=quiesce-forms{option}", xmhf=AUDIT,
           xmhf_args=NO_CAP, cpus=8,
           timeout=600, expect=[r"^T end quiesce-forms$"], fail=[r"^xmhf: quiesce: FAULT"])
      for name, option in (("forms", ""), ("parked", " parked=1"))),

    transcript("mini"),
    transcript("vmx-insn"),
    transcript("vmx-entry"),
    transcript("vmx-inject"),
    transcript("vmx-exits"),
    transcript("vmx-active"),
    transcript("vmx-shadow"),
    transcript("vmx-ept"),
    transcript("vmx-ept-ad"),
    transcript("vmx-pml"), transcript("vmx-ve"), transcript("vmx-vmfunc"),
    transcript("vmx-msr-lists"),
    transcript("vmx-vpid"),
    transcript("vmx-smp", cpus=2),
    transcript("l1-basics"), transcript("apic-store"),
    transcript("l1-smp", cpus=2),
    transcript("l1-modes"),
    transcript("vmx-modes"),
    transcript("vmx-fuzz"), transcript("vmx-legacy"),
    transcript("vmx-hyperv"),
    # What parses input of guests, loader and firmware: the corpus, and inputs made from it.
    *(dict(name=f"fuzz/{target}", command=["sh", "-c", f"build/fuzz/{target} {runs} tests/fuzz/corpus/{target}/*"])
      for target, runs in (("acpi", 20000), ("multiboot", 20000), ("store", 100000), ("ept12", 50000),
                           ("vmcs12", 50000), ("register", 500))),
    # The same 1,500 stories on both machines; more by `make fuzz`.
    dict(name="fuzz/nested", timeout=900, command=["tests/fuzz/diff.py", "--seeds", "1500", "--timeout", "800"]),
    # A second CPU changes what is read of L1's memory: the core audits itself, and L1 goes on.
    dict(name="fuzz/interfere", guest=GUEST, append="test=vmx-diff interfere=1 count=150", xmhf=AUDIT, cpus=2,
         timeout=900, expect=[r"^T seed 149 ", r"^T end vmx-diff$"]),
    dict(name="fuzz/interfere-long", guest=GUEST, append="test=vmx-diff interfere=1 seed=150 count=6000", xmhf=AUDIT,
         cpus=2, timeout=3600, long=True, expect=[r"^T seed 6149 ", r"^T end vmx-diff$"]),
    # How much of xmhf/nested the transcripts and the fuzzer reach.
    dict(name="coverage/nested", timeout=3600, long=True,
         command=["tests/coverage/report.py", "--image", "build/coverage/xmhf.elf", "--guest", GUEST,
                  "--out", "build/coverage"]),
    transcript("reset-port"),
    transcript("reset-other-cpu", cpus=2),
    transcript("power-off"),
    # The bare emulator's BIOS does not survive its own reset by triple fault, so there is nothing to compare with.
    on_xmhf("reset-triple-fault", expect=[r"triple fault in L1", r"^T booted again$", r"^T end reset-triple-fault$"]),
    on_xmhf("hypercalls", cpus=2),
    on_xmhf("attack", cpus=2),
    # Slices of at most 99,999 instructions, and stops that wait for at most 199,999: a tick is one.
    dict(on_xmhf("micro-tpm", cpus=2,
                 expect=[r"^T L1: 0 commands failed$", r"^T L1, 32 bits: 0 commands failed$",
                         r"^T L2: L2 says 64000$", r"^T L2: L2 says 32000$",
                         r"^T the slowest stop meanwhile took 1?\d{4,5} ticks$",
                         r"trustvisor: \d+ slices of long work, the longest of \d{1,5} ticks"]),
         name="pal/micro-tpm", timeout=900),
    # Without the CPU's SHA instructions, and with them: the time of a registration tells.
    dict(on_xmhf("measure", cpus=2, expect=MEASURED + [r"^T registration of 20480 bytes: (9\d{5}|1\d{6}) ticks$"]),
         name="pal/measure"),
    dict(on_xmhf("measure", cpus=2, expect=MEASURED + [r"^T registration of 20480 bytes: 1?\d{5} ticks$"]),
         name="pal/measure-sha", model="corei7_icelake_u"),
    dict(on_xmhf("pal-fpu"), name="pal/fpu"),
    dict(on_xmhf("pal-armed", cpus=2), name="pal/armed"),
    on_xmhf("no-exits"),
    dict(on_xmhf("stop-storm", cpus=2), name="security/stop-storm"),
    dict(on_xmhf("reset-silent-cpu", cpus=2, expect=[SILENT_CPU]), name="security/silent-cpu", xmhf=AUDIT,
         xmhf_args="stop-bound=20ms stop-timeout=reset:60ms"),
    on_xmhf("stops", cpus=2),
    on_xmhf("stops", cpus=8, suffix="-8cpu"),
    dict(on_xmhf("throughput", cpus=8, suffix="-8cpu"), xmhf="build/bench/stopper.elf", xmhf_args=NO_CAP),
    # Each boot goes down in another way; the boot sector of the next one looks for what was left (tests/boot/scan.S).
    *(dict(on_xmhf("ways-down", cpus=cpus), name=f"security/ways-down-{cpus}cpu", megs=64, disk="build/boot/scan.img",
           boot="disk, cdrom", fail=[r": NO$"], judge=judge)
      for cpus, judge in ((1, ways_down.ONE_CPU), (2, ways_down.TWO_CPUS))),

    security("device-memory"),
    security("a20", timeout=30),
    security("table-pool", megs=2048),
    security("delivery-fault", fail=[FLOOD, "which no control asks for"], timeout=60),
    # A CPU without VMCS shadowing.
    transcript("vmx-insn", model=IVY_BRIDGE, suffix="-ivy-bridge"),
    transcript("vmx-insn", model="corei7_icelake_u", suffix="-keys"),
    transcript("vmx-active", model=IVY_BRIDGE, suffix="-ivy-bridge"),
    transcript("vmx-shadow", model=IVY_BRIDGE, suffix="-ivy-bridge"),
    transcript("vmx-entry", model=IVY_BRIDGE, suffix="-ivy-bridge"),
    transcript("vmx-exits", model=IVY_BRIDGE, suffix="-ivy-bridge"),
    transcript("l1-smp", cpus=8, suffix="-8cpu", timeout=600),

    # The boot sector of a disk, started by the BIOS and by XMHF's chain start.
    dict(name="chain/boot-sector", disk=DISK, compare=r"^T ", judge=hides_root_memory,
         expect=[r"^T end boot$"]),
    dict(name="chain/boot-sector-grub", disk=DISK, loader="grub", xmhf_args="boot=chain drive=80",
         cpus=2, megs=1024, compare=r"^T ", judge=hides_root_memory, expect=[r"^T end boot$"]),
    # The same disk with lockdown.disk: the BIOS and the boot sector are held to it as well.
    dict(name="chain/lockdown", disk=DISK, xmhf=AUDIT, xmhf_args="lockdown.disk=0-2015",
         expect=[r"^xmhf: lockdown: no DMA protection: the disk can be told", r"^T end boot$"]),
    dict(name="chain/lockdown-refuses", disk=DISK, xmhf=AUDIT, xmhf_args="lockdown.disk=1-2015", until=REFUSED,
         expect=[REFUSED]),
    dict(name="chain/linux", disk="build/boot/linux.img", xmhf=True, cpus=2,
         expect=[r"(?s)root memory (\w+) to .*BIOS-e820: \[mem 0x0*\1-0x\w+\] reserved", linux_ready(2), *POWERED_OFF]),
    dict(name="chain/no-signature", disk="build/boot/unsigned.img", xmhf=True, until=NO_SIGNATURE,
         expect=[NO_SIGNATURE]),
    dict(name="chain/no-drive", xmhf=True, xmhf_args="boot=chain drive=81", until=NO_DRIVE, expect=[NO_DRIVE]),
    dict(name="chain/bad-drive", xmhf=True, xmhf_args="drive=0x80", until=BAD_DRIVE, expect=[BAD_DRIVE]),
]

# Which cases a change of these files concerns, by the beginning of their paths; `check.py --touched`.
TOUCHES = {
    r"xmhf/boot|tools/mkiso|tools/linux": "^(boot|chain|bare|xmhf)/|^unit/(core|aml)",
    r"xmhf/": "^(unit|audit|security)/|^vmx/(l1|attack|hypercalls|no-exits)|^pal/l1-and-l2$|^xmhf/linux-tiny-2cpu",
    r"xmhf/(core|events|quiesce|report|cpu|apic|power)": "^(vmx/(stops|reset|power|l1)|trace|events|model|install)",
    r"xmhf/quiesce|tests/model": "^model/",
    r"xmhf/(nested|vmx|mem)": "^vmx/|^fuzz/|^xmhf/linux-l2$",
    r"hypapi/": "^(unit|install|by-path|docs|events|audit)/",
    r"hypapps/trustvisor|examples/(libtv|pal|linux|kvm-guest)":
        "^(pal|unit/hypapp|audit/l1-and-l2|security/pal|examples)",
    r"hypapps/": "^(unit/|audit/|security/|chain/lockdown)",
    r"examples/": "^docs/tutorial|^install/",
    r"xmhf/(boot|iommu|cpu|apic|lib|mem|report)|tests/selftest": "^(selftest|iommu)/",
    r"tests/unit": "^unit/",
    r"tests/guest": "^(vmx|audit|security|fuzz)/",
    r"tests/fuzz": "^fuzz/",
    r"tests/(run|bench|boot|abi)|Makefile|.*[.]mk$|configure":
        "^(unit|install|by-path|events|chain|run)/|^xmhf/linux-tiny$",
    r"docs/|.*[.]md$": "^docs/",
    r"": "^docs/(layout|licences|walks)$",
}
