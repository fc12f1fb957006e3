# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make            the images build/xmhf.elf, for multiboot loaders, and build/xmhf.efi, for UEFI firmware
#   make run        a real Linux on XMHF with TrustVisor, a PAL called from L1 and from a KVM guest in L2
#   make check      every test but the long ones (make check-long);  make unit, make model: those that need no emulator
#   make bench      event costs: build/bench/bench.tsv, a table and a chart
#   make docs       the reference and the guides
#   make install    what hypapps outside of this tree are built with
#   make dist       the sources as build/xmhf-VERSION.tar.gz;  make clean, make distclean
#   make help       the variables
#
# Configures itself; to choose otherwise: ./configure --help (after `make configure`).

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
O := build
CC := gcc
Q := $(if $(V),,@)
say := @$(if $(V),:,printf '  %-4s %s\n')

.PHONY: all
all: $(O)/xmhf.elf $(O)/xmhf.efi

.PHONY: setup
setup: ; @tools/setup

configure: configure.ac
	@tools/setup
	autoconf
$(O)/config.mk: configure config.mk.in
	@mkdir -p $(O)/autoconf
	@test -e $(O)/autoconf/install-sh || \
		cp $$(ls -d /usr/share/automake-*/install-sh /usr/share/autoconf/build-aux/install-sh 2>/dev/null | \
		head -n1) $(O)/autoconf/
	./configure $(CONFIGURE_ARGS)
ifeq ($(filter clean help distclean setup configure,$(MAKECMDGOALS)),)
include $(O)/config.mk
endif
# `make HYPAPPS=a,b,/path/to/c` instead of what ./configure chose: folders of hypapps/, or, with a slash, anywhere.
# Below, HYPAPPS are the names and HYPAPP_DIR_(name) the folders.
comma := ,
override HYPAPPS := $(foreach w,$(subst $(comma), ,$(HYPAPPS)),$(abspath $(if $(findstring /,$(w)),,hypapps/)$(w)))
$(foreach d,$(HYPAPPS),$(if $(wildcard $(d)/.),,$(error HYPAPPS: there is no folder $(d) (a path cannot have spaces))))
$(foreach d,$(HYPAPPS),$(if $(HYPAPP_DIR_$(notdir $(d))),$(error HYPAPPS: two hypapps are named $(notdir $(d))))\
	$(eval HYPAPP_DIR_$(notdir $(d)) := $(patsubst $(CURDIR)/%,%,$(d))))
override HYPAPPS := $(notdir $(HYPAPPS))

# ---- the core and its hypapps

