// SPDX-License-Identifier: MIT
/*
 * SIGEV_THREAD of timers and message queues. libc serves it with helper threads in which all
 * signals are blocked, ours among them, and a fault there would kill the process. So the helpers
 * are made here, by pthread_create() as the program would call it.
 *
 * A timer is the kernel's own, sending its signal to the helper; its id is what the program gets,
 * and libc's other timer functions take it as it is. A message queue's notification comes through
 * a socket, to a thread that lives until then.
 */
#include <linux/netlink.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/types.h"
#include "pager/pager.h"
#include "preload/real.h"

/* The signal that libc keeps for this very purpose: programs cannot wait for it or block it. */
#define SIG_TIMER    32
#define COOKIE_BYTES 32 /* NOTIFY_COOKIE_LEN */
#define COOKIE_WOKEN 1  /* in its last byte; 2: somebody took the registration back */

REAL(timer_create);
REAL(timer_delete);
REAL(mq_notify);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(timer_create);
	RESOLVE(timer_delete);
	RESOLVE(mq_notify);
}

struct notify {
	void (*fn)(union sigval value);
	union sigval value;
};

/* As @from, which may be NULL; but detached. Return: 0 or errno. */
static int copy_attr(pthread_attr_t *to, const pthread_attr_t *from)
{
	struct sched_param param;
	cpu_set_t cpus;
	sigset_t mask;
	size_t size;
	void *stack;
	int value, err = pthread_attr_init(to);

	if (err)
		return err;
	pthread_attr_setdetachstate(to, PTHREAD_CREATE_DETACHED);
	if (!from)
		return 0;
	if (!pthread_attr_getguardsize(from, &size))
		pthread_attr_setguardsize(to, size);
	if (!pthread_attr_getstacksize(from, &size))
		pthread_attr_setstacksize(to, size);
	/* Where none was set, libc subtracts the size from 0. */
	if (!pthread_attr_getstack(from, &stack, &size) && (uintptr_t)stack + size)
		pthread_attr_setstack(to, stack, size);
	if (!pthread_attr_getschedpolicy(from, &value))
		pthread_attr_setschedpolicy(to, value);
	if (!pthread_attr_getschedparam(from, &param))
		pthread_attr_setschedparam(to, &param);
	if (!pthread_attr_getinheritsched(from, &value))
		pthread_attr_setinheritsched(to, value);
	if (!pthread_attr_getscope(from, &value))
		pthread_attr_setscope(to, value);
	/* All of them: none was set. */
	if (!pthread_attr_getaffinity_np(from, sizeof(cpus), &cpus) &&
	    CPU_COUNT(&cpus) < CPU_SETSIZE)
		err = pthread_attr_setaffinity_np(to, sizeof(cpus), &cpus);
	if (!err && !pthread_attr_getsigmask_np(from, &mask))
		err = pthread_attr_setsigmask_np(to, &mask);
	if (err)
		pthread_attr_destroy(to);
	return err;
}

/* --- timers --------------------------------------------------------------------------------- */

