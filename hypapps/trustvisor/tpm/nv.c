/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See nv.h. */
#include "nv.h"

#include <hypapi/lock.h>

#include "pal.h"

#define OWNER_BYTES 64
#define COUNTERS 256

static struct counter { uint8_t owner[OWNER_BYTES]; uint64_t value; } counters[COUNTERS]; /* value 0: unused */
static uint8_t memory[NV_BYTES];
static struct hypapi_lock lock; /* guards both */

bool nv_is_persistent(void)
{
	return false;
}

/* One that was never added to is not kept: it reads as 0. */
bool nv_counter(const void *owner, uint32_t owner_len, bool add, uint64_t *value)
{
	struct counter *counter = counters;
	bool found;

	if (owner_len != OWNER_BYTES)
		return false;
	hypapi_lock(&lock);
	while (counter < counters + COUNTERS && counter->value && __builtin_memcmp(counter->owner, owner, OWNER_BYTES))
		counter++;
	found = counter < counters + COUNTERS;
	if (found && add) {
		__builtin_memcpy(counter->owner, owner, OWNER_BYTES);
		counter->value++;
	}
	*value = found ? counter->value : 0;
	hypapi_unlock(&lock);
	return found || !add;
}

uint8_t *nv_take(void)
{
	hypapi_lock(&lock);
	return memory;
}

void nv_give_back(void)
{
	hypapi_unlock(&lock);
}

void nv_wipe(void)
{
	wipe(memory, sizeof(memory));
	wipe(counters, sizeof(counters));
}
