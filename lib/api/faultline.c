// SPDX-License-Identifier: MIT
/*
 * The public interface: faultline/faultline.h on the pager. Also part of the preload library, whose
 * definitions then come before those of libfaultline: there is one pager in a process.
 */
#include "faultline/faultline.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "api/api.h"
#include "base/sys.h"
#include "pager/pager.h"
#include "policy/policy.h"

#define PUBLIC __attribute__((visibility("default")))

#define DEFAULT_RAM (64ull << 20)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool is_open; /* [mutex] this library has started the pager */

static int copy_option(char *to, size_t bytes, const char *what, const char *value,
    const char *fallback, char *why, size_t why_bytes)
{
	if (!value)
		value = fallback;
	if (strlen(value) >= bytes) {
		snprintf(why, why_bytes, "%s: too long", what);
		return -EINVAL;
	}
	strcpy(to, value);
	return 0;
}

static int make_config(
    const struct fl_options *o, struct pager_config *ret_config, char *why, size_t why_bytes)
{
	struct pager_config c = {
	    .ram_bytes = o->ram_bytes ? o->ram_bytes : DEFAULT_RAM,
	    .ram_max_bytes = o->ram_max_bytes,
	    .swap_bytes = o->swap_bytes,
	    .min_map_bytes = PAGE_BYTES,
	    .compress = "off", /* what the counters say of swap is the disk */
	};
	int err = copy_option(
	    c.swap_dir, sizeof(c.swap_dir), "swap_dir", o->swap_dir, "/var/tmp", why, why_bytes);

	if (!err)
		err = copy_option(
		    c.engine, sizeof(c.engine), "engine", o->engine, "auto", why, why_bytes);
	if (!err)
		err = copy_option(c.policy, sizeof(c.policy), "policy", o->policy,
		    policies[0]->name, why, why_bytes);
	if (!err)
		*ret_config = c;
	return err;
}

static int start(const struct fl_options *options, char *why, size_t why_bytes)
{
	static const struct fl_options none;
	struct pager_config config;
	int err = make_config(options ? options : &none, &config, why, why_bytes);

	if (err)
		return err;
	err = sys_gate_map();
	if (err) {
		snprintf(why, why_bytes,
		    "the address range of the gate page is taken; is there another pager in this "
		    "process?");
		return err;
	}
	err = pager_start(&config, why, why_bytes);
	if (!err)
		err = api_process_begin();
	return err;
}

PUBLIC int fl_open(const struct fl_options *options, char *why, size_t why_bytes)
{
	char unread[FL_WHY_BYTES];
	int err = -EALREADY;

	if (!why)
		why = unread, why_bytes = sizeof(unread);
	pthread_mutex_lock(&mutex);
	snprintf(why, why_bytes, "this process is paged already");
	if (!is_open && !pager_is_running())
		err = start(options, why, why_bytes);
	is_open |= !err;
	pthread_mutex_unlock(&mutex);
	return err;
}

PUBLIC int fl_close(void)
{
	if (!pager_is_running())
		return -EINVAL;
	pthread_mutex_lock(&mutex);
	bool is_ours = is_open;
	pthread_mutex_unlock(&mutex);
	return is_ours ? (int)pager_munmap(WINDOW_START, WINDOW_END - WINDOW_START) : 0;
}

PUBLIC int fl_set_ram(uint64_t bytes)
{
	return pager_set_ram(bytes);
}

static bool is_range(const void *addr, size_t bytes)
{
	return pager_is_running() && bytes && !((uintptr_t)addr & PAGE_MASK) &&
	       (uintptr_t)addr + bytes > (uintptr_t)addr;
}

static bool is_prot(int prot)
{
	return prot == PROT_NONE || prot == PROT_READ || prot == (PROT_READ | PROT_WRITE);
}

PUBLIC int fl_map(size_t bytes, int prot, void **ret_addr)
{
	if (!pager_is_running() || !bytes || !is_prot(prot))
		return -EINVAL;
	long at = pager_map(bytes, prot);
	if (at < 0)
		return (int)at;
	*ret_addr = (void *)at;
	return 0;
}

PUBLIC int fl_map_file(
    int fd, uint64_t offset, size_t bytes, int prot, enum fl_file how, void **ret_addr)
{
	if (!pager_is_running() || !bytes || !is_prot(prot) || offset > INT64_MAX - bytes ||
	    (how != FL_FILE_PRIVATE && how != FL_FILE_SHARED))
		return -EINVAL;
	long at = pager_map_file(bytes, prot, fd, (off_t)offset, how == FL_FILE_SHARED);
	if (at < 0)
		return (int)at;
	*ret_addr = (void *)at;
	return 0;
}

PUBLIC int fl_sync(void *addr, size_t bytes)
{
	return is_range(addr, bytes) ? (int)pager_msync((uintptr_t)addr, bytes, MS_SYNC) : -EINVAL;
}

/* What is shared with files outlives the process. */
__attribute__((destructor)) static void at_exit(void)
{
	if (is_open)
		pager_at_exit();
}

PUBLIC int fl_unmap(void *addr, size_t bytes)
{
	return is_range(addr, bytes) ? (int)pager_munmap((uintptr_t)addr, bytes) : -EINVAL;
}

PUBLIC int fl_protect(void *addr, size_t bytes, int prot)
{
	if (!is_range(addr, bytes) || !is_prot(prot))
		return -EINVAL;
	return (int)pager_mprotect((uintptr_t)addr, bytes, prot);
}

PUBLIC int fl_evict(void *addr, size_t bytes)
{
	return is_range(addr, bytes) ? (int)pager_madvise((uintptr_t)addr, bytes, MADV_PAGEOUT)
	                             : -EINVAL;
}

PUBLIC int fl_stats(struct fl_stats *ret_stats)
{
	if (!pager_is_running())
		return -EINVAL;
	pager_refresh_counters();
	const struct fl_process *p = pager_counters();
	*ret_stats = (struct fl_stats){
	    .minor_zero = p->minor_zero,
	    .minor_refill = p->minor_refill,
	    .minor_write = p->minor_write,
	    .major = p->major,
	    .invalid = p->invalid,
	    .refaults = p->refaults,
	    .evict_clean = p->evict_clean,
	    .evict_dirty = p->evict_dirty,
	    .evict_zero = p->evict_zero,
	    .same_content = p->same_content,
	    .readahead_pages = p->readahead_pages,
	    .readahead_used = p->readahead_used,
	    .file_read_bytes = p->file_read_bytes,
	    .file_written_bytes = p->file_written_bytes,
	    .swap_read_bytes = p->read_bytes,
	    .swap_read_ops = p->read_ops,
	    .swap_written_bytes = p->written_bytes,
	    .swap_write_ops = p->write_ops,
	    .stall_ns = p->stall_some_ns,
	    .ram_bytes = p->frames_budget << PAGE_SHIFT,
	    .used_bytes = p->frames_used << PAGE_SHIFT,
	    .peak_bytes = p->frames_peak << PAGE_SHIFT,
	    .touched_bytes = p->managed_bytes,
	    .swap_used_bytes = p->swap_used_bytes,
	};
	return 0;
}
