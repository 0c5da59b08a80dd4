/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef HOSTSIDE_H
#define HOSTSIDE_H

/*
 * The interface between the two halves of the program.  The kernel half and the
 * tree's files are compiled with the tree's headers, the host half (hostside.c)
 * with the host's.  Both see only the symbols below: all others of the kernel half
 * are made local, so that its malloc() and printf() do not replace the C library's.
 * Plain C types only.
 */

/* host half */
void	*host_memory(unsigned long size, unsigned long alignment);	/* zeroed */
void	 host_release(void *memory);
void	*host_arena(unsigned long size);	/* zeroed; a page takes memory once it is written */
void	 host_reserve(void *place, unsigned long size);	/* the same at this address */
void	 host_set_cpu(void *base);
void	 host_send(const char *text, unsigned long length);	/* to the harness */
void	 host_note(const char *text, unsigned long length);	/* unchanged; may be part of a line */
void	 host_log(const char *text);
int	 host_format(char *buffer, unsigned long size, const char *format, void *arguments);
void	 host_end(const char *kind, const char *text) __attribute__((noreturn));

/* kernel half */
void	 kern_start(int cpus, const int *domain_of_cpu, int domains, unsigned empty);
void	 kern_take(const char *text, unsigned long length);	/* from the harness */
void	 kern_quiet(unsigned long place);	/* accesses there are no races */

/* An undefined symbol: any access to it ends the program. */
struct trap {
	const char	*name;
	const void	*place;		/* the first of TRAP_SIZE inaccessible bytes */
};
#define TRAP_SIZE	4096

extern const struct trap traps[];	/* the last one has no name */

#endif
