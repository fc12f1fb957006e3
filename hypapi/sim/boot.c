/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of the machine: physical memory, the core's boot in the order of xmhf/core/main.c, the CPUs' threads and
 * their jobs, the log, and how a run ends. Called by the test's thread; boot and jobs run on the CPU's.
 */
#include "hypapi/sim/machine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apic/apic_guard.h"
#include "boot/boot_info.h"
#include "core/cmdline.h"
#include "cpu/clock.h"
#include "cpu/smp_boot.h"
#include "cpu/x86.h"
#include "events/dispatch.h"
#include "events/events.h"
#include "events/hypapps.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/mtrr.h"
#include "mem/pages.h"
#include "mem/partition.h"
#include "nested/nested.h"
#include "power/power.h"
#include "quiesce/stop_budget.h"
#include "report/log_output.h"
#include "report/trace.h"
#include "vmx/cpuid.h"
#include "vmx/interrupts.h"
#include "vmx/msr.h"
#include "vmx/vmx.h"

#define SIM_MAX_CPUS 16
#define ROOT_BYTES (32ul << 20)
/* A busy host lets a thread wait for many seconds. The run's own limit ends it. */
#define PARTITION_MS 100000ul
#define STOP_BOUND_MS 100000ul

/* L1's low memory: page tables, then a stack for each CPU; sim_memory() begins above. */
#define L1_TABLES 0x10000ul
#define L1_STACKS 0x20000ul
#define L1_MEMORY (1ul << 20)

u64 machine_direct_map;
struct sim_cpu *machine_cpus[SIM_MAX_CPUS];
u32 machine_cpu_count;
struct sim_options machine_options;
_Atomic u32 machine_active;
const struct hypapp_descriptor *hypapps_linked[MAX_HYPAPPS + 2]; /* as the core's build makes it */
enum log_level log_threshold = LOG_INFO;
struct boot_info boot_info; /* the memory map: RAM up to root memory */

static _Atomic u64 memory_next = L1_MEMORY;
static _Atomic bool off;
static char *fault_text; /* shared with the process that waits for this one; NULL: none does */

/* Ticks are nanoseconds here. */
u64 clock_ticks_per_ms(void)
{
	return 1000000;
}

/* ---- Ends and the log ---- */

/* At once, whatever other threads do: not by exit(), nor by _exit(), for which ThreadSanitizer waits. */
void machine_end(int status)
{
	fflush(NULL);
	syscall(SYS_exit_group, status);
	__builtin_unreachable();
}

void sim_fault(const char *f, ...)
{
	char text[SIM_FAULT_BYTES];
	va_list args;

	va_start(args, f);
	vsnprintf(text, sizeof(text), f, args);
	va_end(args);
	dprintf(2, "sim: FAULT: %s\n", text);
	if (fault_text)
		memcpy(fault_text, text, sizeof(text));
	machine_end(SIM_FAULT_STATUS);
}

/* So often in a row is no chance; a loaded host may not come to more in a few seconds. */
#define NO_PROGRESS 100

static bool repeats_access(u32 reason)
{
	return reason == EXIT_EPT_VIOLATION || reason == EXIT_EPT_MISCONFIG;
}

/* Why this CPU comes back to the same place, and what is missing; false: it does not. */
static bool say_why(const struct sim_cpu *c, char *text, size_t size)
{
	const struct repeat *r = &c->core->repeat;

	if (c->resumed.count >= NO_PROGRESS)
		snprintf(text, size, "; CPU %u: exit %u of L2 at RIP 0x%lx came %u times in a row, for L1's handler "
			 "answers true without %s", c->index, c->resumed.reason, c->resumed.rip, c->resumed.count,
			 repeats_access(c->resumed.reason) ?
			 "the right that is missing: call sim_l2_map() first, or answer false" :
			 "a step over the instruction: call sim_l2_skip() first, or answer false");
	else if (r->count >= NO_PROGRESS)
		snprintf(text, size, "; CPU %u: event %s at RIP 0x%lx came %u times in a row, for its handler "
			 "answers %s", c->index, hypapi_event_name(r->type), r->rip, r->count,
			 r->type == HYPAPI_EV_EPT_VIOLATION ?
			 "without the right that is missing: call hypapi_memory_restrict() first, or answer "
			 "HYPAPI_DENY" : "HYPAPI_RETRY, which repeats the instruction: HYPAPI_HANDLED steps over it");
	return *text;
}

