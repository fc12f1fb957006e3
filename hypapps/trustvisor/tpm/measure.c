/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a PAL is: a hash of all that decides what runs (struct tv_measured in tpm.h of the interface), in both
 * banks. The
 * pages were taken under the stop and are out of everybody's reach, so it does not matter that the hashing takes its
 * time: it is done in slices by whoever executes the registration, or calls the PAL, again. Stack and parameters are
 * not content: they are zeroed.
 */
#include "job.h"
#include "tpm.h"

#include <bearssl.h>

#define PIECE_BYTES 512u /* both hashes of it: 20,000 instructions */

/* In the data of a job, which serves for its storage alone. */
struct measuring {
	br_sha1_context sha1;
	br_sha256_context sha256;
	uint32_t section;
	uint64_t at;
	uint8_t piece[PIECE_BYTES];
};
_Static_assert(sizeof(struct measuring) <= JOB_DATA_BYTES, "a job's data");

static const struct tv_pal_section *entry_section(const struct pal *pal)
{
	const struct tv_pal_section *section = pal->sections.sections;
	uint64_t entry = pal->entries[0].at.addr;

	while (entry < section->start_addr || entry >= section_end(section))
		section++; /* registration has found it */
	return section;
}

static void update(struct measuring *m, const void *data, uint32_t len_bytes)
{
	br_sha1_update(&m->sha1, data, len_bytes);
	br_sha256_update(&m->sha256, data, len_bytes);
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
	update(m, &measured, sizeof(measured));
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
	br_sha1_init(&m->sha1);
	br_sha256_init(&m->sha256);
	update(m, &head, sizeof(head));
	for (uint32_t i = 0; i < pal->entry_count; i++)
		measure_entry(m, &pal->entries[i], base);
}

static bool is_content(const struct tv_pal_section *section)
{
	return section->type != TV_SECTION_PARAM && section->type != TV_SECTION_STACK;
}

/* False: there was nothing left. */
static bool take_piece(const struct hypapi_event *ev, const struct pal *pal, struct measuring *m, int *rc)
{
	const struct tv_pal_section *section = &pal->sections.sections[m->section];
	gva_t at;

	if (m->section == pal->sections.num_sections)
		return false;
	at = GVA(section->start_addr + m->at);
	if (is_content(section)) {
		*rc = hypapi_partition_read(ev, pal->partition, m->piece, at, PIECE_BYTES);
		update(m, m->piece, PIECE_BYTES);
	} else {
		static const uint8_t zeros[PIECE_BYTES];

		*rc = hypapi_partition_write(ev, pal->partition, at, zeros, PIECE_BYTES);
	}
	m->at += PIECE_BYTES;
	if (m->at == (uint64_t)section->page_num * HYPAPI_PAGE_SIZE) {
		m->section++;
		m->at = 0;
	}
	return *rc == HYPAPI_OK;
}

/* PCR 0 begins with the measurement, so that what is sealed to it is sealed to this code. */
static void conclude(const struct pal *pal, struct measuring *m)
{
	struct tpm_pal *tpm = tpm_of(pal);
	uint8_t both[64];

	__builtin_memset(tpm, 0, sizeof(*tpm));
	br_sha1_out(&m->sha1, tpm->measurement1);
	br_sha256_out(&m->sha256, tpm->measurement);
	__builtin_memcpy(both, tpm->pcr[0], 32);
	__builtin_memcpy(both + 32, tpm->measurement, 32);
	sha256(tpm->pcr[0], both, 64);
	br_sha1_init(&m->sha1);
	br_sha1_update(&m->sha1, tpm->pcr1[0], 20);
	br_sha1_update(&m->sha1, tpm->measurement1, 20);
	br_sha1_out(&m->sha1, tpm->pcr1[0]);
}

bool measure_slice(const struct hypapi_event *ev, const struct pal *pal)
{
	uint64_t began = __builtin_ia32_rdtsc();
	bool fresh, more = true;
	struct job *job = job_get(pal->partition.id, &fresh);
	struct measuring *m;
	int rc = HYPAPI_OK;

	if (!job)
		return false; /* all are in use */
	m = job_data(job);
	if (fresh)
		begin(m, pal);
	do
		more = take_piece(ev, pal, m, &rc);
	while (more && __builtin_ia32_rdtsc() - began < JOB_SLICE_TICKS);
	if (more) {
		job_put(job);
		return false;
	}
	conclude(pal, m);
	if (rc != HYPAPI_OK) { /* a mistake of ours: it must be no PAL that anybody knows */
		hypapi_log("trustvisor: PAL %u cannot be measured: error %d", pal_number(pal), rc);
		hypapi_random(tpm_of(pal)->measurement, 32);
	}
	job_end(job);
	return true;
}
