/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * One arena of vmem(9), and the arena that it imports from.  All requests are
 * M_NOWAIT; there are no quantum caches.
 */

#include "arena.h"

#include <sys/malloc.h>

struct piece {
	vmem_addr_t address;
	vmem_size_t size;	/* 0: there is none */
};

static struct {
	vmem_t *arena;		/* NULL: there is none */
	vmem_t *source;		/* that it imports from, or NULL */
	vmem_size_t import_quantum;
	struct piece slots[ARENA_SLOTS];
	struct piece imports[ARENA_IMPORTS];
	unsigned reclaimed;
} own;

static const int fits[] = { M_BESTFIT, M_FIRSTFIT, M_NEXTFIT };

static struct piece *
import_at(vmem_addr_t address, vmem_size_t size)
{
	for (int i = 0; i < ARENA_IMPORTS; i++)
		if (own.imports[i].size == size && (size == 0 ||
		    own.imports[i].address == address))
			return (&own.imports[i]);
	return (NULL);
}

/* A vmem_import_t. */
static int
import_span(void *source, vmem_size_t size, int flags, vmem_addr_t *address)
{
	struct piece *piece = import_at(0, 0);
	int error;

	if (piece == NULL)
		return (ENOMEM);
	error = vmem_xalloc(source, size, own.import_quantum, 0, 0, VMEM_ADDR_MIN,
	    VMEM_ADDR_MAX, flags, address);
	if (error == 0) {
		piece->address = *address;
		piece->size = size;
	}
	return (error);
}

/* A vmem_release_t. */
static void
release_span(void *source, vmem_addr_t address, vmem_size_t size)
{
	struct piece *piece = import_at(address, size);

	if (piece != NULL)
		piece->size = 0;
	vmem_xfree(source, address, size);
}

static bool
free_slot(struct piece *slot)
{
	vmem_size_t size = slot->size;

	if (size == 0)
		return (false);
	slot->size = 0;
	vmem_free(own.arena, slot->address, size);
	return (true);
}

/* A vmem_reclaim_t. */
static void
reclaim(vmem_t *arena __unused, int flags __unused)
{
	for (int i = 0; i < ARENA_SLOTS; i++)
		if (free_slot(&own.slots[i])) {
			own.reclaimed++;
			break;
		}
}

static void
look(struct arena_state *state)
{
	state->alloc = vmem_size(own.arena, VMEM_ALLOC);
	state->free = vmem_size(own.arena, VMEM_FREE);
	state->maxfree = vmem_size(own.arena, VMEM_MAXFREE);
	state->imported = own.source != NULL ? vmem_size(own.source, VMEM_ALLOC) : 0;
	state->reclaimed = own.reclaimed;
}

static bool
is_power_of_two(long number)
{
	return (number > 0 && (number & (number - 1)) == 0);
}

static const char *
create(const struct arena_setup *setup)
{
	vmem_size_t quantum = (vmem_size_t)setup->quantum;
	vmem_t *filled;

	own.arena = vmem_create("harness", 0, 0, quantum, 0, M_WAITOK);
	if (setup->reclaims)
		vmem_set_reclaim(own.arena, reclaim);
	if (setup->imports != 0) {
		own.source = vmem_create("harness source", 0, 0, quantum, 0, M_WAITOK);
		own.import_quantum = (vmem_size_t)setup->imports;
		vmem_set_import(own.arena, import_span, setup->releases ? release_span : NULL,
		    own.source, own.import_quantum);
	}
	filled = own.source != NULL ? own.source : own.arena;
	if (vmem_add(filled, (vmem_addr_t)setup->base, (vmem_size_t)setup->size, M_WAITOK) != 0)
		return ("no-memory");
	return (NULL);
}

const char *
arena_create(const struct arena_setup *setup, struct arena_state *state)
{
	const char *error;

	if (!is_power_of_two(setup->quantum) || setup->base < 0 || setup->size <= 0 ||
	    ((setup->base | setup->size) & (setup->quantum - 1)) != 0 ||
	    (setup->imports != 0 && (!is_power_of_two(setup->imports) ||
	    setup->imports < setup->quantum)))
		return ("not-an-arena");
	arena_discard();
	error = create(setup);
	if (error == NULL)
		look(state);
	return (error);
}

static vmem_size_t
number_or(long number, vmem_size_t otherwise)
{
	return (number < 0 ? otherwise : (vmem_size_t)number);
}

const char *
arena_alloc(const struct arena_request *request, struct arena_state *state)
{
	int flags = M_NOWAIT | fits[request->fit];
	struct piece *slot = &own.slots[request->slot];
	vmem_size_t size = (vmem_size_t)request->size;
	vmem_addr_t address = 0;
	bool free = request->align < 0 && request->phase < 0 && request->nocross < 0 &&
	    request->minaddr < 0 && request->maxaddr < 0;

	if (own.arena == NULL)
		return ("no-arena");
	if (slot->size != 0)
		return ("slot-in-use");
	own.reclaimed = 0;
	if (free)
		state->error = vmem_alloc(own.arena, size, flags, &address);
	else
		state->error = vmem_xalloc(own.arena, size, number_or(request->align, 0),
		    number_or(request->phase, 0), number_or(request->nocross, 0),
		    number_or(request->minaddr, VMEM_ADDR_MIN),
		    number_or(request->maxaddr, VMEM_ADDR_MAX), flags, &address);
	if (state->error == 0) {
		slot->address = state->address = address;
		slot->size = size;
	}
	look(state);
	return (NULL);
}

const char *
arena_free(long slot, struct arena_state *state)
{
	if (own.arena == NULL)
		return ("no-arena");
	own.reclaimed = 0;
	(void)free_slot(&own.slots[slot]);
	look(state);
	return (NULL);
}

const char *
arena_add(long base, long size, struct arena_state *state)
{
	if (own.arena == NULL)
		return ("no-arena");
	own.reclaimed = 0;
	state->error = vmem_add(own.arena, (vmem_addr_t)base, (vmem_size_t)size, M_NOWAIT);
	look(state);
	return (NULL);
}

const char *
arena_limit(long size, struct arena_state *state)
{
	if (own.arena == NULL)
		return ("no-arena");
	own.reclaimed = 0;
	vmem_set_limit(own.arena, (vmem_size_t)size);
	look(state);
	return (NULL);
}

/* Spans that were never released stay in the source, and are freed there. */
void
arena_discard(void)
{
	if (own.arena == NULL)
		return;
	for (int i = 0; i < ARENA_SLOTS; i++)
		(void)free_slot(&own.slots[i]);
	vmem_destroy(own.arena);
	for (int i = 0; i < ARENA_IMPORTS; i++)
		if (own.imports[i].size != 0)
			vmem_xfree(own.source, own.imports[i].address, own.imports[i].size);
	if (own.source != NULL)
		vmem_destroy(own.source);
	memset(&own, 0, sizeof(own));
}
