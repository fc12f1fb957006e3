# SPDX-License-Identifier: GPL-2.0-or-later
# Kernels, initramfs and ISO images for the emulator runs. Included by the top-level Makefile.
# Input: O, the build folder; LINUX_PROGRAMS, built programs for the initramfs. Include it after examples/examples.mk.
# Targets: linux-images (what the cases in tests/run/cases.py boot), long-images (what those of check-long do beside).

LINUX_PROGRAMS ?= $(EXAMPLES)
LINUX_JOBS := $(wildcard examples/linux/jobs/*)
LINUX_MODULES := $(addprefix $(O)/linux/debian/modules/,irqbypass.ko kvm.ko kvm-intel.ko msr.ko cpuid.ko)
TICKS_CFLAGS := -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-stack-protector -fcf-protection=none \
	-fno-asynchronous-unwind-tables -nostdlib -static -s

.PHONY: linux-images
linux-images: $(addprefix $(O)/linux/,tiny/bzImage tiny.cpio debian/vmlinuz debian.cpio debian-nodes.cpio l2.cpio \
	l2-driver.cpio)

$(O)/linux/tiny/bzImage: tools/linux/tiny-kernel tools/linux/tiny.config
	$(say) GET $@
	$(Q)tools/linux/tiny-kernel $(O)/linux

$(O)/linux/debian/vmlinuz: tools/linux/debian-kernel
	$(say) GET $@
	$(Q)tools/linux/debian-kernel $(O)/linux

$(LINUX_MODULES) $(O)/linux/debian/modules/brd.ko: $(O)/linux/debian/vmlinuz ;

# TrustVisor's driver, for that kernel.
LINUX_DRIVER := $(O)/linux/driver/trustvisor.ko
LINUX_DRIVER_SOURCES := $(addprefix examples/linux-driver/,trustvisor.c trustvisor_ioctl.h Kbuild) \
	hypapps/trustvisor/include/trustvisor/abi.h

$(O)/linux/debian-headers/Makefile: tools/linux/debian-headers $(O)/linux/debian/vmlinuz
	$(say) GET $@
	$(Q)tools/linux/debian-headers $(O)/linux
	$(Q)touch -c $@

$(LINUX_DRIVER): $(LINUX_DRIVER_SOURCES) $(O)/linux/debian-headers/Makefile
	@mkdir -p $(@D)/include/trustvisor
	$(say) KO $@
	$(Q)cp $(filter examples/%,$(LINUX_DRIVER_SOURCES)) $(@D) && cp $(filter %/abi.h,$^) $(@D)/include/trustvisor
	$(Q)$(MAKE) -s -C $(O)/linux/debian-headers M=$(abspath $(@D)) modules > $(@D)/log 2>&1 || \
		{ cat $(@D)/log; false; }
	$(Q)objcopy --strip-debug -R .BTF $@

$(O)/linux/busybox: tools/linux/busybox
	$(say) GET $@
	$(Q)tools/linux/busybox $(O)/linux

$(O)/linux/ticks: examples/linux/ticks.c
	@mkdir -p $(@D)
	$(say) CC $@
	$(Q)$(CC) $(TICKS_CFLAGS) -o $@ $<

# Not compressed: unpacking costs more emulated instructions than loading.
# initramfs.list changes when the selection of programs does, though none of them is newer than the archive.
LINUX_INITRAMFS_INPUTS := tools/linux/initramfs examples/linux/init \
	$(addprefix $(O)/linux/,initramfs.list busybox ticks) \
	$(LINUX_JOBS) $(LINUX_PROGRAMS)
LINUX_INITRAMFS = tools/linux/initramfs --plain -o $@ --busybox $(O)/linux/busybox --init examples/linux/init \
	$(addprefix --bin ,$(O)/linux/ticks $(LINUX_PROGRAMS)) $(addprefix --job ,$(LINUX_JOBS))

.PHONY: initramfs-selection
$(O)/linux/initramfs.list: initramfs-selection
	@mkdir -p $(@D)
	@echo '$(LINUX_JOBS) $(LINUX_PROGRAMS)' | cmp -s - $@ || echo '$(LINUX_JOBS) $(LINUX_PROGRAMS)' > $@

$(O)/linux/tiny.cpio: $(LINUX_INITRAMFS_INPUTS)
	$(say) CPIO $@
	$(Q)$(LINUX_INITRAMFS)

$(O)/linux/debian.cpio: $(LINUX_INITRAMFS_INPUTS) $(LINUX_MODULES) $(LINUX_DRIVER)
	$(say) CPIO $@
	$(Q)$(LINUX_INITRAMFS) $(addprefix --module ,$(LINUX_MODULES)) --file $(LINUX_DRIVER):root/trustvisor.ko

# The compiler of 32-bit programs, which run on that kernel, too.
CC32 := $(O)/linux/libc32/cc
$(CC32): tools/linux/libc32
	$(say) GET $@
	$(Q)tools/linux/libc32 $(O)/linux
	$(Q)touch -c $@
$(WORD32_PROGRAM): $(CC32)

# The same with memory in two nodes, and with what the driver's tests need.
$(O)/linux/srat.aml: tools/linux/two-nodes
	$(Q)tools/linux/two-nodes -o $@

# C++ and Python with libtv: what the job `languages` needs beside its programs.
LANGUAGES := $(CXX_PROGRAMS) $(O)/examples/libtv.so.1 examples/libtv/tv.py examples/libtv/test/add.py

DRIVER_FILES := $(LINUX_DRIVER) $(O)/linux/debian/modules/brd.ko
$(O)/linux/debian-nodes.cpio: $(LINUX_INITRAMFS_INPUTS) $(LINUX_MODULES) $(O)/linux/srat.aml $(DRIVER_FILES) \
			      $(DRIVER_PROGRAM) $(WORD32_PROGRAM) $(WORD64_PROGRAM) $(LANGUAGES) \
			      tools/linux/python-files
	$(say) CPIO $@
	$(Q)$(LINUX_INITRAMFS) $(addprefix --module ,$(LINUX_MODULES)) \
		--file $(O)/linux/srat.aml:kernel/firmware/acpi/srat.aml \
		$(addprefix --bin ,$(DRIVER_PROGRAM) $(WORD32_PROGRAM) $(WORD64_PROGRAM)) \
		$(foreach file,$(DRIVER_FILES) $(LANGUAGES),--file $(file):root/$(notdir $(file))) \
		$$(tools/linux/python-files)

# A 32-bit Linux, whose programs are busybox alone, and Xen with a Linux as its first domain.
.PHONY: long-images
long-images: $(O)/linux/i386/vmlinuz $(O)/linux/i386.cpio $(O)/boot/xen.img $(O)/boot/twice-kvm.img

$(O)/linux/i386/vmlinuz: tools/linux/i386-kernel
	$(say) GET $@
	$(Q)tools/linux/i386-kernel $(O)/linux

$(O)/linux/i386.cpio: $(O)/linux/i386/vmlinuz tools/linux/initramfs examples/linux/init
	$(say) CPIO $@
	$(Q)tools/linux/initramfs --plain -o $@ --busybox $(O)/linux/i386/busybox --init examples/linux/init

$(O)/linux/xen/vmlinuz: tools/linux/xen
	$(say) GET $@
	$(Q)tools/linux/xen $(O)/linux

$(O)/linux/dom0.cpio: tools/linux/initramfs examples/linux/init $(O)/linux/busybox $(O)/linux/ticks
	$(say) CPIO $@
	$(Q)tools/linux/initramfs --plain -o $@ --busybox $(O)/linux/busybox --init examples/linux/init \
		--bin $(O)/linux/ticks

# A Linux for L1 that carries QEMU and a Linux for L2: the tiny kernel with its initramfs at both levels.
L2_FILES := $(addprefix $(O)/linux/,tiny/bzImage tiny.cpio cmdline.l2)

$(O)/linux/cmdline.l2: tools/linux/cmdline tools/linux/cmdline.bochs
	$(say) MAKE $@
	$(Q)cat $^ | tr '\n' ' ' > $@

$(O)/linux/l2.cpio: $(LINUX_INITRAMFS_INPUTS) tools/linux/qemu-files $(L2_FILES)
	$(say) CPIO $@
	$(Q)$(LINUX_INITRAMFS) $$(tools/linux/qemu-files $(L2_FILES))

# The same with Debian's Linux for L2, and the driver in it.
L2_DRIVER_PROGRAMS := $(addprefix $(O)/examples/,pal-demo pal-demo32 pal-stress) $(DRIVER_PROGRAM) $(WORD32_PROGRAM)
L2_DRIVER_FILES := $(addprefix $(O)/linux/,debian/vmlinuz l2-debian.cpio cmdline.l2)

$(O)/linux/l2-debian.cpio: tools/linux/initramfs examples/linux/init examples/linux/jobs/driver-short \
			   $(addprefix $(O)/linux/,busybox ticks) $(L2_DRIVER_PROGRAMS) $(LINUX_DRIVER)
	$(say) CPIO $@
	$(Q)tools/linux/initramfs --plain -o $@ --busybox $(O)/linux/busybox --init examples/linux/init \
		--job examples/linux/jobs/driver-short $(addprefix --bin ,$(O)/linux/ticks $(L2_DRIVER_PROGRAMS)) \
		--file $(LINUX_DRIVER):root/trustvisor.ko

$(O)/linux/l2-driver.cpio: $(LINUX_INITRAMFS_INPUTS) tools/linux/qemu-files $(L2_DRIVER_FILES)
	$(say) CPIO $@
	$(Q)$(LINUX_INITRAMFS) $$(tools/linux/qemu-files $(L2_DRIVER_FILES))
