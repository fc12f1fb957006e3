/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a PAL is: a hash of all that decides what runs (struct tv_measured in tpm.h of the interface). The pages were
 * taken under the stop and are out of everybody's reach, so it does not matter that hashing takes its time: whoever
 * registers the PAL executes that command again for each slice. What has been hashed is kept with the PAL; if nobody
 * comes back, it goes with it. Stack and parameters are not content: they are zeroed.
 */
#include "tpm.h"

#include <bearssl.h>

/* What is read at once: a page has some of them. Into memory that a CPU's registration has, as the stack is small. */
#define PIECE_BYTES 2048u
_Static_assert(PIECE_BYTES == sizeof(((struct pal_cpu *)0)->frames), "the room for it");
/* Instructions: of a slice, of a page's zeroing, of reading a piece. */
#define SLICE_INSNS 96000u
#define ZEROING_INSNS 2000u
#define READING_INSNS 1500u
_Static_assert((sizeof(struct tv_measured) + TV_MAX_ENTRIES * sizeof(struct tv_measured_entry)) * 45 < SLICE_INSNS,
	       "what is hashed first is no more than a slice");

static const struct tv_pal_section *entry_section(const struct pal *pal)
{
	const struct tv_pal_section *section = pal->sections.sections;
	uint64_t entry = pal->entries[0].at.addr;

	while (entry < section->start_addr || entry >= section_end(section))
		section++; /* registration has found it */
	return section;
}

static void measure_entry(struct measuring *m, const struct pal_entry *entry, uint64_t base)
{
	struct tv_measured_entry measured = { .offset = (int64_t)(entry->at.addr - base),
					      .num_params = entry->params.num_params };

	for (uint32_t i = 0; i < measured.num_params; i++) {
		const struct tv_pal_param *param = &entry->params.params[i];

		measured.params[i] = (struct tv_measured_param){
			.type = param->type, .size = param->type == TV_PARAM_INTEGER ? 0 : param->size };
	}
	sha256_blocks(&m->sha256, &measured, sizeof(measured) / SHA256_BLOCK);
}

static void begin(struct measuring *m, const struct pal *pal)
{
	uint64_t base = entry_section(pal)->start_addr;
	struct tv_measured head = {
		.magic = TV_MEASURED_MAGIC, .level = pal->level, .width = pal->word_bytes * 8, .flags = pal->tpm_flags,
		.base = pal->tpm_flags & TV_TPM_FIXED ? base : 0,
		.num_sections = pal->sections.num_sections, .num_entries = pal->entry_count };

	__builtin_memcpy(head.owner_tag, pal->owner_tag, sizeof(head.owner_tag));
	for (uint32_t i = 0; i < head.num_sections; i++) {
		const struct tv_pal_section *section = &pal->sections.sections[i];

		head.sections[i] = (struct tv_measured_section){
			.type = section->type, .page_num = section->page_num,
			.offset = (int64_t)(section->start_addr - base) };
	}
	m->begun = true;
	sha256_begin(&m->sha256);
	sha256_blocks(&m->sha256, &head, sizeof(head) / SHA256_BLOCK);
	for (uint32_t i = 0; i < pal->entry_count; i++)
		measure_entry(m, &pal->entries[i], base);
}

static bool is_content(const struct tv_pal_section *section)
{
	return section->type != TV_SECTION_PARAM && section->type != TV_SECTION_STACK;
}

/* The next bytes of a section that is not at its end. */
static int take_piece(const struct hypapi_event *ev, const struct pal *pal, struct measuring *m)
{
	static const uint8_t zeros[HYPAPI_PAGE_SIZE];
	const struct tv_pal_section *section = &pal->sections.sections[m->section];
	void *piece = own_cpu(ev)->frames;
	gva_t at = GVA(section->start_addr + m->at);
	bool content = is_content(section);
	int rc;

	if (content) {
		rc = hypapi_partition_read(ev, pal->partition, piece, at, PIECE_BYTES);
		sha256_blocks(&m->sha256, piece, PIECE_BYTES / SHA256_BLOCK);
	} else {
		rc = hypapi_partition_write(ev, pal->partition, at, zeros, sizeof(zeros));
	}
	m->at += content ? PIECE_BYTES : HYPAPI_PAGE_SIZE;
	if (m->at == (uint64_t)section->page_num * HYPAPI_PAGE_SIZE) {
		m->section++;
		m->at = 0;
	}
	return rc;
}

/* Instructions of the next piece; past the last section as many as no slice has. */
static uint32_t cost_of_piece(const struct pal *pal, const struct measuring *m)
{
	if (m->section >= pal->sections.num_sections)
		return SLICE_INSNS + 1;
	return is_content(&pal->sections.sections[m->section]) ? READING_INSNS + PIECE_BYTES * sha256_insns_a_byte() :
	       ZEROING_INSNS;
}

/*
 * PCR 0 begins with the measurement, so that what is sealed to it is sealed to this code. The old bank's is made of the
 * same, by its own hash.
 */
static void conclude(struct tpm_pal *tpm)
{
	uint8_t both[64] = { 0 };
	br_sha1_context sha1;

	sha256_end(&tpm->measuring.sha256, tpm->measurement);
	wipe(&tpm->measuring, sizeof(tpm->measuring)); /* where the PCRs are */
	__builtin_memset(tpm->pcr, 0, sizeof(tpm->pcr));
	__builtin_memset(tpm->pcr1, 0, sizeof(tpm->pcr1));
	__builtin_memcpy(both + 32, tpm->measurement, 32);
	sha256(tpm->pcr[0], both, 64);
	br_sha1_init(&sha1);
	br_sha1_update(&sha1, tpm->measurement, 32);
	br_sha1_out(&sha1, both + 20); /* behind 20 zeros */
	br_sha1_init(&sha1);
	br_sha1_update(&sha1, both, 40);
	br_sha1_out(&sha1, tpm->pcr1[0]);
}

uint32_t measure_slice(const struct hypapi_event *ev, const struct pal *pal)
{
	struct measuring *m = &tpm_of(pal)->measuring;
	uint32_t left = SLICE_INSNS, cost;
	int rc = HYPAPI_OK;

	if (!m->begun) {
		begin(m, pal);
		return TV_REPEAT;
	}
	for (; rc == HYPAPI_OK && (cost = cost_of_piece(pal, m)) <= left; left -= cost)
		rc = take_piece(ev, pal, m);
	wipe(own_cpu(ev)->frames, PIECE_BYTES);
	if (rc != HYPAPI_OK) {
		hypapi_log("trustvisor: PAL %u cannot be measured: error %d", pal_number(pal), rc);
		return TV_E_FAULT;
	}
	if (m->section < pal->sections.num_sections)
		return TV_REPEAT;
	conclude(tpm_of(pal));
	return TV_OK;
}
