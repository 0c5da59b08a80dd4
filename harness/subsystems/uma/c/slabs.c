/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The zone's own slab allocator (uma_zone_set_allocf()): memory of exactly the
 * domain that it is asked for, unless that domain is to be refused.  Calls are
 * logged (zone_trace.c).  So that an operation that tries again for ever comes to
 * an end, the allocator gives in at some call.
 */

#include "zone.h"

#include <sys/domainset.h>
#include <sys/malloc.h>
#include <sys/vmmeter.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/vm_domainset.h>
#include <vm/vm_extern.h>
#include <vm/vm_page.h>
#include <vm/vm_phys.h>
#include <vm/uma_int.h>

#define SLABS_MAX	2048

/* FreeBSD 14 turned addresses of kmem_malloc() and kmem_free() into pointers. */
typedef __typeof(kmem_malloc(0, 0)) kmem_address;

struct slab {
	char		*memory;	/* NULL: this place is free */
	vm_size_t	 bytes;
	unsigned	 number;
};

static struct slab slabs[SLABS_MAX];
static unsigned slabs_used;	/* no place behind this one is taken */
static unsigned slabs_made;

/* A new zone: what belonged to the one before is forgotten. */
void
slabs_reset(void)
{
	memset(slabs, 0, sizeof(slabs));
	slabs_used = slabs_made = 0;
}

void *
slabs_alloc(uma_zone_t zone __unused, vm_size_t bytes, int domain, uint8_t *pflag,
    int wait __unused)
{
	unsigned place = 0;

	if (!trace_asks(domain))
		return (NULL);
	while (place < slabs_used && slabs[place].memory != NULL)
		place++;
	if (place == SLABS_MAX)
		return (NULL);
	*pflag = UMA_SLAB_PRIV;
	slabs[place].memory = (char *)kmem_malloc_domainset(DOMAINSET_FIXED(domain), bytes,
	    M_NOWAIT | M_ZERO);
	if (slabs[place].memory == NULL)
		return (NULL);
	slabs[place].bytes = bytes;
	slabs[place].number = slabs_made++;
	slabs_used = MAX(slabs_used, place + 1);
	return (slabs[place].memory);
}

void
slabs_free(void *memory, vm_size_t bytes, uint8_t pflag __unused)
{
	for (unsigned place = 0; place < slabs_used; place++)
		if (slabs[place].memory == memory)
			slabs[place].memory = NULL;
	kmem_free((kmem_address)memory, bytes);
}

/* The slab that an item is in, and where in it. */
const char *
slabs_find(const void *item, unsigned *number, size_t *offset)
{
	for (unsigned place = 0; place < slabs_used; place++) {
		const struct slab *slab = &slabs[place];

		if (slab->memory != NULL && (const char *)item >= slab->memory &&
		    (const char *)item < slab->memory + slab->bytes) {
			*number = slab->number;
			*offset = (size_t)((const char *)item - slab->memory);
			return (NULL);
		}
	}
	return ("item-of-no-slab");
}
