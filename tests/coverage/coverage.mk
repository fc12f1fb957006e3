# SPDX-License-Identifier: GPL-2.0-or-later
##
## make coverage-core: which lines of xmhf/nested the tests of nested VMX and the fuzzer reach (build/coverage/
##     coverage.txt); fails below 90 %
.PHONY: coverage-core
coverage-core: setup core-coverage $(O)/guest/test.bzimage
	@tests/coverage/report.py --image $(O)/coverage/xmhf.elf --guest $(O)/guest/test.bzimage --out $(O)/coverage
