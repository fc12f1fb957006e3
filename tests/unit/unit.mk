# SPDX-License-Identifier: GPL-2.0-or-later
# Tests on the host. Included by the top-level Makefile; O is the build folder.
# Targets: unit (builds and runs all of this), unit-files (builds it). UNIT_TESTS: the programs that `make check` runs.

UNIT_DIR := $(O)/unit
UNIT_CFLAGS := -std=gnu11 -g -Wall -Wextra -Werror -I hypapi/include
SANITIZE := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# A cmocka program each: tests/unit/test_NAME.c with the real files that it tests, which are those of UNIT_OF_NAME.
UNIT_NAMES := $(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c))
UNIT_OF_nested_caps := xmhf/nested/caps.c xmhf/nested/vmcs12.c
UNIT_OF_nested_vmcs12 := xmhf/nested/vmcs12.c
UNIT_OF_nested_entry_checks := xmhf/nested/entry_checks.c xmhf/nested/caps.c xmhf/nested/vmcs12.c
UNIT_OF_ept01 := xmhf/mem/ept01.c xmhf/mem/ept.c xmhf/mem/pages.c xmhf/mem/phys_bits.c xmhf/boot/memory_map.c
UNIT_FLAGS_ept01 := -include hypapi/sim/machine/direct_map.h -I hypapi/sim/machine -I .
UNIT_OF_nested_ept12 := xmhf/nested/ept12.c
UNIT_OF_nested_ept02 := xmhf/nested/ept02.c
UNIT_OF_nested_ept02_model := $(wildcard xmhf/nested/ept*.c) xmhf/nested/l1_memory.c xmhf/nested/violation.c \
	xmhf/mem/ept01.c xmhf/mem/ept.c xmhf/mem/pages.c xmhf/mem/phys_bits.c xmhf/boot/memory_map.c
# As in the simulator, but that no flush can be left out; what else the core's files call is not reached.
UNIT_FLAGS_nested_ept02_model = $(UNIT_FLAGS_ept01) -DSIM_FILE_ept02 -fno-pie -no-pie -fno-plt \
	-Wl,--unresolved-symbols=ignore-all
