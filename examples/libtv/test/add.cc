// SPDX-License-Identifier: GPL-2.0-or-later
// A PAL in C++, with an installed libtv. On a machine without TrustVisor it says so, and ends with 2.
#include <cstdio>

#include <tv.h>

TV_PAL_PAGES(1, 1);
TV_PAL_DATA static uint64_t secret = 0;

TV_PAL_ENTRY(add, (uint64_t a, uint64_t b), (a, b))
{
	return a + b + secret;
}

int main()
{
	struct tv_pal_params params = {};
	struct tv_pal_sections sections;
	uint32_t result;

	/* Code that is not there is an error, no fault of this program's. */
	struct tv_pal_sections nowhere = {};

	nowhere.num_sections = 1;
	nowhere.sections[0] = { TV_SECTION_CODE, 1, 0x1000 };
	if (tv_prepare(&nowhere))
		return 1;
	params.num_params = 2;
	params.params[0].type = params.params[1].type = TV_PARAM_INTEGER;
	struct tv_pal_options options = {};
	struct tv_list_entry entry = {};

	entry.params = params;
	options.owner_tag[0] = 1;
	secret = 1000;
	tv_own_sections(&sections);
	entry.address = reinterpret_cast<uintptr_t>(add);
	result = tv_register_options(&sections, &entry, 1, 0, &options);
	if (result == TV_OK)
		tv_unregister(&sections, add);
	secret = 1000;
	result = tv_register(&sections, &params, add);
	uintptr_t sum = add(1, 2);

	std::printf("C++: %u sections, register: %s, %llu\n", sections.num_sections, tv_result_text(result),
		    static_cast<unsigned long long>(sum));
	if (result != TV_OK)
		return 2;
	return tv_unregister(&sections, add) != TV_OK || sum != 1003;
}
