// SPDX-License-Identifier: MIT
/*
 * Trapped ioctls. Most requests carry the size of what they point to; the older ones are listed.
 * What is neither is passed on as it is. Many that carry one use more: an array behind the
 * structure, or another structure altogether. Pointers inside are looked at for SIOCGIFCONF only.
 */
#include <errno.h>
#include <linux/dm-ioctl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fsmap.h>
#include <linux/hdreg.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/guard.h"

#define MAX_BYTES ((size_t)1 << 20)
/* Behind the structure, for requests that use more than they say: what goes over as well, and what
 * is there beyond, lest the kernel writes over what is ours. */
#define MORE_BYTES  ((size_t)64 << 10)
#define SLACK_BYTES PAGE_BYTES
/* Compared at once, when looking for what the kernel has written. */
#define BLOCK_BYTES ((size_t)256)

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

/* Of whose requests the kernel copies as much as they say: graphics, input devices, video, and
 * terminals, which share their letter with tunnels. */
static bool is_exact(uint32_t request)
{
	uint32_t type = _IOC_TYPE(request);

	return type == 'd' || type == 'E' || type == 'V' ||
	       (type == 'T' && _IOC_NR(request) < _IOC_NR(TUNSETIFF));
}

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

static long fsmap_bytes(uintptr_t arg)
{
	struct fsmap_head head;

	if (guard_copy(&head, (void *)arg, sizeof(head)))
		return -EFAULT;
	return (long)(sizeof(head) + (size_t)head.fmh_count * sizeof(struct fsmap));
}

/* Of a device mapper's, what it says of itself. */
static long mapper_bytes(uint32_t request, uintptr_t arg)
{
	struct dm_ioctl head;

	if (guard_copy(&head, (void *)arg, offsetof(struct dm_ioctl, data_start)))
		return -EFAULT;
	return (long)MAX(head.data_size, _IOC_SIZE(request));
}

/*
 * Bytes behind the argument of @request: 0 = not known, or -errno. *@ret_is_all: whether the kernel
 * is known to use no more.
 */
static long request_bytes(uint32_t request, uintptr_t arg, bool *ret_is_all)
{
	*ret_is_all = true;
	if (request == FS_IOC_FIEMAP)
		return fiemap_bytes(arg);
	if (request == FIDEDUPERANGE)
		return dedupe_bytes(arg);
	if (request == FS_IOC_GETFSMAP)
		return fsmap_bytes(arg);
	if (_IOC_TYPE(request) == DM_IOCTL && _IOC_DIR(request) != _IOC_NONE)
		return mapper_bytes(request, arg);
	if (_IOC_DIR(request) != _IOC_NONE) {
		*ret_is_all = is_exact(request);
		return _IOC_SIZE(request);
	}
	for (size_t i = 0; i < ARRAY_LEN(legacy); i++)
		if (request >= legacy[i].first && request <= legacy[i].last)
			return legacy[i].size;
	return 0;
}

/* Copy back what the kernel has changed, and nothing else: most of it is not its business, and the
 * program may be writing there. Return: 0 or -EFAULT. */
static long hand_back(char *user, const char *now, const char *was, size_t bytes)
{
	bool has_failed = false;

	for (size_t at = 0, n; at < bytes; at += n) {
		n = MIN(BLOCK_BYTES, bytes - at);
		if (!memcmp(now + at, was + at, n))
			continue;
		for (n = 0; at + n < bytes && now[at + n] == was[at + n]; n++)
			;
		size_t same = n;
		while (at + n < bytes && now[at + n] != was[at + n])
			n++;
		has_failed |= guard_copy(user + at + same, now + at + same, n - same) != 0;
	}
	return has_failed ? -EFAULT : 0;
}

static long with_copy(const struct guard_trap *t, struct bounce *b, size_t bytes, bool is_all)
{
	char *user = (char *)t->args[2], *now;
	size_t room = bytes;

	if (!is_all)
		room = pager_reach((uintptr_t)user, MAX(bytes, MORE_BYTES), PROT_READ);
	char *was = bounce_alloc(b, room + 1);
	/* Where the program's memory ends the kernel shall meet that end. */
	if (!is_all && room < MORE_BYTES)
		now = bounce_alloc_ending(b, room);
	else
		now = bounce_alloc(b, room + SLACK_BYTES);
	if (!was || !now)
		return -ENOMEM;
	size_t needed = MIN(room, bytes);
	room -= guard_copy(now, user, room);
	if (room < needed)
		return -EFAULT;
	memcpy(was, now, room);
	long result = sys_call3(t->nr, t->args[0], t->args[1], (long)now);
	/* Some report by structure although they fail. */
	long err = hand_back(user, now, was, room);
	return result >= 0 && err ? err : result;
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
	bool is_all;

	long bytes = request_bytes(request, (uintptr_t)t->args[2], &is_all);
	if (bytes < 0)
		return bytes;
	if (request != SIOCGIFCONF && (!bytes || (size_t)bytes > MAX_BYTES))
		return guard_unknown(t);
	long result = bounce_begin(&b, t->sp, t->stack);
	if (result)
		return result;
	result = request == SIOCGIFCONF ? interface_list(t, &b)
	                                : with_copy(t, &b, (size_t)bytes, is_all);
	bounce_end(&b);
	return result;
}
