# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzzing. Included by the top-level Makefile; O is the build folder. Lines that begin with two hashes are shown by
# `make help`.
##
## make fuzz: SEEDS=number of stories (default: 10000), FIRST=the first one, MINUTES=at most so long: nested VMX, the
##     bare machine beside XMHF

.PHONY: fuzz
fuzz: setup $(O)/xmhf.elf $(O)/guest/test.bzimage
	@tests/fuzz/diff.py --seeds $(or $(SEEDS),10000) --first $(or $(FIRST),0) $(if $(MINUTES),--minutes $(MINUTES))
