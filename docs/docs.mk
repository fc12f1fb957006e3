# SPDX-License-Identifier: GPL-2.0-or-later
# The site of the guides and of hypapi's reference, by Doxygen. Included by the top-level Makefile.
##
## make docs:  the reference and the guides: build/docs/html/index.html

DOCS_INPUT := README.md $(wildcard docs/*.md docs/*/*.md docs/site.css docs/layout.xml docs/Doxyfile docs/link-names hypapi/include/hypapi/*.h) \
	xmhf/core/event_info.c tests/run/event_pages.py tests/run/site_links.py

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
	@tests/run/tutorial.py docs/tutorial.md examples/hypapp-tutorial $(O)/tutorial $(CC) $(filter-out -MMD -MP,$(HYPAPP_CFLAGS))

.PHONY: docs-clean
clean: docs-clean
docs-clean:
	rm -rf $(O)/docs $(O)/tutorial
