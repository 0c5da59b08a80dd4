/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* What the guest is, by the kernel's own counts. */

#include "check.h"

#include <sys/smp.h>
#include <sys/vmmeter.h>

#include <vm/vm.h>
#include <vm/vm_phys.h>

const char *
probe_guest(void)
{
	return ("freebsd");
}

int
probe_domains(void)
{
	return (vm_ndomains);
}

int
probe_cpus(void)
{
	return (mp_ncpus);
}
