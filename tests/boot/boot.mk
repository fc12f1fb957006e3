# SPDX-License-Identifier: GPL-2.0-or-later
# Disk images for the chain starts in tests/run/cases.py. Included by the top-level Makefile.
# Input: O, the build folder. Target: boot-disks, which `make check` needs.

BOOT_DIR := tests/boot
BOOT_DISKS := $(O)/boot/scan.img $(O)/boot/test.img $(O)/boot/unsigned.img $(O)/boot/linux.img

.PHONY: boot-disks check-files
boot-disks: $(BOOT_DISKS)
check-files: boot-disks

$(O)/boot/%.elf: $(BOOT_DIR)/%.S
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) -m32 -nostdlib -static -no-pie -o $@ $< \
		-Wl,-m,elf_i386,--build-id=none,-N,--no-warn-rwx-segments,-Ttext=0x7c00

$(O)/boot/test.img: $(O)/boot/boot.elf
$(O)/boot/scan.img: $(O)/boot/scan.elf
$(O)/boot/test.img $(O)/boot/scan.img:
	$(say) IMG $@
	$(Q)objcopy -O binary -j .text $< $@
	$(Q)truncate -s 1032192 $@

# The same without the signature at the end of its first sector.
$(O)/boot/unsigned.img: $(O)/boot/test.img
	$(say) IMG $@
	$(Q)cp $< $@
	$(Q)printf '\0\0' | dd of=$@ bs=1 seek=510 conv=notrunc status=none

# Not quiet: the kernel's first lines show the memory map that it got.
$(O)/boot/linux.img: $(BOOT_DIR)/mkdisk.py $(O)/linux/tiny/bzImage $(O)/linux/tiny.cpio \
		tools/linux/cmdline tools/linux/cmdline.bochs
	@mkdir -p $(@D)
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkdisk.py -o $@ --kernel $(O)/linux/tiny/bzImage --initrd $(O)/linux/tiny.cpio \
		--append "$$(cat tools/linux/cmdline tools/linux/cmdline.bochs | tr '\n' ' ' | sed 's/\bquiet\b//')"