CORE_SRC := $(wildcard xmhf/*/*.c xmhf/*/*.S)
# A hypapp becomes one object, with its library in it, whose only global name is its descriptor, and what
# begins with its name, which hypapps that come together may share (verify and bystander).
include tools/install/hypapp-files.mk
HYPAPP_FOLDERS := $(sort $(patsubst %/,%,$(dir $(wildcard hypapps/*/*.c))) $(foreach a,$(HYPAPPS),$(HYPAPP_DIR_$(a))))
$(foreach d,$(HYPAPP_FOLDERS),$(eval $(call hypapp_library,$(d))))
hypapp_obj = \
	$(patsubst $(HYPAPP_DIR_$(1))/%,$(O)/core/hypapps/$(1)/%.o,$(basename $(call hypapp_own,$(HYPAPP_DIR_$(1)))))
library_obj = $(patsubst %,$(O)/core/hypapps/$(1).library/%.o,$(basename $(LIBRARY_SRC_$(HYPAPP_DIR_$(1)))))
HYPAPP_OBJ := $(foreach a,$(HYPAPPS),$(O)/core/hypapps/$(a).o)
CORE_OBJ = $(patsubst %,$(O)/core/%.o,$(basename $(CORE_SRC))) $(HYPAPP_OBJ) $(O)/core/hypapps_linked.o

# The last: an image does not depend on the folder that it is built in.
CORE_FLAGS := -std=gnu11 -ffreestanding -fno-pic -fno-pie -mgeneral-regs-only -mno-red-zone -mcmodel=kernel -O2 -g \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-strict-aliasing \
	-mindirect-branch=thunk-extern -mindirect-branch-register -fno-jump-tables \
	-Wall -Wextra -Wstrict-prototypes -Wframe-larger-than=1024 -Werror -MMD -MP -ffile-prefix-map=$(CURDIR)=.
CORE_CFLAGS := $(CORE_FLAGS) -I xmhf -I hypapi/include -I $(O)/include -I build/font
HYPAPP_CFLAGS := $(CORE_FLAGS) -I hypapi/include
CORE_LINK_FLAGS := \
	-nostdlib -static -no-pie -Wl,-z,max-page-size=4096,-z,noexecstack,--build-id=none,--no-warn-rwx-segments

$(O)/include/core/config.h: $(O)/config.mk Makefile
	@mkdir -p $(@D)
	@printf '%s\n' '/* Made by the Makefile from config.mk. */' '#define CONFIG_VERSION "$(VERSION)"' \
		'#define CONFIG_L2_HYPERCALL_BASE $(L2_BASE)u' '#define CONFIG_AUDIT $(AUDIT)' \
		'#define CONFIG_INSN_COUNTS $(INSN_COUNTS)' > $@

# The names of the selected hypapps: one that is missing, or of another major version, fails to link.
.PHONY: always
$(O)/hypapps_linked.c: $(O)/config.mk always
	@{ echo '#include <hypapi/hypapp.h>'; \
	  for a in $(HYPAPPS); do echo "extern const struct hypapp_descriptor hypapp_$$a;"; done; \
	  echo 'extern const struct hypapp_descriptor *const hypapps_linked[];'; \
	  echo 'const struct hypapp_descriptor *const hypapps_linked[] = {'; \
	  for a in $(HYPAPPS); do echo "	&hypapp_$$a,"; done; echo '	0,'; echo '};'; \
	  echo '/* from $(foreach a,$(HYPAPPS),$(HYPAPP_DIR_$(a))) */'; } > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# The font of the screen: fetched once, for all variants.
CONSOLE_FONT := build/font/console_font.h
$(CONSOLE_FONT): tools/font/console-font
	$(say) GET $@
	$(Q)$< $(@D)
$(O)/core/xmhf/report/screen.o: $(CONSOLE_FONT)

define compile
@mkdir -p $(@D)
$(say) CC $@
$(Q)$(CC) $(1) -c -o $@ $<
endef
# In an image with the hypapp of tests/coverage the code of this folder counts how often it runs.
ifneq ($(filter coverage,$(HYPAPPS)),)
$(O)/core/xmhf/nested/%.o: CORE_CFLAGS += -fprofile-arcs -ftest-coverage -fprofile-info-section -fdata-sections
CORE_LINK_FLAGS += -Wl,--defsym=__gcov_merge_add=0
endif
$(O)/core/hypapps_linked.o: $(O)/hypapps_linked.c Makefile
	$(call compile,$(CORE_CFLAGS))
$(O)/core/xmhf/%.o: xmhf/%.c $(O)/include/core/config.h
	$(call compile,$(CORE_CFLAGS))
$(O)/core/xmhf/%.o: xmhf/%.S $(O)/include/core/config.h
	$(call compile,$(CORE_CFLAGS))
# hypapps_linked.c changes when a name gets another folder. An archive: what the hypapp does not use of its library
# stays out.
define hypapp_rules
$(O)/core/hypapps/$(1)/%.o: $(2)/%.c $(O)/hypapps_linked.c $(HYPAPP_RULES) $(wildcard $(2)/library.mk) | \
	$(LIBRARY_NEEDS_$(2))
	$$(call compile,$$(HYPAPP_CFLAGS) $$(call hypapp_include,$(2)))
$(O)/core/hypapps/$(1)/%.o: $(2)/%.S $(O)/hypapps_linked.c $(HYPAPP_RULES) $(wildcard $(2)/library.mk) | \
	$(LIBRARY_NEEDS_$(2))
	$$(call compile,$$(HYPAPP_CFLAGS) $$(call hypapp_include,$(2)))
$(O)/core/hypapps/$(1).library/%.o: %.c $(O)/hypapps_linked.c $(HYPAPP_RULES) $(wildcard $(2)/library.mk) | \
	$(LIBRARY_NEEDS_$(2))
	$$(call compile,$$(CORE_FLAGS) $$(LIBRARY_CFLAGS_$(2)))
$(O)/core/hypapps/$(1).library/%.o: %.S $(O)/hypapps_linked.c $(HYPAPP_RULES) $(wildcard $(2)/library.mk) | \
	$(LIBRARY_NEEDS_$(2))
	$$(call compile,$$(CORE_FLAGS) $$(LIBRARY_CFLAGS_$(2)))
$(O)/core/hypapps/$(1).library/library.a: $(call library_obj,$(1))
	$$(Q)rm -f $$@ && $(AR) rcs $$@ $$^
$(O)/core/hypapps/$(1).o: $(call hypapp_obj,$(1)) \
	$(if $(call library_obj,$(1)),$(O)/core/hypapps/$(1).library/library.a)
	$$(say) LD $$@
	$$(Q)$(LD) -r --no-warn-execstack -T tools/install/hypapp.lds -o $$@ $$^
	$$(Q)objcopy --wildcard --keep-global-symbol=hypapp_$(1) '--keep-global-symbol=$(1)_*' $$@
-include $(patsubst %.o,%.d,$(call hypapp_obj,$(1)) $(call library_obj,$(1)))
endef
HYPAPP_RULES := Makefile tools/install/hypapp-files.mk tools/install/hypapp.lds
$(foreach a,$(HYPAPPS),$(eval $(call hypapp_rules,$(a),$(HYPAPP_DIR_$(a)))))

$(O)/xmhf.elf: $(CORE_OBJ) xmhf/boot/linker.lds
	$(say) LD $@
	$(Q)$(CC) $(CORE_LINK_FLAGS) -T xmhf/boot/linker.lds -o $@ $(CORE_OBJ)
	$(Q)$(INSTALL_O)/hypapps-check $@ $(HYPAPP_OBJ)
	$(Q)tools/install/image-symbols $@
	$(Q)tools/install/image-hash $@

-include $(CORE_OBJ:.o=.d)

include xmhf/boot/efi/efi.mk

# The same with one option on, or with other hypapps, in a folder of its own: build/counts/xmhf.elf for make bench; for
# tests build/audit/xmhf.elf, with the hypapps that only tests need, and build/by-path/xmhf.elf, with one from outside
# of hypapps/ and one with a library; build/coverage/xmhf.elf counts its arcs.
OPTION_counts := INSN_COUNTS
OPTION_audit := AUDIT
OPTION_by-path := NONE
OPTION_coverage := NONE
HYPAPPS_audit := trustvisor helloworld lockdown verify bystander starter quiesce careless
HYPAPPS_by-path = helloworld $(INSTALL_O)/greeter checksum
HYPAPPS_coverage := $(HYPAPPS_audit) tests/coverage
VARIANTS := core-counts core-audit core-by-path core-coverage
.PHONY: $(VARIANTS)
$(VARIANTS): core-%: $(O)/config.mk
	@mkdir -p $(O)/$*
	@sed '/^$(OPTION_$*) /s/=.*/= 1/; $(if $(HYPAPPS_$*),/^HYPAPPS /s|=.*|= $(HYPAPPS_$*)|)' $< > $(O)/$*/config.new
	@cmp -s $(O)/$*/config.new $(O)/$*/config.mk || cp $(O)/$*/config.new $(O)/$*/config.mk
	@$(MAKE) --no-print-directory O=$(O)/$* $(O)/$*/xmhf.elf $(if $(filter audit,$*),$(O)/$*/xmhf.efi)
core-by-path: $(O)/install/greeter.elf

include tests/guest/guest.mk
include examples/examples.mk
include tools/images.mk
include tools/run.mk
include tests/unit/unit.mk
include hypapi/sim/sim.mk
include tests/fuzz/fuzz.mk
include tests/coverage/coverage.mk
include tests/check.mk
include tools/install/install.mk
include bench.mk
include tests/boot/boot.mk
include tests/selftest/selftest.mk
include docs/docs.mk

.PHONY: help
help:
	@sed -n 's/^# \{0,1\}//; 2,/^Configures/p' Makefile
	@sed -n 's/^## \{0,1\}//p' $(filter-out %.d %config.mk Makefile,$(MAKEFILE_LIST))

# The sources of this revision with ./configure made.
.PHONY: dist
dist: configure
	@mkdir -p $(O)
	$(Q)git archive --prefix=xmhf-$(VERSION)/ --add-file=configure -o $(O)/xmhf-$(VERSION).tar.gz HEAD
	@echo 'dist: $(O)/xmhf-$(VERSION).tar.gz'

.PHONY: clean distclean
distclean:
	rm -rf $(O) autom4te.cache configure configure~ config.log config.status
clean:
	rm -rf $(O)/core $(O)/xmhf.elf $(O)/include $(O)/hypapps_linked.c $(O)/config.mk $(O)/guest $(O)/examples \
		$(O)/run $(O)/iso \
		$(O)/unit $(O)/selftest $(O)/model $(O)/check $(O)/install $(O)/boot $(O)/counts $(O)/audit \
		$(O)/by-path $(O)/bench $(O)/sim $(O)/run.iso $(O)/run.log
