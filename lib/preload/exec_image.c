// SPDX-License-Identifier: MIT
/* Copies of program arguments, and complete environments; see exec_image.h and wrap_exec.h. */
#include "preload/exec_image.h"

#include <errno.h>
#include <string.h>

#include "base/meta.h"
#include "base/types.h"
#include "preload/guard.h"
#include "preload/wrap_exec.h"

#define MAX_VARS 64u /* FAULTLINE_* variables */
#define MAX_LIBS 8u  /* entries of LD_PRELOAD that are ours */
#define PREFIX   "FAULTLINE_"
#define PRELOAD  "LD_PRELOAD="

/* [const after wrap_exec_remember] */
static char *vars[MAX_VARS];
static unsigned nr_vars;
static char *libs; /* "a:b", ours only; NULL: none */

static char *keep_text(const char *text, size_t len)
{
	char *copy = meta_map(len + 1);

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

static bool is_separator(char c)
{
	return c == ':' || c == ' ';
}

/* The next entry of a list like LD_PRELOAD. Return: its length, 0 at the end. */
static size_t next_entry(const char **list)
{
	while (is_separator(**list))
		++*list;
	size_t len = 0;
	while ((*list)[len] && !is_separator((*list)[len]))
		len++;
	return len;
}

static bool contains(const char *text, size_t len, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= len; i++)
		if (!memcmp(text + i, word, n))
			return true;
	return false;
}

static bool looks_ours(const char *entry, size_t len)
{
	size_t base = len;

	while (base && entry[base - 1] != '/')
		base--;
	entry += base;
	len -= base;
	return contains(entry, len, "faultline-preload") || contains(entry, len, "jemalloc") ||
	       contains(entry, len, "mimalloc");
}

/* Remember the entries of @list: all, or those that look like ours. */
static void remember_libs(const char *list, bool is_all)
{
	char *out = meta_map(strlen(list) + 2);
	size_t used = 0, len;

	if (!out)
		return;
	for (; (len = next_entry(&list)); list += len) {
		if (!is_all && !looks_ours(list, len))
			continue;
		if (used)
			out[used++] = ':';
		memcpy(out + used, list, len);
		used += len;
	}
	if (used)
		libs = out;
}

void wrap_exec_remember(char **env)
{
	const char *list = NULL, *preload = NULL;

	for (char **e = env; e && *e; e++) {
		if (!strncmp(*e, PRELOAD, strlen(PRELOAD)))
			preload = *e + strlen(PRELOAD);
		if (!strncmp(*e, PREFIX "PRELOAD=", strlen(PREFIX "PRELOAD=")))
			list = *e + strlen(PREFIX "PRELOAD=");
		if (!strncmp(*e, PREFIX, strlen(PREFIX)) && nr_vars < MAX_VARS) {
			vars[nr_vars] = keep_text(*e, strlen(*e));
			nr_vars += vars[nr_vars] != NULL;
		}
	}
	if (list)
		remember_libs(list, true);
	else if (preload)
		remember_libs(preload, false);
}

/* --- copying ------------------------------------------------------------------------------ */

char *exec_image_string(struct bounce *b, const char *string, int *ret_err)
{
	long bytes = guard_string_bytes(string, MAX_ARG_BYTES);

	if (bytes < 0) {
		*ret_err = (int)bytes;
		return NULL;
	}
	char *copy = bounce_alloc(b, (size_t)bytes);
	*ret_err = -ENOMEM;
	if (!copy)
		return NULL;
	*ret_err = -EFAULT;
	if (guard_copy(copy, string, (size_t)bytes))
		return NULL;
	copy[bytes - 1] = 0; /* whatever another thread has made of it meanwhile */
	*ret_err = 0;
	return copy;
}

static long array_count(char *const array[])
{
	char *p;

	for (long n = 0;; n++) {
		if (guard_copy(&p, &array[n], sizeof(p)))
			return -EFAULT;
		if (!p)
			return n;
	}
}

/* Total bytes of the strings of @array. */
static long strings_bytes(char *const array[], long nr)
{
	long total = 0;

	for (long i = 0; i < nr; i++) {
		char *p = NULL;

		guard_copy(&p, &array[i], sizeof(p));
		long n = p ? guard_string_bytes(p, MAX_ARG_BYTES) : 0;
		if (n < 0)
			return n;
		total += n;
	}
	return total;
}

