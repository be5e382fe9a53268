// SPDX-License-Identifier: MIT
/* Output files; see output.h. */
#include "output.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* Return: whether @name has %p. @ret_path: PATH_MAX bytes, cut off when longer. */
static bool expand(const char *name, long pid, char *ret_path)
{
	size_t len = 0;
	bool has_pid = false;

	for (const char *c = name; *c && len < PATH_MAX - 24; c++) {
		if (c[0] == '%' && c[1] == 'p') {
			len += (size_t)sprintf(ret_path + len, "%ld", pid);
			has_pid = true;
			c++;
			continue;
		}
		c += c[0] == '%' && c[1] == '%';
		ret_path[len++] = *c;
	}
	ret_path[len] = '\0';
	return has_pid;
}

int output_prepare(const struct options *o, enum option_id id, FILE **ret_file)
{
	const char *name = id == OPT_JSON ? o->json : id == OPT_TRACE ? o->trace : o->output;
	char path[PATH_MAX];

	*ret_file = NULL;
	if (!name)
		return STATUS_GO_ON;
	if (strlen(name) >= PATH_MAX - 24)
		return complain(
		    STATUS_FAILED, "%s: too long; give a shorter file name", option_label(o, id));
	if (id == OPT_TRACE) {
		*ret_file = fopen(name, "we");
		if (*ret_file)
			return STATUS_GO_ON;
	} else if (expand(name, 0, path)) {
		if (!access(dirname(path), W_OK | X_OK))
			return STATUS_GO_ON;
	} else {
		*ret_file = fopen(path, "we");
		if (*ret_file)
			return STATUS_GO_ON;
	}
	return complain(STATUS_FAILED, "%s: cannot be written: %s; name another file",
	    option_label(o, id), strerror(errno));
}

FILE *output_open(const char *name, long pid)
{
	char path[PATH_MAX];

	expand(name, pid, path);
	FILE *f = fopen(path, "we");
	if (!f)
		complain(0, "%s: cannot be written: %s", path, strerror(errno));
	return f;
}