struct timer {
	struct notify notify;
	pthread_attr_t attr; /* copied from the program's */
	int id;              /* the kernel's */
	struct timer *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct timer *timers;   /* [lock] */
static _Atomic int helper_pid; /* [lock] to write; whose helper it is: a forked child has none */
static int helper_tid;         /* [lock] */
static sem_t helper_ready;

static void *run_notify(void *arg)
{
	struct notify notify = *(struct notify *)arg;
	sigset_t none;

	free(arg);
	sigemptyset(&none); /* as libc does; the helper's mask was inherited */
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	notify.fn(notify.value);
	return NULL;
}

/* Start what the program wants to be told with. */
static void start_notify(const struct notify *what, const pthread_attr_t *attr)
{
	struct notify *copy = malloc(sizeof(*copy));
	pthread_t thread;

	if (!copy)
		return;
	*copy = *what;
	if (pthread_create(&thread, attr, run_notify, copy))
		free(copy);
}

static void timer_expired(const void *which)
{
	pthread_mutex_lock(&lock);
	for (struct timer *t = timers; t; t = t->next)
		if (t == which) /* and not deleted meanwhile */
			start_notify(&t->notify, &t->attr);
	pthread_mutex_unlock(&lock);
}

static uint64_t signal_bit(int sig)
{
	return 1ull << (sig - 1);
}

static void *helper(void *arg)
{
	uint64_t set = signal_bit(SIG_TIMER);
	siginfo_t info;

	(void)arg;
	sys_signals_block(false);
	helper_tid = (int)sys_call0(SYS_gettid);
	sem_post(&helper_ready);
	for (;;)
		if (sys_call4(SYS_rt_sigtimedwait, (long)&set, (long)&info, 0, sizeof(set)) ==
		    SIG_TIMER)
			timer_expired(info.si_value.sival_ptr);
	return NULL;
}

static int helper_start_locked(void)
{
	pthread_t thread;

	if (helper_pid == getpid())
		return 0;
	sem_init(&helper_ready, 0, 0);
	uint64_t mask = sys_signals_block(false); /* inherited */
	int err = pthread_create(&thread, NULL, helper, NULL);
	sys_signals_restore(mask);
	if (err)
		return -err;
	pthread_detach(thread);
	while (sem_wait(&helper_ready))
		;
	timers = NULL; /* a child inherits none */
	helper_pid = getpid();
	return 0;
}

static int timer_make_locked(clockid_t clock, struct timer *t)
{
	int id = 0, err = helper_start_locked(); /* the kernel's: *t may be managed */

	if (err)
		return err;
	struct sigevent event = {
	    .sigev_notify = SIGEV_THREAD_ID,
	    .sigev_signo = SIG_TIMER,
	    .sigev_value.sival_ptr = t,
	    ._sigev_un._tid = helper_tid,
	};
	err = (int)sys_call3(SYS_timer_create, clock, (long)&event, (long)&id);
	if (err)
		return err;
	t->id = id;
	t->next = timers;
	timers = t;
	return 0;
}

static void timer_free(struct timer *t)
{
	pthread_attr_destroy(&t->attr);
	free(t);
}

EXPORT int timer_create(
    clockid_t clock, struct sigevent *restrict event, timer_t *restrict ret_timer)
{
	if (!pager_is_running() || !event || event->sigev_notify != SIGEV_THREAD)
		return NEED(timer_create)(clock, event, ret_timer);
	struct timer *t = malloc(sizeof(*t));
	if (!t)
		return (int)with_errno(-EAGAIN);
	*t = (struct timer){
	    .notify = {event->sigev_notify_function, event->sigev_value},
	};
	int err = -copy_attr(&t->attr, event->sigev_notify_attributes);
	if (err) {
		free(t);
		return (int)with_errno(err);
	}
	pthread_mutex_lock(&lock);
	err = timer_make_locked(clock, t);
	int id = t->id;
	pthread_mutex_unlock(&lock);
	if (err)
		timer_free(t);
	else
		*ret_timer = (timer_t)(intptr_t)id;
	return (int)with_errno(err);
}

EXPORT int timer_delete(timer_t timer)
{
	struct timer *found = NULL;
	int result = NEED(timer_delete)(timer);

	if (result || helper_pid != getpid())
		return result;
	pthread_mutex_lock(&lock);
	for (struct timer **t = &timers; *t; t = &(*t)->next) {
		if ((timer_t)(intptr_t)(*t)->id != timer)
			continue;
		found = *t;
		*t = found->next;
		break;
	}
	pthread_mutex_unlock(&lock);
	if (found)
		timer_free(found);
	return 0;
}

/* --- message queues ------------------------------------------------------------------------- */

struct registration {
	struct notify notify;
	int socket;
};

static void *wait_for_message(void *arg)
{
	struct registration *r = arg;
	struct notify notify = r->notify;
	unsigned char cookie[COOKIE_BYTES] = {0};
	int socket = r->socket;
	ssize_t n;

	free(r);
	do
		n = recv(socket, cookie, sizeof(cookie), MSG_NOSIGNAL | MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	close(socket);
	if (n == COOKIE_BYTES && cookie[COOKIE_BYTES - 1] == COOKIE_WOKEN)
		notify.fn(notify.value);
	return NULL;
}

static int notify_register(mqd_t queue, struct registration *r, const pthread_attr_t *attr)
{
	static const unsigned char cookie[COOKIE_BYTES];
	pthread_attr_t copy;
	pthread_t thread;

	struct sigevent event = {
	    .sigev_notify = SIGEV_THREAD,
	    .sigev_signo = r->socket,
	    .sigev_value.sival_ptr = (void *)cookie,
	};
	long err = -copy_attr(&copy, attr);
	if (err)
		return (int)err;
	err = sys_call2(SYS_mq_notify, queue, (long)&event);
	if (!err) {
		err = -pthread_create(&thread, &copy, wait_for_message, r);
		if (err)
			sys_call2(SYS_mq_notify, queue, 0);
	}
	pthread_attr_destroy(&copy);
	return (int)err;
}

EXPORT int mq_notify(mqd_t queue, const struct sigevent *event)
{
	if (!pager_is_running() || !event || event->sigev_notify != SIGEV_THREAD)
		return NEED(mq_notify)(queue, event);
	struct registration *r = malloc(sizeof(*r));
	if (!r)
		return (int)with_errno(-ENOMEM);
	r->notify = (struct notify){event->sigev_notify_function, event->sigev_value};
	r->socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (r->socket < 0) {
		free(r);
		return -1;
	}
	int fd = r->socket, err = notify_register(queue, r, event->sigev_notify_attributes);
	if (err) {
		close(fd);
		free(r);
	}
	return (int)with_errno(err);
}
