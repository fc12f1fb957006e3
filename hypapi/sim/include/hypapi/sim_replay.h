/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * A recorded trace replays on the simulator. The trace is the serial log of a machine that ran with trace=on: which
 * hypapps there were, and each delivery to one of them, with CPU, level, number, verdict and stops. Its events are
 * caused again, one after the other in the order of their ticks, and what the hypapps answer is compared.
 *
 * A trace has no registers and no memory. So a hypapp whose answers depend on them brings a function that makes the
 * guest do what leads to a delivery like the recorded one.
 */
#ifndef HYPAPI_SIM_REPLAY_H
#define HYPAPI_SIM_REPLAY_H

#include <hypapi/sim.h>

/**
 * Guest code, on the entry's CPU and at its level: causes a delivery like this one.
 * @param entry  the recorded delivery
 * @return true: done; false: the default is to be done: HYPERCALL and CPUID with that number and all other registers 0,
 *         and nothing for other events
 * @since 1.2
 */
typedef bool sim_replay_act(const struct hypapi_trace_entry *entry);

/** Guest code, by an act: the deliveries until now were only to get ready, and are not compared. @since 1.2 */
void sim_replay_ready(void);

/** A hypapp that logs may name. @since 1.2 */
struct sim_replay_hypapp {
	const struct hypapp_descriptor *hypapp; /**< NULL ends a list */
	sim_replay_act *act;                    /**< for its deliveries; NULL: the default */
};

/** What came of a replay. @since 1.2 */
struct sim_replay_result {
	uint32_t recorded;    /**< deliveries in the log */
	uint32_t left_out;    /**< of those: of level L0, retries, and events that nothing here can cause */
	uint32_t same;        /**< that came again, alike in event, level, number, hypapp, verdict, stops and next */
	uint32_t different;   /**< deliveries that did not, and those that came unasked */
	char difference[256]; /**< the first of those, in words */
};

/**
 * The test's; in place of sim_boot(). Boots with the hypapps that the log names, replays and compares.
 * @param log      text with the core's lines, lines of others among them
 * @param hypapps  those that the log may name
 * @param result   what came of it
 * @return HYPAPI_OK, even if there are differences; HYPAPI_EINVAL: no trace is in the log, or a hypapp that is not in
 *         the
 *         list (`difference` tells)
 * @since 1.2
 */
int sim_replay(const char *log, const struct sim_replay_hypapp *hypapps, struct sim_replay_result *result);

#endif
