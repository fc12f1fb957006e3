# SPDX-License-Identifier: GPL-2.0-or-later
# The simulator of hypapi, see docs/simulator.md. Included by the top-level Makefile, after tests/unit/unit.mk.
#
# A library in three variants, each one object in an archive, whose only global names are hypapi_* and sim_*:
#   build/sim/plain/libhypapi-sim.a   for debuggers and speed
#   build/sim/asan/libhypapi-sim.a    with AddressSanitizer and UBSan; a test that links it is compiled with them, too
#   build/sim/tsan/libhypapi-sim.a    with ThreadSanitizer
# A hypapp's test: its sim_*.c with its own files and its library, as one program for asan and one for tsan.
##
## make sim:   the simulator, build/sim/*/libhypapi-sim.a, and the hypapps' tests on it

SIM_O := $(O)/sim
SIM_VARIANTS := plain asan tsan
# With the limit on stack frames that core and hypapps have (-O2 would inline more here than there); sanitizers enlarge
# frames.
SIM_FLAGS_plain := -O1 -Wframe-larger-than=1024
SIM_FLAGS_asan := $(SANITIZE)
SIM_FLAGS_tsan := -O1 -fsanitize=thread

# The core's files that run in it: all but those that are the machine's own.
SIM_CORE_FOLDERS := core events quiesce report mem nested vmx power
SIM_CORE := $(filter-out %/main.c %/log.c %/fault.c %/symbols.c %/log_output.c %/serial.c %/console.c %/screen.c \
		%/display.c \
		%/root_map.c %/power/reset.c %/power/wake.c, \
		$(foreach d,$(SIM_CORE_FOLDERS),$(wildcard xmhf/$(d)/*.c))) \
	xmhf/boot/memory_map.c xmhf/boot/pci.c xmhf/lib/printf.c xmhf/lib/string_more.c xmhf/apic/apic_guard.c \
	xmhf/apic/guest_store.c xmhf/apic/smp.c xmhf/apic/store.c xmhf/cpu/speculation.c xmhf/cpu/random.c \
	xmhf/cpu/fpu.c
SIM_SRC := $(wildcard hypapi/sim/*.c)
SIM_CFLAGS := -std=gnu11 -g -fno-strict-aliasing -Wall -Wextra -Werror -MMD -MP -D_GNU_SOURCE \
	-include hypapi/sim/machine/direct_map.h -I hypapi/sim/machine -I $(SIM_O)/include -I . -I xmhf \
	-I hypapi/sim/include -I hypapi/include
# Each stop that the core asks for goes past hypapi/sim/lock.c, which can delay it; each flush can be removed.
SIM_INTERPOSE := -Dquiesce_begin=sim_quiesce_begin -Dquiesce_begin_ept=sim_quiesce_begin_ept

$(SIM_O)/include/core/config.h: $(O)/include/core/config.h
	@mkdir -p $(@D)
	$(Q)sed 's/\(CONFIG_AUDIT\|CONFIG_INSN_COUNTS\) .*/\1 0/' $< > $@
SIM_HEADERS := $(wildcard hypapi/sim/include/hypapi/*.h)

define sim_variant
SIM_OBJ_$(1) := $(patsubst %.c,$(SIM_O)/$(1)/%.o,$(SIM_CORE) $(SIM_SRC))
$(SIM_O)/$(1)/xmhf/%.o: xmhf/%.c $(SIM_O)/include/core/config.h
	@mkdir -p $$(@D)
	$$(say) SIM $$@
	$$(Q)$$(CC) $$(SIM_CFLAGS) -DSIM_FILE_$$(basename $$(@F)) \
		$$(if $$(filter quiesce,$$(basename $$(@F))),,$$(SIM_INTERPOSE)) $$(SIM_FLAGS_$(1)) -c -o $$@ $$<
$(SIM_O)/$(1)/hypapi/%.o: hypapi/%.c $(SIM_O)/include/core/config.h
	@mkdir -p $$(@D)
	$$(say) SIM $$@
	$$(Q)$$(CC) $$(SIM_CFLAGS) $$(SIM_FLAGS_$(1)) -c -o $$@ $$<
$(SIM_O)/$(1)/libhypapi-sim.a: $$(SIM_OBJ_$(1))
	$$(say) AR $$@
	$$(Q)$$(LD) -r -o $(SIM_O)/$(1)/sim.o $$^
	$$(Q)objcopy --wildcard --keep-global-symbol='hypapi_*' --keep-global-symbol='sim_*' $(SIM_O)/$(1)/sim.o
	$$(Q)rm -f $$@ && ar rcs $$@ $(SIM_O)/$(1)/sim.o
-include $$(SIM_OBJ_$(1):.o=.d)
endef
$(foreach v,$(SIM_VARIANTS),$(eval $(call sim_variant,$(v))))

# ---- Tests: hypapps/NAME/sim_*.c with the hypapp, and tests/sim/sim_*.c with hypapps of their own

SIM_TEST_CFLAGS := $(UNIT_CFLAGS) -D_GNU_SOURCE -DHYPAPI_SIM -I hypapi/sim/include
SIM_HYPAPPS := $(call hypapps_with,sim_)
SIM_TEST_NAMES := $(patsubst tests/sim/sim_%.c,%,$(wildcard tests/sim/sim_*.c))
# Calls between the core's files that a test takes over: it is linked with the objects, where all names are still
# global.
SIM_WRAP_careless := -Wl,--wrap=vmx_raise
SIM_WRAP_faults := -Wl,--wrap=quiesce_add_work
# With the objects as well, since it guards a page as power/wake.c does.
SIM_WRAP_machine := -Wl,--undefined=ept01_guard_page -Wl,--wrap=guest_walk_read -Wl,--wrap=guest_walk_page
SIM_WRAP_worlds := -Wl,--wrap=machine_wrmsr -Wl,--wrap=vmx_vmwrite -Wl,--wrap=operand_at -Wl,--wrap=guest_read
SIM_WRAP_worlds += -Wl,--wrap=machine_ticks
SIM_TEST_FLAGS_worlds := -include hypapi/sim/machine/direct_map.h -I hypapi/sim/machine -I $(SIM_O)/include -I . -I xmhf
# With the objects, too, for the core's audit and its count of pages.
SIM_WRAP_partitions := -Wl,--undefined=audit_all -Wl,--wrap=machine_movnti
SIM_TEST_FLAGS_partitions := $(SIM_TEST_FLAGS_worlds)
SIM_WRAP_fpu := -Wl,--undefined=pages_left
SIM_TEST_FLAGS_fpu := $(SIM_TEST_FLAGS_worlds)
# How this tree's hypapps replay: with the test of that, and with the program.
REPLAY_SRC := tools/replay/hypapps.c tools/replay/trustvisor.c \
	$(foreach a,trustvisor helloworld,$(call hypapp_host_src,$(a)))
REPLAY_FLAGS := $(call hypapp_include,hypapps/trustvisor) -I tools/replay
SIM_SRC_replay := $(REPLAY_SRC)
SIM_LIBRARY_replay := trustvisor
SIM_TEST_FLAGS_replay := $(REPLAY_FLAGS) '-DSIM_TRACE="$(CURDIR)/tests/sim/pal.trace"'
# Flushes of the core by file, counted in the text: the test has a row for each (tests/sim/sim_flushes.c).
SIM_TEST_FLAGS_flushes := -I . -I $(SIM_O)/include
FLUSH_CALLS := invept|invvpid|flush_ept|flush_vpid|quiesce_add_work|ept02_(in|re)validate(_all)?|vmcs02_retranslate
FLUSH_CALLS := $(FLUSH_CALLS)|iommu_flush
FLUSH_SOURCES := $(filter-out xmhf/nested/ept02.c xmhf/iommu/%,$(wildcard xmhf/*/*.c))
$(SIM_O)/include/flush_counts.inc: $(FLUSH_SOURCES) hypapi/sim/sim.mk
	@mkdir -p $(@D)
	$(Q)awk '/^\t/ { count[FILENAME] += gsub(/[^a-z0-9_]($(FLUSH_CALLS))\(/, "&") } \
		END { for (f in count) if (count[f]) printf "{ \"%s\", %d },\n", f, count[f] }' $(FLUSH_SOURCES) > $@
SIM_TESTS :=

# variant, name, sources, flags
define sim_program
SIM_TESTS += $(UNIT_DIR)/sim_$(2)_$(1)
$(UNIT_DIR)/sim_$(2)_$(1): $(3) $(filter %.h,$(call hypapp_files,hypapps/$(2))) $$(PUBLIC_HEADERS) $$(SIM_HEADERS) \
		$(call host_library,$(or $(SIM_LIBRARY_$(2)),$(2)),$(1)) \
		$(if $(SIM_WRAP_$(2)),$$(SIM_OBJ_$(1)),$(SIM_O)/$(1)/libhypapi-sim.a)
	@mkdir -p $$(@D)
	$$(say) TEST $$@
	$$(Q)$$(CC) $$(SIM_TEST_CFLAGS) $(4) $$(SIM_FLAGS_$(1)) $(SIM_WRAP_$(2)) -o $$@ $$(filter %.c %.S %.o %.a,$$^) \
		-lcmocka -pthread
endef
sim_sources = $(call hypapp_host_src,$(1)) $(call hypapp_tests,hypapps/$(1),sim_)
# variant, name
sim_hypapp = $(call sim_program,$(1),$(2),$(call sim_sources,$(2)),$(call hypapp_include,hypapps/$(2)))
sim_test = $(call sim_program,$(1),$(2),tests/sim/sim_$(2).c $(SIM_SRC_$(2)),$(SIM_TEST_FLAGS_$(2)))
$(foreach v,asan tsan,$(foreach a,$(SIM_HYPAPPS),$(eval $(call sim_hypapp,$(v),$(a)))))
$(foreach v,asan tsan,$(foreach t,$(SIM_TEST_NAMES),$(eval $(call sim_test,$(v),$(t)))))

$(foreach v,asan tsan,$(UNIT_DIR)/sim_flushes_$(v)): $(SIM_O)/include/flush_counts.inc hypapi/sim/flushes.h

# ---- The program that replays serial logs

$(SIM_O)/replay: tools/replay/main.c $(REPLAY_SRC) tools/replay/replay.h $(PUBLIC_HEADERS) $(SIM_HEADERS) \
		$(call host_library,trustvisor,asan) $(SIM_O)/asan/libhypapi-sim.a
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SIM_TEST_CFLAGS) $(REPLAY_FLAGS) $(SIM_FLAGS_asan) -o $@ $(filter %.c %.S %.a,$^) -pthread

# The guide's example is a test, too.
$(SIM_O)/guide.c: docs/simulator.md
	@mkdir -p $(@D)
	$(Q)sed -n '/^```c$$/,/^```$$/{/^```/d;p}' $< > $@
$(eval $(call sim_program,asan,guide,$(SIM_O)/guide.c hypapps/helloworld/helloworld.c,))

# Headers by themselves, as those of hypapi.
public-headers: $(patsubst %,$(UNIT_DIR)/%.ok,$(filter-out %/sim_cmocka.h,$(SIM_HEADERS)))

UNIT_TESTS += $(SIM_TESTS)
unit-files: $(SIM_TESTS) $(SIM_O)/replay

.PHONY: sim
sim: $(foreach v,$(SIM_VARIANTS),$(SIM_O)/$(v)/libhypapi-sim.a) $(SIM_TESTS) $(SIM_O)/replay
