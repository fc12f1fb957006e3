/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See event_info.h. */
#include "events/event_info.h"

#define L0 HYPAPI_LEVEL_BIT(HYPAPI_L0)
#define L1 HYPAPI_LEVEL_BIT(HYPAPI_L1)
#define L2 HYPAPI_LEVEL_BIT(HYPAPI_L2)

#define INSTRUCTION .any_level = true, .one_handler = true, .raises = true, .repeats = true
#define EXCLUSIVE .exclusive = true, .one_handler = true, .capabilities = HYPAPI_CAP_INTERRUPTS
/* What acts on the guest that runs, which is not L1 perhaps at an INIT. */
#define OF_THE_GUEST (HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_PARTITIONS | HYPAPI_CAP_INTERRUPTS)

const struct event_info event_info[HYPAPI_EV_COUNT] = {
	[HYPAPI_EV_INIT] = { "init", L0 },
	[HYPAPI_EV_CPU_INIT] = { "cpu-init", L0 },
	[HYPAPI_EV_HYPERCALL] = { "hypercall", L1 | L2, INSTRUCTION, .enters = true },
	[HYPAPI_EV_CPUID] = { "cpuid", L1 | L2, INSTRUCTION, .enters = true },
	[HYPAPI_EV_EPT_VIOLATION] = { "ept-violation", L1 | L2, INSTRUCTION, .enters = true,
				      .comes_by = HYPAPI_CAP_MEMORY | HYPAPI_CAP_PARTITIONS },
	[HYPAPI_EV_PARTITION_EXIT] = { "partition-exit", L1 | L2, .any_level = true, .one_handler = true,
				       .raises = true, .enters = true, .comes_by = HYPAPI_CAP_PARTITIONS },
	[HYPAPI_EV_PORT_IO] = { "port-io", L1 | L2, INSTRUCTION },
	[HYPAPI_EV_MSR] = { "msr", L1 | L2, INSTRUCTION },
	[HYPAPI_EV_MTRR] = { "mtrr", L0, .two_phase = true },
	[HYPAPI_EV_EXIT102] = { "exit-102", L2 },
	[HYPAPI_EV_EXIT201] = { "exit-201", L1 },
	[HYPAPI_EV_EXIT202] = { "exit-202", L2 },
	[HYPAPI_EV_EPT02_ROOT] = { "ept02-root", L2 },
	[HYPAPI_EV_EPT02_FLUSH] = { "ept02-flush", L1 | L2 },
	[HYPAPI_EV_INTERRUPT] = { "interrupt", L1 | L2, EXCLUSIVE },
	[HYPAPI_EV_NMI] = { "nmi", L1 | L2, EXCLUSIVE },
	[HYPAPI_EV_INTERRUPT_WINDOW] = { "interrupt-window", L1 | L2, .comes_by = HYPAPI_CAP_INTERRUPTS },
	[HYPAPI_EV_SHUTDOWN] = { "shutdown", L0 },
	[HYPAPI_EV_RESET] = { "reset", L0 },
	[HYPAPI_EV_INIT_SIGNAL] = { "init-signal", L1, .withheld = OF_THE_GUEST },
	[HYPAPI_EV_TRIPLE_FAULT] = { "triple-fault", L0 },
	[HYPAPI_EV_SLEEP] = { "sleep", L0, .two_phase = true },
	[HYPAPI_EV_NMI_WINDOW] = { "nmi-window", L1 | L2, .comes_by = HYPAPI_CAP_INTERRUPTS },
	[HYPAPI_EV_WORK] = { "work", L0, .one_handler = true, .comes_by = HYPAPI_CAP_WORK },
	[HYPAPI_EV_DMA_FAULT] = { "dma-fault", L0 },
};
