/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host bridge (PCI 0:0.0) decides about memory, and may be told anew by whoever reaches its registers: who
 * sees SMRAM at 0xA0000, where RAM ends, what is remapped to where. Known bridges are a table; their locks are set at
 * boot.
 */
#ifndef XMHF_CHIPSET_H
#define XMHF_CHIPSET_H

#include "lib/base.h"

/*
 * Sets the locks of a known bridge, and says what they cover. Refuses to boot where root memory lies in what the bridge
 * does not give to us. True: SMRAM is locked. Boot CPU, before L1 runs.
 */
bool chipset_lock(void);

#endif
