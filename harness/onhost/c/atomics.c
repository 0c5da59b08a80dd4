/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * What the tree's own hooks for sanitizers (sys/atomic_san.h, sys/systm.h) call
 * where a program is compiled for interleavings, or with KASAN: atomic(9) and
 * functions on memory, each a switch point.  One thread runs at a time, so that plain
 * operations are atomic.  Without the tree's headers, which name the functions
 * otherwise.
 */

#include "access.h"

#define NOW(p)	access_atomic(ACCESS(p, sizeof(*(p)), 1), ORDER_BOTH)
#define ADD(p)	access_add(ACCESS(p, sizeof(*(p)), 1))
#define LOADS(p, order)		access_atomic(ACCESS(p, sizeof(*(p)), 0), order)
#define STORES(p, order)	access_atomic(ACCESS(p, sizeof(*(p)), 1), order)

#define VOID_OP(op, suffix, type, before, expression)			\
void harness_atomic_##op##_##suffix(volatile type *p, type v)		\
{ before(p); expression; }						\
void harness_atomic_##op##_acq_##suffix(volatile type *p, type v)	\
{ before(p); expression; }						\
void harness_atomic_##op##_rel_##suffix(volatile type *p, type v)	\
{ before(p); expression; }

#define COMPARE(order, suffix, type)					\
int harness_atomic_cmpset_##order##suffix(volatile type *p, type old, type new)	\
{ NOW(p); return (*p == old ? (*p = new, 1) : 0); }			\
int harness_atomic_fcmpset_##order##suffix(volatile type *p, type *old, type new) \
{ NOW(p); return (*p == *old ? (*p = new, 1) : (*old = *p, 0)); }

#define BIT(p)	((unsigned long)1 << (bit % (sizeof(*(p)) * 8)))

#define TEST(order, suffix, type)					\
int harness_atomic_testandset_##order##suffix(volatile type *p, unsigned bit)	\
{ int was; NOW(p); was = (*p & BIT(p)) != 0; *p |= (type)BIT(p); return (was); } \
int harness_atomic_testandclear_##order##suffix(volatile type *p, unsigned bit)	\
{ int was; NOW(p); was = (*p & BIT(p)) != 0; *p &= (type)~BIT(p); return (was); }

#define LOAD_STORE(suffix, type)					\
type harness_atomic_load_##suffix(const volatile type *p)		\
{ LOADS(p, ORDER_NONE); return (*p); }					\
void harness_atomic_store_##suffix(volatile type *p, type v)		\
{ STORES(p, ORDER_NONE); *p = v; }

#define ATOMICS(suffix, type)						\
VOID_OP(add, suffix, type, ADD, *p += v)				\
VOID_OP(subtract, suffix, type, ADD, *p -= v)				\
VOID_OP(set, suffix, type, NOW, *p |= v)				\
VOID_OP(clear, suffix, type, NOW, *p &= (type)~v)			\
COMPARE(, suffix, type)							\
COMPARE(acq_, suffix, type)						\
COMPARE(rel_, suffix, type)						\
TEST(, suffix, type)							\
TEST(acq_, suffix, type)						\
LOAD_STORE(suffix, type)						\
type harness_atomic_load_acq_##suffix(const volatile type *p)		\
{ LOADS(p, ORDER_ACQUIRE); return (*p); }				\
void harness_atomic_store_rel_##suffix(volatile type *p, type v)	\
{ STORES(p, ORDER_RELEASE); *p = v; }					\
type harness_atomic_fetchadd_##suffix(volatile type *p, type v)		\
{ type was; NOW(p); was = *p; *p += v; return (was); }			\
type harness_atomic_swap_##suffix(volatile type *p, type v)		\
{ type was; NOW(p); was = *p; *p = v; return (was); }			\
type harness_atomic_readandclear_##suffix(volatile type *p)		\
{ type was; NOW(p); was = *p; *p = 0; return (was); }

ATOMICS(char, unsigned char)
ATOMICS(short, unsigned short)
ATOMICS(int, unsigned)
ATOMICS(long, unsigned long)
ATOMICS(ptr, unsigned long)
ATOMICS(8, unsigned char)
ATOMICS(16, unsigned short)
ATOMICS(32, unsigned)
ATOMICS(64, unsigned long)
LOAD_STORE(bool, _Bool)

#define FENCE(name, order)	void harness_atomic_##name(void) { access_fence(order); }

FENCE(thread_fence_acq, ORDER_ACQUIRE)
FENCE(thread_fence_rel, ORDER_RELEASE)
FENCE(thread_fence_acq_rel, ORDER_BOTH)
FENCE(thread_fence_seq_cst, ORDER_BOTH)

/* critical_enter() and critical_exit() have one each way. */
void
harness_atomic_interrupt_fence(void)
{
	access_interrupt_fence();
}

/* --- memory and strings ---------------------------------------------------- */

typedef __typeof(sizeof(0)) size;

void	*memset(void *, int, size);
void	*memcpy(void *, const void *, size);
void	*memmove(void *, const void *, size);
int	 memcmp(const void *, const void *, size);
char	*strcpy(char *, const char *);
int	 strcmp(const char *, const char *);
size	 strlen(const char *);

void *
harness_memset(void *to, int byte, size length)
{
	access_store(ACCESS(to, length, 1));
	return (memset(to, byte, length));
}

void *
harness_memcpy(void *to, const void *from, size length)
{
	access_also(ACCESS(from, length, 0));
	access_store(ACCESS(to, length, 1));
	return (memcpy(to, from, length));
}

void *
harness_memmove(void *to, const void *from, size length)
{
	access_also(ACCESS(from, length, 0));
	access_store(ACCESS(to, length, 1));
	return (memmove(to, from, length));
}

int
harness_memcmp(const void *one, const void *other, size length)
{
	access_load(ACCESS(one, length, 0));
	access_also(ACCESS(other, length, 0));
	return (memcmp(one, other, length));
}

char *
harness_strcpy(char *to, const char *from)
{
	return (strcpy(to, from));
}

int
harness_strcmp(const char *one, const char *other)
{
	return (strcmp(one, other));
}

size
harness_strlen(const char *text)
{
	return (strlen(text));
}
