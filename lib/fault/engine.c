// SPDX-License-Identifier: MIT
/* The engines there are, and what they share; see engine.h. */
#include "fault/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "fault/engines.h"
#include "fault/uffd_abi.h"

static const struct engine_ops *const engines[] = {&engine_sigbus, &engine_uffd};

const struct engine_ops *engine_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(engines); i++)
		if (!strcmp(engines[i]->name, name))
			return engines[i];
	return NULL;
}

int engine_open_uffd(uint64_t features, bool kernel_faults)
{
	long fd = -EPERM;

	if (kernel_faults)
		fd = sys_call1(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0)
		fd = sys_call1(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		return (int)fd;
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	long err = sys_call3(SYS_ioctl, fd, (long)UFFDIO_API, (long)&api);
	if (err) {
		sys_call1(SYS_close, fd);
		return (int)err;
	}
	return sys_fd_move_high((int)fd);
}
