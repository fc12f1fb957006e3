/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Spin model of xmhf/core/quiesce.c and of what hardware does around it: three CPUs, CPUs 0 and 1 ask for stops,
 * CPU 2 comes online late, parks in root for its SIPI and then sits in HLT in its guest.
 *
 * A CPU is two processes: cpu() is its normal flow (guest, root, VM entry), nmi_unit() its NMI latch and vector 2 in
 * root, which suspends cpu() while it runs (guard S). Each access to memory that another CPU or the NMI handler also
 * touches is a step of its own. A spin loop is a step that waits for its condition: it does nothing else. An NMI
 * may be delayed at will in root; in the guest it comes before the next instruction. Epochs count modulo 4, which is
 * enough because they are at most one apart, and that is asserted.
 *
 * Checked: when an owner proceeds and as long as it does, no other CPU is in its guest or holds the lock; a guest is
 * entered with all flush work done; no guest's NMI is invented, and none lost but by a merge in the latch with another;
 * epochs and acknowledges move in steps of one; without FOREVER, all runs end with every stop done and released (no
 * deadlock); with FOREVER, under weak fairness, the ltl properties at the end.
 * MUTATE_x breaks one rule; tests/model/check runs them all and wants an error from each. Memory order is not modelled:
 * tests/unit/quiesce_threads.c and docs/quiesce.md cover that.
 */
#define N 3
#define NEXT(e) ((e + 1) % 4)
#ifndef ASKS
#define ASKS 2 /* stops that CPUs 0 and 1 ask for, each */
#endif
#ifndef GUEST_NMIS
#define GUEST_NMIS 2 /* in all, sent at any time to any CPU that is online */
#endif

/* quiesce.c's variables */
byte owner, epoch, released, joining;
bit work;
byte seen[N], ack[N];
bit pending[N], asking[N], online[N];

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

/* ghosts, for the assertions only */
byte proceeds;   /* owner (CPU + 1) between its last acknowledge and its release */
bit spins[N];    /* in quiesce_serve(), acknowledged */
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

/* quiesce_nmi(), second half; e is what it read from stop.epoch */
inline classify(c, e) {
	if
#ifdef MUTATE_OWNER_NOT_EXCLUDED
	:: e == seen[c] ->
#else
	:: e == seen[c] || owner == c + 1 ->
#endif
		assert(due[c] > 0); /* counted as the guest's: not invented */
		due[c]--
	:: else ->
		assert(e == NEXT(seen[c]));
		assert(seen[c] == ack[c]);
		seen[c] = e;
		pending[c] = 1
	fi
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
	:: atomic { latch[c] && !blocked[c] && !in_guest[c] -> latch[c] = 0; blocked[c] = 1; in_nmi[c] = 1; e = epoch };
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
	:: !joining && online[(c + 1) % N] && asking[(c + 1) % N] -> to = (c + 1) % N + 1
	:: else ->
		if
		:: online[(c + 2) % N] && asking[(c + 2) % N] -> to = (c + 2) % N + 1
		:: else -> to = 0
		fi
#endif
	fi
}

/* quiesce_serve(); the caller found pending set */
inline serve(c) {
	do
	:: atomic { S(c) && pending[c] ->
		assert(owner != c + 1 && proceeds != c + 1 && lock != c + 1);
#ifndef MUTATE_CLEAR_LATE
		pending[c] = 0
#endif
		};
		atomic { S(c) -> e = seen[c] };
		atomic { S(c) -> assert(e == NEXT(ack[c])); spins[c] = 1; ack[c] = e };
		/* a stop later than e cannot have been released: it would have needed this CPU */
		atomic { S(c) && released == e -> assert(epoch == e || epoch == NEXT(e)); spins[c] = 0 };
#ifdef MUTATE_CLEAR_LATE
		atomic { S(c) -> pending[c] = 0 };
#endif
		atomic { S(c) -> if :: work -> stale[c] = 0 :: else fi; e = 0 }
	:: atomic { S(c) && !pending[c] -> break }
	od
}

inline wait_ack(c, other) {
#ifdef MUTATE_NO_ACK_WAIT
	skip
#else
	atomic { S(c) && (!online[other] || ack[other] == e) -> skip }
#endif
}

inline quiesce_begin(c) {
	atomic { S(c) -> asking[c] = 1 };
	do
	:: atomic { S(c) && owner == c + 1 -> break }
	:: atomic { S(c) && owner == 0 -> owner = c + 1; break }
#ifndef MUTATE_LOSER_DEAF
	:: atomic { S(c) && pending[c] && owner != c + 1 -> skip }; serve(c)
#endif
	od;
	atomic { S(c) -> assert(!pending[c] && seen[c] == ack[c] && seen[c] == epoch); asking[c] = 0; e = NEXT(epoch) };
	atomic { S(c) -> seen[c] = e };
	atomic { S(c) -> ack[c] = e };
#ifdef MUTATE_NMI_BEFORE_EPOCH
	send_nmi(c);
#endif
	atomic { S(c) -> assert(released == epoch); epoch = e };
#ifndef MUTATE_NMI_BEFORE_EPOCH
	send_nmi(c);
#endif
	wait_ack(c, (c + 1) % N);
	wait_ack(c, (c + 2) % N);
	atomic { S(c) -> must_be_alone(c); proceeds = c + 1; e = 0 }
}

