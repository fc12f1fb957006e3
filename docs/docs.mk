# SPDX-License-Identifier: GPL-2.0-or-later
# The site of the guides and of hypapi's reference, by Doxygen. Included by the top-level Makefile.
##
## make docs:  the reference and the guides: build/docs/html/index.html

# In the order of the links "before" and "after".
GUIDES := README.md docs/guides.md docs/tutorial.md docs/events.md $(sort $(wildcard docs/events/*.md)) \
	docs/stops.md docs/porting.md docs/out-of-tree.md docs/install.md docs/simulator.md docs/trace.md \
	docs/debugging.md docs/trustvisor.md docs/libtv.md hypapps/trustvisor/README.md \
	examples/linux-driver/README.md docs/options.md docs/security.md docs/limits.md hypapps/lockdown/README.md \
	examples/mini-hypervisor/README.md docs/walks.md docs/design.md docs/nested.md docs/panics.md \
	docs/secrets.md docs/quiesce.md docs/glossary.md
SITE := docs/site docs/pictures
AWESOME := /usr/share/doxygen-awesome-css
AWESOME_SCRIPTS := $(patsubst %,$(AWESOME)/doxygen-awesome-%.js,darkmode-toggle fragment-copy-button paragraph-link)
DOCS_INPUT := $(GUIDES) $(wildcard $(addsuffix /*,$(SITE))) docs/Doxyfile docs/link-names \
	$(wildcard hypapi/include/hypapi/*.h hypapi/sim/include/hypapi/*.h) xmhf/events/event_info.c \
	tests/run/event_pages.py tests/run/site_links.py
# The picture of docs/trace.md is what the tool draws.
TIMELINE := --from 100000 --to 900000 tests/sim/pal.trace
# What the Doxyfile cannot know.
define DOXYGEN_MORE
PROJECT_NUMBER = $(VERSION)
OUTPUT_DIRECTORY = $(O)/docs
INPUT = $(GUIDES) hypapi/include/hypapi hypapi/sim/include/hypapi
HTML_HEADER = $(O)/docs/header.html
HTML_EXTRA_STYLESHEET = $(AWESOME)/doxygen-awesome.css $(AWESOME)/doxygen-awesome-sidebar-only.css docs/site/site.css
HTML_EXTRA_FILES = $(AWESOME_SCRIPTS) docs/site/search.js
endef
export DOXYGEN_MORE

.PHONY: docs tutorial-check
docs: setup $(O)/docs/html/index.html
$(O)/docs/html/index.html: $(DOCS_INPUT) docs/docs.mk
	@tests/run/event_pages.py
	@tools/timeline.py $(TIMELINE) | cmp -s - docs/pictures/timeline.svg || { \
		echo 'docs: tools/timeline.py -o docs/pictures/timeline.svg $(TIMELINE) would draw another picture'; \
		exit 1; }
	@rm -rf $(O)/docs && mkdir -p $(O)/docs
	$(say) DOCS $@
	$(Q)cd $(O)/docs && doxygen -w html header.html footer.html style.css && \
		sed -i -e '/<\/head>/{' -e 'r $(CURDIR)/docs/site/head.html' -e 'N' -e '}' header.html
	$(Q){ cat docs/Doxyfile; echo "$$DOXYGEN_MORE"; } | doxygen -
	$(Q)docs/site/finish.py $(O)/docs/html $(GUIDES)
	@if grep -rlF '$(CURDIR)' $(O)/docs/html; then echo 'docs: these files name a folder of this machine'; \
		rm -r $(O)/docs; exit 1; fi
	@tests/run/site_links.py $(O)/docs/html

# The tutorial's code, compiled step by step as a hypapp's is; its last state stands in examples/hypapp-tutorial/.
tutorial-check:
	@tests/run/tutorial.py docs/tutorial.md examples/hypapp-tutorial $(O)/tutorial/steps $(CC) \
		$(filter-out -MMD -MP,$(HYPAPP_CFLAGS))

# The README's hypapp compiles.
.PHONY: readme-check
readme-check: $(O)/include/core/config.h
	$(Q)sed -n '/^```c$$/,/^```$$/{//!p}' README.md | $(CC) $(filter-out -MMD -MP,$(HYPAPP_CFLAGS)) \
		-fsyntax-only -x c -

# For make check, the reader's way: a project of hypapp-new with the tutorial's files in it, and a Linux that calls it.
TUTORIAL_FILES := $(shell find examples/hypapp-tutorial -type f)
check-files: $(O)/tutorial/journal/build/journal.elf $(O)/tutorial/linux.cpio
$(O)/tutorial/journal/build/journal.elf: $(INSTALL_O)/greeter.elf $(TUTORIAL_FILES)
	@rm -rf $(O)/tutorial/journal && mkdir -p $(O)/tutorial
	$(Q)cd $(O)/tutorial && $(CURDIR)/$(INSTALL_O)/stage/usr/local/bin/hypapp-new journal > /dev/null && \
		cp -r $(CURDIR)/examples/hypapp-tutorial/. journal && \
		MAKEFLAGS= make -s -C journal all build/guest.bzimage build/linux/note
$(O)/tutorial/note: examples/hypapp-tutorial/linux/note.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(EXAMPLES_CFLAGS) -static -s -o $@ $<
$(O)/tutorial/linux.cpio: LINUX_PROGRAMS := $(O)/tutorial/note
$(O)/tutorial/linux.cpio: LINUX_JOBS := examples/hypapp-tutorial/linux/notes
$(O)/tutorial/linux.cpio: $(O)/tutorial/note examples/hypapp-tutorial/linux/notes $(O)/linux/busybox $(O)/linux/ticks
	$(say) CPIO $@
	$(Q)$(LINUX_INITRAMFS)

.PHONY: docs-clean
clean: docs-clean
docs-clean:
	rm -rf $(O)/docs $(O)/tutorial
