# SPDX-License-Identifier: GPL-2.0-or-later
# make bench: what operations cost. Included by the top-level Makefile. tools/bench.py runs the machines.
##
## make bench: BENCH_JOBS=machines at the same time (default: 2); writes build/bench/bench.tsv, counts.tsv and bench.svg

BENCH_JOBS ?= 2

.PHONY: bench bench-files
bench-files: $(O)/xmhf.elf core-counts $(O)/guest/test.bzimage $(O)/linux/tiny/bzImage $(O)/linux/tiny.cpio

bench: setup
	@$(MAKE) $(CHECK_PARALLEL) --no-print-directory bench-files
	@tools/bench.py --xmhf $(O)/xmhf.elf --counts $(O)/counts/xmhf.elf --guest $(O)/guest/test.bzimage \
		--kernel $(O)/linux/tiny/bzImage --initrd $(O)/linux/tiny.cpio --out $(O)/bench --jobs $(BENCH_JOBS)