#define at_this_moment(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define UNLOCKED_LOOK __attribute__((no_sanitize("thread", "address")))

/* `d` is on the stack of a CPU that goes on meanwhile: what is left of an event that is over may name no hypapp. */
UNLOCKED_LOOK static void say_handler(u32 cpu, const struct dispatch *d)
{
	const struct link *link = d ? at_this_moment(d->link) : NULL;

	if (hypapps_has_link(link))
		dprintf(2, "sim: CPU %u: hypapp %s, in its handler of event %s\n", cpu, link->app->name,
			hypapi_event_name(at_this_moment(d->ev.type)));
}

/* By a signal, which may come in the middle of a line that this thread prints: not by stdio's stream. */
UNLOCKED_LOOK static void out_of_time(int signal)
{
	char why[SIM_FAULT_BYTES] = "";

	(void)signal;
	for (u32 i = 0; i < machine_cpu_count; i++) {
		const struct percpu *cpu = machine_cpus[i]->core;

		dprintf(2,
			"sim: CPU %u: %s, mode %d, %s, %u locks, asks for a stop %u, has it %u times\n", i,
			machine_cpus[i]->runs ? "runs" : "idle", cpu->world->mode,
			cpu->dispatch ? "in a hypapp" : "in no hypapp", cpu->locks_held, cpu->quiesce.wants_owner,
			cpu->quiesce.depth);
		say_handler(i, at_this_moment(cpu->dispatch));
		if (cpu->repeat.count)
			dprintf(2, "sim: CPU %u: event %s at RIP 0x%lx, address 0x%lx came %u times in a row\n", i,
				hypapi_event_name(cpu->repeat.type), cpu->repeat.rip, cpu->repeat.address,
				cpu->repeat.count);
	}
	for (u32 i = 0; i < machine_cpu_count && !say_why(machine_cpus[i], why, sizeof(why)); i++)
		;
	sim_fault("the machine makes no progress: %u seconds are over%s", machine_options.seconds, why);
}

/*
 * A test framework catches signals by a jump, which is no good on a CPU's thread; and a sanitizer's handler tells more.
 */
static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
static struct sigaction handlers_at_start[ARRAY_SIZE(crashes)];

__attribute__((constructor)) static void keep_handlers(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		sigaction(crashes[i], NULL, &handlers_at_start[i]);
}

/*
 * On a busy host a run that is well takes many times as long as on an idle one, so a second counts once the process has
 * had it of a CPU. A machine in which all sleep gets none: for that there is the host's clock alone, with room.
 */
#define SECONDS_ASLEEP 30

static u64 seconds_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (u64)now.tv_sec;
}

static u64 work_began, host_began; /* by the process's clock and by the host's */

/* By a signal, each second. */
__attribute__((no_sanitize("thread"))) static void look_at_time(int signal)
{
	u64 host = seconds_of(CLOCK_MONOTONIC) - host_began, limit = machine_options.seconds;
	u64 work = MIN(host, seconds_of(CLOCK_PROCESS_CPUTIME_ID) - work_began);

	if (work >= limit || host >= SECONDS_ASLEEP * limit)
		out_of_time(signal);
	alarm(1);
}

static void set_handlers(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		sigaction(crashes[i], &handlers_at_start[i], NULL);
	host_began = seconds_of(CLOCK_MONOTONIC);
	work_began = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
	signal(SIGALRM, look_at_time);
	alarm(1);
}

void log_line_va(enum log_level level, const char *f, va_list args)
{
	static const char *const prefix[] = { "error: ", "warning: ", "", "debug: " };
	char line[SIM_FAULT_BYTES];

	if (level > LOG_WARN && !machine_options.log)
		return;
	vsnprintf(line, sizeof(line), f, args);
	fprintf(stderr, "xmhf: %s%s\n", prefix[level], line);
}

