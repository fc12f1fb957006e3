# SPDX-License-Identifier: GPL-2.0-or-later
# Disk images for the chain starts in tests/run/cases.py. Included by the top-level Makefile.
# Input: O, the build folder. Targets: boot-disks, which `make check` needs; xen.img and twice-kvm.img are for
# `make check-long`.

BOOT_DIR := tests/boot
EFI_GRUB_IMAGES := $(O)/boot/efi-grub.img $(O)/boot/efi-grub-debian.img
EFI_NEXT_IMAGES := $(O)/boot/efi-next-grub.img $(O)/boot/efi-next-stub.img
BOOT_DISKS := $(O)/boot/scan.img $(O)/boot/test.img $(O)/boot/unsigned.img $(O)/boot/linux.img $(O)/boot/twice.img \
	$(O)/boot/efi.img $(EFI_GRUB_IMAGES) $(EFI_NEXT_IMAGES) \
	$(O)/boot/efi-alone.img $(O)/boot/efi-shell.img $(O)/boot/efi-reset.img \
	$(O)/boot/efi-bad.img $(O)/boot/efi-screen.img $(O)/boot/efi-signed.img $(O)/boot/efi-changed.img \
	$(O)/boot/efi-locked.img $(O)/boot/efi-locked-other.img $(O)/boot/efi-disabled.img \
	$(O)/boot/efi-no-mp.img $(O)/boot/efi-lost.img $(O)/boot/efi-x2apic.img \
	$(O)/boot/efi-stops.img $(O)/boot/efi-options.img $(O)/boot/spcr.bin

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

# XMHF as an operating system would be, with a guest of its own.
$(O)/boot/twice.img: $(BOOT_DIR)/mkdisk.py $(O)/xmhf.elf $(O)/guest/test.bzimage
	@mkdir -p $(@D)
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkdisk.py -o $@ --kernel $(O)/guest/test.bzimage --append test=xmhf-levels \
		--multiboot $(O)/xmhf.elf

# The same with a Linux that has KVM and a Linux for it.
$(O)/boot/twice-kvm.img: $(BOOT_DIR)/mkdisk.py $(O)/xmhf.elf $(O)/linux/tiny/bzImage $(O)/linux/l2.cpio \
		$(O)/linux/cmdline.l2
	@mkdir -p $(@D)
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkdisk.py -o $@ --kernel $(O)/linux/tiny/bzImage --initrd $(O)/linux/l2.cpio \
		--append "$$(cat $(O)/linux/cmdline.l2) job=l2-linux" --multiboot $(O)/xmhf.elf

# EFI applications of tests: as xmhf.efi, but without its image.
$(O)/boot/%.efi: $(BOOT_DIR)/%.c
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(EFI_CFLAGS) -I xmhf/boot/efi -c -o $@.o $<
	$(Q)$(LD) $(EFI_LINK_FLAGS) -o $@ $@.o

$(O)/boot/lock_others.efi: DEFINE := LOCK_OTHERS
$(O)/boot/disable_others.efi: DEFINE := DISABLE_OTHERS
$(O)/boot/no_mp_others.efi: DEFINE := NO_MP
$(O)/boot/stop_others.efi: DEFINE := STOP_OTHERS
$(O)/boot/lose_others.efi: DEFINE := LOSE_OTHERS
$(O)/boot/x2apic.efi: DEFINE := X2APIC
$(addprefix $(O)/boot/,$(addsuffix .efi,lock_others disable_others no_mp_others stop_others lose_others x2apic)): \
		$(BOOT_DIR)/acpi_tables.c
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(EFI_CFLAGS) -D$(DEFINE) -I xmhf/boot/efi -c -o $@.o $<
	$(Q)$(LD) $(EFI_LINK_FLAGS) -o $@ $@.o

# Linux by its EFI stub on XMHF, which the firmware starts; its tables are acpi_tables.efi's.
EFI_JOBS := pal-l1,pal-l2,sleep-states
EFI_LINUX := console=ttyS0,115200 \
	$$(sed 's/console=[^ ]*//' tools/linux/cmdline tools/linux/cmdline.bochs | tr '\n' ' ')
