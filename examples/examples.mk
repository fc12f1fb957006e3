# SPDX-License-Identifier: GPL-2.0-or-later
# Guest programs: static Linux binaries in $(O)/examples. Included by the top-level Makefile; O is the build folder.
# `make -f examples/examples.mk O=build examples` works by itself.

O ?= build
EXAMPLES_CC ?= gcc
EXAMPLES_CFLAGS := -std=gnu11 -O2 -Wall -Wextra -Werror
# PAL code reaches nothing outside its sections.
TV_PAL_CFLAGS := $(EXAMPLES_CFLAGS) -ffreestanding -fPIE -fvisibility=hidden -fno-jump-tables -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -fcf-protection=none -mgeneral-regs-only
EXAMPLES := $(addprefix $(O)/examples/,pal-demo pal-stress)
TV_HEADERS := $(wildcard examples/libtv/*.h hypapps/trustvisor/include/trustvisor/*.h)

.PHONY: examples
examples: $(EXAMPLES)

$(O)/examples/libtv.a: $(O)/examples/tv.o
	rm -f $@ && $(AR) rcs $@ $<

$(O)/examples/tv.o: examples/libtv/tv.c $(TV_HEADERS)
	@mkdir -p $(@D)
	$(EXAMPLES_CC) $(EXAMPLES_CFLAGS) -c $< -o $@

$(O)/examples/pal.o: examples/pal/pal.c examples/pal/pal.h $(TV_HEADERS)
	@mkdir -p $(@D)
	$(EXAMPLES_CC) $(TV_PAL_CFLAGS) -c $< -o $@

$(O)/examples/pal-%: examples/pal/pal-%.c $(O)/examples/pal.o $(O)/examples/libtv.a examples/libtv/pal.ld \
		     examples/pal/pal.h $(TV_HEADERS)
	$(EXAMPLES_CC) $(EXAMPLES_CFLAGS) -static -s -o $@ $< $(O)/examples/pal.o $(O)/examples/libtv.a \
		-Wl,-T,examples/libtv/pal.ld