void log_line(enum log_level level, const char *f, ...)
{
	va_list args;

	va_start(args, f);
	log_line_va(level, f, args);
	va_end(args);
}

void log_dropped(u32 count)
{
	log_line(LOG_WARN, log_left_out, count);
}

void log_now(const char *f, ...)
{
	va_list args;

	va_start(args, f);
	log_line_va(LOG_INFO, f, args);
	va_end(args);
}

void log_at_once(bool now)
{
	(void)now;
}

/* No line waits here. */
bool log_drain(void)
{
	return false;
}

u16 serial_data_port = 0x3f8;

void log_flush_for_guest(void)
{
}

const struct log_ring *log_ring_of(u32 boots_ago, u32 cpu_index)
{
	(void)boots_ago, (void)cpu_index;
	return NULL;
}

void log_flush(void)
{
	fflush(stderr);
}

#define FORMAT_FAULT(prefix, f)                                                                \
	char text[SIM_FAULT_BYTES];                                                            \
	va_list args;                                                                          \
	va_start(args, f);                                                                     \
	vsnprintf(text, sizeof(text), f, args);                                                \
	va_end(args);                                                                          \
	sim_fault(prefix "%s", text)

void panic(const char *f, ...)
{
	FORMAT_FAULT("panic: ", f);
}

void boot_refuse(const char *f, ...)
{
	FORMAT_FAULT("boot: ", f);
}

