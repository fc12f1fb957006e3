# SPDX-License-Identifier: GPL-2.0-or-later
# The site of the guides and of hypapi's reference, by Doxygen. Included by the top-level Makefile.
##
## make docs:  the reference and the guides: build/docs/html/index.html

DOCS_INPUT := README.md $(wildcard docs/*.md docs/*/*.md docs/site.css docs/layout.xml docs/Doxyfile docs/link-names hypapi/include/hypapi/*.h hypapi/sim/include/hypapi/*.h) \
	xmhf/events/event_info.c tests/run/event_pages.py tests/run/site_links.py

.PHONY: docs tutorial-check
docs: setup $(O)/docs/html/index.html
$(O)/docs/html/index.html: $(DOCS_INPUT) docs/docs.mk
	@tests/run/event_pages.py
	@rm -rf $(O)/docs && mkdir -p $(O)/docs
	$(say) DOCS $@
	$(Q){ cat docs/Doxyfile; echo 'PROJECT_NUMBER = $(VERSION)'; echo 'OUTPUT_DIRECTORY = $(O)/docs'; } | doxygen -
	@if grep -rlF '$(CURDIR)' $(O)/docs/html; then echo 'docs: these files name a folder of this machine'; rm -r $(O)/docs; exit 1; fi
	@tests/run/site_links.py $(O)/docs/html

# The tutorial's code, compiled step by step as a hypapp's is; its last state stands in examples/hypapp-tutorial/.
tutorial-check:
	@tests/run/tutorial.py docs/tutorial.md examples/hypapp-tutorial $(O)/tutorial/steps $(CC) $(filter-out -MMD -MP,$(HYPAPP_CFLAGS))

# The README's hypapp compiles.
.PHONY: readme-check
readme-check: $(O)/include/core/config.h
	$(Q)sed -n '/^```c$$/,/^```$$/{//!p}' README.md | $(CC) $(filter-out -MMD -MP,$(HYPAPP_CFLAGS)) -fsyntax-only -x c -

# For make check, the reader's way: a project of hypapp-new with the tutorial's files in it, and a Linux that calls it.
TUTORIAL_FILES := $(shell find examples/hypapp-tutorial -type f)
check-files: $(O)/tutorial/journal/build/journal.elf $(O)/tutorial/linux.cpio
$(O)/tutorial/journal/build/journal.elf: $(INSTALL_O)/greeter.elf $(TUTORIAL_FILES)
	@rm -rf $(O)/tutorial/journal && mkdir -p $(O)/tutorial
	$(Q)cd $(O)/tutorial && $(CURDIR)/$(INSTALL_O)/stage/usr/local/bin/hypapp-new journal > /dev/null && \
		cp -r $(CURDIR)/examples/hypapp-tutorial/. journal && MAKEFLAGS= make -s -C journal
$(O)/tutorial/note: examples/hypapp-tutorial/guest/note.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(EXAMPLES_CFLAGS) -static -s -o $@ $<
$(O)/tutorial/linux.cpio: LINUX_PROGRAMS := $(O)/tutorial/note
$(O)/tutorial/linux.cpio: LINUX_JOBS := examples/hypapp-tutorial/guest/notes
$(O)/tutorial/linux.cpio: $(O)/tutorial/note examples/hypapp-tutorial/guest/notes $(O)/linux/busybox $(O)/linux/ticks
	$(say) CPIO $@
	$(Q)$(LINUX_INITRAMFS)

.PHONY: docs-clean
clean: docs-clean
docs-clean:
	rm -rf $(O)/docs $(O)/tutorial
