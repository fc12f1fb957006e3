/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Spin model of xmhf/quiesce/quiesce.c and of what hardware does around it: three CPUs, CPUs 0 and 1 ask for stops of
 * all, for stops of one EPT (with or without a stop of all inside) and kick the others, CPU 2 comes online late, parks
 * in root for its SIPI and then sits in HLT in its guest. With HOLDS, which HOLD needs, the guests of CPUs 0 and 1
 * change between that EPT and others.
 *
 * A CPU is two processes: cpu() is its normal flow (guest, root, VM entry), nmi_unit() its NMI latch and vector 2 in
 * root, which suspends cpu() while it runs (guard S). Each access to memory that another CPU or the NMI handler also
 * touches is a step of its own. A spin loop is a step that waits for its condition: it does nothing else. An NMI
 * may be delayed at will in root; in the guest it comes before the next instruction. Epochs count modulo 4, which is
 * enough because they are at most one apart, and that is asserted. A signal is two bits: bit 1 changes with each stop,
 * bit 0 with each other signal; quiesce.c's number does no more, as a CPU's signal and seen are at most one apart,
 * which is asserted, too. Numbers of holds do not wrap: FOREVER has none.
 *
 * Checked: when an owner proceeds and as long as it does, no other CPU is in its guest or holds the lock; when the
 * owner of a stop of the EPT proceeds, no other CPU's guest runs on it; nobody enters a guest after a kick without
 * having looked for mail; a guest is entered with all flush work done; no guest's NMI is invented, and none lost but by
 * a merge in the latch with another; epochs and acknowledges move in steps of one; without FOREVER, all runs end with
 * every stop done and released (no deadlock); with FOREVER, under weak fairness, the ltl properties at the end.
 * MUTATE_x breaks one rule; tests/model/check runs them all and wants an error from each. Memory order is not modelled:
 * tests/unit/quiesce_threads.c and docs/quiesce.md cover that.
 */
#define N 3
#define NEXT(e) ((e + 1) % 4)
#ifndef ASKS
#define ASKS 2 /* stops that CPUs 0 and 1 ask for, each */
#endif
#define STOP 1
#define KICK 2
#define HOLD 4
#ifndef KINDS0
#define KINDS0 STOP /* what CPU 0 chooses from */
#endif
#ifndef KINDS1
#define KINDS1 STOP /* and CPU 1 */
#endif
#define KINDS (c == 0 -> KINDS0 : KINDS1)
#ifndef GUEST_NMIS
#define GUEST_NMIS 2 /* in all, sent at any time to any CPU that is online */
#endif

/* quiesce.c's variables */
byte owner, epoch, released, joining, hold;
bit work, held; /* held: the one EPT that is ever stopped is */
byte signal[N], seen[N], ack[N], hold_ack[N];
bit using[N];   /* the guest runs on that EPT */
bit pending[N], wants_owner[N], online[N];

/* hardware */
bit latch[N];    /* an NMI has arrived and was not delivered: one bit, a second one merges into it */
bit blocked[N];  /* NMIs blocked until IRET */
bit in_guest[N];
bit in_nmi[N];   /* vector 2 runs in root, normal flow stands still */
byte in_flight[N]; /* NMIs of ours sent and not arrived */

/* the rest of the core */
bit window[N];   /* between the last check and VM entry */
bit restart[N];  /* the return address was moved back to that check */
byte lock;       /* a spin lock of the core: CPU + 1 */
bit look[N];     /* percpu.work, which the last check before VM entry reads: whoever sets pending sets it, too */
bit mail[N];     /* work that another CPU has left here */

/* ghosts, for the assertions only */
byte proceeds;   /* owner (CPU + 1) between its last acknowledge and its release */
byte holds;      /* the same of the owner of a stop of the EPT */
bit spins[N];    /* in quiesce_serve(), acknowledged */
bit busy[N];     /* with an event, before a crossing */
bit sits[N];     /* in sit_while_held(), acknowledged */
bit told[N];     /* has taken the NMI of a kick, and not looked for mail since */
bit stale[N];    /* the CPU has not yet done the flush of a stop */
byte due[N];     /* guest's NMIs arrived, not merged away and not yet counted */
byte guest_nmis = GUEST_NMIS;
byte finished;   /* askers that have had all their stops */