int sim_isolated(int (*run)(void *arg), void *arg, char fault[SIM_FAULT_BYTES])
{
	char *shared = mmap(NULL, SIM_FAULT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = shared == MAP_FAILED ? -1 : fork();
	if (child == 0) {
		fault_text = shared;
		exit(run(arg));
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		abort();
	memcpy(fault, shared, SIM_FAULT_BYTES);
	munmap(shared, SIM_FAULT_BYTES);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- Memory ---- */

void *sim_ram(hpa_t hpa)
{
	if (hpa.addr >= direct_map_end)
		sim_fault("sim_ram() of 0x%lx", hpa.addr);
	return phys_to_virt(hpa);
}

gpa1_t sim_memory(size_t bytes)
{
	u64 at = atomic_fetch_add(&memory_next, ALIGN_UP(bytes, PAGE_SIZE));

	if (at + bytes > root_start)
		sim_fault("L1 has no %zu bytes of memory left", bytes);
	return GPA1(at);
}

/* The low 4 GiB at their own address, by large pages, for every privilege. */
static void make_page_tables(void)
{
	u64 *pml4 = sim_ram(HPA(L1_TABLES)), *pdpt = pml4 + 512;

	pml4[0] = (L1_TABLES + PAGE_SIZE) | 7;
	for (u64 i = 0; i < 4; i++)
		pdpt[i] = (L1_TABLES + (2 + i) * PAGE_SIZE) | 7;
	for (u64 i = 0; i < 4 * 512; i++)
		pdpt[512 + i] = i * SIZE_2M | EPT_LARGE | 7;
}

/* ---- The core's boot ---- */

_Atomic bool smp_work_began;

static struct percpu *create_percpu(struct sim_cpu *c)
{
	struct percpu *cpu = pages_boot_alloc(ALIGN_UP(sizeof(*cpu), PAGE_SIZE) / PAGE_SIZE);

	cpu->self = cpu;
	cpu->world = &cpu->l1;
	cpu->index = cpu->apic_id = c->index;
	cpu->apic.base = rdmsr(MSR_APIC_BASE);
	cpus[cpu_count++] = cpu;
	return cpu;
}

static void boot_core(struct sim_cpu *c)
{
	cmdline_parse(machine_options.options);
	vmx_check_features();
	pages_init(HPA(root_start));
	c->core = create_percpu(c);
	mtrr_read(c->core);
	mtrr_publish(c->core);
	(void)partition_plan();
	partition_init();
	ept01_init(partition_limit);
	ept01_map_all(root_end);
	vmx_bitmaps_init();
	nested_init();
	msr_init();
	power_init();
	partition_set_time(cmdline_ms("partition-time", "", PARTITION_MS, PARTITION_MS) * clock_ticks_per_ms());
	apic_guard_init();
	stop_budget_init(cmdline_number("stop-share", STOP_SHARE_ALL, STOP_SHARE_ALL), clock_ticks_per_ms());
	quiesce_set_bounds(STOP_BOUND_MS * clock_ticks_per_ms(), 0);
	event_cpu_prepare(c->core);
	hypapps_init();
	interrupts_init();
}

/* What L1's operating system has made of the state after INIT. */
static void start_l1(struct sim_cpu *c)
{
	static const struct { u32 field; u64 value; } fields[] = {
		{ VMCS_GUEST_CR0, CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP },
		{ VMCS_CR0_SHADOW, CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP },
		{ VMCS_GUEST_CR3, L1_TABLES }, { VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE },
		{ VMCS_GUEST_EFER, EFER_LME | EFER_LMA | EFER_NXE },
		{ VMCS_GUEST_CS_SEL, 0x08 }, { VMCS_GUEST_SS_SEL, 0x10 }, { VMCS_GUEST_CS_LIMIT, 0xffffffff },
		{ VMCS_GUEST_SS_LIMIT, 0xffffffff }, { VMCS_GUEST_RFLAGS, RFLAGS_FIXED1 | RFLAGS_IF },
		{ VMCS_GUEST_RIP, 0x1000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		vmwrite(fields[i].field, fields[i].value);
	vmwrite(VMCS_GUEST_RSP, L1_STACKS + (c->index + 1) * PAGE_SIZE - 64);
	vmwrite(VMCS_ENTRY_CTLS, vmread(VMCS_ENTRY_CTLS) | ENTRYCTL_IA32E);
	sim_set_mode(true, 0);
	percpu_use_ept(c->core, QUIESCE_EPT01);
}

void sim_start_again(void)
{
	mmu_guest_drops(sim_self, MMU_MOV_CR3, L1_TABLES);
	start_l1(sim_self);
}

static void boot_cpu(struct sim_cpu *c)
{
	machine_init_cpu(c);
	if (c->index == 0) {
		boot_core(c);
	} else {
		c->core = create_percpu(c);
		mtrr_read(c->core);
		event_cpu_prepare(c->core);
	}
	mmu_leave_behind(c);
	vmx_start(c->core);
	event_cpu_init(c->core);
	smp_work_began = true;
	start_l1(c);
	quiesce_online(&c->core->quiesce, c->index);
}

/* ---- Threads ---- */

/* The next job, or NULL after an NMI: idle is a guest in HLT. */
static sim_code *next_job(struct sim_cpu *c)
{
	pthread_mutex_lock(&c->mutex);
	while (!c->code && !atomic_load(&c->nmis) && !off)
		pthread_cond_wait(&c->wake, &c->mutex);
	sim_code *job = c->code;

	c->code = NULL;
	pthread_mutex_unlock(&c->mutex);
	return job;
}

static void set_busy(struct sim_cpu *c, bool busy)
{
	pthread_mutex_lock(&c->busy_mutex);
	c->busy = busy;
	pthread_cond_signal(&c->done);
	pthread_mutex_unlock(&c->busy_mutex);
}

static void *cpu_main(void *arg)
{
	struct sim_cpu *c = sim_self = arg;

	boot_cpu(c);
	set_busy(c, false);
	while (!off) {
		sim_code *job = next_job(c);

		guest_begin();
		if (!job)
			continue;
		c->runs = true;
		job(c->arg);
		guest_begin();
		c->runs = false;
		atomic_fetch_sub_explicit(&machine_active, 1, memory_order_relaxed);
		set_busy(c, false);
	}
	return NULL;
}

static void wait_idle(struct sim_cpu *c)
{
	pthread_mutex_lock(&c->busy_mutex);
	while (c->busy)
		pthread_cond_wait(&c->done, &c->busy_mutex);
	pthread_mutex_unlock(&c->busy_mutex);
}

static bool is_busy(struct sim_cpu *c)
{
	pthread_mutex_lock(&c->busy_mutex);
	bool busy = c->busy;

	pthread_mutex_unlock(&c->busy_mutex);
	return busy;
}

static void start_cpu(u32 index)
{
	struct sim_cpu *c = calloc(1, sizeof(*c));

	c->index = index;
	c->busy = true;
	pthread_mutex_init(&c->mutex, NULL);
	pthread_mutex_init(&c->busy_mutex, NULL);
	pthread_cond_init(&c->wake, NULL);
	pthread_cond_init(&c->done, NULL);
	machine_cpus[index] = c;
	machine_cpu_count++;
	if (pthread_create(&c->thread, NULL, cpu_main, c))
		sim_fault("no thread for CPU %u", index);
	wait_idle(c);
}

/* At exit: threads that still run would make ThreadSanitizer wait, and look like leaks. */
static void switch_off(void)
{
	for (u32 i = 0; i < machine_cpu_count; i++)
		if (is_busy(machine_cpus[i]))
			return; /* the test has given up */
	off = true;
	for (u32 i = 0; i < machine_cpu_count; i++) {
		pthread_mutex_lock(&machine_cpus[i]->mutex);
		pthread_cond_signal(&machine_cpus[i]->wake);
		pthread_mutex_unlock(&machine_cpus[i]->mutex);
		pthread_join(machine_cpus[i]->thread, NULL);
	}
}

void sim_boot(const struct hypapp_descriptor *const *hypapps, const struct sim_options *options)
{
	struct sim_options *o = &machine_options;
	void *memory = mmap(NULL, direct_map_end, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			    -1, 0);

	if (memory == MAP_FAILED || machine_cpu_count)
		sim_fault("sim_boot(): no address space, or a second time in a process");
	machine_direct_map = (u64)memory;
	*o = options ? *options : (struct sim_options){ 0 };
	o->cpus = o->cpus ? o->cpus : 2;
	o->memory_mib = o->memory_mib ? o->memory_mib : 128;
	o->seconds = o->seconds ? o->seconds : 20;
	o->options = o->options ? o->options : "";
	if (o->cpus > SIM_MAX_CPUS || o->memory_mib < 64 || o->memory_mib > 2048)
		sim_fault("sim_boot(): options out of range");
	for (u32 i = 0; hypapps[i]; i++)
		if (i <= MAX_HYPAPPS)
			hypapps_linked[i] = hypapps[i];
	root_end = ALIGN_UP((u64)o->memory_mib << 20, SIZE_2M);
	root_start = root_end - ROOT_BYTES;
	memory_map_set(0, root_start, MEMORY_RAM);
	make_page_tables();
	set_handlers();
	atexit(switch_off);
	for (u32 i = 0; i < o->cpus; i++)
		start_cpu(i);
}

/*
 * Two CPUs' jobs must not seem to come one after the other, or ThreadSanitizer finds no race between them: so the
 * hand-over of a job and its end have a mutex each, and the count is relaxed.
 */
void sim_start(uint32_t cpu, sim_code *code, void *arg)
{
	struct sim_cpu *c = cpu < machine_cpu_count ? machine_cpus[cpu] : NULL;

	if (!c || is_busy(c))
		sim_fault("sim_start() on CPU %u, which is not there, or not idle", cpu);
	set_busy(c, true);
	atomic_fetch_add_explicit(&machine_active, 1, memory_order_relaxed);
	pthread_mutex_lock(&c->mutex);
	c->arg = arg;
	c->code = code;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->mutex);
}

void sim_wait(void)
{
	for (u32 i = 0; i < machine_cpu_count; i++)
		wait_idle(machine_cpus[i]);
}

void sim_run(uint32_t cpu, sim_code *code, void *arg)
{
	sim_start(cpu, code, arg);
	sim_wait();
}

void sim_run_all(sim_code *code, void *arg)
{
	for (u32 i = 0; i < machine_cpu_count; i++)
		sim_start(i, code, arg);
	sim_wait();
}

size_t sim_trace(uint32_t cpu, struct hypapi_trace_entry *entries, size_t max)
{
	const struct trace *t = cpu < machine_cpu_count ? cpus[cpu]->trace : NULL;
	size_t count = 0;

	for (u32 n = 0; t && n < TRACE_ENTRIES && count < max; n++) {
		trace_get(t, (u32)((t->serial + n) % TRACE_ENTRIES), &entries[count]);
		count += entries[count].serial != 0;
	}
	return count;
}
