/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash of the image, hypapps and all. tools/install/image-hash writes it into the linked file, behind the marker:
 * so it says which file this is, to whoever has reason to trust the file. Only a measured launch could say more.
 */
#include <hypapi/hypapi.h>

#include "lib/base.h"

/* Volatile: the compiler must not believe in the zeros. */
static const volatile struct { char marker[16]; u8 hash[32]; } image = { .marker = "XMHF image hash:" };

void hypapi_image_hash(uint8_t hash[32])
{
	for (u32 i = 0; i < sizeof(image.hash); i++)
		hash[i] = image.hash[i];
}
