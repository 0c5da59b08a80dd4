/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Physical memory: an arena, divided equally among the domains.  The offset in the
 * arena is the physical address, and all of it is always mapped.  Allocations only
 * fail in domains that a trace has exhausted.
 */

#include "kern.h"

#include <sys/domainset.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/pcpu.h>
#include <sys/vmmeter.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/pmap.h>
#include <vm/vm_domainset.h>
#include <vm/vm_object.h>
#include <vm/vm_page.h>
#include <vm/vm_phys.h>
#include <vm/vm_pagequeue.h>
#include <vm/vm_map.h>
#include <vm/vm_kern.h>
#include <vm/vm_extern.h>
#include <vm/vm_dumpset.h>
#include <vm/uma.h>
#include <vm/uma_int.h>

#include "races.h"
#include "shadow.h"

#define DOMAIN_SIZE	(128UL << 20)
#define DOMAIN_PAGES	(DOMAIN_SIZE / PAGE_SIZE)
#define MAPPED_PAGES	(1 << 16)
#define SEGMENTS	64	/* most free runs of several pages */

struct vm_domain vm_dom[MAXMEMDOM];
struct mem_affinity *mem_affinity;
int vm_ndomains = 1;
domainset_t all_domains;
__typeof(dump_avail) dump_avail;
__typeof(vm_page_dump) vm_page_dump;
struct vm_map kernel_map_store;
struct pmap kernel_pmap_store;
struct vm_object kernel_object_store;
#if __FreeBSD_version >= 1500000
vm_paddr_t dmaplimit;
struct kva_layout_s kva_layout;
#endif
struct proc *pageproc = (struct proc *)PAGE_SIZE;	/* differs from every thread's */

static char *arena;
static struct vm_page *pages;
static unsigned page_count;

/* A domain's free memory: freed pages, and pages that were never allocated. */
static struct {
	unsigned	 used;		/* pages below this one were allocated before */
	unsigned	 free_count;
	unsigned	*free_page;
	struct {
		unsigned	first, count;
	}		 segment[SEGMENTS];
	unsigned	 segments;
} free_memory[MAXMEMDOM];

static bool
segment_of(int domain, unsigned count, unsigned *first)
{
	for (unsigned i = 0; i < free_memory[domain].segments; i++)
		if (free_memory[domain].segment[i].count == count) {
			*first = free_memory[domain].segment[i].first;
			free_memory[domain].segment[i] =
			    free_memory[domain].segment[--free_memory[domain].segments];
			return (true);
		}
	return (false);
}

static bool exhausted[MAXMEMDOM];
static long pages_used;

/* The kernel's locks of free pages and of its address space order what is done with them. */
static char order __unused;

long
memory_pages_used(void)
{
	return (pages_used);
}

void
memory_exhaust(int domain, bool is_exhausted)
{
	exhausted[domain] = is_exhausted;
	if (!is_exhausted)
		wakeup(exhausted);
}

/* Whether a domain has pages; who may wait does until it has (vm_wait_domain()). */
static bool
memory_is_there(int domain, bool waits)
{
	while (exhausted[domain]) {
		if (!waits)
			return (false);
		_sleep(exhausted, NULL, PVM, "vmwait", 0, 0, 0);
	}
	return (true);
}

static void *
memory_get(int domain, unsigned count, bool waits)
{
	unsigned first;

	if (domain < 0 || domain >= vm_ndomains)
		kern_end(END_PANIC, "memory of domain %d of %d", domain, vm_ndomains);
	cpus_gap();
	if (VM_DOMAIN_EMPTY(domain) || !memory_is_there(domain, waits))
		return (NULL);
	if (count == 1 && free_memory[domain].free_count > 0)
		first = free_memory[domain].free_page[--free_memory[domain].free_count];
	else if (count == 1 || !segment_of(domain, count, &first)) {
		if (free_memory[domain].used + count > DOMAIN_PAGES)
			kern_end(END_EXHAUSTED, "domain %d has no more than %lu pages here",
			    domain, DOMAIN_PAGES);
		first = (unsigned)(domain * DOMAIN_PAGES) + free_memory[domain].used;
		free_memory[domain].used += count;
	}
	pages_used += count;
	races_acquire(&order);
	shadow_valid(arena + (size_t)first * PAGE_SIZE, (size_t)count * PAGE_SIZE);
	return (arena + (size_t)first * PAGE_SIZE);
}

static void
memory_put(void *memory, unsigned count)
{
	size_t offset = (size_t)((char *)memory - arena);
	unsigned first = (unsigned)(offset / PAGE_SIZE);
	int domain = (int)(offset / DOMAIN_SIZE);

	if ((char *)memory < arena || first + count > page_count)
		kern_end(END_PANIC, "a freed address is outside of memory");
	pages_used -= count;
	races_release(&order);
	shadow_freed(memory, (size_t)count * PAGE_SIZE);
	if (count > 1 && free_memory[domain].segments < SEGMENTS) {
		free_memory[domain].segment[free_memory[domain].segments].first = first;
		free_memory[domain].segment[free_memory[domain].segments++].count = count;
		return;
	}
	for (unsigned page = first; page < first + count; page++) {
		if (free_memory[domain].free_count == DOMAIN_PAGES)
			kern_end(END_PANIC, "more pages were freed than exist");
		free_memory[domain].free_page[free_memory[domain].free_count++] = page;
	}
}

