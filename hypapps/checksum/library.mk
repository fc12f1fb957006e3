# SPDX-License-Identifier: GPL-2.0-or-later
# checksum's library. tools/install/hypapp-files.mk says what the variables mean.
LIBRARY_SRC := $(HYPAPP_DIR)/library/adler32.c
LIBRARY_INCLUDE := $(HYPAPP_DIR)/library/include
LIBRARY_CFLAGS := -I $(LIBRARY_INCLUDE) -DADLER_MODULUS=65521 -Wno-unused-parameter
