/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the hypapps of this tree replay. */
#ifndef TOOLS_REPLAY_H
#define TOOLS_REPLAY_H

#include <hypapi/sim_replay.h>

sim_replay_act trustvisor_act;

/* TrustVisor and helloworld, NULL at the end. */
extern const struct sim_replay_hypapp replay_hypapps[];

#endif