/* A CPU that is not online takes the broadcast too, and swallows it. */
inline send_nmi(c) {
	atomic { S(c) ->
		in_flight[(c + 1) % N] = in_flight[(c + 1) % N] + online[(c + 1) % N];
		in_flight[(c + 2) % N] = in_flight[(c + 2) % N] + online[(c + 2) % N] }
}

/* What the owner does under the stop, and quiesce_end() */
inline use_and_end(c) {
	atomic { S(c) -> must_be_alone(c); stale[0] = online[0]; stale[1] = online[1]; stale[2] = online[2] };
#ifdef MUTATE_WORK_AFTER_RELEASE
	atomic { S(c) -> work = 0; must_be_alone(c); proceeds = 0; released = epoch };
	atomic { S(c) -> work = 1 };
#else
	atomic { S(c) -> work = 1 };
	atomic { S(c) -> must_be_alone(c); proceeds = 0; released = epoch };
#endif
	atomic { S(c) -> next_owner(c, e) };
	atomic { S(c) -> owner = e; e = 0 };
	atomic { S(c) -> stale[c] = 0 }
}

/* An NMI VM exit: the handler calls quiesce_nmi() and then makes an IRET. */
inline nmi_exit(c) {
	e = epoch;
	atomic { classify(c, e); e = 0 };
#ifndef MUTATE_NO_IRET
	blocked[c] = 0
#endif
}

proctype cpu(byte c) {
	byte e, asks;
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
		atomic { seen[c] = epoch; ack[c] = epoch };
		online[c] = 1;
#ifndef MUTATE_ONLINE_UNGUARDED
		atomic { S(c) -> next_owner(c, e) };
		atomic { S(c) -> owner = e; e = 0 };
#endif
		do /* waits in root for the guest's SIPI */
		:: atomic { S(c) && pending[c] -> skip }; serve(c)
		:: atomic { S(c) -> break }
		od
	fi;
enter:
	/* The restartable sequence: check; VMRESUME. */
#ifdef MUTATE_SERVE_WITHOUT_NMI
	if
	:: atomic { S(c) && epoch != seen[c] && owner != c + 1 -> seen[c] = epoch; pending[c] = 1 }
	:: atomic { S(c) && !(epoch != seen[c] && owner != c + 1) -> skip }
	fi;
#endif
	if
	:: atomic { S(c) && pending[c] -> skip }; serve(c); goto enter
	:: atomic { S(c) && !pending[c] -> window[c] = 1 }
	fi;
	if
	:: atomic { S(c) && restart[c] -> restart[c] = 0; window[c] = 0 }; goto enter
	:: atomic { S(c) && !restart[c] -> window[c] = 0; assert(!proceeds && !stale[c]); in_guest[c] = 1 }
	fi;
end_guest: /* a guest may run for ever; CPU 2 is in HLT and only NMIs wake it */
	if
	:: atomic { latch[c] && !blocked[c] -> latch[c] = 0; blocked[c] = 1; in_guest[c] = 0 }; nmi_exit(c); goto enter
	:: atomic { asks > 0 && !(latch[c] && !blocked[c]) -> in_guest[c] = 0 }
	fi;
	/* An event that makes this CPU ask, after some work under a lock. */
	atomic { S(c) && lock == 0 -> assert(!proceeds); lock = c + 1 };
#ifdef MUTATE_BEGIN_WITH_LOCK
	quiesce_begin(c);
	use_and_end(c);
	atomic { S(c) -> lock = 0 };
#else
	atomic { S(c) -> lock = 0 };
	quiesce_begin(c);
	use_and_end(c);
#endif
#ifndef FOREVER
	atomic { asks--; finished = finished + (asks == 0) };
#endif
	goto enter
}

#define IDLE(c) (online[c] && !latch[c] && !in_flight[c] && !due[c] && !blocked[c] && in_guest[c] && !pending[c] && \
		 !stale[c] && seen[c] == epoch && ack[c] == epoch)

init {
	atomic {
		online[0] = 1; online[1] = 1;
		run cpu(0); run cpu(1); run cpu(2);
		run nmi_unit(0); run nmi_unit(1); run nmi_unit(2)
	};
	/* Nothing can move any more: every stop must be done and nothing owed. */
end:	timeout -> assert(finished == 2 && owner == 0 && released == epoch && IDLE(0) && IDLE(1) && IDLE(2))
}

#ifdef FOREVER
ltl asker0_served { [] (asking[0] -> <> (proceeds == 1)) }
ltl asker1_served { [] (asking[1] -> <> (proceeds == 2)) }
ltl latecomer_gets_online { <> online[2] }
ltl target_released { [] (spins[2] -> <> !spins[2]) }
#endif
