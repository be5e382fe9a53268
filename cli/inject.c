// SPDX-License-Identifier: MIT
/* Libraries and environment of the program; see inject.h. */
#include "inject.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/malloc_lib.h"
#include "cli.h"

#define LIBRARY "libfaultline-preload.so"

/* Set by meson: where `meson install` puts the library, absolute and relative to the prefix. */
#ifndef FL_INSTALL_LIBDIR
#define FL_INSTALL_LIBDIR "/usr/local/lib/x86_64-linux-gnu/faultline"
#endif
#ifndef FL_RELATIVE_LIBDIR
#define FL_RELATIVE_LIBDIR "lib/x86_64-linux-gnu/faultline"
#endif

static bool try_file(char *ret_path, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;

	va_start(args, format);
	int len = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	return len > 0 && len < (int)sizeof(path) && !access(path, R_OK) &&
	       realpath(path, ret_path);
}

static bool find_library(char *ret_path)
{
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (len > 0) {
		exe[len] = '\0';
		*strrchr(exe, '/') = '\0';
		if (try_file(ret_path, "%s/../lib/" LIBRARY, exe) ||
		    try_file(ret_path, "%s/../" FL_RELATIVE_LIBDIR "/" LIBRARY, exe))
			return true;
	}
	return try_file(ret_path, FL_INSTALL_LIBDIR "/" LIBRARY);
}

static int find_malloc(const struct options *o, struct inject *in)
{
	const struct malloc_lib *known = NULL;
	int err = malloc_lib_find(o->malloc_lib, in->malloc_lib, &known);

	if (err == -ENOENT)
		return complain(STATUS_FAILED, "%s: %s is not installed; run: sudo apt install %s",
		    option_label(o, OPT_MALLOC), known->soname, known->package);
	if (err)
		return complain(STATUS_FAILED,
		    "%s: no such library; give jemalloc, mimalloc, libc, none or a path",
		    option_label(o, OPT_MALLOC));
	return STATUS_GO_ON;
}

/* The loader splits LD_PRELOAD at colons and blanks, and knows no way to quote them. */
static int check_splittable(const char *path)
{
	if (!strpbrk(path, ": "))
		return STATUS_GO_ON;
	return complain(STATUS_FAILED,
	    "%s: a library whose path has a blank or a colon cannot be preloaded; move it "
	    "elsewhere",
	    path);
}

/* Whether @entry of LD_PRELOAD is one of ours: Faultline inside Faultline. */
static bool is_ours(const struct inject *in, const char *entry)
{
	const char *base = strrchr(entry, '/');

	return !strcmp(base ? base + 1 : entry, LIBRARY) || !strcmp(entry, in->malloc_lib);
}

static int build_preload(struct inject *in)
{
	const char *users = getenv("LD_PRELOAD") ? getenv("LD_PRELOAD") : "";
	char *copy = strdup(users), *state = NULL;
	size_t bytes = strlen(in->prefix) + strlen(users) + 2;

	in->preload = malloc(bytes);
	if (!copy || !in->preload) {
		free(copy);
		return complain(STATUS_FAILED, "out of memory; free some and try again");
	}
	strcpy(in->preload, in->prefix);
	for (char *entry = strtok_r(copy, ": ", &state); entry;
	     entry = strtok_r(NULL, ": ", &state)) {
		if (is_ours(in, entry))
			continue;
		strcat(in->preload, ":");
		strcat(in->preload, entry);
	}
	free(copy);
	return STATUS_GO_ON;
}

int inject_find(const struct options *o, struct inject *in)
{
	const char *given = getenv("FAULTLINE_LIB");

	in->preload = NULL;
	if (given && *given) {
		if (!try_file(in->library, "%s", given))
			return complain(STATUS_FAILED,
			    "FAULTLINE_LIB=%s: no such library; unset it or name " LIBRARY, given);
	} else if (!find_library(in->library)) {
		return complain(STATUS_FAILED,
		    LIBRARY " is not where it belongs (" FL_INSTALL_LIBDIR
		            "); install Faultline again, or set FAULTLINE_LIB to its path");
	}
	int status = find_malloc(o, in);
	if (status == STATUS_GO_ON)
		status = check_splittable(in->library);
	if (status == STATUS_GO_ON)
		status = check_splittable(in->malloc_lib);
	if (status != STATUS_GO_ON)
		return status;
	snprintf(in->prefix, sizeof(in->prefix), "%s%s%s", in->library, *in->malloc_lib ? ":" : "",
	    in->malloc_lib);
	return build_preload(in);
}

