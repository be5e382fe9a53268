// SPDX-License-Identifier: MIT
/*
 * One-line messages without malloc or stdio: the only way in which anything below the CLI ever
 * speaks to the user, and only when the process is about to end or to lose a page.
 */
#ifndef FL_BASE_SAY_H
#define FL_BASE_SAY_H

#include "base/types.h"

struct say {
	size_t len;
	char buf[512];
};

/* Append to @s; what does not fit is cut off. Context: any. */
void say_str(struct say *s, const char *text);
void say_dec(struct say *s, uint64_t n);
void say_hex(struct say *s, uint64_t n);
/* Append @bytes as K, M or G, rounded down. Context: any. */
void say_size(struct say *s, uint64_t bytes);
/* Write "faultline: " + text + newline to stderr in one write(2). Context: any. */
void say_flush(struct say *s);

/* Say @text and end the process with @status, no handler run. Context: any. */
_Noreturn void say_fatal(int status, const char *text);

#endif
