/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See replay.h. helloworld's answers depend on nothing but the number. */
#include "replay.h"

extern const struct hypapp_descriptor hypapp_trustvisor, hypapp_helloworld;

const struct sim_replay_hypapp replay_hypapps[] = {
	{ &hypapp_trustvisor, trustvisor_act },
	{ &hypapp_helloworld, NULL },
	{ NULL, NULL },
};
