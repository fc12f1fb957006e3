/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chain start: the guest begins in real mode with the BIOS as the boot loader found it, loads the boot sector of a
 * drive and goes on as if it had been the first. The code for that (chain_stub.S) and the memory map that its INT 15h
 * handler tells stand in a block that is taken from the top of base memory, as BIOS extensions do: the BIOS data area's
 * size of base memory, and with it INT 12h, ends below the block. Runs once, as the last step before the guest.
 */
#include "boot/guest_start.h"
#include "core/cmdline.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "report/log.h"
#include "vmx/vmcs.h"
#include "vmx/vmx_insn.h"

#define IVT_INT15 (4 * 0x15ul)
#define LOWEST_BLOCK 0x10000ul /* below it is room for the boot sector and its stack */
#define BOOT_SECTOR 0x7c00ul
#define DEFAULT_DRIVE 0x80
#define SIZE_1M (1ul << 20)
#define SIZE_16M (16ul << 20)

/* The begin of chain_stub.S. The map follows its end. */
struct chain_header {
	u16 entry, int15;     /* offsets */
	u32 old_int15;        /* segment and offset */
	u32 kib_1m_to_16m, blocks_above_16m, kib_above_1m;
	u32 map_count;
};

extern const char chain_stub[], chain_stub_end[];

static u8 drive_option(void)
{
	const char *text = cmdline_get("drive"), *at = text;
	u64 drive = DEFAULT_DRIVE;

	if (text && !string_take_hex(&at, 0, 0xff, &drive))
		boot_refuse("option drive=%s: not a BIOS drive number in hexadecimal, 0 to ff", text);
	return (u8)drive;
}

/* Where the RAM around `from` ends; `from` itself if it is no RAM. */
static u64 ram_end(u64 from)
{
	for (u32 i = 0; i < boot_info.memory_count; i++) {
		const struct memory_range *r = &boot_info.memory[i];

		if (r->type == MEMORY_RAM && r->start <= from && from < r->start + r->size)
			return r->start + r->size;
	}
	return from;
}

/* Takes the block from the guest; returns its address. */
static u64 take_block(u64 stub_bytes)
{
	u16 *base_kib = physical_at(BDA_BASE_KIB);
	u64 top = MIN(*base_kib * SIZE_1K, BASE_MEMORY_END);
	/* Taking it may split an entry in three. */
	u64 bytes = ALIGN_UP(stub_bytes + (boot_info.memory_count + 2) * sizeof(struct memory_range), SIZE_1K);
	u64 block = memory_map_find(bytes, SIZE_1K, LOWEST_BLOCK, top);

	if (!block)
		boot_refuse("boot=chain: no %lu bytes of base memory are free below 0x%lx", bytes, top);
	memory_map_set(block, block + bytes, MEMORY_RESERVED);
	*base_kib = (u16)(block / SIZE_1K);
	return block;
}

static void fill_header(struct chain_header *header, u32 old_int15)
{
	header->old_int15 = old_int15;
	header->kib_1m_to_16m = (u32)((ram_end(SIZE_1M) - SIZE_1M) / SIZE_1K);
	header->kib_1m_to_16m = MIN(header->kib_1m_to_16m, (u32)((SIZE_16M - SIZE_1M) / SIZE_1K));
	/* RAM above 4 GiB never joins that below it, so these fit into 16 and 24 bits. */
	header->blocks_above_16m = (u32)((ram_end(SIZE_16M) - SIZE_16M) / (64 * SIZE_1K));
	header->kib_above_1m = (u32)((ram_end(SIZE_1M) - SIZE_1M) / SIZE_1K);
	header->map_count = boot_info.memory_count;
}

/* The stub and the map into the block, and INT 15h to it. */
static const struct chain_header *install(u64 block, u64 stub_bytes)
{
	struct chain_header *header = physical_at(block);
	u32 *vector = physical_at(IVT_INT15);

	memcpy(header, chain_stub, stub_bytes);
	fill_header(header, *vector);
	memcpy((u8 *)header + stub_bytes, boot_info.memory, boot_info.memory_count * sizeof(boot_info.memory[0]));
	*vector = (u32)(block >> 4) << 16 | header->int15;
	return header;
}

void guest_start_chain(struct percpu *cpu)
{
	u64 stub_bytes = (u64)(chain_stub_end - chain_stub);
	u8 drive = drive_option();
	u64 block = take_block(stub_bytes);
	const struct chain_header *header = install(block, stub_bytes);

	vmwrite(VMCS_GUEST_CR0, CR0_ET | CR0_NE); /* caches on, unlike after INIT */
	vmwrite(VMCS_GUEST_CS_SEL, block >> 4);
	vmwrite(VMCS_GUEST_CS_BASE, block);
	vmwrite(VMCS_GUEST_RIP, header->entry);
	vmwrite(VMCS_GUEST_RSP, BOOT_SECTOR);
	cpu->gpr[GPR_RDX] = drive;
	log_info("starts the boot sector of drive 0x%x; INT 15h is served at 0x%lx", drive, block);
}
