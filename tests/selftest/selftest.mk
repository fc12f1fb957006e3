# SPDX-License-Identifier: GPL-2.0-or-later
# Self-test images: the core's objects but core/main.o, with a test in place of the hypervisor, for `qemu -kernel`. They
# run what needs no VMX on devices that the emulator with VMX lacks. Included by the top-level Makefile.
# Targets: selftests, which `make check` needs: build/selftest/NAME.elf of each tests/selftest/NAME.c.

SELFTEST_NAMES := $(patsubst tests/selftest/%.c,%,$(filter-out %/selftest.c %/edu.c,$(wildcard tests/selftest/*.c)))
SELFTEST_COMMON := $(addprefix $(O)/selftest/,selftest.o edu.o to_linux.o)
SELFTEST_CORE = $(filter-out %/xmhf/core/main.o,$(CORE_OBJ))

.PHONY: selftests check-files
selftests: $(patsubst %,$(O)/selftest/%.elf,$(SELFTEST_NAMES))
check-files: selftests

$(O)/selftest/%.o: tests/selftest/%.c $(O)/include/core/config.h
	$(call compile,$(CORE_CFLAGS) -I tests/selftest)
$(O)/selftest/%.o: tests/selftest/%.S
	$(call compile,$(CORE_CFLAGS))
.SECONDARY: $(patsubst %,$(O)/selftest/%.o,$(SELFTEST_NAMES)) $(SELFTEST_COMMON)

$(O)/selftest/%.elf: $(O)/selftest/%.o $(SELFTEST_COMMON) $(SELFTEST_CORE) xmhf/boot/linker.lds
	$(say) LD $@
	$(Q)$(CC) $(CORE_LINK_FLAGS) -T xmhf/boot/linker.lds -o $@ $(filter %.o,$^)

# A test with another file of the core, NAME-CHANGE: on a unit without a queue, which QEMU does not have; and without a
# flush, which the test must notice. The file, and what is changed in it.
SELFTEST_CHANGED := iommu-registers iommu-no-flush taken-no-take taken-no-restrict
CHANGED_registers := iommu/vtd s/^\#define ECAP_QI .*/\#define ECAP_QI 0ul/
CHANGED_no-flush := iommu/vtd s/flush_write_buffer(unit) && forget_translations(unit)/flush_write_buffer(unit)/
CHANGED_no-take := mem/ept01 s/if (iommu_flush())/if (true)/
CHANGED_no-restrict := mem/ept01 s/iommu_flush() ? HYPAPI_OK : HYPAPI_EDMA/HYPAPI_OK/
# Of NAME-CHANGE: the change.
change_of = $(patsubst $(firstword $(subst -, ,$(1)))-%,%,$(1))

selftests: $(patsubst %,$(O)/selftest/%.elf,$(SELFTEST_CHANGED))
define selftest_changed
$(O)/selftest/changed-$(2).c: xmhf/$(firstword $(CHANGED_$(2))).c tests/selftest/selftest.mk
	@mkdir -p $$(@D)
	@sed '$(wordlist 2,99,$(CHANGED_$(2)))' $$< > $$@.new
	@! cmp -s $$< $$@.new && mv $$@.new $$@
$(O)/selftest/changed-$(2).o: $(O)/selftest/changed-$(2).c $(O)/include/core/config.h
	$$(call compile,$(CORE_CFLAGS))
$(O)/selftest/$(1).elf: $(O)/selftest/changed-$(2).o $(O)/selftest/$(firstword $(subst -, ,$(1))).o $(SELFTEST_COMMON) \
		$(SELFTEST_CORE) xmhf/boot/linker.lds
	$$(say) LD $$@
	$$(Q)$(CC) $(CORE_LINK_FLAGS) -T xmhf/boot/linker.lds -o $$@ \
		$$(filter-out %/xmhf/$(firstword $(CHANGED_$(2))).o,$$(filter %.o,$$^))
endef
$(foreach s,$(SELFTEST_CHANGED),$(eval $(call selftest_changed,$(s),$(call change_of,$(s)))))

# Linux on an image of these, its modules for the network, and the job that works with devices.
SELFTEST_MODULES := $(patsubst %,$(O)/linux/debian/modules/%.ko,virtio_ring virtio virtio_pci_modern_dev \
	virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net)
selftests: $(O)/selftest/devices.cpio
$(SELFTEST_MODULES): $(O)/linux/debian/vmlinuz ;
$(O)/selftest/devices.cpio: tests/selftest/devices tools/linux/initramfs examples/linux/init $(O)/linux/busybox \
		$(O)/linux/ticks $(SELFTEST_MODULES)
	$(say) CPIO $@
	$(Q)tools/linux/initramfs --plain -o $@ --busybox $(O)/linux/busybox --init examples/linux/init \
		--bin $(O)/linux/ticks --job tests/selftest/devices $(addprefix --module ,$(SELFTEST_MODULES))

-include $(wildcard $(O)/selftest/*.d)
