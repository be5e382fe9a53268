// SPDX-License-Identifier: MIT
/* Names of FAULTLINE_... variables: finding the misspelt; see options.h. */
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "options.h"

#define PREFIX   "FAULTLINE_"
#define MAX_NAME 48 /* longer than any of ours */

/* Between our own parts, or for developers: known, but not proposed. */
static const char *const internal[] = {"FAULTLINE_CLI", "FAULTLINE_LIB", "FAULTLINE_OFF",
    "FAULTLINE_PRELOAD", "FAULTLINE_PROGRAM", "FAULTLINE_TELEMETRY"};

static bool is_known(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(internal); i++)
		if (!strcmp(internal[i], name))
			return true;
	for (int id = 0; id < NR_OPTIONS; id++)
		if (!strcmp(option_variable((enum option_id)id), name))
			return true;
	return false;
}

/* How many letters must be changed, put in or left out (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
	size_t row[MAX_NAME + 1], len = MIN(strlen(b), (size_t)MAX_NAME);

	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < len; j++) {
			size_t above = row[j + 1];
			size_t best = MIN(diagonal + (a[i] != b[j]), MIN(above, row[j]) + 1);

			diagonal = above;
			row[j + 1] = best;
		}
	}
	return row[len];
}

static const char *nearest(const char *name)
{
	const char *found = option_variable(OPT_RAM);

	for (int id = 0; id < NR_OPTIONS; id++) {
		const char *other = option_variable((enum option_id)id);

		if (distance(name, other) < distance(name, found))
			found = other;
	}
	return found;
}

int options_check_variables(void)
{
	for (char **entry = environ; entry && *entry; entry++) {
		char name[MAX_NAME + 1];
		size_t len = strcspn(*entry, "=");

		if (strncmp(*entry, PREFIX, strlen(PREFIX)) != 0)
			continue;
		len = MIN(len, sizeof(name) - 1);
		memcpy(name, *entry, len);
		name[len] = '\0';
		if (!is_known(name))
			return complain(STATUS_FAILED,
			    "%s: no such variable; %s is the nearest one, see faultline run --help",
			    name, nearest(name));
	}
	return STATUS_GO_ON;
}
