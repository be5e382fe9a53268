// SPDX-License-Identifier: MIT
/*
 * Codecs: one page made smaller, and back. Their working memory is metadata taken beforehand, since
 * they run in fault context; a few threads at a time compress, others wait their turn.
 */
#ifndef FL_SWAP_CODEC_H
#define FL_SWAP_CODEC_H

#include "base/types.h"

/* A page that does not come to this is kept as it is: what it saves of a frame, or of the disk's
 * time, is not worth the time to pack and unpack it (hash join, pages of 66 %: 1.5 times as long
 * with 3064 as with none compressed; doc/performance.md). */
#define CODEC_MAX_BYTES 2560u

struct codec {
	const char *name;

	/* Working memory of one thread: for both directions, or for none where that is 0. */
	size_t (*state_bytes)(void);

	/* @state: state_bytes, page-aligned. Return: bytes at @to (at most CODEC_MAX_BYTES), or 0:
	 * it does not come to so few. */
	uint32_t (*compress)(void *state, const void *page, void *to);

	/* Return: whether @from was a whole page, which is now at @page. Never writes beyond it,
	 * whatever @from is. */
	bool (*expand)(void *state, const void *from, uint32_t bytes, void *page);
	bool expand_needs_state;
};

/* @name: "lz4" or "zstd". Return: NULL if there is no such codec. */
const struct codec *codec_find(const char *name);

#endif
