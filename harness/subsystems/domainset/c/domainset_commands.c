/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The commands about iterators; README.md tells all of them. */

#include "domainset.h"

#include <sys/kernel.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/vm_object.h>

static void
answer_state(const char *name, const char *error, const struct iterator_state *state)
{
	if (error != NULL) {
		probe_refused(error);
		return;
	}
	probe_begin(name);
	/* A domain that is none is told as the number behind the last. */
	probe_field("domain", (uint64_t)(state->domain < 0 ? probe_domains() : state->domain));
	probe_field("error", (uint64_t)state->error);
	probe_field("place", state->place);
	probe_field("wait", (uint64_t)state->wait);
	probe_field("minskip", state->minskip);
	if (state->masked) {
		probe_field("valid", state->valid);
		probe_field("remain", state->remain);
		probe_field("min", state->min);
	} else
		probe_field("n", state->n);
	if (state->interleaves)
		probe_field("offset", state->offset);
	probe_field("slept", state->slept);
	probe_finish();
}

static void
answer_object(void)
{
	probe_begin("object");
	probe_field("address", (uint64_t)(uintptr_t)iterator_object());
	probe_field("size", sizeof(*iterator_object()));
#if VM_NRESERVLEVEL > 0
	probe_field("order0", VM_LEVEL_0_ORDER);
#else
	probe_field("order0", 0);
#endif
#if VM_NRESERVLEVEL > 1
	probe_field("order1", VM_LEVEL_1_ORDER);
#else
	probe_field("order1", 0);
#endif
	probe_finish();
}

static void
start(int cpu)
{
	long call = probe_number("call");
	struct iterator_order order = { .call = (enum iterator_call)call,
	    .policy = probe_number("policy"), .domains = probe_number("domains"),
	    .prefer = probe_number("prefer"), .place = probe_number("place"),
	    .wait = probe_number("wait"), .pindex = probe_number("pindex"),
	    .color = probe_number("color") };
	struct iterator_state state;

	memset(&state, 0, sizeof(state));
	if (call < 0 || call >= CALLS || order.policy < 0 || order.domains < 0 ||
	    order.place < 0 || order.wait < 0 || order.pindex < 0)
		probe_refused("not-an-order");
	else
		answer_state("iterator", iterator_start(&order, cpu, &state), &state);
}

static void
step(int cpu)
{
	struct iterator_state state;
	long wake = probe_number("wake");

	memset(&state, 0, sizeof(state));
	if (wake < 0 || wake >> probe_domains() != 0)
		probe_refused("out-of-range");
	else
		answer_state("step", iterator_step(cpu, (unsigned)wake, &state), &state);
}

/* Whether the command is one of these; if so, it is answered. */
static bool
obey(void)
{
	long cpu = probe_number("cpu"), domains = probe_number("domains");
	long domain = probe_number("domain");

	if (probe_is_command("object"))
		answer_object();
	else if (probe_is_command("iterator") && cpu >= 0)
		start((int)cpu);
	else if (probe_is_command("step") && cpu >= 0)
		step((int)cpu);
	else if (probe_is_command("ignore") && domain >= 0 && domain < probe_domains())
		probe_done(iterator_ignore((int)domain));
	else if (probe_is_command("short") && domains >= 0 && domains >> probe_domains() == 0) {
		memory_short((unsigned)domains);
		probe_done(NULL);
	} else
		return (false);
	return (true);
}

static void
register_commands(void *unused __unused)
{
	probe_register(obey);
}
SYSINIT(harness_domainset, SI_SUB_DRIVERS, SI_ORDER_ANY, register_commands, NULL);
