// SPDX-License-Identifier: MIT
/*
 * Trapped ioctls. Most requests carry the size of what they point to; the older ones are listed.
 * What is neither is passed on as it is. Pointers inside the structure are looked at for
 * SIOCGIFCONF only.
 */
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/hdreg.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "preload/guard.h"

#define MAX_BYTES ((size_t)1 << 20)
/* Behind the structure, for requests that write more than they say. */
#define SLACK_BYTES PAGE_BYTES

struct legacy {
	uint32_t first, last; /* requests */
	uint16_t size;
};

static const struct legacy legacy[] = {
    {TCGETS, TCSETSF, 36}, /* the kernel's struct termios */
    {TCGETA, TCSETAF, 18}, /* struct termio */
    {TIOCGPGRP, TIOCOUTQ, 4}, {TIOCSTI, TIOCSTI, 1}, {TIOCGWINSZ, TIOCSWINSZ, 8},
    {TIOCMGET, TIOCSSOFTCAR, 4}, {FIONREAD, FIONREAD, 4}, {TIOCGSERIAL, TIOCSSERIAL, 72},
    {TIOCPKT, FIONBIO, 4}, {TIOCSETD, TIOCGETD, 4}, {TIOCGSID, TIOCGSID, 4},
    {FIOASYNC, FIOASYNC, 4}, {FIOQSIZE, FIOQSIZE, 8}, {FIBMAP, FIGETBSZ, 4},
    {BLKROSET, BLKROGET, 4}, {BLKGETSIZE, BLKGETSIZE, 8}, {BLKRAGET, BLKRAGET, 8},
    {BLKSSZGET, BLKSSZGET, 4}, {BLKIOMIN, BLKALIGNOFF, 4}, {BLKPBSZGET, BLKPBSZGET, 4},
    {BLKDISCARD, BLKDISCARD, 16}, {BLKROTATIONAL, BLKROTATIONAL, 2}, {BLKZEROOUT, BLKZEROOUT, 16},
    {HDIO_GETGEO, HDIO_GETGEO, 16}, {0x8901, 0x8905, 4},  /* FIOSETOWN .. SIOCATMARK */
    {0x8906, 0x8907, 16},                                 /* SIOCGSTAMP, SIOCGSTAMPNS */
    {0x890b, 0x890c, 120},                                /* SIOCADDRT, SIOCDELRT */
    {SIOCGIFNAME, SIOCGIFNAME, 40}, {0x8913, 0x8953, 40}, /* the rest on struct ifreq */
};

static long fiemap_bytes(uintptr_t arg)
{
	struct fiemap head;

	if (guard_copy(&head, (void *)arg, sizeof(head)))
		return -EFAULT;
	return (long)(sizeof(head) + (size_t)head.fm_extent_count * sizeof(struct fiemap_extent));
}

static long dedupe_bytes(uintptr_t arg)
{
	struct file_dedupe_range head;

	if (guard_copy(&head, (void *)arg, sizeof(head)))
		return -EFAULT;
	return (long)(sizeof(head) + head.dest_count * sizeof(struct file_dedupe_range_info));
}

/* Bytes behind the argument of @request: 0 = not known, or -errno. */
static long request_bytes(uint32_t request, uintptr_t arg)
{
	if (request == FS_IOC_FIEMAP)
		return fiemap_bytes(arg);
	if (request == FIDEDUPERANGE)
		return dedupe_bytes(arg);
	if (_IOC_DIR(request) != _IOC_NONE)
		return _IOC_SIZE(request);
	for (size_t i = 0; i < ARRAY_LEN(legacy); i++)
		if (request >= legacy[i].first && request <= legacy[i].last)
			return legacy[i].size;
	return 0;
}

static long with_copy(const struct guard_trap *t, struct bounce *b, size_t bytes)
{
	void *mem = bounce_alloc(b, bytes + SLACK_BYTES);
	void *user = (void *)t->args[2];

	if (!mem)
		return -ENOMEM;
	if (guard_copy(mem, user, bytes))
		return -EFAULT;
	long result = sys_call3(t->nr, t->args[0], t->args[1], (long)mem);
	/* Some report by structure although they fail. */
	return guard_copy(user, mem, bytes) && result >= 0 ? -EFAULT : result;
}

static long interface_list(const struct guard_trap *t, struct bounce *b)
{
	struct ifconf user, real;

	if (guard_copy(&user, (void *)t->args[2], sizeof(user)))
		return -EFAULT;
	real = user;
	size_t len = user.ifc_len > 0 ? MIN((size_t)user.ifc_len, MAX_BYTES) : 0;
	real.ifc_len = (int)len;
	if (user.ifc_buf)
		real.ifc_buf = bounce_alloc(b, len + 1);
	if (user.ifc_buf && !real.ifc_buf)
		return -ENOMEM;
	long result = sys_call3(t->nr, t->args[0], t->args[1], (long)&real);
	if (result < 0)
		return result;
	if (user.ifc_buf && guard_copy(user.ifc_buf, real.ifc_buf, (size_t)real.ifc_len))
		return -EFAULT;
	user.ifc_len = real.ifc_len;
	return guard_copy((void *)t->args[2], &user, sizeof(user)) ? -EFAULT : result;
}

long guard_ioctl(const struct guard_trap *t)
{
	uint32_t request = (uint32_t)t->args[1];
	struct bounce b;

	long bytes = request_bytes(request, (uintptr_t)t->args[2]);
	if (bytes < 0)
		return bytes;
	if (request != SIOCGIFCONF && (!bytes || (size_t)bytes > MAX_BYTES))
		return guard_unknown(t);
	long result = bounce_begin(&b, t->sp, t->stack);
	if (result)
		return result;
	result = request == SIOCGIFCONF ? interface_list(t, &b) : with_copy(t, &b, (size_t)bytes);
	bounce_end(&b);
	return result;
}
