/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=vmx-diff: differential fuzzing of nested VMX. A seed makes one small story: a VMCS that is valid, fields of it
 * moved to boundary values, an instruction sequence for L2, events, MSR lists, changes of EPT12 between the entries.
 * Everything that L1 can see of it goes into a hash, one line a seed, the same on the bare machine and on XMHF.
 *
 *	diff_world.c   what L2 can reach: a dozen pages, made anew for each seed
 *	diff_code.c    pieces of L2's code
 *	diff_fields.c  boundary values of each field
 *	diff_logs.c    what the CPU writes to L1's memory: page-modification log, information of #VE
 *	diff_shadow.c  VMCS shadowing of L1's: bitmaps, link pointer, L2's VMREAD and VMWRITE
 *	diff_switch.c  EPTP switching: VMFUNC of L2, a list of good and bad EPTPs
 *	diff_rules.c   what is excluded because the emulator deviates from the manual, or L1 would not survive it
 *	diff_interfere.c  interfere=1: a second CPU changes all that meanwhile; nothing is compared then
 *	vmx_diff.c     the story, and the hash
 */
#ifndef GUEST_DIFF_H
#define GUEST_DIFF_H

#include "test.h"

extern bool diff_tells;	/* this seed's story is told, not only hashed */

/* ---- the seed's numbers ---- */
void diff_seed(u64 seed);
u64 diff_random(void);
/* Another number of the seed for each `which`, apart from those that its story uses. */
u64 diff_aside(u64 which);
/* The next number of a sequence of the seed's own that its story does not use either. */
u64 diff_apart(void);
static inline u32 diff_below(u32 n) { return (u32)(diff_random() % n); }
static inline bool diff_one_in(u32 n) { return !diff_below(n); }

/* ---- diff_world.c ---- */
#define PLAY_PAGES 8

struct world {
	struct vcpu v;
	struct ept12 ept, other;        /* L2 may switch to the other one */
	u8 *code, *ivt, *stack;         /* a page each */
	u64 *idt64, *idt32;             /* a page each */
	u64 *pml4, *pdpt, *pd, *pae;    /* L2's tables: the first GiB, one to one */
	u8 *play;                       /* PLAY_PAGES for L2 to read, write and execute */
	u8 *ones, *safe_msrs, *safe_ports, *zeros, *virtual_apic; /* pages that fields may lead to */
	struct msr_entry { u32 index, reserved; u64 value; } *lists; /* one page: load at entry, store, load at exit */
};
extern struct world diff_world;

enum diff_mode { MODE_64, MODE_64_USER, MODE_COMPAT, MODE_PAE, MODE_32, MODE_V86, MODE_16, MODES };

/* Everything as at the start of any seed; the VMCS is current, filled for `mode` and valid. */
void diff_world_reset(enum diff_mode mode);
/* The EPT12 that the VMCS names, by whatever EPTP. */
struct ept12 *diff_ept(void);
/* A change of it for a page that L2 uses; for this page, chosen by the numbers. */
void diff_edit_ept(void);
void diff_edit_entry(u64 gpa, u64 bits, u64 target);
/* L2 may do anything with its pages again. */
void diff_mend_ept(void);
/* Maps all pages that L2 needs, one to one. True: an INVEPT is owed. */
bool diff_map_all(struct ept12 *ept);
/* Accessed and dirty flags of all levels; an INVEPT is owed. */
void diff_clear_flags(struct ept12 *ept);
/* L2's code: from where it begins, for the mode, to its end. Sets RIP. */
void diff_load_code(enum diff_mode mode);
extern const u32 diff_msrs[];	/* the MSRs that L2 and lists use, 0 at the end */

/* ---- diff_code.c: fills at most `size` bytes with pieces, ends in VMCALL; a piece is `n` bytes ---- */
#define DIFF_END 0xe0d
#define DIFF_TRAP 0x1000	/* RAX of the VMCALL of L2's handler, plus the vector */
size_t diff_write_code(u8 *at, size_t size, bool is_64);

/* ---- diff_fields.c ---- */
/* Moves one field, whatever rules say. */
void diff_move_field(void);
/* Controls, bits of which both machines offer, at random; still valid. */
void diff_vary_controls(void);
void diff_vary_event(void);
void diff_vary_lists(void);

/* ---- diff_logs.c ---- */
enum { PML_INDEX = 0x0812 };
void diff_vary_logs(void);
/* What is logged must not depend on what a CPU has cached. */
void diff_before_entry(void);
void diff_note_logs(void (*note)(const char *what, u64 value));

/* ---- diff_shadow.c and diff_switch.c: whether this seed has it; then the others do something ---- */
bool diff_shadows(void);
size_t diff_put_vmcs_access(u8 *at, bool is_64);
void diff_vary_shadow(void);
void diff_change_shadow(void);
void diff_note_shadow(void (*note)(const char *what, u64 value));
bool diff_switches(void);
size_t diff_put_vmfunc(u8 *at);
void diff_vary_switch(void);
void diff_change_switch(void);
void diff_note_switch(void (*note)(const char *what, u64 value));
/* For who interferes, NULL before there are any: VMREAD and VMWRITE bitmap, the shadow VMCS; the list of EPTPs. */
void *diff_shadow_page(u32 which);
u64 *diff_list(void);

/* ---- diff_interfere.c: the world is made before ---- */
void diff_interfere(bool on);

/* ---- diff_rules.c ---- */
/* The name of the rule that excludes the current VMCS from being entered; NULL: it may be. */
const char *diff_excluded(void);
/*
 * Checks of guest state have no order (vol. 3, "VM-Entry Failures During or After Loading Guest State"): where the link
 * pointer and something else are wrong, the qualification may tell of either. Whether that is so with the entry that
 * has just failed: it is tried again without a link pointer. The VMCS is changed.
 */
bool diff_order_is_free(void);
/* Bits of a field that are not compared after an exit with that reason. */
u64 diff_ignored(u32 field, u32 reason);

#endif
