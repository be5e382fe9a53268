// SPDX-License-Identifier: MIT
/*
 * Descriptors of our own that are opened while the program runs, beside a program that closes every
 * number it can think of (closefrom, daemons, Python).
 *
 * The wrapped close family refuses numbers that are ours. What is being opened has a number before
 * anybody knows that it is ours: it could be closed then, or be closed by whoever looked just
 * before; and a number that was closed under us may be the program's own by the time that we move
 * it. So opening and closing exclude each other. Neither ever waits for the other's system call to
 * come back from somewhere:
 *
 *     closes: count in, wait until no opener is active (some 50 us), look, close, count out
 *     opens:  become active, give up if anybody is counted in, open, make known, be inactive
 *
 * Someone counted in may sleep in the kernel (a socket that lingers), or be interrupted by a
 * handler of the program which faults: that is why openers never wait for closers, but do without.
 * What cannot be done without is opened before the program has a say: when the pager is built.
 */
#ifndef FL_BASE_FD_H
#define FL_BASE_FD_H

#include "base/types.h"

/*
 * Begin to open. Return: false if somebody may be closing something: nothing has begun then. Who
 * has been closing for a second, while nobody else began or ended, is taken to be done with it: a
 * close in the kernel frees its number first, and one that was left by longjmp or cancelled never
 * comes back. (Beside one of those and others that close all the time, this does without.)
 * Context: fault; nothing that can wait until fd_open_end().
 * Nothing begins either once threads have tables of their own.
 */
bool fd_open_try(void);

/* The same for what cannot be done without: tries for a millisecond, then begins all the same.
 * Whoever opens for other threads too looks at fd_is_split() first, then. */
void fd_open_begin(void);
void fd_open_end(void);

/* Around looking whether a number is ours, and closing it. Context: any. */
void fd_close_begin(void);
void fd_close_end(void);

/*
 * A thread is about to get a table of its own (unshare), a copy. What is ours there already has the
 * same number in all tables; what is opened later would be in one only, and its number something
 * else in the others: it is not opened any more. Ends with fd_close_end(). Context: any.
 */
void fd_split_begin(void);
bool fd_is_split(void);

/* In a forked child: whoever was counted in is not in this process, which has one thread. */
void fd_after_fork(void);

#endif
