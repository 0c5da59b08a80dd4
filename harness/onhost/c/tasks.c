/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Tasks of taskqueue(9): queued until somebody has them run, as no thread does. */

#include "kern.h"

#include <sys/queue.h>
#include <sys/taskqueue.h>

static STAILQ_HEAD(, task) queued = STAILQ_HEAD_INITIALIZER(queued);

int
taskqueue_enqueue(struct taskqueue *queue, struct task *task)
{
	(void)queue;
	if (task->ta_pending++ == 0)
		STAILQ_INSERT_TAIL(&queued, task, ta_link);
	return (0);
}

/* By its address alone: the memory that it lay in may be another's. */
bool
task_is_queued(const struct task *task)
{
	const struct task *each;

	STAILQ_FOREACH(each, &queued, ta_link)
		if (each == task)
			return (true);
	return (false);
}

void
run_tasks(void)
{
	struct task *task;

	while ((task = STAILQ_FIRST(&queued)) != NULL) {
		int pending = task->ta_pending;

		STAILQ_REMOVE_HEAD(&queued, ta_link);
		task->ta_pending = 0;
		task->ta_func(task->ta_context, pending);
	}
}