UNIT_OF_acpi := xmhf/boot/aml.c
UNIT_OF_boot_info := xmhf/lib/string_more.c
UNIT_OF_efi := $(addprefix xmhf/boot/efi/,config.c next.c) xmhf/lib/printf.c xmhf/lib/string_more.c
UNIT_FLAGS_efi := -fshort-wchar
$(UNIT_DIR)/efi: $(wildcard xmhf/boot/efi/*.h)
UNIT_OF_efi_app := xmhf/lib/printf.c
UNIT_FLAGS_efi_app := -I hypapi/sim/machine -I . -fshort-wchar -fno-pie -no-pie
$(UNIT_DIR)/efi_app: $(wildcard xmhf/boot/efi/*.h) xmhf/boot/efi/app.c
# The test includes efi.c; what starts CPUs and guests is not called.
UNIT_FLAGS_efi_core := -I hypapi/sim/machine -I . -fno-pie -no-pie -fno-plt -Wl,--unresolved-symbols=ignore-all
$(UNIT_DIR)/efi_core: xmhf/boot/efi.c
UNIT_OF_guest_linux := xmhf/boot/memory_map.c xmhf/boot/efi_map.c xmhf/lib/string_more.c
UNIT_FLAGS_guest_linux := $(UNIT_FLAGS_efi_core)
$(UNIT_DIR)/guest_linux: xmhf/boot/guest_linux.c
UNIT_FLAGS_lapic := $(UNIT_FLAGS_efi_core)
$(UNIT_DIR)/lapic: xmhf/cpu/lapic.c
UNIT_FLAGS_smp_boot := $(UNIT_FLAGS_efi_core)
$(UNIT_DIR)/smp_boot: xmhf/cpu/smp_boot.c
UNIT_FLAGS_wake := $(UNIT_FLAGS_efi_core)
$(UNIT_DIR)/wake: xmhf/power/wake.c
UNIT_OF_aml := xmhf/boot/aml.c
UNIT_OF_store := xmhf/apic/store.c
UNIT_OF_dmar := xmhf/iommu/dmar.c
UNIT_OF_iommu := $(wildcard xmhf/iommu/*.c) xmhf/boot/memory_map.c
UNIT_FLAGS_iommu := -I . -I xmhf -include tests/unit/mmio_model.h
UNIT_OF_domain := xmhf/iommu/domain.c
UNIT_FLAGS_domain := -include hypapi/sim/machine/direct_map.h
UNIT_OF_msr_policy := xmhf/vmx/msr_policy.c xmhf/vmx/msr.c xmhf/vmx/cpuid.c xmhf/nested/msr_area.c \
	xmhf/nested/bitmaps.c \
	xmhf/nested/entry_checks.c xmhf/nested/caps.c xmhf/nested/vmcs12.c xmhf/cpu/speculation.c
# Instructions of the host CPU and of VMX are calls, as in the simulator.
UNIT_FLAGS_msr_policy := -I hypapi/sim/machine -I .
UNIT_OF_speculation := xmhf/cpu/speculation.c
UNIT_FLAGS_speculation := -I hypapi/sim/machine -I .
UNIT_FLAGS_random := -I hypapi/sim/machine -I .
UNIT_OF_stop_budget := xmhf/quiesce/stop_budget.c
# These tests include the file that they test.
UNIT_OF_smm := xmhf/cpu/smm_stub.S
UNIT_FLAGS_smm := -Wl,-z,noexecstack
$(UNIT_DIR)/smm: xmhf/cpu/smm.c
$(UNIT_DIR)/random: xmhf/cpu/random.c
$(UNIT_DIR)/console: xmhf/report/console.c xmhf/report/serial.c
$(UNIT_DIR)/screen: xmhf/report/screen.c $(CONSOLE_FONT)
UNIT_FLAGS_screen := -I build/font
$(UNIT_DIR)/chipset: xmhf/boot/chipset.c
$(UNIT_DIR)/mtrr: xmhf/mem/mtrr.c
$(UNIT_DIR)/log_limit: xmhf/report/log_limit.c
UNIT_OF_log_ring := xmhf/report/log_ring.c xmhf/lib/printf.c
UNIT_OF_trace := xmhf/report/trace.c xmhf/events/event_info.c
UNIT_OF_console := xmhf/lib/string_more.c
UNIT_OF_control := xmhf/report/control.c xmhf/lib/string_more.c
UNIT_FLAGS_control := -I hypapi/sim/machine -I .
UNIT_OF_core := xmhf/lib/printf.c xmhf/lib/string_more.c xmhf/boot/memory_map.c xmhf/core/cmdline.c \
	xmhf/events/hypapps_check.c xmhf/events/event_info.c xmhf/events/names.c
# A hypapp's tests stand beside it: hypapps/NAME/test_*.c, or in a sub-folder, with the whole hypapp and its library.
hypapps_with = $(sort $(foreach d,$(wildcard hypapps/*),$(if $(call hypapp_tests,$(d),$(1)),$(notdir $(d)))))
hypapp_host_src = $(filter-out $(HOST_WITHOUT_$(1)),$(call hypapp_own,hypapps/$(1)))
# Its test stands for the ports.
HOST_WITHOUT_lockdown := hypapps/lockdown/port.S
UNIT_HYPAPPS := $(call hypapps_with,test_)
# The library of hypapp $(1) for variant $(2) of hypapi/sim/sim.mk; nothing if it has none.
host_library = $(if $(LIBRARY_SRC_hypapps/$(1)),$(UNIT_DIR)/library/$(2)/$(1).a)
# The quiesce code on threads, and the same with a fence or the restart taken out: the last two must fail.
THREADS := tests/unit/quiesce_threads.c
UNIT_THREADS := $(addprefix $(UNIT_DIR)/,quiesce_threads_tsan quiesce_threads)
UNIT_BROKEN_THREADS := $(addprefix $(UNIT_DIR)/,quiesce_threads_no_release quiesce_threads_no_restart)
PUBLIC_HEADERS := $(wildcard hypapi/include/hypapi/*.h hypapps/*/include/*/*.h)
UNIT_NEEDS := $(PUBLIC_HEADERS) $(wildcard xmhf/*/*.h xmhf/*/*.def xmhf/quiesce/quiesce.c) $(O)/include/core/config.h
UNIT_HEADERS := $(patsubst %,$(UNIT_DIR)/%.ok,$(PUBLIC_HEADERS))

UNIT_TESTS := $(addprefix $(UNIT_DIR)/,$(UNIT_NAMES) ept01_tsan log_ring_tsan \
	$(addprefix hypapp_,$(UNIT_HYPAPPS))) $(UNIT_THREADS)

.PHONY: unit unit-files public-headers
unit-files: $(UNIT_TESTS) $(UNIT_BROKEN_THREADS)
unit: unit-files
	@tests/run/check.py --only '^unit/' $(UNIT_TESTS)

define unit_test
$(UNIT_DIR)/$(1): tests/unit/test_$(1).c $(UNIT_OF_$(1)) $(UNIT_NEEDS)
	@mkdir -p $$(@D)
	$$(say) TEST $$@
	$$(Q)$$(CC) $$(UNIT_CFLAGS) $(UNIT_FLAGS_$(1)) -I xmhf -I $(O)/include $$(SANITIZE) -o $$@ \
		tests/unit/test_$(1).c $(UNIT_OF_$(1)) -lcmocka
endef
$(foreach t,$(UNIT_NAMES),$(eval $(call unit_test,$(t))))
# EPT01 once more, for the threads in its test.
$(UNIT_DIR)/ept01_tsan: $(UNIT_DIR)/ept01
	$(say) TEST $@
	$(Q)$(CC) $(UNIT_CFLAGS) $(UNIT_FLAGS_ept01) -I xmhf -I $(O)/include -O1 -fsanitize=thread -o $@ \
		tests/unit/test_ept01.c $(UNIT_OF_ept01) -lcmocka
# The rings of the log, too.
$(UNIT_DIR)/log_ring_tsan: $(UNIT_DIR)/log_ring
	$(say) TEST $@
	$(Q)$(CC) $(UNIT_CFLAGS) -I xmhf -I $(O)/include -O1 -fsanitize=thread -o $@ \
		tests/unit/test_log_ring.c $(UNIT_OF_log_ring) -lcmocka -pthread

define host_library_rules
$(UNIT_DIR)/library/$(2)/$(1)/%.o: %.c hypapps/$(1)/library.mk | $(LIBRARY_NEEDS_hypapps/$(1))
	@mkdir -p $$(@D)
	$$(say) LIB $$@
	$$(Q)$$(CC) -std=gnu11 -g -Wall -Wextra -Werror -MMD -MP $$(SIM_FLAGS_$(2)) $$(LIBRARY_CFLAGS_hypapps/$(1)) \
		-c -o $$@ $$<
$(UNIT_DIR)/library/$(2)/$(1).a: \
	$(patsubst %.c,$(UNIT_DIR)/library/$(2)/$(1)/%.o,$(filter %.c,$(LIBRARY_SRC_hypapps/$(1))))
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
-include $(patsubst %.c,$(UNIT_DIR)/library/$(2)/$(1)/%.d,$(filter %.c,$(LIBRARY_SRC_hypapps/$(1))))
endef
HOST_LIBRARIES := $(foreach d,$(HYPAPP_FOLDERS),$(if $(LIBRARY_SRC_$(d)),$(notdir $(d))))
$(foreach a,$(HOST_LIBRARIES),$(foreach v,asan tsan,$(eval $(call host_library_rules,$(a),$(v)))))

define unit_hypapp
$(UNIT_DIR)/hypapp_$(1): $(call hypapp_host_src,$(1)) $(call hypapp_tests,hypapps/$(1),test_) \
		$(filter %.h,$(call hypapp_files,hypapps/$(1))) \
		$(PUBLIC_HEADERS) $(call host_library,$(1),asan) | $(LIBRARY_NEEDS_hypapps/$(1))
	@mkdir -p $$(@D)
	$$(say) TEST $$@
	$$(Q)$$(CC) $$(UNIT_CFLAGS) -DHYPAPI_SIM $$(call hypapp_include,hypapps/$(1)) $$(SANITIZE) -o $$@ \
		$$(filter %.c %.S %.a,$$^) $(UNIT_WRAP_$(1)) -lcmocka
endef
UNIT_WRAP_trustvisor := -Wl,--wrap=br_ecdsa_i31_sign_raw
$(foreach a,$(UNIT_HYPAPPS),$(eval $(call unit_hypapp,$(a))))

# The verifier of quotes, which the test of TrustVisor's values runs.
QUOTE_SRC := examples/quote-verifier/quote.c examples/quote-verifier/main.c
$(UNIT_DIR)/tv-quote: $(QUOTE_SRC) examples/quote-verifier/quote.h $(PUBLIC_HEADERS) \
		$(LIBRARY_SRC_hypapps/trustvisor) | $(LIBRARY_NEEDS_hypapps/trustvisor)
	@mkdir -p $(@D)
	$(say) CC $@
	$(Q)$(CC) -std=gnu11 -O2 $(filter -I% -D% build%,$(LIBRARY_CFLAGS_hypapps/trustvisor)) \
		-o $@ $(filter %.c,$^)
$(UNIT_DIR)/hypapp_trustvisor: $(UNIT_DIR)/tv-quote

$(UNIT_DIR)/quiesce_threads_tsan $(UNIT_DIR)/quiesce_threads_no_release: THREADS_FLAGS = -O1 -fsanitize=thread
$(UNIT_DIR)/quiesce_threads $(UNIT_DIR)/quiesce_threads_no_restart: THREADS_FLAGS = -O2
$(UNIT_DIR)/quiesce_threads_no_release: THREADS_FLAGS += -DBREAK_RELEASE
$(UNIT_DIR)/quiesce_threads_no_restart: THREADS_FLAGS += -DBREAK_RESTART
$(UNIT_THREADS) $(UNIT_BROKEN_THREADS): $(THREADS) $(UNIT_NEEDS)
	@mkdir -p $(@D)
	$(say) TEST $@
	$(Q)$(CC) $(UNIT_CFLAGS) -I xmhf -I $(O)/include $(THREADS_FLAGS) -o $@ $(THREADS) -pthread

# Each public header by itself, as a hypapp or a guest program may include it, in C and in the strictest dialect.
public-headers: $(UNIT_HEADERS)
$(UNIT_DIR)/%.h.ok: %.h $(PUBLIC_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -pedantic -ffreestanding -Wall -Wextra -Werror -I hypapi/include -I hypapi/sim/include \
		-fsyntax-only -x c $<
	$(Q)touch $@

# Included by their tests, which have other functions under them.
$(UNIT_DIR)/power: xmhf/boot/pci.c xmhf/power/pm_base.c xmhf/power/ports.c
$(UNIT_DIR)/acpi: xmhf/boot/acpi.c
$(UNIT_DIR)/boot_info: xmhf/boot/firmware.c xmhf/boot/multiboot.c xmhf/boot/memory_map.c xmhf/boot/efi_map.c
$(UNIT_DIR)/reset: xmhf/power/reset.c
$(UNIT_DIR)/sleep: xmhf/power/power.c
