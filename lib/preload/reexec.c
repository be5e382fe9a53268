// SPDX-License-Identifier: MIT
/* Starting the program over, with its allocator; see reexec.h. */
#include "preload/reexec.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/malloc_lib.h"
#include "base/meta.h"
#include "base/say.h"
#include "base/sys.h"

#define LIBRARY     "libfaultline-preload.so"
#define FIRST_BYTES 4096u
#define MAX_BYTES   (64u << 20) /* of arguments: far more than the kernel takes */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

const char *reexec_program_name(void)
{
	const char *path = (const char *)getauxval(AT_EXECFN);

	return path ? base_name(path) : "";
}

__attribute__((format(printf, 1, 2))) static _Noreturn void give_up(const char *format, ...)
{
	char text[PATH_MAX + 300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_fatal(125, text);
}

/* Calls @fn for each entry of a list like LD_PRELOAD until it answers true. */
static bool any_entry(
    const char *list, bool (*fn)(void *arg, const char *entry, size_t len), void *arg)
{
	for (size_t len; *(list += strspn(list, ": ")); list += len) {
		len = strcspn(list, ": ");
		if (fn(arg, list, len))
			return true;
	}
	return false;
}

static bool is_malloc(void *arg, const char *entry, size_t len)
{
	char name[NAME_MAX + 1];

	(void)arg;
	snprintf(name, sizeof(name), "%.*s", (int)MIN(len, (size_t)PATH_MAX), entry);
	for (size_t i = 0; i < len; i++)
		if (entry[i] == '/')
			snprintf(name, sizeof(name), "%.*s", (int)(len - i - 1), entry + i + 1);
	return strstr(name, "malloc");
}

static void find_malloc(char *ret_path)
{
	const struct malloc_lib *known = NULL;
	const char *asked = getenv("FAULTLINE_MALLOC");
	const char *value = asked && *asked ? asked : DEFAULT_MALLOC;
	int err = malloc_lib_find(value, ret_path, &known);

	if (err == -ENOENT)
		give_up("FAULTLINE_MALLOC=%.100s: %s is not installed; run: sudo apt install %s",
		    value, known->soname, known->package);
	if (err)
		give_up("FAULTLINE_MALLOC=%.200s: no such library; give jemalloc, mimalloc, libc, "
		        "none or a path",
		    value);
	if (strpbrk(ret_path, ": "))
		give_up("%s: a library whose path has a blank or a colon cannot be preloaded; move "
		        "it elsewhere",
		    ret_path);
}

/* The arguments as they were given, from the kernel. Return: NULL if they cannot be had. */
static char **read_arguments(void)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	size_t room = FIRST_BYTES, used = 0, nr = 0;
	char *text = meta_map(room);
	ssize_t n = -1;

	while (fd >= 0 && text && (n = read(fd, text + used, room - used)) > 0) {
		used += (size_t)n;
		if (used < room)
			continue;
		char *more = room < MAX_BYTES ? meta_map(2 * room) : NULL;
		if (more)
			memcpy(more, text, used);
		meta_unmap(text, room);
		text = more;
		room *= 2;
	}
	if (fd >= 0)
		close(fd);
	char **argv = text && !n ? meta_map((used + 2) * sizeof(*argv)) : NULL;
	for (char *arg = text; argv && arg < text + used; arg += strlen(arg) + 1)
		argv[nr++] = arg;
	return argv;
}

/* What the program was started as, so that its name stays what it is; but a script's interpreter
 * must be started as itself. */
static const char *find_executable(char *link, size_t bytes)
{
	const char *started = (const char *)getauxval(AT_EXECFN);
	struct stat a, b;

	if (stat("/proc/self/exe", &a))
		return "/proc/self/exe";
	if (started && !stat(started, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return started;
	ssize_t n = readlink("/proc/self/exe", link, bytes - 1);
	link[MAX(n, 0)] = '\0';
	if (!stat(link, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return link;
	return "/proc/self/exe";
}

struct list {
	char *text;
	size_t used;
};

static bool append_foreign(void *arg, const char *entry, size_t len)
{
	struct list *l = arg;
	size_t name = strlen(LIBRARY);

	if (len >= name && !memcmp(entry + len - name, LIBRARY, name))
		return false;
	l->used += (size_t)sprintf(l->text + l->used, ":%.*s", (int)len, entry);
	return false;
}

static bool is_variable(const char *entry, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(entry, name, len) && entry[len] == '=';
}

/* The environment with our libraries in it, for this exec and, by FAULTLINE_PRELOAD, for all. */
static char **make_environment(const char *library, const char *malloc_lib, const char *preload)
{
	size_t nr = 0, kept = 0;
	size_t bytes = strlen(library) + strlen(malloc_lib) + 2 * strlen(preload) + 64;
	char *ours = meta_map(bytes), *all = meta_map(bytes), *program = meta_map(NAME_MAX + 64);

	while (environ[nr])
		nr++;
	char **env = meta_map((nr + 4) * sizeof(*env));
	if (!env || !ours || !all || !program)
		give_up("out of memory; free some and try again");
	sprintf(ours, "FAULTLINE_PRELOAD=%s:%s", library, malloc_lib);
	struct list l = {all, (size_t)sprintf(all, "LD_PRELOAD=%s:%s", library, malloc_lib)};
	any_entry(preload, append_foreign, &l);
	/* A script's own name would be lost: the second start is its interpreter's. */
	snprintf(program, NAME_MAX + 64, "FAULTLINE_PROGRAM=%s", reexec_program_name());
	for (size_t i = 0; i < nr; i++)
		if (!is_variable(environ[i], "LD_PRELOAD") &&
		    !is_variable(environ[i], "FAULTLINE_PRELOAD") &&
		    !is_variable(environ[i], "FAULTLINE_PROGRAM"))
			env[kept++] = environ[i];
	env[kept++] = all;
	env[kept++] = ours;
	env[kept] = program;
	return env;
}

static bool find_self(char *ret_path)
{
	Dl_info info;

	return dladdr((void *)&reexec_with_malloc, &info) && info.dli_fname &&
	       realpath(info.dli_fname, ret_path) && !strpbrk(ret_path, ": ");
}

void reexec_with_malloc(void)
{
	char malloc_lib[PATH_MAX], library[PATH_MAX], link[PATH_MAX];
	const char *done = getenv("FAULTLINE_PRELOAD"), *preload = getenv("LD_PRELOAD");

	if (!preload)
		preload = ""; /* /etc/ld.so.preload */
	if ((done && *done) || any_entry(preload, is_malloc, NULL))
		return;
	find_malloc(malloc_lib);
	if (!*malloc_lib)
		return;
	char **argv = read_arguments();
	if (!argv || !find_self(library))
		give_up("the allocator cannot be added now; write "
		        "LD_PRELOAD=.../" LIBRARY ":%s",
		    malloc_lib);
	long err = sys_call3(SYS_execve, (long)find_executable(link, sizeof(link)), (long)argv,
	    (long)make_environment(library, malloc_lib, preload));
	give_up("the program cannot be started again with its allocator: %s; write "
	        "LD_PRELOAD=.../" LIBRARY ":%s",
	    strerror((int)-err), malloc_lib);
}
