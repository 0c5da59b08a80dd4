/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Services that do nothing in this program.  The tree's headers are not included,
 * because prototypes differ between releases.
 */

#define ABSENT(name)	long name(void) { return (0); }

/* the kernel environment, sysctl(9), eventhandler(9), taskqueue(9) */
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

/* ddb(4) */
ABSENT(db_command_register)
ABSENT(db_command_unregister)

/* witness(4): locks.c keeps the owners */
ABSENT(lock_init)
ABSENT(lock_destroy)

/* unr(9): no more sets of CPUs are created */
ABSENT(new_unrhdr)

/* all memory is mapped, and never runs out of addresses */
ABSENT(_vm_map_lock)
ABSENT(_vm_map_unlock)
ABSENT(pmap_qremove)
ABSENT(vm_radix_reserve_kva)
