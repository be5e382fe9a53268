// SPDX-License-Identifier: MIT
/* The ring of faults; see trace_ring.h. */
#include "telemetry/trace_ring.h"

#define LATENCY_MAX UINT32_MAX

void trace_ring_put(struct fl_trace_ring *ring, const struct trace_event *e)
{
	uint64_t at = atomic_load_explicit(&ring->head, memory_order_relaxed);

	do {
		/* Pairs with trace_ring_take(): what it has taken may be written over. */
		if (at - atomic_load_explicit(&ring->tail, memory_order_acquire) >=
		    FL_TRACE_SLOTS) {
			atomic_fetch_add_explicit(&ring->nr_lost, 1, memory_order_relaxed);
			return;
		}
	} while (!atomic_compare_exchange_weak_explicit(
	    &ring->head, &at, at + 1, memory_order_relaxed, memory_order_relaxed));
	struct fl_trace_slot *slot = &ring->slot[at % FL_TRACE_SLOTS];
	slot->time_ns = e->time_ns;
	slot->page = e->page << 4 | (uint64_t)e->kind << 1 | e->is_write;
	slot->thread = e->thread;
	slot->latency_ns = (uint32_t)MIN(e->latency_ns, LATENCY_MAX);
	/* Pairs with trace_ring_take(). */
	atomic_store_explicit(&slot->seq, at + 1, memory_order_release);
}

bool trace_ring_take(struct fl_trace_ring *ring, bool is_over, struct trace_event *ret)
{
	for (;;) {
		uint64_t at = atomic_load_explicit(&ring->tail, memory_order_relaxed);
		struct fl_trace_slot *slot = &ring->slot[at % FL_TRACE_SLOTS];

		if (at == atomic_load_explicit(&ring->head, memory_order_relaxed))
			return false;
		bool is_whole = atomic_load_explicit(&slot->seq, memory_order_acquire) == at + 1;
		if (!is_whole && !is_over)
			return false;
		*ret = (struct trace_event){
		    .time_ns = slot->time_ns,
		    .page = slot->page >> 4,
		    .latency_ns = slot->latency_ns,
		    .thread = slot->thread,
		    .kind = slot->page >> 1 & 7,
		    .is_write = slot->page & 1,
		};
		if (!is_whole)
			atomic_fetch_add_explicit(&ring->nr_lost, 1, memory_order_relaxed);
		atomic_store_explicit(&ring->tail, at + 1, memory_order_release);
		if (is_whole)
			return true;
	}
}