void inject_fini(struct inject *in)
{
	free(in->preload);
	in->preload = NULL;
}

struct env {
	char **list;
	size_t nr, room;
	bool has_failed;
};

static void env_put(struct env *env, char *entry)
{
	if (env->nr + 2 > env->room) {
		size_t room = MAX(env->room * 2, (size_t)64);
		char **grown = realloc(env->list, room * sizeof(*grown));

		if (!grown) {
			env->has_failed = true;
			free(entry);
			return;
		}
		env->list = grown;
		env->room = room;
	}
	if (!entry) {
		env->has_failed = true;
		return;
	}
	env->list[env->nr++] = entry;
	env->list[env->nr] = NULL;
}

__attribute__((format(printf, 3, 4))) static void env_set(
    struct env *env, const char *name, const char *format, ...)
{
	char *value = NULL, *entry = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&value, format, args) < 0)
		value = NULL;
	va_end(args);
	if (value && asprintf(&entry, "%s=%s", name, value) < 0)
		entry = NULL;
	free(value);
	env_put(env, entry);
}

/* Variables that the program gets from us or not at all. The reporting ones are this command's: a
 * `faultline run` inside the program must not write over our files. */
static bool is_replaced(const char *entry, bool with_preload)
{
	static const char *const others[] = {
	    "FAULTLINE_TELEMETRY", "FAULTLINE_PRELOAD", "FAULTLINE_OFF", "FAULTLINE_PROGRAM"};
	size_t len = strcspn(entry, "=");

	for (int id = 0; id < NR_OPTIONS; id++) {
		const char *name = option_variable((enum option_id)id);

		if (strlen(name) == len && !memcmp(entry, name, len))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strlen(others[i]) == len && !memcmp(entry, others[i], len))
			return true;
	return with_preload && len == 10 && !memcmp(entry, "LD_PRELOAD", len);
}

static void put_options(
    struct env *env, const struct options *o, const char *engine, const char *swap_dir)
{
	env_set(env, option_variable(OPT_RAM), "%llu", (unsigned long long)o->ram_bytes);
	if (o->ram_max_bytes)
		env_set(env, option_variable(OPT_RAM_MAX), "%llu",
		    (unsigned long long)o->ram_max_bytes);
	env_set(env, option_variable(OPT_SWAP), "%s", swap_dir);
	if (o->swap_bytes)
		env_set(
		    env, option_variable(OPT_SWAP_SIZE), "%llu", (unsigned long long)o->swap_bytes);
	env_set(env, option_variable(OPT_ENGINE), "%s", engine);
	env_set(env, option_variable(OPT_POLICY), "%s", o->policy);
	env_set(env, option_variable(OPT_MIN_MAP), "%llu", (unsigned long long)o->min_map_bytes);
	env_set(env, option_variable(OPT_MALLOC), "%s", o->malloc_lib);
	env_set(env, option_variable(OPT_COMPRESS), "%s", o->compress);
	env_set(env, option_variable(OPT_RECLAIM), "%s", o->reclaim);
	if (o->tlb.entries)
		env_set(env, option_variable(OPT_TLB), "%s", o->text[OPT_TLB]);
	if (o->tlb_shift)
		env_set(env, option_variable(OPT_PAGE_SIZE), "2M");
	if (o->is_exact)
		env_set(env, option_variable(OPT_EXACT), "1");
	env_set(env, option_variable(OPT_QUIET), "%d", o->is_quiet);
	env_set(env, option_variable(OPT_VERBOSE), "%d", o->is_verbose);
	env_set(env, option_variable(OPT_ALLOW_UNMANAGED), "%d", o->allow_unmanaged);
}

char **inject_environment(const struct inject *in, const struct options *o, const char *engine,
    const char *swap_dir, const char *telemetry, bool with_preload)
{
	struct env env = {0};

	for (char **entry = environ; *entry; entry++)
		if (!is_replaced(*entry, with_preload))
			env_put(&env, strdup(*entry));
	put_options(&env, o, engine, swap_dir);
	env_set(&env, "FAULTLINE_TELEMETRY", "%s", telemetry);
	env_set(&env, "FAULTLINE_PRELOAD", "%s", in->prefix);
	if (with_preload)
		env_set(&env, "LD_PRELOAD", "%s", in->preload);
	if (env.has_failed) {
		env_free(env.list);
		return NULL;
	}
	return env.list;
}

void env_free(char **env)
{
	for (size_t i = 0; env && env[i]; i++)
		free(env[i]);
	free(env);
}
