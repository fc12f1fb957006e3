# SPDX-License-Identifier: GPL-2.0-or-later
# Bare-metal guests: the mini-hypervisor example and the tests that run on it. Included by the top-level Makefile.
# Input: O, the build folder; say and Q, how commands are shown.
# Targets: $(O)/guest/test.bzimage (all tests and the example), $(O)/guest/mini-hypervisor.bzimage.

GUEST_DIR := examples/mini-hypervisor
GUEST_CFLAGS := -std=gnu11 -ffreestanding -fno-pic -fno-stack-protector -fcf-protection=none \
	-fno-asynchronous-unwind-tables -mgeneral-regs-only -mno-red-zone -mcmodel=small -O2 -g \
	-Wall -Wextra -Werror -I$(GUEST_DIR)
GUEST_LDFLAGS := -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack \
	-Wl,--no-warn-rwx-segments

GUEST_LIB := $(wildcard $(GUEST_DIR)/lib/*.c $(GUEST_DIR)/lib/*.S $(GUEST_DIR)/hv/*.c $(GUEST_DIR)/hv/*.S)
GUEST_EXAMPLE := $(GUEST_DIR)/main.c $(GUEST_DIR)/call.c $(GUEST_DIR)/l2_code.S
# With TrustVisor's SHA-256, for a test of it.
GUEST_TESTS := $(wildcard tests/guest/*.c tests/guest/*.S) hypapps/trustvisor/tpm/sha256.c \
	hypapps/trustvisor/tpm/sha256_ni.S

guest_objects = $(addprefix $(O)/guest/,$(addsuffix .o,$(1)))

$(O)/guest/%.o: % $(wildcard $(GUEST_DIR)/*/*.h tests/guest/*.h hypapps/*/*.h hypapps/*/include/*/*.h) \
		$(wildcard hypapi/include/hypapi/*.h)
	@mkdir -p $(@D)
	$(say) CC $@
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<

$(O)/guest/test.elf: $(call guest_objects,$(GUEST_LIB) $(GUEST_EXAMPLE) $(GUEST_TESTS))
$(O)/guest/mini-hypervisor.elf: $(call guest_objects,$(GUEST_LIB) $(GUEST_EXAMPLE))

$(O)/guest/%.elf: $(GUEST_DIR)/lib/guest.lds
	$(say) LD $@
	$(Q)$(CC) $(GUEST_LDFLAGS) -T $< -o $@ $(filter %.o,$^)

$(O)/guest/%.bzimage: $(O)/guest/%.elf
	$(say) BZ $@
	$(Q)objcopy -O binary $< $@

.SECONDARY: $(O)/guest/test.elf $(O)/guest/mini-hypervisor.elf
