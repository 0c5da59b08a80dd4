/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef VM_MAP_H
#define VM_MAP_H

void	vm_map_startup(void);
void	kmem_init(void);

#endif
