/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Planted faults, by the tunable harness.plant or by command: each makes a kind of end that
 * a harness must recognise, in seconds and on any machine.
 */

#include "boot.h"
#include "cpu.h"
#include "keg.h"
#include "malloc_flags.h"
#include "numa.h"
#include "plant.h"
#include "pool.h"

#define PLANT_WORDS	5
#define PLANT_RESERVE	4

#define CPUID2_POPCNT	0x00800000	/* leaf 1, ECX */

struct plant {
	const char	*name;
	void		(*run)(void);
};

static struct uma_keg *
plant_zone(void)
{
	return (uma_zcreate("HARNESS PLANT", PLANT_WORDS * sizeof(uint64_t), 0));
}

/* Writes one word behind an item: only the sanitizer sees that. */
static __noinline void
plant_overflow(void)
{
	struct uma_keg *zone = plant_zone();
	volatile uint64_t *item = uma_zalloc(zone, M_WAITOK);

	for (int word = 0; word <= PLANT_WORDS; word++)
		item[word] = 0x5a5a5a5a5a5a5a5a;
	uma_zfree(zone, (void *)(uintptr_t)item);
}

/* Writes to an item that has been freed. */
static __noinline void
plant_use_after_free(void)
{
	struct uma_keg *zone = plant_zone();
	volatile uint64_t *item = uma_zalloc(zone, M_WAITOK);

	uma_zfree(zone, (void *)(uintptr_t)item);
	item[0] = 0x5a5a5a5a5a5a5a5a;
}

/*
 * M_WAITOK in a domain whose pages are all in use, which a sleep would free:
 * the second half of the commit.  Without it this never ends.
 */
static __noinline void
plant_short(void)
{
	struct uma_keg *zone = plant_zone();

	vm_page_exhaust_domain(0);
	uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
	printf("harness.plant=short: the allocation came through\n");
}

static uint32_t
take_all(struct uma_keg *zone, int flags)
{
	uint32_t items = 0;

	while (uma_zalloc(zone, flags) != NULL)
		items++;
	return (items);
}

/*
 * Takes every item of a zone with a slab in each domain, in turn without and
 * with leave to use the reserve: how far each reaches is plain to see.
 */
static __noinline void
plant_drain(void)
{
	struct uma_keg *zone = plant_zone();
	uint32_t without, with;

	uma_zone_reserve(zone, PLANT_RESERVE);
	uma_prealloc(zone, (uint32_t)vm_ndomains * zone->uk_ipers);
	without = take_all(zone, M_NOWAIT | M_NOVM);
	with = take_all(zone, M_NOWAIT | M_NOVM | M_USE_RESERVE);
	printf("harness.plant=drain: %u items, then %u by M_USE_RESERVE\n", without, with);
}

static __noinline void
plant_trap(void)
{
	*(volatile uint32_t *)0x30 = 1;
}

static __noinline void
plant_reset(void)
{
	cpu_triple_fault();
}

static __noinline void
plant_hang(void)
{
	cpu_halt();
}

/*
 * Faults of a machine whose CPU lacks an instruction that QEMU's have: the
 * same kernel with the same tunables has them on one machine only.
 */
static bool
cpu_has_popcnt(void)
{
	uint32_t registers[4];

	cpuid(1, registers);
	return ((registers[2] & CPUID2_POPCNT) != 0);
}

static __noinline void
plant_reset_without_popcnt(void)
{
	if (!cpu_has_popcnt())
		plant_reset();
}

static __noinline void
plant_hang_without_popcnt(void)
{
	if (!cpu_has_popcnt())
		plant_hang();
}

static __noinline void
plant_end(void)
{
	kern_poweroff();
}

/* What a console may hold besides: nothing of it means anything. */
static __noinline void
plant_noise(void)
{
	static const char raw[] = "\033[2J\033[01;01H\a\b\b\f half a line\r then \0 the rest"
	    "\xff\xfe\x80 not text\n";

	cnputs(raw, sizeof(raw) - 1);
	printf("@harness 0000 begin version=1 guest=embedded *00000000\n");
	printf("@harness 0001 end records=2 *deadbeef\n");
	printf("a driver that says panic in the middle of its line, and goes on\n");
	printf("lock order reversal: (no report)\nno newline before the next");
	printf("\n@harness 9999\n\n");
}

/* A sum that does not fit: only the sanitizer sees that, and goes on. */
static __noinline void
plant_sum(void)
{
	volatile int most = 0x7fffffff, one = 1;

	most = most + one;
}

/* The same, in the kernel with the commit only. */
static __noinline void
plant_sum_after(void)
{
	if (HARNESS_COMMIT)
		plant_sum();
}

static void
plant_flood(void)
{

	for (unsigned long line = 0;; line++)
		printf("flood: line %lu of a console that never ends\n", line);
}

static const struct plant plants[] = {
	{ "overflow", plant_overflow },
	{ "use-after-free", plant_use_after_free },
	{ "short", plant_short },
	{ "drain", plant_drain },
	{ "trap", plant_trap },
	{ "reset", plant_reset },
	{ "hang", plant_hang },
	{ "reset-without-popcnt", plant_reset_without_popcnt },
	{ "hang-without-popcnt", plant_hang_without_popcnt },
	{ "end", plant_end },
	{ "noise", plant_noise },
	{ "sum", plant_sum },
	{ "sum-after", plant_sum_after },
	{ "flood", plant_flood },
};

static const struct plant *
find_plant(const char *name)
{
	for (size_t i = 0; i < nitems(plants); i++)
		if (strcmp(plants[i].name, name) == 0)
			return (&plants[i]);
	return (NULL);
}

bool
plant(const char *name)
{
	const struct plant *found = find_plant(name);

	if (found == NULL)
		return (false);
	found->run();
	return (true);
}

void
plant_run(void)
{
	char name[32];
	const struct plant *found;

	if (!tunable_string("harness.plant", name, sizeof(name)))
		return;
	found = find_plant(name);
	if (found != NULL)
		found->run();
	else
		printf("harness.plant=%s: no such plant, ignored\n", name);
}