static void *
zeroed(void *memory, size_t bytes, bool zero)
{
	if (memory != NULL && zero)
		memset(memory, 0, bytes);
	return (memory);
}

/* --- addresses ------------------------------------------------------------- */

/*
 * Addresses at which pages are mapped have memory of their own, as a mapped page is
 * not used at its other address meanwhile.  Only the page of each is recorded.
 */
static char *mapped;
static vm_paddr_t page_mapped[MAPPED_PAGES];
static struct {
	unsigned	first, count;
} mapped_free[SEGMENTS];
static unsigned mapped_used, mapped_free_count;
static unsigned mapped_size[MAPPED_PAGES];	/* in pages, at the first one of a range */

static unsigned
mapped_page(vm_offset_t va)
{
	return ((unsigned)((va - (vm_offset_t)mapped) / PAGE_SIZE));
}

vm_paddr_t
pmap_kextract(vm_offset_t va)
{
	if (va >= (vm_offset_t)mapped && mapped_page(va) < MAPPED_PAGES)
		return (page_mapped[mapped_page(va)] + va % PAGE_SIZE);
	return (va - (vm_offset_t)arena);
}

vm_offset_t
kva_alloc(vm_size_t size)
{
	unsigned count = (unsigned)howmany(size, PAGE_SIZE), first = mapped_used;

	races_acquire(&order);
	for (unsigned i = 0; i < mapped_free_count; i++)
		if (mapped_free[i].count == count) {
			first = mapped_free[i].first;
			mapped_free[i] = mapped_free[--mapped_free_count];
			mapped_size[first] = count;
			return (((vm_offset_t)mapped + (size_t)first * PAGE_SIZE));
		}
	if (mapped_used + count > MAPPED_PAGES)
		kern_end(END_EXHAUSTED, "no more than %d pages can be mapped", MAPPED_PAGES);
	mapped_used += count;
	mapped_size[first] = count;
	return (((vm_offset_t)mapped + (size_t)first * PAGE_SIZE));
}

void
kva_free(vm_offset_t address, vm_size_t size)
{
	unsigned first = mapped_page((vm_offset_t)address);

	if (first >= MAPPED_PAGES || mapped_size[first] != howmany(size, PAGE_SIZE))
		kern_end(END_PANIC, "kva_free: %lu bytes that were not allocated as such",
		    (unsigned long)size);
	mapped_size[first] = 0;
	races_release(&order);
	shadow_freed((void *)address, round_page(size));
	if (mapped_free_count == SEGMENTS)
		return;		/* these addresses are lost */
	mapped_free[mapped_free_count].first = first;
	mapped_free[mapped_free_count++].count = (unsigned)howmany(size, PAGE_SIZE);
}

/* --- pages ---------------------------------------------------------------- */

vm_page_t
PHYS_TO_VM_PAGE(vm_paddr_t pa)
{
	if (pa >= (vm_paddr_t)page_count * PAGE_SIZE)
		kern_end(END_PANIC, "an address that is not of the kernel's memory");
	/* Set on first use: setting all at the start would take memory in each copy. */
	pages[pa / PAGE_SIZE].phys_addr = trunc_page(pa);
	return (&pages[pa / PAGE_SIZE]);
}

static vm_page_t
page_of(void *memory)
{
	return (memory == NULL ? NULL : PHYS_TO_VM_PAGE(pmap_kextract((vm_offset_t)memory)));
}

vm_page_t
vm_page_alloc_noobj_domain(int domain, int req)
{
	return (page_of(zeroed(memory_get(domain, 1, (req & VM_ALLOC_WAITOK) != 0), PAGE_SIZE,
	    (req & VM_ALLOC_ZERO) != 0)));
}

/* As vm_domainset.c's iterator without an object: the CPU's domain first, the last is waited for. */
vm_page_t
vm_page_alloc_noobj(int req)
{
	int domain = PCPU_GET(domain), ready = req & ~VM_ALLOC_WAITOK;
	vm_page_t page = NULL;

	for (int i = 0; i < vm_ndomains && page == NULL; i++)
		page = vm_page_alloc_noobj_domain((domain + i) % vm_ndomains, ready);
	if (page == NULL && (req & VM_ALLOC_WAITOK) != 0)
		for (int i = 0; i < vm_ndomains && page == NULL; i++)
			page = vm_page_alloc_noobj_domain((domain + i) % vm_ndomains, req);
	return (page);
}

