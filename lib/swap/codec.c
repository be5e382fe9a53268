// SPDX-License-Identifier: MIT
/* LZ4 and zstd as codecs; see codec.h. Neither allocates: both get their state from us. */
#define ZSTD_STATIC_LINKING_ONLY
#include "swap/codec.h"

#include <lz4.h>
#include <string.h>
#include <zstd.h>

/* Level 1 of zstd makes pages of text and numbers a fifth smaller than LZ4 does, at four times the
 * time; higher levels gain little on 4 KiB. */
#define ZSTD_PAGE_LEVEL 1

static size_t lz4_state_bytes(void)
{
	return (size_t)LZ4_sizeofState();
}

static uint32_t lz4_compress(void *state, const void *page, void *to)
{
	int n = LZ4_compress_fast_extState(state, page, to, (int)PAGE_BYTES, CODEC_MAX_BYTES, 1);

	return n > 0 ? (uint32_t)n : 0;
}

static bool lz4_expand(void *state, const void *from, uint32_t bytes, void *page)
{
	(void)state;
	return LZ4_decompress_safe(from, page, (int)bytes, (int)PAGE_BYTES) == (int)PAGE_BYTES;
}

static size_t zstd_compress_bytes(void)
{
	ZSTD_compressionParameters p = ZSTD_getCParams(ZSTD_PAGE_LEVEL, PAGE_BYTES, 0);

	return page_round_up(ZSTD_estimateCCtxSize_usingCParams(p));
}

static size_t zstd_state_bytes(void)
{
	return zstd_compress_bytes() + ZSTD_estimateDCtxSize();
}

static uint32_t zstd_compress(void *state, const void *page, void *to)
{
	ZSTD_CCtx *ctx = ZSTD_initStaticCCtx(state, zstd_compress_bytes());

	if (!ctx)
		return 0;
	size_t n = ZSTD_compressCCtx(ctx, to, CODEC_MAX_BYTES, page, PAGE_BYTES, ZSTD_PAGE_LEVEL);
	return ZSTD_isError(n) ? 0 : (uint32_t)n;
}

static bool zstd_expand(void *state, const void *from, uint32_t bytes, void *page)
{
	ZSTD_DCtx *ctx =
	    ZSTD_initStaticDCtx((char *)state + zstd_compress_bytes(), ZSTD_estimateDCtxSize());

	return ctx && ZSTD_decompressDCtx(ctx, page, PAGE_BYTES, from, bytes) == PAGE_BYTES;
}

static const struct codec codecs[] = {
    {
        .name = "lz4",
        .state_bytes = lz4_state_bytes,
        .compress = lz4_compress,
        .expand = lz4_expand,
    },
    {
        .name = "zstd",
        .state_bytes = zstd_state_bytes,
        .compress = zstd_compress,
        .expand = zstd_expand,
        .expand_needs_state = true,
    },
};

const struct codec *codec_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++)
		if (!strcmp(codecs[i].name, name))
			return &codecs[i];
	return NULL;
}
