// SPDX-License-Identifier: MIT
/*
 * Engines: how a fault reaches the pager. An engine opens the userfaultfd with the features it
 * needs and, where faults are delivered by messages, runs the threads that read them. It calls up
 * through the sink given to it; the SIGBUS and SIGSEGV handlers of the preload library are the
 * other way in, for every engine.
 */
#ifndef FL_FAULT_ENGINE_H
#define FL_FAULT_ENGINE_H

#include "base/types.h"

struct engine_sink {
	/* Serve the fault at @addr; @is_absent: the page was not there, else it is protected.
	 * Return: 0 (the access may be retried), or -errno: the page cannot be had (the engine
	 * makes the thread see SIGBUS). Context: fault. */
	int (*fault)(uintptr_t addr, bool is_write, bool is_absent);
};

struct engine_ops {
	const char *name;
	/* Open a userfaultfd. Return: the fd, close-on-exec and high, or -errno. Context: fault. */
	int (*open)(void);
	/* Start what delivers faults; at fork the child does both again. Return: 0 or -errno. */
	int (*start)(int uffd, const struct engine_sink *sink);
};

/* Return: the engine called @name, or NULL. */
const struct engine_ops *engine_find(const char *name);

/* Open a userfaultfd and shake hands for @features. @kernel_faults: also serve faults of system
 * calls if privilege allows. Return: fd or -errno. For engines. */
int engine_open_uffd(uint64_t features, bool kernel_faults);

/* The thread whose fault the calling thread serves, or 0: its own. Context: fault. */
uint32_t engine_faulting_thread(void);

/* Whether the faulting thread has faulted again since: its sleep was cut short, and another of the
 * engine's threads has the newer message. Then nobody touches the page now. Context: fault. */
bool engine_is_stale(void);

/*
 * The calling thread is about to sleep on I/O: an engine whose threads read messages lets another
 * one read meanwhile. Harmless in other threads. Context: fault.
 */
void engine_will_block(void);

/* Whether none of the engine's threads serves a fault now. Context: any. */
bool engine_is_idle(void);

#endif
