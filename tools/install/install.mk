# SPDX-License-Identifier: GPL-2.0-or-later
# make install: what a hypapp outside of this tree is built with. Included by the top-level Makefile.
# Everything installed finds the rest relative to itself, so that DESTDIR and moving the folder need no editing.
##
## make install, make uninstall: prefix=/usr/local (or ./configure --prefix), DESTDIR=; then see docs/out-of-tree.md

INSTALL_O := $(O)/install
INSTALL := install
INSTALL_CORE := $(patsubst %,$(O)/core/%.o,$(basename $(CORE_SRC)))
# What hypapps may call, what GCC calls by itself, and the entry. All other names of the core stay its own.
INSTALL_GLOBALS := hypapi_* __x86_indirect_thunk_* boot_entry memcpy memmove memset memcmp strlen
INSTALL_HYPAPPS = $(foreach a,$(HYPAPPS),$(INSTALL_O)/hypapps/$(a).o)
# For hypapp-boot; then what it makes a Linux with.
INSTALL_BOOT := tools/mkiso.py tools/timeline.py tests/run/emulator.py tests/run/bochs.msrs $(INSTALL_O)/guest.bzimage
INSTALL_LINUX := $(addprefix tools/linux/,busybox cmdline cmdline.bochs debian-kernel fetch-deb initramfs qemu-files) \
	tools/install/linux_guest.py examples/linux/init examples/linux/jobs/l2-linux $(O)/linux/ticks
INSTALL_SIM := $(foreach v,$(SIM_VARIANTS),$(SIM_O)/$(v)/libhypapi-sim.a)
INSTALL_MADE := $(addprefix $(INSTALL_O)/,core.o hypapps-check hypapp-link hypapp-new hypapp-boot hypapp.mk hypapi.pc)
# Warnings do not stop the build of a project that has another compiler than ours.
# Warnings that are no matter of taste are errors for authors, too.
INSTALL_FLAGS := $(filter-out -MMD -MP -Werror -Wframe% -ffile-prefix-map=%,$(CORE_FLAGS)) \
	$(addprefix -Werror=,frame-larger-than=1024 implicit-function-declaration incompatible-pointer-types \
	int-conversion return-type)
HYPAPI_VERSION = \
	$(shell sed -n 's/^\#define HYPAPI_M..OR \([0-9]*\).*/\1/p' hypapi/include/hypapi/hypapp.h | paste -sd.)

$(INSTALL_O)/core.o: $(INSTALL_CORE)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(LD) -r --no-warn-execstack -o $@ $^
	$(Q)objcopy --strip-debug --wildcard $(patsubst %,--keep-global-symbol='%',$(INSTALL_GLOBALS)) $@
$(INSTALL_O)/hypapps/%.o: $(O)/core/hypapps/%.o
	@mkdir -p $(@D)
	$(Q)objcopy --strip-debug $< $@

CHECK_SRC := tools/install/hypapps-check.c xmhf/events/hypapps_check.c xmhf/events/event_info.c xmhf/events/names.c \
	xmhf/lib/printf.c
$(INSTALL_O)/hypapps-check: $(CHECK_SRC) $(wildcard hypapi/include/hypapi/*.h xmhf/events/*.h)
	@mkdir -p $(@D)
	$(say) CC $@
	$(Q)$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -I xmhf -I hypapi/include -o $@ $(CHECK_SRC)
# The image of this tree is checked in the same way.
$(O)/xmhf.elf: | $(INSTALL_O)/hypapps-check

$(INSTALL_O)/guest.bzimage: $(O)/guest/mini-hypervisor.bzimage
	@mkdir -p $(@D)
	$(Q)cp $< $@

$(INSTALL_O)/%: tools/install/%.in Makefile tools/install/install.mk $(O)/config.mk hypapi/include/hypapi/hypapp.h
	@mkdir -p $(@D)
	$(say) MAKE $@
	$(Q)sed -e 's|@FLAGS@|$(INSTALL_FLAGS)|' -e 's|@LINK_FLAGS@|$(CORE_LINK_FLAGS)|' \
		-e 's|@GUEST_FLAGS@|$(filter-out -Werror -I%,$(GUEST_CFLAGS))|' \
		-e 's|@GUEST_LINK_FLAGS@|$(GUEST_LDFLAGS)|' \
		-e 's|@VERSION@|$(VERSION)|' -e 's|@HYPAPI_VERSION@|$(HYPAPI_VERSION)|' $< > $@

# put MODE FOLDER FILE... installs, and notes each file for make uninstall.
define install_put
to='$(DESTDIR)$(prefix)'; list=$(INSTALL_O)/installed; \
put() { \
	mode=$$1 dir=$$2; shift 2; \
	$(INSTALL) -d "$$to/$$dir" && $(INSTALL) -m $$mode "$$@" "$$to/$$dir" && \
	for file; do echo "$$dir/$${file##*/}"; done >> $$list; \
}
endef
INSTALL_COMMANDS := hypapp-new hypapp-link hypapp-boot xmhfctl
INSTALL_DOES_hypapp-new := write the project of a new hypapp
INSTALL_DOES_hypapp-link := link hypapps and the core into an image
INSTALL_DOES_hypapp-boot := boot an image in the emulator under a small guest
INSTALL_DOES_xmhfctl := show what the XMHF below this Linux has done

