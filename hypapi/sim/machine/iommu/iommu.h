/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seam of DMA protection, behind which is a model (hypapi/sim/dma.c); its flushes are on the list of flushes. */
#ifndef SIM_IOMMU_H
#define SIM_IOMMU_H

#include "hypapi/sim/flushes.h"
#include "xmhf/iommu/iommu.h"

#define iommu_flush() (FLUSH_REMOVED("iommu_flush()") || iommu_flush())

#endif
