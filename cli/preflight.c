// SPDX-License-Identifier: MIT
/* Checks before the start; see preflight.h. */
#include "preflight.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "pager/pager.h"

/* With less than this the first pages out would already fail. */
#define MIN_FREE_BYTES ((uint64_t)1 << 20)

static const char *swap_trouble(int error)
{
	switch (error) {
	case ENOENT:
		return "no such directory; create it, or name another with --swap DIR";
	case ENOTDIR:
		return "not a directory; name one with --swap DIR";
	case EACCES:
	case EPERM:
		return "not writable for you; name another directory with --swap DIR";
	case EROFS:
		return "on a read-only file system; name another directory with --swap DIR";
	case EOPNOTSUPP:
		return "its file system has no unnamed temporary files (O_TMPFILE); "
		       "name another directory with --swap DIR";
	case ENOSPC:
	case EDQUOT:
		return "its file system is full; free some space, or name another directory "
		       "with --swap DIR";
	case EFBIG:
		return "files may not grow here (ulimit -f); run: ulimit -f unlimited";
	default:
		return NULL;
	}
}

int complain_swap(const struct options *o, int error)
{
	const char *trouble = swap_trouble(error);

	if (trouble)
		return complain(STATUS_FAILED, "%s: %s", option_label(o, OPT_SWAP), trouble);
	return complain(STATUS_FAILED, "%s: %s; name another directory with --swap DIR",
	    option_label(o, OPT_SWAP), strerror(error));
}

static int check_dir(const struct options *o, struct preflight *pre)
{
	struct stat st;

	if (!realpath(o->swap_dir, pre->swap_dir) || stat(pre->swap_dir, &st))
		return complain_swap(o, errno);
	if (!S_ISDIR(st.st_mode))
		return complain_swap(o, ENOTDIR);
	if (strlen(pre->swap_dir) >= sizeof(((struct pager_config *)0)->swap_dir))
		return complain(STATUS_FAILED,
		    "%s: its path is too long; name a directory with a path below 256 bytes with "
		    "--swap DIR",
		    option_label(o, OPT_SWAP));
	return STATUS_GO_ON;
}

static int check_space(const struct options *o, const struct preflight *pre)
{
	const struct probe *p = &pre->probe;
	char free_text[24];

	if (p->dir_error)
		return complain_swap(o, p->dir_error);
	if (p->dir_free_bytes < MIN_FREE_BYTES)
		return complain_swap(o, ENOSPC);
	if (p->is_tmpfs)
		warn(
		    "%s: on tmpfs, so that swap is RAM too; a directory on disk, such as /var/tmp, "
		    "gives it back",
		    option_label(o, OPT_SWAP));
	if (o->swap_bytes > p->dir_free_bytes)
		warn("%s: only %s are free in %s; swap will be full before that",
		    option_label(o, OPT_SWAP_SIZE), size_text(p->dir_free_bytes, free_text),
		    pre->swap_dir);
	return STATUS_GO_ON;
}

/* Allowed: a machine may be asked for more than it has free. But it will then swap by itself. */
static void check_ram(const struct options *o)
{
	uint64_t available = available_ram_bytes();
	char text[24];

	if (available && o->ram_bytes > available)
		warn("%s: only %s of RAM are available now, so the kernel itself may have to swap",
		    option_label(o, OPT_RAM), size_text(available, text));
}

int preflight_check(const struct options *o, struct preflight *pre)
{
	char why[256];
	int status = check_dir(o, pre);

	if (status != STATUS_GO_ON)
		return status;
	probe_machine(pre->swap_dir, &pre->probe);
	status = check_space(o, pre);
	if (status != STATUS_GO_ON)
		return status;
	check_ram(o);
	pre->engine = probe_engine(&pre->probe, o->engine, why, sizeof(why));
	if (!pre->engine)
		return complain(
		    STATUS_FAILED, "%s: not available: %s", option_label(o, OPT_ENGINE), why);
	snprintf(pre->swap_how, sizeof(pre->swap_how), "%s (%s, %s)", pre->swap_dir,
	    pre->probe.direct_io ? "O_DIRECT" : "buffered",
	    pre->probe.io_uring ? "io_uring" : "pwrite");
	return STATUS_GO_ON;
}
