// SPDX-License-Identifier: MIT
/* Messages without malloc or stdio, and the end of a broken invariant. */
#include "base/say.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/sys.h"

void say_str(struct say *s, const char *text)
{
	while (*text && s->len < sizeof(s->buf))
		s->buf[s->len++] = *text++;
}

static void say_base(struct say *s, uint64_t n, unsigned base)
{
	char digits[24];
	int len = 0;

	do {
		digits[len++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	while (len && s->len < sizeof(s->buf))
		s->buf[s->len++] = digits[--len];
}

void say_dec(struct say *s, uint64_t n)
{
	say_base(s, n, 10);
}

void say_hex(struct say *s, uint64_t n)
{
	say_str(s, "0x");
	say_base(s, n, 16);
}

void say_size(struct say *s, uint64_t bytes)
{
	unsigned unit = 0;

	while (bytes >= 10240 && unit < 3) {
		bytes >>= 10;
		unit++;
	}
	say_dec(s, bytes);
	say_str(s, &"B\0K\0M\0G"[unit * 2]);
}

void say_flush(struct say *s)
{
	static const char prefix[] = "faultline: ";
	char line[sizeof(prefix) + sizeof(s->buf)];
	size_t len = sizeof(prefix) - 1;

	memcpy(line, prefix, len);
	memcpy(line + len, s->buf, s->len);
	len += s->len;
	line[len++] = '\n';
	sys_call3(SYS_write, 2, (long)line, (long)len);
	s->len = 0;
}

void say_fatal(int status, const char *text)
{
	struct say s = {0};

	say_str(&s, text);
	say_flush(&s);
	for (;;)
		sys_call1(SYS_exit_group, status);
}

void ensure_failed(const char *expr, const char *file, int line)
{
	struct say s = {0};

	say_str(&s, "broken invariant: ");
	say_str(&s, expr);
	say_str(&s, " at ");
	say_str(&s, file);
	say_str(&s, ":");
	say_dec(&s, (uint64_t)line);
	say_flush(&s);
	/* abort() would run the program's handlers on a pager that is known to be wrong. */
	for (;;) {
		struct sys_sigaction dfl = {0};

		sys_call4(SYS_rt_sigaction, SIGABRT, (long)&dfl, 0, 8);
		sys_call2(SYS_tkill, sys_call0(SYS_gettid), SIGABRT);
		uint64_t set = 1ull << (SIGABRT - 1);
		sys_call4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&set, 0, 8);
	}
}
