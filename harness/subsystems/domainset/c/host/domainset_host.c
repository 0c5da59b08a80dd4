/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Iterators over domains as a host program: what they are made of. */

#include "kern.h"

#include <sys/cpuset.h>
#include <sys/domainset.h>
#include <sys/lock.h>
#include <sys/rwlock.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/vm_object.h>

/* domainset_create() has its zone from there; UMA has started. */
static void
start_domainsets(void)
{
	cpuset_thread0();
}
ON_START(start_domainsets);

/* The one object that pages are asked for. */
vm_object_t
vm_object_allocate(objtype_t type, vm_pindex_t size)
{
	vm_object_t object = host_arena(sizeof(*object));

	rw_init_flags(&object->lock, "vm object", RW_DUPOK | RW_NEW);
	object->type = type;
	object->size = size;
	return (object);
}

void
vm_object_clear_flag(vm_object_t object, u_short bits)
{
	object->flags &= ~bits;
}