#define S(c) !in_nmi[c] /* the normal flow of a CPU in root may take a step */

inline must_be_alone(c) {
	assert(!in_guest[(c + 1) % N] && !in_guest[(c + 2) % N]);
	assert(lock == 0 || lock == c + 1);
	assert(!online[(c + 1) % N] || spins[(c + 1) % N]);
	assert(!online[(c + 2) % N] || spins[(c + 2) % N])
}

/* While the owner of a stop of the EPT proceeds nobody else runs on it, or handles an event of a guest that does. */
inline must_hold(c) {
	assert(!(busy[(c + 1) % N] && using[(c + 1) % N]) || sits[(c + 1) % N]);
	assert(!(busy[(c + 2) % N] && using[(c + 2) % N]) || sits[(c + 2) % N]);
	assert(!(in_guest[(c + 1) % N] && using[(c + 1) % N]));
	assert(!(in_guest[(c + 2) % N] && using[(c + 2) % N]))
}

/* quiesce_nmi(), second half; e is what it read from its signal */
inline classify(c, e) {
	if
	:: e == seen[c] ->
		assert(due[c] > 0); /* counted as the guest's: not invented */
		due[c]--
	:: else ->
		assert(owner != 0 && owner != c + 1);
		assert((e ^ seen[c]) == 1 || (e ^ seen[c]) == 2);
		told[c] = told[c] | ((e ^ seen[c]) == 1);
		seen[c] = e;
		pending[c] = 1
	fi;
	look[c] = 1
}

inline arrive(c, guest) {
	if
	:: latch[c] && guest -> skip /* merged: bare hardware loses it in the same way */
	:: latch[c] && !guest -> assert(due[c] > 0); due[c]-- /* one of the guest's is lost, now or earlier */
	:: !latch[c] -> latch[c] = 1; due[c] = due[c] + guest
	fi
}

proctype nmi_unit(byte c) {
	byte e;
end:	do
	:: atomic { in_flight[c] > 0 -> in_flight[c]--; arrive(c, 0) }
	:: atomic { guest_nmis > 0 && online[c] -> guest_nmis--; arrive(c, 1) }
	:: atomic { latch[c] && !blocked[c] && !in_guest[c] -> latch[c] = 0; blocked[c] = 1; in_nmi[c] = 1;
		    e = signal[c] };
		atomic {
			classify(c, e);
#ifndef MUTATE_NO_RESTART
			restart[c] = window[c];
#endif
			e = 0; in_nmi[c] = 0; blocked[c] = 0 /* IRET */
		}
	od
}

inline next_owner(c, to) {
	if
#ifdef MUTATE_NO_HANDOVER
	:: to = 0
#else
	:: joining -> to = joining
	:: !joining && online[(c + 1) % N] && wants_owner[(c + 1) % N] -> to = (c + 1) % N + 1
	:: else ->
		if
		:: online[(c + 2) % N] && wants_owner[(c + 2) % N] -> to = (c + 2) % N + 1
		:: else -> to = 0
		fi
#endif
	fi
}

inline give_word(c) {
	atomic { S(c) -> next_owner(c, e) };
	atomic { S(c) -> owner = e; e = 0 }
}

inline sit_while_held(c) {
#ifndef HOLDS
	skip
#else
	do
#ifndef MUTATE_HELD_DEAF
	:: atomic { S(c) && pending[c] -> break }
#endif
#ifdef MUTATE_HOLD_NUMBER_LAST
	:: atomic { S(c) && !pending[c] && !(held && using[c]) -> sits[c] = 0; break }
	:: atomic { S(c) && !pending[c] && held && using[c] -> skip };
		atomic { S(c) -> f = hold };
#else
	:: atomic { S(c) && !pending[c] -> f = hold };
		if
		:: atomic { S(c) && !(held && using[c]) -> f = 0; sits[c] = 0; break }
		:: atomic { S(c) && held && using[c] -> skip }
		fi;
#endif
		atomic { S(c) -> hold_ack[c] = f; sits[c] = 1; f = 0 };
#ifdef MUTATE_HELD_DEAF
		atomic { S(c) && (!held || hold != hold_ack[c]) -> skip }
#else
		atomic { S(c) && (!held || hold != hold_ack[c] || pending[c]) -> skip }
#endif
	od
#endif
}

