# SPDX-License-Identifier: GPL-2.0-or-later
# make bench: what operations cost. Included by the top-level Makefile. tools/bench.py runs the machines.
##
## make bench: BENCH_JOBS=machines at the same time (default: 2); writes build/bench/bench.tsv, counts.tsv and bench.svg

BENCH_JOBS ?= 2

# The core with one hypapp that passes, and with three: what asking one costs.
PASSERS := $(addprefix $(O)/bench/,passers1.elf passers3.elf)
$(O)/bench/passer%.o: tests/bench/passer.c $(wildcard hypapi/include/hypapi/*.h)
	@mkdir -p $(@D)
	$(say) CC $@
	$(Q)$(CC) $(HYPAPP_CFLAGS) -DNUMBER=$* -DNAME=passer$* -c -o $@ $<
$(O)/bench/passers1.elf: $(O)/bench/passer1.o
$(O)/bench/passers3.elf: $(addprefix $(O)/bench/passer,1.o 2.o 3.o)
# Each form of stops and of work on other CPUs.
$(O)/bench/stopper.o: tests/bench/stopper.c $(wildcard hypapi/include/hypapi/*.h)
	@mkdir -p $(@D)
	$(say) CC $@
	$(Q)$(CC) $(HYPAPP_CFLAGS) -c -o $@ $<
$(O)/bench/stopper.elf: $(O)/bench/stopper.o
PASSERS += $(O)/bench/stopper.elf
$(PASSERS): $(INSTALL_O)/greeter.elf
	$(say) LD $@
	$(Q)$(INSTALL_O)/stage/usr/local/bin/hypapp-link -o $@ $(filter %.o,$^)
.SECONDARY: $(addprefix $(O)/bench/,passer1.o passer2.o passer3.o stopper.o)
check-files: $(PASSERS)

.PHONY: bench bench-files
bench-files: $(PASSERS) $(O)/xmhf.elf core-counts $(O)/guest/test.bzimage $(O)/linux/tiny/bzImage \
	$(addprefix $(O)/linux/,tiny.cpio l2.cpio)

bench: setup
	@$(MAKE) $(CHECK_PARALLEL) --no-print-directory bench-files
	@tools/bench.py --xmhf $(O)/xmhf.elf --counts $(O)/counts/xmhf.elf --passers $(O)/bench \
		--guest $(O)/guest/test.bzimage \
		--kernel $(O)/linux/tiny/bzImage --initrd $(O)/linux/tiny.cpio --l2-initrd $(O)/linux/l2.cpio \
		--out $(O)/bench --jobs $(BENCH_JOBS)
