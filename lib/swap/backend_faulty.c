// SPDX-License-Identifier: MIT
/*
 * A backend for tests that passes everything on to another one, and fails where it is told to:
 * one transfer with an error of choice, or one bit of one page read. Not part of the product.
 */
#include <stdatomic.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "swap/backend.h"

enum armed {
	ARMED_NOT,
	ARMED_ERROR,
	ARMED_FLIP,
};

struct faulty {
	struct swap_backend base;
	struct swap_backend *inner; /* [const] */
	_Atomic uint32_t armed;     /* enum armed */
	_Atomic int64_t countdown;  /* transfers (pages read) to go until the one that fails */
	int error;                  /* [const while armed] */
};

static struct faulty *faulty_of(struct swap_backend *b)
{
	return container_of(b, struct faulty, base);
}

/* Return: whether it is among these @nr; *ret_which then says which. */
static bool fires(struct faulty *f, enum armed what, uint32_t nr, uint32_t *ret_which)
{
	if (atomic_load(&f->armed) != what)
		return false;
	int64_t before = atomic_fetch_sub(&f->countdown, nr);
	if (before < 0 || before >= nr)
		return false;
	atomic_store(&f->armed, ARMED_NOT);
	*ret_which = (uint32_t)before;
	return true;
}

static void flip_maybe(struct faulty *f, struct swap_io *io)
{
	for (uint32_t i = 0; i < io->nr_iov; i++) {
		uint32_t nr = (uint32_t)(io->iov[i].iov_len >> PAGE_SHIFT), which;

		if (fires(f, ARMED_FLIP, nr, &which))
			((uint8_t *)io->iov[i].iov_base)[which * PAGE_BYTES + 1234] ^= 0x10;
	}
}

static int faulty_transfer(struct swap_backend *b, struct swap_io *ios, uint32_t nr)
{
	struct faulty *f = faulty_of(b);
	int err = 0;
	uint32_t which;

	for (uint32_t i = 0; i < nr; i++) {
		if (fires(f, ARMED_ERROR, 1, &which)) {
			ios[i].result = f->error;
		} else {
			struct swap_io io = ios[i];

			io.done = NULL;
			f->inner->ops->transfer(f->inner, &io, 1);
			ios[i].result = io.result;
			if (!io.result && !io.is_write)
				flip_maybe(f, &io);
		}
		if (!err)
			err = ios[i].result;
		if (ios[i].done)
			ios[i].done(&ios[i]);
	}
	return err;
}

static int64_t faulty_grow(struct swap_backend *b, uint32_t nr_slots)
{
	struct faulty *f = faulty_of(b);

	return f->inner->ops->grow(f->inner, nr_slots);
}

static void faulty_close(struct swap_backend *b)
{
	struct faulty *f = faulty_of(b);

	f->inner->ops->close(f->inner);
	meta_unmap(f, PAGE_BYTES);
}

static void faulty_fork_child(struct swap_backend *b)
{
	struct faulty *f = faulty_of(b);

	f->inner->ops->fork_child(f->inner);
}

static bool faulty_owns_fd(struct swap_backend *b, int fd)
{
	struct faulty *f = faulty_of(b);

	return f->inner->ops->owns_fd(f->inner, fd);
}

static const struct swap_backend_ops faulty_ops = {
    .name = "faulty",
    .transfer = faulty_transfer,
    .grow = faulty_grow,
    .close = faulty_close,
    .fork_child = faulty_fork_child,
    .owns_fd = faulty_owns_fd,
};

struct swap_backend *backend_faulty_open(struct swap_backend *inner)
{
	struct faulty *f = meta_map(PAGE_BYTES);

	if (!f)
		return NULL;
	f->base.ops = &faulty_ops;
	f->inner = inner;
	return &f->base;
}

void backend_faulty_arm(struct swap_backend *b, uint32_t nth, int error)
{
	struct faulty *f = faulty_of(b);

	ensure(f->base.ops == &faulty_ops);
	f->error = error;
	atomic_store(&f->countdown, nth);
	atomic_store(&f->armed, error ? ARMED_ERROR : ARMED_FLIP);
}

bool backend_faulty_fired(struct swap_backend *b)
{
	return atomic_load(&faulty_of(b)->armed) == ARMED_NOT;
}
