/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See event_info.h. */
#include "events/event_info.h"

#include <hypapi/control.h>

#define L0 HYPAPI_LEVEL_BIT(HYPAPI_L0)
#define L1 HYPAPI_LEVEL_BIT(HYPAPI_L1)
#define L2 HYPAPI_LEVEL_BIT(HYPAPI_L2)

#define INSTRUCTION .any_level = true, .one_handler = true, .raises = true, .repeats = true
#define EXCLUSIVE .exclusive = true, .one_handler = true, .capabilities = HYPAPI_CAP_INTERRUPTS
#define AT(member) offsetof(struct hypapi_event, args.member)
#define ARG(member) { AT(member), sizeof(((struct hypapi_event *)NULL)->args.member) }
#define FLAG(member, bit) { AT(member), bit }
#define EXIT .number = ARG(exit.reason), .value = ARG(exit.qualification)
/* What acts on the guest that runs, which is not L1 perhaps at an INIT. */
#define OF_THE_GUEST (HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_PARTITIONS | HYPAPI_CAP_INTERRUPTS)

const struct event_info event_info[HYPAPI_EV_COUNT] = {
	[HYPAPI_EV_INIT] = { "init", L0 },
	[HYPAPI_EV_CPU_INIT] = { "cpu-init", L0 },
	[HYPAPI_EV_HYPERCALL] = { "hypercall", L1 | L2, INSTRUCTION, .enters = true,
				  .number = ARG(hypercall.number) },
	[HYPAPI_EV_CPUID] = { "cpuid", L1 | L2, INSTRUCTION, .enters = true,
			      .number = ARG(cpuid.leaf), .value = ARG(cpuid.subleaf) },
	[HYPAPI_EV_EPT_VIOLATION] = { "ept-violation", L1 | L2, INSTRUCTION, .enters = true,
				      .comes_by = HYPAPI_CAP_MEMORY | HYPAPI_CAP_PARTITIONS,
				      .access = ARG(violation.access), .address = ARG(violation.gpa1),
				      .value = ARG(violation.gva) },
	[HYPAPI_EV_PARTITION_EXIT] = { "partition-exit", L1 | L2, .any_level = true, .one_handler = true,
				       .raises = true, .enters = true, .comes_by = HYPAPI_CAP_PARTITIONS,
				       .number = ARG(partition_exit.reason), .access = ARG(partition_exit.vector),
				       .address = ARG(partition_exit.address),
				       .value = ARG(partition_exit.error_code) },
	[HYPAPI_EV_PORT_IO] = { "port-io", L1 | L2, INSTRUCTION, .number = ARG(port_io.port),
				.access = ARG(port_io.size), .flags[0] = FLAG(port_io.in, HYPAPI_TRACE_IN),
				.flags[1] = FLAG(port_io.string, HYPAPI_TRACE_STRING),
				.address = ARG(port_io.gva), .value = ARG(port_io.value) },
	[HYPAPI_EV_MSR] = { "msr", L1 | L2, INSTRUCTION, .number = ARG(msr.msr), .value = ARG(msr.value),
			    .flags[0] = FLAG(msr.write, HYPAPI_TRACE_WRITE),
			    .flags[1] = FLAG(msr.list, HYPAPI_TRACE_LIST) },
	[HYPAPI_EV_MTRR] = { "mtrr", L0, .two_phase = true, .number = ARG(mtrr.msr), .value = ARG(mtrr.value) },
	[HYPAPI_EV_EXIT102] = { "exit-102", L2, EXIT },
	[HYPAPI_EV_EXIT201] = { "exit-201", L1, EXIT },
	[HYPAPI_EV_EXIT202] = { "exit-202", L2, EXIT },
	[HYPAPI_EV_EPT02_ROOT] = { "ept02-root", L2, .address = ARG(ept02_root.eptp12),
				   .value = ARG(ept02_root.old_eptp12) },
	[HYPAPI_EV_EPT02_FLUSH] = { "ept02-flush", L1 | L2, .number = ARG(ept02_flush.cause),
				    .address = ARG(ept02_flush.eptp12) },
	[HYPAPI_EV_INTERRUPT] = { "interrupt", L1 | L2, EXCLUSIVE, .number = ARG(interrupt.vector) },
	[HYPAPI_EV_NMI] = { "nmi", L1 | L2, EXCLUSIVE },
	[HYPAPI_EV_INTERRUPT_WINDOW] = { "interrupt-window", L1 | L2, .comes_by = HYPAPI_CAP_INTERRUPTS },
	[HYPAPI_EV_SHUTDOWN] = { "shutdown", L0 },
	[HYPAPI_EV_RESET] = { "reset", L0 },
	[HYPAPI_EV_INIT_SIGNAL] = { "init-signal", L1, .withheld = OF_THE_GUEST },
	[HYPAPI_EV_TRIPLE_FAULT] = { "triple-fault", L0 },
	[HYPAPI_EV_SLEEP] = { "sleep", L0, .two_phase = true, .number = ARG(sleep.type) },
	[HYPAPI_EV_NMI_WINDOW] = { "nmi-window", L1 | L2, .comes_by = HYPAPI_CAP_INTERRUPTS },
	[HYPAPI_EV_WORK] = { "work", L0, .one_handler = true, .comes_by = HYPAPI_CAP_WORK,
			     .value = ARG(work.bits) },
	[HYPAPI_EV_DMA_FAULT] = { "dma-fault", L0, .number = ARG(dma_fault.reason),
				  .flags[0] = FLAG(dma_fault.write, HYPAPI_TRACE_WRITE),
				  .address = ARG(dma_fault.address) },
};
