// SPDX-License-Identifier: MIT
/* One-line messages and sizes for people; see cli.h. */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static bool is_quiet;

static void say_line(const char *kind, const char *format, va_list args)
{
	char line[1200];
	int head = snprintf(line, sizeof(line), "faultline: %s", kind);
	int tail = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
	size_t len = (size_t)head + (tail > 0 ? (size_t)tail : 0);

	len = MIN(len, sizeof(line) - 2);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* nobody is left to be told */
}

int complain(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_line("", format, args);
	va_end(args);
	return status;
}

void warn(const char *format, ...)
{
	va_list args;

	if (is_quiet)
		return;
	va_start(args, format);
	say_line("warning: ", format, args);
	va_end(args);
}

void warnings_off(void)
{
	is_quiet = true;
}

char *size_text(uint64_t bytes, char *buf)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	unsigned unit = 0;
	uint64_t scale = 1;

	while (unit + 1 < ARRAY_LEN(units) && bytes / scale >= 1024) {
		scale *= 1024;
		unit++;
	}
	if (bytes % scale == 0)
		snprintf(buf, 24, "%llu %s", (unsigned long long)(bytes / scale), units[unit]);
	else
		snprintf(buf, 24, "%.1f %s", (double)bytes / (double)scale, units[unit]);
	return buf;
}
