# SPDX-License-Identifier: GPL-2.0-or-later
# Self-test images: the core's objects but core/main.o, with a test in place of the hypervisor, for `qemu -kernel`. They
# run what needs no VMX on devices that the emulator with VMX lacks. Included by the top-level Makefile.
# Targets: selftests, which `make check` needs: build/selftest/NAME.elf of each tests/selftest/NAME.c.

SELFTEST_NAMES := $(patsubst tests/selftest/%.c,%,$(filter-out %/selftest.c,$(wildcard tests/selftest/*.c)))
SELFTEST_COMMON := $(addprefix $(O)/selftest/,selftest.o to_linux.o)
SELFTEST_CORE = $(filter-out %/xmhf/core/main.o,$(CORE_OBJ))

.PHONY: selftests check-files
selftests: $(patsubst %,$(O)/selftest/%.elf,$(SELFTEST_NAMES))
check-files: selftests

$(O)/selftest/%.o: tests/selftest/%.c $(O)/include/core/config.h
	$(call compile,$(CORE_CFLAGS) -I tests/selftest)
$(O)/selftest/%.o: tests/selftest/%.S
	$(call compile,$(CORE_CFLAGS))
.SECONDARY: $(patsubst %,$(O)/selftest/%.o,$(SELFTEST_NAMES) vtd-registers vtd-no-flush) $(SELFTEST_COMMON)

$(O)/selftest/%.elf: $(O)/selftest/%.o $(SELFTEST_COMMON) $(SELFTEST_CORE) xmhf/boot/linker.lds
	$(say) LD $@
	$(Q)$(CC) $(CORE_LINK_FLAGS) -T xmhf/boot/linker.lds -o $@ $(filter %.o,$^)

# The IOMMU's test with another vtd.c: on a unit without a queue, which QEMU does not have; and without the flush, which
# the test must notice.
SELFTEST_VTD_registers := s/^\#define ECAP_QI .*/\#define ECAP_QI 0ul/
SELFTEST_VTD_no-flush := s/flush_write_buffer(unit) && forget_translations(unit)/flush_write_buffer(unit)/
selftests: $(O)/selftest/iommu-registers.elf $(O)/selftest/iommu-no-flush.elf
$(O)/selftest/vtd-%.c: xmhf/iommu/vtd.c tests/selftest/selftest.mk
	@mkdir -p $(@D)
	@sed '$(SELFTEST_VTD_$*)' $< > $@.new
	@! cmp -s $< $@.new && mv $@.new $@
$(O)/selftest/vtd-%.o: $(O)/selftest/vtd-%.c $(O)/include/core/config.h
	$(call compile,$(CORE_CFLAGS))
$(O)/selftest/iommu-%.elf: $(O)/selftest/vtd-%.o $(O)/selftest/iommu.o $(SELFTEST_COMMON) $(SELFTEST_CORE) \
		xmhf/boot/linker.lds
	$(say) LD $@
	$(Q)$(CC) $(CORE_LINK_FLAGS) -T xmhf/boot/linker.lds -o $@ $(filter-out %/iommu/vtd.o,$(filter %.o,$^))

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
