# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzzing. Included by the top-level Makefile; O is the build folder. Lines that begin with two hashes are shown by
# `make help`.
##
## make fuzz: SEEDS=number of stories (default: 10000), FIRST=the first one, MINUTES=at most so long: nested VMX, the
##     bare machine beside XMHF

.PHONY: fuzz
fuzz: setup $(O)/xmhf.elf $(O)/guest/test.bzimage
	@tests/fuzz/diff.py --seeds $(or $(SEEDS),10000) --first $(or $(FIRST),0) $(if $(MINUTES),--minutes $(MINUTES))

# ---- Host fuzzers: what parses input of guests, loader or firmware. host/NAME.c with the files of FUZZ_OF_NAME, under
# ASan and UBSan. `make check` runs them by gcc with driver.c over the corpus, which needs no further package;
# fuzz-host has libFuzzer where clang is installed.
##
## make fuzz-host: SECONDS=for each target (default: 60); needs clang. Inputs that reach something new join the corpus

FUZZ_NAMES := acpi multiboot store ept12 vmcs12 register
FUZZ_OF_acpi := xmhf/boot/aml.c
FUZZ_OF_multiboot := xmhf/lib/string_more.c
# Files that a target includes, having put other functions under them.
FUZZ_WITH_acpi := xmhf/boot/acpi.c
FUZZ_WITH_multiboot := xmhf/boot/firmware.c xmhf/boot/multiboot.c xmhf/boot/memory_map.c
FUZZ_OF_store := xmhf/apic/store.c
FUZZ_OF_ept12 := xmhf/nested/ept12.c
FUZZ_OF_vmcs12 := xmhf/nested/entry_checks.c xmhf/nested/caps.c xmhf/nested/vmcs12.c
FUZZ_OF_register := $(call hypapp_host_src,trustvisor) hypapps/trustvisor/test_fake.c \
	$(call host_library,trustvisor,asan)
FUZZ_LIBS_register := -lcmocka
FUZZ_FLAGS_register = $(call hypapp_include,hypapps/trustvisor)
FUZZ_CFLAGS := -std=gnu11 -g -Wall -I hypapi/include -I xmhf -I $(O)/include $(SANITIZE)
CORPUS := tests/fuzz/corpus
FUZZ_HOST := $(FUZZ_NAMES:%=$(O)/fuzz/%)

define fuzz_target
$(O)/fuzz/$(1) $(O)/fuzz/$(1)-libfuzzer: tests/fuzz/host/$(1).c tests/fuzz/host/target.h tests/fuzz/host/memory.h \
		$(FUZZ_OF_$(1)) $(FUZZ_WITH_$(1)) $(UNIT_NEEDS)
$(O)/fuzz/$(1): tests/fuzz/host/driver.c
	@mkdir -p $$(@D)
	$$(say) FUZZ $$@
	$$(Q)$$(CC) $$(FUZZ_CFLAGS) $$(FUZZ_FLAGS_$(1)) -o $$@ tests/fuzz/host/$(1).c tests/fuzz/host/driver.c \
		$(FUZZ_OF_$(1)) $(FUZZ_LIBS_$(1))
$(O)/fuzz/$(1)-libfuzzer:
	@mkdir -p $$(@D)
	$$(say) FUZZ $$@
	$$(Q)clang $$(FUZZ_CFLAGS) $$(FUZZ_FLAGS_$(1)) -Wno-gnu -fsanitize=fuzzer -o $$@ tests/fuzz/host/$(1).c \
		$(FUZZ_OF_$(1)) $(FUZZ_LIBS_$(1))
endef
$(foreach t,$(FUZZ_NAMES),$(eval $(call fuzz_target,$(t))))

.PHONY: fuzz-host fuzz-host-files
fuzz-host-files: $(FUZZ_HOST)
fuzz-host: $(FUZZ_NAMES:%=$(O)/fuzz/%-libfuzzer)
	@for t in $(FUZZ_NAMES); do \
		mkdir -p $(O)/fuzz/new/$$t && \
		$(O)/fuzz/$$t-libfuzzer -max_total_time=$(or $(SECONDS),60) -max_len=4096 \
			-artifact_prefix=$(O)/fuzz/$$t- $(O)/fuzz/new/$$t $(CORPUS)/$$t || exit 1; \
		$(O)/fuzz/$$t-libfuzzer -merge=1 $(CORPUS)/$$t $(O)/fuzz/new/$$t; \
	done