/* quiesce_serve(); the caller found pending set */
inline serve(c) {
	do
	:: atomic { S(c) && pending[c] ->
		assert(proceeds != c + 1 && holds != c + 1 && lock != c + 1);
#ifndef MUTATE_CLEAR_LATE
		pending[c] = 0
#endif
		};
		atomic { S(c) -> e = seen[c] };
		if
		:: atomic { S(c) && e / 2 != ack[c] -> assert(owner != c + 1); f = epoch };
			atomic { S(c) -> spins[c] = 1; ack[c] = e / 2; e = f; f = 0 };
			/* a stop later than e cannot have been released: it would have needed this CPU */
			atomic { S(c) && released == e -> spins[c] = 0 };
#ifdef MUTATE_CLEAR_LATE
			atomic { S(c) -> pending[c] = 0 };
#endif
			atomic { S(c) -> if :: work -> stale[c] = 0 :: else fi; e = 0 }
		:: atomic { S(c) && e / 2 == ack[c] -> e = 0 }
		fi;
		sit_while_held(c)
	:: atomic { S(c) && !pending[c] -> break }
	od
}

/* vmx_handle_work(), and the loop of smp_park() */
inline handle_work(c) {
	atomic { S(c) -> look[c] = 0 };
	if
	:: atomic { S(c) && pending[c] -> skip }; serve(c)
	:: atomic { S(c) && !pending[c] -> skip }
	fi;
#ifdef MUTATE_LOOK_ONCE
	atomic { S(c) -> told[c] = 0; mail[c] = 0; look[c] = 0 }
#else
	atomic { S(c) -> told[c] = 0; mail[c] = 0 }
#endif
}

inline take_word(c) {
	atomic { S(c) -> wants_owner[c] = 1 };
	do
	:: atomic { S(c) && owner == c + 1 -> break }
	:: atomic { S(c) && owner == 0 -> owner = c + 1; break }
#ifndef MUTATE_LOSER_DEAF
	:: atomic { S(c) && pending[c] -> skip }; serve(c)
#endif
	od;
	atomic { S(c) -> assert(seen[c] == signal[c] && seen[c] / 2 == ack[c]); wants_owner[c] = 0 }
}

/* bit: 2 for a stop, else 1. A CPU that is not online is not signaled. */
inline set_signal(c, other, bits) {
	atomic { S(c) ->
		if
		:: online[other] -> assert(seen[other] == signal[other]); signal[other] = signal[other] ^ bits
		:: else
		fi }
}

inline signal_all(c) {
	set_signal(c, (c + 1) % N, 2);
	set_signal(c, (c + 2) % N, 2)
}

/* A CPU that is not online takes the broadcast too, and swallows it. */
inline send_nmi(c) {
	atomic { S(c) ->
		in_flight[(c + 1) % N] = in_flight[(c + 1) % N] + online[(c + 1) % N];
		in_flight[(c + 2) % N] = in_flight[(c + 2) % N] + online[(c + 2) % N] }
}

inline send_one(c, other) {
	set_signal(c, other, 1);
	atomic { S(c) -> in_flight[other] = in_flight[other] + online[other] }
}

inline wait_ack(c, other) {
#ifdef MUTATE_NO_ACK_WAIT
	skip
#else
	atomic { S(c) && (!online[other] || ack[other] == signal[other] / 2) -> skip }
#endif
}