vm_page_t
vm_page_alloc_noobj_contig_domain(int domain, int req, u_long count, vm_paddr_t low,
    vm_paddr_t high, u_long alignment, vm_paddr_t boundary, vm_memattr_t memattr)
{
	(void)low, (void)high, (void)alignment, (void)boundary, (void)memattr;
	return (page_of(zeroed(memory_get(domain, (unsigned)count, (req & VM_ALLOC_WAITOK) != 0),
	    count * PAGE_SIZE, (req & VM_ALLOC_ZERO) != 0)));
}

bool
vm_page_unwire_noq(vm_page_t page)
{
	(void)page;
	return (true);
}

void
vm_page_free(vm_page_t page)
{
	memory_put(arena + VM_PAGE_TO_PHYS(page), 1);
}

vm_offset_t
pmap_map(vm_offset_t *virt, vm_paddr_t start, vm_paddr_t end, int prot)
{
	(void)virt, (void)end, (void)prot;
	return ((vm_offset_t)arena + start);
}

void
pmap_qenter(vm_offset_t va, vm_page_t *page, int count)
{
	for (int i = 0; i < count; i++) {
		page_mapped[mapped_page((vm_offset_t)va) + i] = VM_PAGE_TO_PHYS(page[i]);
		shadow_valid((char *)va + (size_t)i * PAGE_SIZE, PAGE_SIZE);
		memset((char *)va + (size_t)i * PAGE_SIZE, 0, PAGE_SIZE);
	}
}

/* --- for the kernel's own slab allocators --------------------------------- */

#if __FreeBSD_version < 1500000
void *
uma_small_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *flags, int wait)
{
	(void)zone;
	*flags = UMA_SLAB_PRIV;
	return (zeroed(memory_get(domain, 1, (wait & M_WAITOK) != 0), bytes, (wait & M_ZERO) != 0));
}

void
uma_small_free(void *memory, vm_size_t bytes, uint8_t flags)
{
	(void)bytes, (void)flags;
	memory_put(memory, 1);
}
#endif

typedef __typeof(kmem_malloc(0, 0)) kmem_address;	/* a pointer since 14.0 */

kmem_address
kmem_malloc_domainset(struct domainset *ds, vm_size_t size, int flags)
{
	unsigned count = (unsigned)howmany(size, PAGE_SIZE);
	void *memory = NULL;

	/* The last of them is waited for. */
	for (int i = 0; i < ds->ds_cnt && memory == NULL; i++)
		memory = memory_get(ds->ds_order[i], count,
		    (flags & M_WAITOK) != 0 && i + 1 == ds->ds_cnt);
	return ((kmem_address)zeroed(memory, size, (flags & M_ZERO) != 0));
}

kmem_address
kmem_malloc(vm_size_t size, int flags)
{
	return (kmem_malloc_domainset(DOMAINSET_RR(), size, flags));
}

kmem_address
kmem_alloc_contig_domainset(struct domainset *ds, vm_size_t size, int flags, vm_paddr_t low,
    vm_paddr_t high, u_long alignment, vm_paddr_t boundary, vm_memattr_t memattr)
{
	(void)low, (void)high, (void)alignment, (void)boundary, (void)memattr;
	return (kmem_malloc_domainset(ds, size, flags));
}

void
kmem_free(kmem_address address, vm_size_t size)
{
	memory_put((void *)address, (unsigned)howmany(size, PAGE_SIZE));
}

/* --- start ---------------------------------------------------------------- */

void
memory_start(int domains, unsigned empty)
{
	page_count = (unsigned)(domains * DOMAIN_PAGES);
	arena = host_arena((size_t)page_count * PAGE_SIZE);
	pages = host_arena((size_t)page_count * sizeof(*pages));
	mapped = host_arena((size_t)MAPPED_PAGES * PAGE_SIZE);
	mem_affinity = host_memory((size_t)(domains + 1) * sizeof(*mem_affinity), 64);
	vm_page_dump = host_memory(page_count / NBBY + 64, 64);
	vm_ndomains = domains;
	dump_avail[1] = (vm_paddr_t)page_count * PAGE_SIZE;
	for (int domain = 0; domain < domains; domain++) {
		struct vm_domain *vmd = &vm_dom[domain];

		DOMAINSET_SET(domain, &all_domains);
		mem_affinity[domain].start = domain * DOMAIN_SIZE;
		mem_affinity[domain].end = (domain + 1) * DOMAIN_SIZE - 1;
		mem_affinity[domain].domain = domain;
		free_memory[domain].free_page =
		    host_arena(DOMAIN_PAGES * sizeof(unsigned));
		vmd->vmd_domain = domain;
		vmd->vmd_page_count = (empty >> domain & 1) != 0 ? 0 : DOMAIN_PAGES;
		vmd->vmd_free_count = vmd->vmd_page_count;
		vmd->vmd_free_mtx.mtx_lock = MTX_UNOWNED;
	}
#if __FreeBSD_version >= 1500000
	kva_layout.dmap_low = (vm_offset_t)arena;
	kva_layout.dmap_high = (vm_offset_t)arena + (vm_offset_t)page_count * PAGE_SIZE;
	dmaplimit = (vm_paddr_t)page_count * PAGE_SIZE;
#endif
}
