# SPDX-License-Identifier: GPL-2.0-or-later
# make install: what a hypapp outside of this tree is built with. Included by the top-level Makefile.
# Everything installed finds the rest relative to itself, so that DESTDIR and moving the folder need no editing.
##
## make install: prefix=/usr/local (or ./configure --prefix), DESTDIR=; then see docs/install.md

INSTALL_O := $(O)/install
INSTALL := install
INSTALL_CORE := $(patsubst %,$(O)/core/%.o,$(basename $(CORE_SRC)))
# What hypapps may call, what GCC calls by itself, and the entry. All other names of the core stay its own.
INSTALL_GLOBALS := hypapi_* __x86_indirect_thunk_* boot_entry memcpy memmove memset memcmp strlen
INSTALL_HYPAPPS = $(foreach a,$(HYPAPPS),$(INSTALL_O)/hypapps/$(a).o)
# For hypapp-boot.
INSTALL_BOOT := tools/mkiso.py tools/timeline.py tests/run/emulator.py $(O)/guest/mini-hypervisor.bzimage
INSTALL_SIM := $(foreach v,$(SIM_VARIANTS),$(SIM_O)/$(v)/libhypapi-sim.a)
INSTALL_MADE := $(addprefix $(INSTALL_O)/,core.o hypapps-check hypapp-link hypapp.mk hypapi.pc)
# Warnings do not stop the build of a project that has another compiler than ours.
INSTALL_FLAGS := $(filter-out -MMD -MP -Werror,$(CORE_FLAGS))
HYPAPI_VERSION = $(shell sed -n 's/^\#define HYPAPI_M..OR \([0-9]*\).*/\1/p' hypapi/include/hypapi/hypapp.h | paste -sd.)

$(INSTALL_O)/core.o: $(INSTALL_CORE)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(LD) -r --no-warn-execstack -o $@ $^
	$(Q)objcopy --strip-debug --wildcard $(patsubst %,--keep-global-symbol='%',$(INSTALL_GLOBALS)) $@
define install_hypapp
$(INSTALL_O)/hypapps/$(1).o: $(call hypapp_obj,$(1))
	@mkdir -p $$(@D)
	$$(say) LD $$@
	$$(Q)$$(LD) -r --no-warn-execstack -o $$@ $$^
	$$(Q)objcopy --strip-debug --keep-global-symbol=hypapp_$(1) $$@
endef
$(foreach a,$(HYPAPPS),$(eval $(call install_hypapp,$(a))))

CHECK_SRC := tools/install/hypapps-check.c xmhf/events/hypapps_check.c xmhf/events/event_info.c xmhf/lib/printf.c
$(INSTALL_O)/hypapps-check: $(CHECK_SRC) $(wildcard hypapi/include/hypapi/*.h xmhf/events/hypapps_check.h)
	@mkdir -p $(@D)
	$(say) CC $@
	$(Q)$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -I xmhf -I hypapi/include -o $@ $(CHECK_SRC)
# The image of this tree is checked in the same way.
$(O)/xmhf.elf: | $(INSTALL_O)/hypapps-check

$(INSTALL_O)/%: tools/install/%.in Makefile tools/install/install.mk $(O)/config.mk hypapi/include/hypapi/hypapp.h
	@mkdir -p $(@D)
	$(say) MAKE $@
	$(Q)sed 's|@FLAGS@|$(INSTALL_FLAGS)|; s|@LINK_FLAGS@|$(CORE_LINK_FLAGS)|; s|@VERSION@|$(VERSION)|; s|@HYPAPI_VERSION@|$(HYPAPI_VERSION)|' $< > $@

.PHONY: install
install: $(INSTALL_MADE) $(INSTALL_HYPAPPS) $(INSTALL_BOOT) $(INSTALL_SIM)
	$(Q)to='$(DESTDIR)$(prefix)'; put() { mode=$$1 dir=$$to/$$2; shift 2; $(INSTALL) -d "$$dir" && $(INSTALL) -m $$mode "$$@" "$$dir"; }; \
	set -e; \
	put 644 include/hypapi hypapi/include/hypapi/*.h hypapi/sim/include/hypapi/*.h; \
	for dir in $(foreach a,$(HYPAPPS),$(wildcard $(HYPAPP_DIR_$(a))/include/*)); do put 644 include/$${dir##*/} $$dir/*.h; done; \
	put 644 lib/hypapi $(INSTALL_O)/core.o xmhf/boot/linker.lds; \
	put 755 lib/hypapi $(INSTALL_O)/hypapps-check; \
	rm -rf "$$to/lib/hypapi/hypapps"; \
	put 644 lib/hypapi/hypapps $(INSTALL_HYPAPPS); \
	for v in $(SIM_VARIANTS); do put 644 lib/hypapi/sim/$$v $(SIM_O)/$$v/libhypapi-sim.a; \
		objcopy --strip-debug "$$to/lib/hypapi/sim/$$v/libhypapi-sim.a"; done; \
	put 644 lib/pkgconfig $(INSTALL_O)/hypapi.pc; \
	put 644 share/hypapi $(INSTALL_O)/hypapp.mk; \
	put 644 share/hypapi/template tools/install/template/*; \
	put 644 lib/hypapi/boot $(INSTALL_BOOT); \
	mv "$$to/lib/hypapi/boot/mini-hypervisor.bzimage" "$$to/lib/hypapi/boot/guest.bzimage"; \
	put 755 bin $(INSTALL_O)/hypapp-link tools/install/hypapp-new tools/install/hypapp-boot; \
	put 644 share/doc/hypapi README.md LICENSE; \
	put 644 share/doc/hypapi/docs docs/*.md; \
	put 644 share/doc/hypapi/docs/events docs/events/*.md; \
	if [ -d $(O)/docs/html ]; then rm -rf "$$to/share/doc/hypapi/html"; cp -r $(O)/docs/html "$$to/share/doc/hypapi/"; fi

# For make check: an author's way from an installation to an image, with objects of the times of hypapi 1.0 and 1.2 in it; and one
# with helloworld alone.
check-files: $(INSTALL_O)/greeter.elf
MADE_BEFORE := made_for_1_0.o made_for_1_2.o
$(INSTALL_O)/made_for_%.o: tests/abi/made_for_%.s
	@mkdir -p $(@D)
	$(say) AS $@
	$(Q)$(CC) -c -o $@ $<
$(INSTALL_O)/greeter.elf: $(addprefix $(INSTALL_O)/,$(MADE_BEFORE)) $(INSTALL_MADE) $(INSTALL_HYPAPPS) $(INSTALL_BOOT) $(INSTALL_SIM) $(wildcard tools/install/* tools/install/template/*)
	@rm -rf $(INSTALL_O)/stage $(INSTALL_O)/greeter
	$(Q)$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(INSTALL_O)/stage prefix=/usr/local
	$(Q)cd $(INSTALL_O) && stage/usr/local/bin/hypapp-new greeter > /dev/null && MAKEFLAGS= make -s -C greeter && \
		stage/usr/local/bin/hypapp-link -o greeter.elf greeter/build/greeter.o helloworld $(MADE_BEFORE) && \
		stage/usr/local/bin/hypapp-link -o hello.elf helloworld