ifeq ($(origin PREFIX),command line)
$(error the folder to install in is given in small letters: prefix=$(PREFIX))
endif
.PHONY: install uninstall
install: $(INSTALL_MADE) $(INSTALL_HYPAPPS) $(INSTALL_BOOT) $(INSTALL_LINUX) $(INSTALL_SIM) \
		$(O)/xmhf.elf $(O)/examples/xmhfctl
	$(Q)set -e; $(install_put); rm -f $$list; \
	put 644 include/hypapi hypapi/include/hypapi/*.h hypapi/sim/include/hypapi/*.h; \
	for dir in $(foreach a,$(HYPAPPS),$(wildcard $(HYPAPP_DIR_$(a))/include/*)); \
		do put 644 include/$${dir##*/} $$dir/*.h; done; \
	put 644 lib/hypapi $(INSTALL_O)/core.o xmhf/boot/linker.lds tools/install/hypapp.lds $(O)/xmhf.elf; \
	put 755 lib/hypapi $(INSTALL_O)/hypapps-check tools/install/image-symbols tools/install/image-hash; \
	rm -rf "$$to/lib/hypapi/hypapps"; \
	put 644 lib/hypapi/hypapps $(INSTALL_HYPAPPS); \
	for v in $(SIM_VARIANTS); do put 644 lib/hypapi/sim/$$v $(SIM_O)/$$v/libhypapi-sim.a; \
		objcopy --strip-debug "$$to/lib/hypapi/sim/$$v/libhypapi-sim.a"; done; \
	put 644 lib/pkgconfig $(INSTALL_O)/hypapi.pc; \
	put 644 share/hypapi $(INSTALL_O)/hypapp.mk tools/install/hypapp-files.mk; \
	put 644 share/hypapi/template tools/install/template/*; \
	for part in lib hv; do put 644 share/hypapi/guest/$$part $(GUEST_DIR)/$$part/*; done; \
	put 644 lib/hypapi/boot $(INSTALL_BOOT); \
	put 755 lib/hypapi/boot/linux $(INSTALL_LINUX); \
	put 755 bin $(INSTALL_O)/hypapp-link $(INSTALL_O)/hypapp-new $(INSTALL_O)/hypapp-boot $(O)/examples/xmhfctl; \
	put 644 share/doc/hypapi README.md LICENSE; \
	put 644 share/doc/hypapi/docs docs/*.md; \
	put 644 share/doc/hypapi/docs/events docs/events/*.md; \
	put 644 share/doc/hypapi/docs/pictures docs/pictures/*.svg; \
	$(foreach c,$(INSTALL_COMMANDS),help2man -N -n '$(INSTALL_DOES_$(c))' -o $(INSTALL_O)/$(c).1 "$$to/bin/$(c)"; )\
	put 644 share/man/man1 $(patsubst %,$(INSTALL_O)/%.1,$(INSTALL_COMMANDS)); \
	if [ -d $(O)/docs/html ]; then rm -rf "$$to/share/doc/hypapi/html"; \
		cp -r $(O)/docs/html "$$to/share/doc/hypapi/"; \
		(cd "$$to" && find share/doc/hypapi/html -type f) >> $$list; fi; \
	put 644 share/hypapi $$list; \
	echo "Installed below $$to: commands in bin/ ($(INSTALL_COMMANDS)),"; \
	echo "the image lib/hypapi/xmhf.elf, and what hypapps are built with."; \
	echo "Next: $$to/bin/hypapp-new NAME writes the project of a new hypapp."; \
	echo "share/doc/hypapi/docs/out-of-tree.md says more; make uninstall takes all of it away."

# By the list that the installation has of itself. Folders go if nothing else is in them.
uninstall:
	$(Q)to='$(DESTDIR)$(prefix)'; list=$$to/share/hypapi/installed; \
	[ -f "$$list" ] || { echo "make uninstall: there is no $$list: nothing was installed there" >&2; exit 1; }; \
	cd "$$to" && sed 's|[^/]*$$||' "$$list" | sort -ru > "$$list.dirs" && xargs -d '\n' rm -f < "$$list" && \
	while read -r dir; do rmdir -p "$$dir" 2> /dev/null || :; done < "$$list.dirs"; \
	rm -f "$$list" "$$list.dirs"; rmdir -p share/hypapi 2> /dev/null || :

# For make check: an author's way from an installation to an image, with objects of the times of hypapi 1.0 to 1.2 in
# it; and one with helloworld alone.
check-files: $(INSTALL_O)/greeter.elf
MADE_BEFORE := made_for_1_0.o made_for_1_1.o made_for_1_2.o
$(INSTALL_O)/made_for_%.o: tests/abi/made_for_%.s
	@mkdir -p $(@D)
	$(say) AS $@
	$(Q)$(CC) -c -o $@ $<
$(INSTALL_O)/greeter.elf: $(addprefix $(INSTALL_O)/,$(MADE_BEFORE)) $(INSTALL_MADE) $(INSTALL_HYPAPPS) $(INSTALL_BOOT) \
	$(INSTALL_LINUX) $(INSTALL_SIM) $(wildcard tools/install/* tools/install/template/*)
	@rm -rf $(INSTALL_O)/stage $(INSTALL_O)/greeter
	$(Q)$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(INSTALL_O)/stage prefix=/usr/local
	$(Q)cd $(INSTALL_O) && stage/usr/local/bin/hypapp-new greeter > /dev/null && MAKEFLAGS= make -s -C greeter && \
		stage/usr/local/bin/hypapp-link -o greeter.elf greeter/build/greeter.o helloworld $(MADE_BEFORE) \
			2> before.warnings && \
		stage/usr/local/bin/hypapp-link -o hello.elf helloworld
