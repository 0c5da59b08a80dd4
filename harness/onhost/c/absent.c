/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Services that have nothing to do here, by name alone: without the tree's
 * headers, so that no release's prototype disagrees.
 */

#define ABSENT(name)	long name(void) { return (0); }

/* boot(9)'s environment, sysctl(9), eventhandler(9), taskqueue(9): nobody is there */
ABSENT(getenv_int)
ABSENT(tunable_int_init)
ABSENT(tunable_bool_init)
ABSENT(tunable_str_init)
ABSENT(malloc_init)
ABSENT(malloc_uninit)
ABSENT(sysctl_remove_oid)
ABSENT(sysctl_ctx_init)
ABSENT(eventhandler_register)
ABSENT(taskqueue_enqueue_timeout)
ABSENT(ratecheck)

/* ddb(4): nobody looks */
ABSENT(db_command_register)
ABSENT(db_command_unregister)

/* locks are what their words say */
ABSENT(lock_init)
ABSENT(lock_destroy)

/* numbers for sets of CPUs, of which there are no more */
ABSENT(new_unrhdr)

/* all memory is mapped, and its addresses are never short */
ABSENT(_vm_map_lock)
ABSENT(_vm_map_unlock)
ABSENT(pmap_qremove)
ABSENT(vm_radix_reserve_kva)
