# SPDX-License-Identifier: GPL-2.0-or-later
# Which files are a hypapp's, and what library it has. Included by this tree's Makefile and, once installed, by
# hypapp.mk: a folder builds alike in both.
#
# Sources: the .c and .S files of the hypapp's folder and of the folders in it, but not
#   build/                what is made
#   guest/, linux/        programs for guests: on the bare machine, under Linux
#   test_*.c, sim_*.c     tests on the host, with functions of their own for hypapi's and on the simulator
#   the library's files
#
# A library that goes into this hypapp alone: library.mk in the hypapp's folder, which HYPAPP_DIR names there, sets
#   LIBRARY_SRC           its .c and .S files, anywhere; names, not a wildcard, if the build fetches them
#   LIBRARY_CFLAGS        flags for them (-I, -D, -W), after those that all hypapps are compiled with
#   LIBRARY_INCLUDE       folders of the headers that the hypapp's own files include
#   LIBRARY_NEEDS         what is made before anything of library and hypapp is compiled: a file, with its rule in
#                         library.mk

HYPAPP_NOT_SRC := build guest linux
hypapp_files = $(filter-out $(patsubst %,$(1)/%/%,$(HYPAPP_NOT_SRC)),$(wildcard $(1)/*.[chS] $(1)/*/*.[chS]))
# In folder $(1), the .c files that begin with $(2): test_ or sim_.
hypapp_tests = $(strip $(foreach f,$(filter %.c,$(call hypapp_files,$(1))),$(if $(filter $(2)%,$(notdir $(f))),$(f))))
# The hypapp's own sources in folder $(1).
hypapp_not_own = $(LIBRARY_SRC_$(1)) $(call hypapp_tests,$(1),test_) $(call hypapp_tests,$(1),sim_)
hypapp_own = $(filter-out $(call hypapp_not_own,$(1)),$(filter %.c %.S,$(call hypapp_files,$(1))))
# How its own files find headers: `#include "sub/x.h"` from every folder, and those of its library.
hypapp_include = -iquote $(1) -I $(1)/include $(addprefix -I ,$(LIBRARY_INCLUDE_$(1)))

# Reads library.mk of folder $(1); by eval, once a folder.
define hypapp_library
HYPAPP_DIR := $(1)
LIBRARY_SRC :=
LIBRARY_CFLAGS :=
LIBRARY_INCLUDE :=
LIBRARY_NEEDS :=
include $(wildcard $(1)/library.mk)
LIBRARY_SRC_$(1) := $$(LIBRARY_SRC)
LIBRARY_CFLAGS_$(1) := $$(LIBRARY_CFLAGS)
LIBRARY_INCLUDE_$(1) := $$(LIBRARY_INCLUDE)
LIBRARY_NEEDS_$(1) := $$(LIBRARY_NEEDS)
$$(LIBRARY_SRC_$(1)): | $$(LIBRARY_NEEDS_$(1))
endef
