# SPDX-License-Identifier: GPL-2.0-or-later
# make check: everything is built, then tests/run/check.py runs the unit tests and the rows of tests/run/cases.py.
# Included by the top-level Makefile. Lines that begin with two hashes are shown by `make help`.
##
## make check: ONLY=regular expression of case names; TOUCHED=revision: only the cases of the folders that changed since
## it;
##     CHECK_JOBS=cases at the same time (default: 2). make check-long: the same for the cases that take minutes

# What the cases need. Two at a time where the caller did not say how many; the tiny kernel is the longest part.
CHECK_FILES := $(O)/xmhf.elf $(O)/guest/test.bzimage $(O)/guest/mini-hypervisor.bzimage examples linux-images \
	unit-files fuzz-host-files \
	core-audit core-by-path
CHECK_PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: check check-long check-files model
check-files: $(CHECK_FILES)

# A part that cannot be built is one failed case, and the rest is tested all the same.
check-long: CHECK_LONG := --long
check-long: CHECK_MORE := long-images core-coverage
check check-long: setup
	@failed=; $(MAKE) -k $(CHECK_PARALLEL) --no-print-directory check-files $(CHECK_MORE) || \
		failed=--failed=build; \
	tests/run/check.py $(if $(CHECK_JOBS),--jobs $(CHECK_JOBS)) $(CHECK_LONG) $(if $(ONLY),--only '$(value ONLY)') \
		$(if $(TOUCHED),--touched '$(value TOUCHED)') $$failed $(UNIT_TESTS)

model: setup
	@tests/model/check $(O)/model
