# SPDX-License-Identifier: GPL-2.0-or-later
# build/xmhf.efi: the core as an EFI application. Included by the top-level Makefile.
EFI_O := $(O)/efi
EFI_CFLAGS := -std=gnu11 -ffreestanding -fpic -fvisibility=hidden -mno-red-zone -mgeneral-regs-only -fshort-wchar \
	-O2 -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-strict-aliasing \
	-fno-jump-tables -fno-ident -Wall -Wextra -Wstrict-prototypes -Werror -MMD -MP -ffile-prefix-map=$(CURDIR)=. \
	-I xmhf -I hypapi/include -I $(O)/include
EFI_LINK_FLAGS := -m i386pep --subsystem 10 --image-base 0x10000000 --enable-reloc-section --no-insert-timestamp \
	-s -e efi_main
EFI_OBJ := $(addprefix $(EFI_O)/,app.o config.o next.o bridge.o image.o string.o string_more.o printf.o)

$(EFI_O)/xmhf.bin: $(O)/xmhf.elf
	@mkdir -p $(@D)
	@objcopy -O binary $< $@
$(EFI_O)/%.o: xmhf/boot/efi/%.c $(O)/include/core/config.h
	$(call compile,$(EFI_CFLAGS))
$(EFI_O)/%.o: xmhf/lib/%.c
	$(call compile,$(EFI_CFLAGS))
$(EFI_O)/image.o: $(EFI_O)/xmhf.bin
$(EFI_O)/%.o: xmhf/boot/efi/%.S
	$(call compile,$(EFI_CFLAGS) -DCORE_IMAGE='"$(EFI_O)/xmhf.bin"')
$(O)/xmhf.efi: $(EFI_OBJ)
	$(say) LD $@
	$(Q)$(LD) $(EFI_LINK_FLAGS) -o $@ $(EFI_OBJ)
-include $(EFI_OBJ:.o=.d)
