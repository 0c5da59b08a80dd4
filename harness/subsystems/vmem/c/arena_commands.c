/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The commands about arenas; README.md tells all of them. */

#include "arena.h"

#include <sys/kernel.h>

static void
answer(const char *name, const char *error, const struct arena_state *state)
{
	if (error != NULL) {
		probe_refused(error);
		return;
	}
	probe_begin(name);
	probe_field("error", (uint64_t)state->error);
	probe_field("address", state->address);
	probe_field("alloc", state->alloc);
	probe_field("free", state->free);
	probe_field("maxfree", state->maxfree);
	probe_field("imported", state->imported);
	probe_field("reclaimed", state->reclaimed);
	probe_finish();
}

static void
create(struct arena_state *state)
{
	struct arena_setup setup = { .quantum = probe_number("quantum"),
	    .base = probe_number("base"), .size = probe_number("size"),
	    .imports = probe_number("imports"), .releases = probe_number("releases") == 1,
	    .reclaims = probe_number("reclaims") == 1 };

	answer("arena", setup.imports < 0 ? "not-an-arena" : arena_create(&setup, state), state);
}

static void
alloc(long slot, struct arena_state *state)
{
	struct arena_request request = { .slot = slot, .size = probe_number("size"),
	    .fit = probe_number("fit"), .align = probe_number("align"),
	    .phase = probe_number("phase"), .nocross = probe_number("nocross"),
	    .minaddr = probe_number("minaddr"), .maxaddr = probe_number("maxaddr") };

	if (request.size <= 0 || request.fit < 0 || request.fit > 2)
		probe_refused("not-a-request");
	else
		answer("arena_alloc", arena_alloc(&request, state), state);
}

/* Whether the command is one of these; if so, it is answered. */
static bool
obey(void)
{
	long slot = probe_number("slot"), base = probe_number("base"), size = probe_number("size");
	struct arena_state state;

	memset(&state, 0, sizeof(state));
	if (probe_is_command("arena"))
		create(&state);
	else if (probe_is_command("arena_alloc") && slot >= 0 && slot < ARENA_SLOTS)
		alloc(slot, &state);
	else if (probe_is_command("arena_free") && slot >= 0 && slot < ARENA_SLOTS)
		answer("arena_free", arena_free(slot, &state), &state);
	else if (probe_is_command("arena_add") && base >= 0 && size > 0)
		answer("arena_add", arena_add(base, size, &state), &state);
	else if (probe_is_command("arena_limit") && size >= 0)
		answer("arena_limit", arena_limit(size, &state), &state);
	else if (probe_is_command("arena_discard")) {
		arena_discard();
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
SYSINIT(harness_vmem, SI_SUB_DRIVERS, SI_ORDER_ANY, register_commands, NULL);