EFI_STUB := initrd=\initrd $(EFI_LINUX) loglevel=3 job=$(EFI_JOBS)
$(O)/boot/efi.img: $(BOOT_DIR)/mkesp.py $(BOOT_DIR)/boot.mk $(O)/xmhf.efi $(O)/boot/acpi_tables.efi \
		$(O)/linux/debian/vmlinuz $(O)/linux/debian.cpio tools/linux/cmdline
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --file $(O)/boot/acpi_tables.efi=EFI/BOOT/BOOTX64.EFI \
		--file $(O)/xmhf.efi=xmhf.efi --file $(O)/linux/debian/vmlinuz=vmlinuz \
		--file $(O)/linux/debian.cpio=initrd \
		--text "next \vmlinuz\nnext-options $(EFI_STUB)=EFI/xmhf/xmhf.conf"

# The same with Debian's own GRUB between them, as an installation has it: it reads the file by which grub-install leads
# it to the menu. It starts Linux by its command for that; or as an EFI application, after a GRUB has started XMHF.
DEBIAN_GRUB := /usr/lib/grub/x86_64-efi/monolithic/grubx64.efi
EFI_LEADS := search.fs_uuid 1234-5678 root\nset prefix=(\$$root)/boot/grub\nconfigfile \$$prefix/grub.cfg
EFI_MENU_grub := linux /vmlinuz $(EFI_LINUX) loglevel=7 job=pal-l1,pal-l2\ninitrd /initrd
EFI_MENU_stub := chainloader /vmlinuz initrd=\\\\initrd $(EFI_LINUX) loglevel=7
EFI_XMHF_grub := xmhf.efi
EFI_XMHF_stub := EFI/xmhf/xmhf.efi
$(EFI_NEXT_IMAGES): $(O)/boot/efi-next-%.img: $(BOOT_DIR)/mkesp.py $(BOOT_DIR)/boot.mk $(O)/xmhf.efi \
		$(O)/boot/acpi_tables.efi $(O)/linux/debian/vmlinuz $(O)/linux/debian.cpio tools/linux/cmdline
	$(say) IMG $@
	$(Q){ echo 'search --file --set=root /EFI/xmhf/xmhf.efi'; echo 'chainloader /EFI/xmhf/xmhf.efi'; echo boot; \
		echo 'echo GRUB goes on'; } > $@.cfg
	$(Q)grub-mkimage -O x86_64-efi -p / -c $@.cfg -o $@.efi fat part_msdos search search_fs_file chain boot echo
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --file $(O)/boot/acpi_tables.efi=EFI/BOOT/BOOTX64.EFI --file $@.efi=next.efi \
		--file $(O)/xmhf.efi=$(EFI_XMHF_$*) --file $(O)/linux/debian/vmlinuz=vmlinuz \
		--file $(O)/linux/debian.cpio=initrd --file $(DEBIAN_GRUB)=EFI/debian/grubx64.efi \
		--text 'next \EFI\debian\grubx64.efi=EFI/xmhf/xmhf.conf' --text "$(EFI_LEADS)=EFI/debian/grub.cfg" \
		--text "set timeout=0\nmenuentry Debian {\n$(EFI_MENU_$*)\n}=boot/grub/grub.cfg"

# The same with XMHF started by GRUB, which ends the boot services; XMHF starts Linux.
$(O)/boot/efi-grub.img: $(O)/linux/tiny/bzImage $(O)/linux/tiny.cpio
$(O)/boot/efi-grub.img: KERNEL := $(O)/linux/tiny/bzImage
$(O)/boot/efi-grub.img: MORE := job=pal-l1,pal-l2
$(O)/boot/efi-grub.img: INITRD := $(O)/linux/tiny.cpio
$(O)/boot/efi-grub-debian.img: $(O)/linux/debian/vmlinuz $(O)/linux/debian.cpio
$(O)/boot/efi-grub-debian.img: KERNEL := $(O)/linux/debian/vmlinuz
$(O)/boot/efi-grub-debian.img: MORE := loglevel=7
$(O)/boot/efi-grub-debian.img: INITRD := $(O)/linux/debian.cpio
$(EFI_GRUB_IMAGES): $(BOOT_DIR)/mkesp.py $(BOOT_DIR)/boot.mk $(O)/xmhf.elf $(O)/boot/acpi_tables.efi \
		tools/linux/cmdline tools/linux/cmdline.bochs
	$(say) IMG $@
	$(Q){ echo 'search --file --set=root /xmhf.elf'; echo 'multiboot2 /xmhf.elf log=debug'; \
		echo "module2 /kernel $$(cat tools/linux/cmdline tools/linux/cmdline.bochs | tr '\n' ' ') $(MORE)"; \
		echo 'module2 /initrd'; echo boot; } > $@.cfg
	$(Q)grub-mkimage -O x86_64-efi -p / -c $@.cfg -o $@.efi fat part_msdos search search_fs_file multiboot2 boot
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --file $(O)/boot/acpi_tables.efi=EFI/BOOT/BOOTX64.EFI --file $@.efi=next.efi \
		--file $(O)/xmhf.elf=xmhf.elf --file $(KERNEL)=kernel --file $(INITRD)=initrd

