# SPDX-License-Identifier: GPL-2.0-or-later
# Guest programs: static Linux binaries in $(O)/examples. Included by the top-level Makefile; O is the build folder.
# `make -f examples/examples.mk O=build examples` works by itself.

O ?= build
EXAMPLES_CC ?= gcc
EXAMPLES_CFLAGS := -std=gnu11 -O2 -Wall -Wextra -Werror
# PAL code reaches nothing outside its sections.
TV_PAL_ONLY := -ffreestanding -fPIE -fvisibility=hidden -fno-jump-tables -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -fcf-protection=none -mgeneral-regs-only
TV_PAL_CFLAGS := $(EXAMPLES_CFLAGS) $(TV_PAL_ONLY)
EXAMPLES := $(addprefix $(O)/examples/,pal-demo pal-stress pal-bench pal-abandon pal-owner pal-moved pal-soak)
TV_HEADERS := $(wildcard examples/libtv/*.h examples/linux-driver/*.h hypapps/trustvisor/include/trustvisor/*.h)
TV_CFLAGS := $(EXAMPLES_CFLAGS) -I hypapps/trustvisor/include

.PHONY: examples
examples: $(EXAMPLES)

# libtv_pal.a is what a program has of its own that uses libtv.so; libtv.a has all.
$(O)/examples/libtv.a: $(addprefix $(O)/examples/,tv.o tv_device.o tv_pal.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/examples/libtv_pal.a: $(O)/examples/tv_pal.o
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/examples/libtv.so.1: examples/libtv/tv.c examples/libtv/tv_device.c $(TV_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(EXAMPLES_CC) $(TV_CFLAGS) -fPIC -shared -Wl,-soname,libtv.so.1 -o $@ $(filter %.c,$^)

$(addprefix $(O)/examples/,tv.o tv_device.o tv_pal.o): $(O)/examples/%.o: examples/libtv/%.c $(TV_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(EXAMPLES_CC) $(TV_CFLAGS) -c $< -o $@

# For programs outside of this tree; they ask `pkg-config --cflags --libs libtv`.
PREFIX ?= /usr/local
.PHONY: install-libtv
install-libtv: $(addprefix $(O)/examples/,libtv.a libtv_pal.a libtv.so.1)
	$(Q)mkdir -p $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/libtv/trustvisor
	$(Q)cp $^ examples/libtv/pal.ld $(DESTDIR)$(PREFIX)/lib
	$(Q)ln -sf libtv.so.1 $(DESTDIR)$(PREFIX)/lib/libtv.so
	$(Q)cp examples/libtv/tv.h examples/libtv/tv_hypercall.h examples/libtv/tv.py $(DESTDIR)$(PREFIX)/include/libtv
	$(Q)sed -i 's|"[^"]*/\(trustvisor/abi.h\)"|<\1>|' $(DESTDIR)$(PREFIX)/include/libtv/tv_hypercall.h
	$(Q)cp hypapps/trustvisor/include/trustvisor/abi.h $(DESTDIR)$(PREFIX)/include/libtv/trustvisor
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@PAL_CFLAGS@|$(TV_PAL_ONLY)|' \
		examples/libtv/libtv.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/libtv.pc

$(O)/examples/pal.o: examples/pal/pal.c examples/pal/pal.h $(TV_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(EXAMPLES_CC) $(TV_PAL_CFLAGS) -c $< -o $@

$(O)/examples/pal-%: examples/pal/pal-%.c $(O)/examples/pal.o $(O)/examples/libtv.a examples/libtv/pal.ld \
		     examples/pal/pal.h examples/pal/frames.h $(TV_HEADERS)
	$(Q)$(EXAMPLES_CC) $(TV_CFLAGS) -static -s -o $@ $< $(O)/examples/pal.o $(O)/examples/libtv.a \
		-Wl,-T,examples/libtv/pal.ld

# For Debian's kernel with the driver only: not among those that every initramfs has.
DRIVER_PROGRAM := $(O)/examples/pal-driver
$(DRIVER_PROGRAM): EXAMPLES_CFLAGS += -pthread

# A 32-bit caller and PAL in a 64-bit program: addresses below 4 GiB.
EXAMPLES += $(O)/examples/pal-demo32
$(O)/examples/pal-demo32: examples/pal/pal-demo32.c examples/pal/pal32.S $(O)/examples/libtv.a examples/libtv/pal.ld \
			  $(TV_HEADERS)
	$(Q)$(EXAMPLES_CC) $(EXAMPLES_CFLAGS) -fno-pie -no-pie -static -s -o $@ $(filter %.c %.S %.a,$^) \
		-Wl,-T,examples/libtv/pal.ld

# A 32-bit program with libtv, for Debian's kernel only. CC32 makes such programs: see tools/images.mk.
WORD32_PROGRAM := $(O)/examples/pal-word32
WORD32_SOURCES := examples/pal/pal-word.c $(addprefix examples/libtv/,tv.c tv_device.c tv_pal.c)
$(WORD32_PROGRAM): $(WORD32_SOURCES) examples/libtv/pal.ld $(TV_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(CC32) $(filter-out -ffreestanding -fPIE -fvisibility=hidden,$(TV_PAL_CFLAGS)) -fno-pie -no-pie -static \
		-s -I hypapps/trustvisor/include -o $@ $(WORD32_SOURCES) -Wl,-T,examples/libtv/pal.ld

# The same as a 64-bit program, and C++ with the static and the shared library: for Debian's kernel only.
WORD64_PROGRAM := $(O)/examples/pal-word64
$(WORD64_PROGRAM): examples/pal/pal-word.c $(O)/examples/libtv.a examples/libtv/pal.ld $(TV_HEADERS)
	$(Q)$(EXAMPLES_CC) $(filter-out -ffreestanding -fvisibility=hidden,$(TV_PAL_CFLAGS)) -static -s \
		-I hypapps/trustvisor/include -o $@ $< $(O)/examples/libtv.a -Wl,-T,examples/libtv/pal.ld

EXAMPLES_CXX ?= g++
TV_CXX := $(EXAMPLES_CXX) -std=c++17 -O2 -Wall -Wextra -Werror $(TV_PAL_ONLY) -I examples/libtv
CXX_PROGRAMS := $(addprefix $(O)/examples/,add-static add-shared)
$(O)/examples/add-static: examples/libtv/test/add.cc $(O)/examples/libtv.a examples/libtv/pal.ld $(TV_HEADERS)
	$(Q)$(TV_CXX) -static -s -o $@ $< $(O)/examples/libtv.a -Wl,-T,examples/libtv/pal.ld

$(O)/examples/add-shared: examples/libtv/test/add.cc $(O)/examples/libtv_pal.a $(O)/examples/libtv.so.1 \
			  examples/libtv/pal.ld $(TV_HEADERS)
	$(Q)$(TV_CXX) -static-libstdc++ -static-libgcc -s -o $@ $< $(O)/examples/libtv_pal.a \
		$(O)/examples/libtv.so.1 -Wl,-T,examples/libtv/pal.ld

# kvm-guest: a program on /dev/kvm with a 64-bit kernel inside.
EXAMPLES += $(O)/examples/kvm-guest
L2_CFLAGS := $(EXAMPLES_CFLAGS) -ffreestanding -fno-pie -mgeneral-regs-only -mno-red-zone -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fcf-protection=none -mcmodel=small
L2_OBJECTS := $(addprefix $(O)/examples/,l2-start.o l2-kernel.o l2-user.o pal.o)
L2_HEADERS := $(wildcard examples/kvm-guest/*.h examples/pal/*.h) $(TV_HEADERS)

$(O)/examples/l2-%.o: examples/kvm-guest/l2-%.c $(L2_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(EXAMPLES_CC) $(L2_CFLAGS) -c $< -o $@

$(O)/examples/l2-start.o: examples/kvm-guest/l2-start.S
	@mkdir -p $(@D)
	$(Q)$(EXAMPLES_CC) -c $< -o $@

$(O)/examples/l2.elf: $(L2_OBJECTS) examples/kvm-guest/l2.ld
	$(Q)$(LD) -static -nostdlib -z noexecstack --no-warn-rwx-segments -T examples/kvm-guest/l2.ld -o $@ \
		$(L2_OBJECTS)

$(O)/examples/l2.bin: $(O)/examples/l2.elf
	$(Q)objcopy -O binary $< $@

$(O)/examples/l2-image.o: examples/kvm-guest/l2-image.S $(O)/examples/l2.bin
	$(Q)$(EXAMPLES_CC) -DL2_IMAGE='"$(O)/examples/l2.bin"' -c $< -o $@

$(O)/examples/kvm-guest: examples/kvm-guest/kvm-guest.c examples/kvm-guest/l2.h examples/pal/frames.h \
	$(O)/examples/l2-image.o
	$(Q)$(EXAMPLES_CC) $(EXAMPLES_CFLAGS) -static -s -pthread -o $@ $< $(O)/examples/l2-image.o

EXAMPLES += $(O)/examples/kvm-churn
$(O)/examples/kvm-churn: examples/kvm-guest/kvm-churn.c
	@mkdir -p $(@D)
	$(Q)$(EXAMPLES_CC) $(EXAMPLES_CFLAGS) -static -s -pthread -o $@ $<

# xmhfctl: reads the core's statistics and trace.
EXAMPLES += $(O)/examples/xmhfctl
$(O)/examples/xmhfctl: tools/xmhfctl/xmhfctl.c hypapi/include/hypapi/control.h $(O)/config.mk
	@mkdir -p $(@D)
	$(Q)$(EXAMPLES_CC) $(EXAMPLES_CFLAGS) -DXMHF_VERSION='"$(VERSION)"' -I hypapi/include -static -s -o $@ $<

examples: $(EXAMPLES)