/* Copy @array and its strings; room for @more pointers behind them. */
static int copy_array(struct bounce *b, char *const array[], unsigned more, char ***ret_copy)
{
	long nr = array ? array_count(array) : 0;
	long bytes = nr < 0 ? nr : strings_bytes(array, nr);

	if (bytes < 0)
		return (int)bytes;
	/* One block: a thousand strings must not need a thousand mappings. */
	char **copy = bounce_alloc(b, ((size_t)nr + more + 1) * sizeof(*copy) + (size_t)bytes);
	if (!copy)
		return -ENOMEM;
	char *text = (char *)(copy + nr + more + 1), *end = text + bytes;
	for (long i = 0; i < nr; i++) {
		char *p = NULL;

		guard_copy(&p, &array[i], sizeof(p));
		if (!p || text == end)
			return -EFAULT;
		long n = guard_copy_string(text, p, (size_t)(end - text));
		if (n < 0)
			return -EFAULT;
		copy[i] = text;
		text += n;
	}
	copy[nr] = NULL;
	*ret_copy = copy;
	return 0;
}

/* Also if it cannot be read: copying it will say so. */
static bool array_is_managed(char *const array[])
{
	char *p;

	if (!array)
		return false;
	if (in_window((uintptr_t)array))
		return true;
	for (;; array++) {
		if (guard_copy(&p, array, sizeof(p)) || in_window((uintptr_t)p))
			return true;
		if (!p)
			return false;
	}
}

/* --- the environment ----------------------------------------------------------------------- */

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(b, "=");

	return !strncmp(a, b, n) && a[n] == '=';
}

static char **find(char **env, const char *var)
{
	for (; *env; env++)
		if (same_name(*env, var))
			return env;
	return NULL;
}

static bool has_entry(const char *list, const char *entry, size_t entry_len)
{
	size_t len;

	for (; (len = next_entry(&list)); list += len)
		if (len == entry_len && !memcmp(list, entry, len))
			return true;
	return false;
}

static bool has_libs(const char *list)
{
	size_t len;

	for (const char *l = libs; (len = next_entry(&l)); l += len)
		if (!has_entry(list, l, len))
			return false;
	return true;
}

static bool is_left_alone(char **env)
{
	char **off = env ? find(env, PREFIX "OFF") : NULL;

	return !libs || (off && !strcmp(*off, PREFIX "OFF=1"));
}

static bool is_complete(char **env)
{
	char **preload = env ? find(env, PRELOAD) : NULL;

	if (!preload || !has_libs(*preload + strlen(PRELOAD)))
		return false;
	for (unsigned i = 0; i < nr_vars; i++)
		if (!find(env, vars[i]))
			return false;
	return true;
}

/* Our libraries first, then the program's own. */
static char *merged_preload(struct bounce *b, const char *own)
{
	size_t len = strlen(libs);
	char *text = bounce_alloc(b, strlen(PRELOAD) + len + 1 + strlen(own) + 1);

	if (!text)
		return NULL;
	strcpy(text, PRELOAD);
	strcat(text, libs);
	if (*own) {
		strcat(text, ":");
		strcat(text, own);
	}
	return text;
}

/* Add what is missing to @env, an unmanaged copy with room behind it. */
static int complete(struct bounce *b, char **env)
{
	char **preload = find(env, PRELOAD), **end = env;

	while (*end)
		end++;
	if (!preload || !has_libs(*preload + strlen(PRELOAD))) {
		char *text = merged_preload(b, preload ? *preload + strlen(PRELOAD) : "");

		if (!text)
			return -ENOMEM;
		if (!preload) {
			preload = end++;
			*end = NULL;
		}
		*preload = text;
	}
	for (unsigned i = 0; i < nr_vars; i++) {
		if (find(env, vars[i]))
			continue;
		*end++ = vars[i];
		*end = NULL;
	}
	return 0;
}

int exec_image_make(struct bounce *b, const char *path, char *const argv[], char *const envp[],
    struct exec_image *ret_image)
{
	struct exec_image image = {path, (char **)argv, (char **)envp};
	int err = 0;

	if (in_window((uintptr_t)path)) {
		image.path = exec_image_string(b, path, &err);
		if (!image.path)
			return err;
	}
	if (array_is_managed(argv))
		err = copy_array(b, argv, 0, &image.argv);
	if (err)
		return err;
	if (array_is_managed(envp))
		err = copy_array(b, envp, MAX_VARS + 1, &image.envp);
	if (err)
		return err;
	bool is_alone = is_left_alone(image.envp);
	if (image.envp == envp && !is_alone && !is_complete(image.envp))
		err = copy_array(b, envp, MAX_VARS + 1, &image.envp);
	if (!err && !is_alone && !is_complete(image.envp))
		err = complete(b, image.envp);
	if (!err)
		*ret_image = image;
	return err;
}