# The body of a table SPCR, which leads to COM2: type 0, three zeros; I/O, 8 bits, at 0, by bytes, 0x2f8; no PCI device.
$(O)/boot/spcr.bin:
	@mkdir -p $(@D)
	$(Q)printf '\0\0\0\0\1\10\0\1\370\2\0\0\0\0\0\0\0\0\0\0\0\0\7\0\0\0\3\0\377\377\377\377' > $@
	$(Q)truncate -s 44 $@

# XMHF with the framebuffer that GRUB tells it of; and after GRUB has locked VMX off, as firmware does.
EFI_FIRST_locked := wrmsr 0x3a 1
$(O)/boot/efi-screen.img $(O)/boot/efi-locked.img: $(O)/boot/efi-%.img: $(BOOT_DIR)/mkesp.py \
		$(BOOT_DIR)/boot.mk $(O)/xmhf.elf
	$(say) IMG $@
	$(Q){ echo '$(EFI_FIRST_$*)'; echo 'search --file --set=root /xmhf.elf'; \
		echo 'multiboot2 /xmhf.elf log=debug'; echo boot; } > $@.cfg
	$(Q)grub-mkimage -O x86_64-efi -p / -c $@.cfg -o $@.efi fat part_msdos search search_fs_file multiboot2 boot \
		efi_gop wrmsr
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --mib 16 --file $@.efi=EFI/BOOT/BOOTX64.EFI --file $(O)/xmhf.elf=xmhf.elf

# Without a configuration: what the firmware's boot menu has behind the disk, which is its shell.
EFI_LAST_shell := reset -s
EFI_LAST_reset := reset
$(O)/boot/efi-shell.img $(O)/boot/efi-reset.img: $(O)/boot/efi-%.img: $(BOOT_DIR)/mkesp.py $(BOOT_DIR)/boot.mk \
		$(O)/xmhf.efi $(O)/boot/acpi_tables.efi
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --mib 8 --file $(O)/boot/acpi_tables.efi=EFI/BOOT/BOOTX64.EFI \
		--file $(O)/xmhf.efi=xmhf.efi --text 'echo THE SHELL IS L1\n$(EFI_LAST_$*)=startup.nsh'

$(O)/boot/efi-alone.img: $(BOOT_DIR)/mkesp.py $(O)/xmhf.efi
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --mib 8 --file $(O)/xmhf.efi=EFI/BOOT/BOOTX64.EFI

# In x2APIC mode before XMHF; the shell ends the run.
$(O)/boot/efi-x2apic.img: $(BOOT_DIR)/mkesp.py $(BOOT_DIR)/boot.mk $(O)/xmhf.efi $(O)/boot/x2apic.efi
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --mib 8 --file $(O)/boot/x2apic.efi=EFI/BOOT/BOOTX64.EFI \
		--file $(O)/xmhf.efi=xmhf.efi --text 'echo THE SHELL IS L1\nreset -s=startup.nsh' \
		--text 'options log=debug=EFI/xmhf/xmhf.conf'

# With hypapps/quiesce; the shell ends the run.
$(O)/audit/xmhf.efi: core-audit
	@:
$(O)/boot/efi-stops.img: $(BOOT_DIR)/mkesp.py $(BOOT_DIR)/boot.mk $(O)/audit/xmhf.efi $(O)/boot/stop_others.efi
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --mib 16 --file $(O)/boot/stop_others.efi=EFI/BOOT/BOOTX64.EFI \
		--file $(O)/audit/xmhf.efi=xmhf.efi --text 'echo THE SHELL IS L1\nreset -s=startup.nsh'

$(O)/boot/efi-locked-other.img: $(O)/boot/lock_others.efi
$(O)/boot/efi-disabled.img: $(O)/boot/disable_others.efi
$(O)/boot/efi-no-mp.img: $(O)/boot/no_mp_others.efi
$(O)/boot/efi-lost.img: $(O)/boot/lose_others.efi
$(addprefix $(O)/boot/efi-,locked-other.img disabled.img no-mp.img lost.img): $(BOOT_DIR)/mkesp.py $(O)/xmhf.efi
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --mib 8 --file $(filter %_others.efi,$^)=EFI/BOOT/BOOTX64.EFI \
		--file $(O)/xmhf.efi=xmhf.efi

# Signed by the key of Debian's package ovmf, which is there for tests; and with one byte of the signed image changed.
SNAKEOIL := /usr/share/ovmf/PkKek-1-snakeoil
$(O)/boot/xmhf-signed.efi: $(O)/xmhf.efi
	@mkdir -p $(@D)
	$(say) SIGN $@
	$(Q)openssl rsa -in $(SNAKEOIL).key -passin pass:snakeoil -out $@.key 2> /dev/null
	$(Q)sbsign --key $@.key --cert $(SNAKEOIL).pem --output $@ $< > $@.log 2>&1 || { cat $@.log; exit 1; }
$(O)/boot/xmhf-changed.efi: $(O)/boot/xmhf-signed.efi
	@cp $< $@
	$(Q)printf 'Never' | dd of=$@ bs=1 seek=300000 conv=notrunc status=none
$(O)/boot/efi-signed.img: $(O)/boot/xmhf-signed.efi
$(O)/boot/efi-changed.img: $(O)/boot/xmhf-changed.efi
$(O)/boot/efi-signed.img $(O)/boot/efi-changed.img: $(BOOT_DIR)/mkesp.py
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --mib 8 --file $(filter %.efi,$^)=EFI/BOOT/BOOTX64.EFI

# Load options, by the firmware's shell.
$(O)/boot/efi-options.img: $(BOOT_DIR)/mkesp.py $(BOOT_DIR)/boot.mk $(O)/xmhf.efi
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --mib 8 --file $(O)/xmhf.efi=xmhf.efi \
		--text 'options log=none=EFI/xmhf/xmhf.conf' \
		--text 'fs0:\xmhf.efi log=info\nfs0:\xmhf.efi log=other=startup.nsh'

# The path of a loader is longer than there is room for.
$(O)/boot/efi-bad.img: $(BOOT_DIR)/mkesp.py $(O)/xmhf.efi
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkesp.py -o $@ --mib 8 --file $(O)/xmhf.efi=EFI/BOOT/BOOTX64.EFI \
		--text "next $$(printf '%0128d' 0)=EFI/xmhf/xmhf.conf"

# Off is what Xen does against speculation, as in the other Linuxes, and what needs MSRs that the emulated CPU lacks.
XEN_APPEND := com1=115200,8n1 console=com1 sync_console dom0_mem=400M dom0_max_vcpus=1 spec-ctrl=no xpti=no ucode=no \
	watchdog=no \
	mce=off mwait-idle=no cpuidle=no cpufreq=none
$(O)/boot/xen.img: $(BOOT_DIR)/boot.mk $(BOOT_DIR)/mkdisk.py $(O)/linux/xen/vmlinuz $(O)/linux/dom0.cpio \
	tools/linux/cmdline
	@mkdir -p $(@D)
	$(say) IMG $@
	$(Q)$(BOOT_DIR)/mkdisk.py -o $@ --kernel $(O)/linux/xen/vmlinuz --initrd $(O)/linux/dom0.cpio \
		--append "$$(sed 's/console=[^ ]*/console=hvc0/; s/\bquiet\b/loglevel=5/' tools/linux/cmdline)" \
		--multiboot $(O)/linux/xen/xen.elf --multiboot-append "$(XEN_APPEND)"