/* quiesce_begin(), with the word */
inline stop_others(c) {
	atomic { S(c) -> assert(released == epoch || held); epoch = NEXT(epoch) };
#ifdef MUTATE_NMI_BEFORE_SIGNAL
	send_nmi(c);
	signal_all(c);
#else
	signal_all(c);
	send_nmi(c);
#endif
	wait_ack(c, (c + 1) % N);
	wait_ack(c, (c + 2) % N);
	atomic { S(c) -> must_be_alone(c); proceeds = c + 1; e = 0 }
}

inline signal_user(c, other) {
	if
	:: atomic { S(c) && online[other] && using[other] -> skip }; send_one(c, other)
	:: atomic { S(c) && !(online[other] && using[other]) -> skip }
	fi
}

inline wait_held(c, other) {
	atomic { S(c) && seen[other] == signal[other] && (!using[other] || hold_ack[other] == hold) -> skip }
}

/* quiesce_begin_ept(), with the word. The epoch is left alone, and released with it: nobody waits for it. */
inline hold_others(c) {
	atomic { S(c) -> assert(!held); hold++ };
	atomic { S(c) -> held = 1 };
	signal_user(c, (c + 1) % N);
	signal_user(c, (c + 2) % N);
	wait_held(c, (c + 1) % N);
	wait_held(c, (c + 2) % N);
	atomic { S(c) -> must_hold(c); holds = c + 1 }
}

inline release_ept(c) {
	atomic { S(c) -> must_hold(c); holds = 0; held = 0 }
}

/* quiesce_use() */
inline use(c, what) {
#ifndef HOLDS
	skip
#elif defined(MUTATE_USE_LOOKS_FIRST)
	atomic { S(c) -> f = held };
	atomic { S(c) -> using[c] = what };
	atomic { S(c) -> pending[c] = pending[c] | (f && what); look[c] = look[c] | (f && what); f = 0 }
#else
	atomic { S(c) -> using[c] = what };
	atomic { S(c) -> f = held };
	atomic { S(c) -> pending[c] = pending[c] | (f && what); look[c] = look[c] | (f && what); f = 0 }
#endif
}

/* hypapi_post() to one CPU: leaves mail there, and kicks it */
inline post_to(c, other) {
	atomic { S(c) -> mail[other] = online[other] };
	take_word(c);
	send_one(c, other);
#ifndef MUTATE_KICK_NO_WAIT
	atomic { S(c) && seen[other] == signal[other] -> skip };
#endif
	give_word(c)
}

/* What the owner does under a stop of all, and its release, without that of the word */
inline use_and_release(c) {
	atomic { S(c) -> must_be_alone(c); stale[0] = online[0]; stale[1] = online[1]; stale[2] = online[2] };
#ifdef MUTATE_WORK_AFTER_RELEASE
	atomic { S(c) -> work = 0; must_be_alone(c); proceeds = 0; released = epoch };
	atomic { S(c) -> work = 1 };
#else
	atomic { S(c) -> work = 1 };
	atomic { S(c) -> must_be_alone(c); proceeds = 0; released = epoch };
#endif
	atomic { S(c) -> stale[c] = 0 }
}

inline full_stop(c) {
	take_word(c);
	stop_others(c);
	use_and_release(c);
	give_word(c)
}

inline ask(c) {
	if
	:: KINDS & STOP -> full_stop(c)
	:: (KINDS & KICK) && online[(c + 1) % N] -> post_to(c, (c + 1) % N)
	:: (KINDS & KICK) && online[(c + 2) % N] -> post_to(c, (c + 2) % N)
#ifdef HOLDS
	:: KINDS == 0 -> skip /* it only changes its EPT */
	:: KINDS & HOLD ->
		take_word(c);
		hold_others(c);
		if
		:: stop_others(c); use_and_release(c)
		:: skip
		fi;
		release_ept(c);
		give_word(c)
#endif
	fi
}

/* An NMI VM exit: the handler calls quiesce_nmi() and then makes an IRET. */
inline nmi_exit(c) {
	e = signal[c];
	atomic { classify(c, e); e = 0 };
#ifndef MUTATE_NO_IRET
	blocked[c] = 0
#endif
}

