/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef IRQ_H
#define IRQ_H

void	irq_enable(int irq);	/* this one, and no other */
void	irq_wait(void);

#endif