proctype cpu(byte c) {
	byte e, f, asks;
	if
	:: c < 2 -> asks = ASKS
	:: else ->
#ifdef MUTATE_ONLINE_UNGUARDED
		skip;
#else
		do
		:: atomic { owner == 0 || owner == c + 1 -> owner = c + 1; break }
		:: atomic { owner != 0 && owner != c + 1 && !joining -> joining = c + 1 }
		od;
		atomic { if :: joining == c + 1 -> joining = 0 :: else fi };
#endif
		online[c] = 1;
#ifndef MUTATE_ONLINE_UNGUARDED
		give_word(c);
#endif
		do /* waits in root for the guest's SIPI */
		:: atomic { S(c) && look[c] -> skip }; handle_work(c)
		:: atomic { S(c) -> break }
		od;
		use(c, 1)
	fi;
enter:
	/* The restartable sequence: check; VMRESUME. */
#ifdef MUTATE_SERVE_WITHOUT_NMI
	if
	:: atomic { S(c) && signal[c] != seen[c] -> seen[c] = signal[c]; pending[c] = 1; look[c] = 1 }
	:: atomic { S(c) && signal[c] == seen[c] -> skip }
	fi;
#endif
	if
	:: atomic { S(c) && look[c] -> skip }; handle_work(c); goto enter
	:: atomic { S(c) && !look[c] -> window[c] = 1 }
	fi;
	if
	:: atomic { S(c) && restart[c] -> restart[c] = 0; window[c] = 0 }; goto enter
	:: atomic { S(c) && !restart[c] -> 
		window[c] = 0;
		assert(!proceeds && !stale[c] && !told[c]);
		assert(!(holds && using[c]));
		in_guest[c] = 1 }
	fi;
end_guest: /* a guest may run for ever; CPU 2 is in HLT and only NMIs wake it */
	if
	:: atomic { latch[c] && !blocked[c] -> latch[c] = 0; blocked[c] = 1; in_guest[c] = 0 }; nmi_exit(c); goto enter
	:: atomic { asks > 0 && !(latch[c] && !blocked[c]) -> in_guest[c] = 0 }
	fi;
	/* An event that makes this CPU ask, after some work under a lock. */
	atomic { S(c) && lock == 0 -> assert(!proceeds); lock = c + 1;
#ifdef HOLDS
		busy[c] = 1
#endif
		};
#ifdef MUTATE_BEGIN_WITH_LOCK
	full_stop(c);
	atomic { S(c) -> lock = 0 };
#else
	atomic { S(c) -> lock = 0 };
	ask(c);
#endif
#ifdef HOLDS
	busy[c] = 0;
	if
	:: using[c] -> use(c, 0)
	:: !using[c] -> use(c, 1)
	:: skip
	fi;
#endif
#ifndef FOREVER
	atomic { asks--; finished = finished + (asks == 0) };
#endif
	goto enter
}

#define IDLE(c) (online[c] && !latch[c] && !in_flight[c] && !due[c] && !blocked[c] && in_guest[c] && \
		 !pending[c] && !look[c] && \
		 !stale[c] && !mail[c] && seen[c] == signal[c] && ack[c] == seen[c] / 2)

init {
	atomic {
		online[0] = 1; online[1] = 1;
		run cpu(0); run cpu(1); run cpu(2);
		run nmi_unit(0); run nmi_unit(1); run nmi_unit(2)
	};
	/* Nothing can move any more: every stop must be done and nothing owed. */
end:	timeout -> assert(finished == 2 && owner == 0 && released == epoch && !held && IDLE(0) && IDLE(1) && IDLE(2))
}

#ifdef FOREVER
ltl asker0_served { [] (wants_owner[0] -> <> (proceeds == 1)) }
ltl asker1_served { [] (wants_owner[1] -> <> (proceeds == 2)) }
ltl latecomer_gets_online { <> online[2] }
ltl target_released { [] (spins[2] -> <> !spins[2]) }
#endif
