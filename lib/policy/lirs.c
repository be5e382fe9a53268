// SPDX-License-Identifier: MIT
/*
 * LIRS: low inter-reference recency set.
 *
 * Jiang, Zhang: "LIRS: An Efficient Low Inter-reference Recency Set Replacement Policy to Improve
 * Buffer Cache Performance", SIGMETRICS 2002. LRU ranks pages by the time since their last use;
 * LIRS by the number of other pages between their last two uses, which a loop or a scan does not
 * fool. Pages with a small one (LIR) have nearly all frames and are never evicted directly; the
 * others (HIR) pass through a small queue Q of 1 % of the frames.
 *
 *     S  a stack by recency: all LIR pages, and the HIR ones, resident or not, that were used more
 *        recently than the least recent LIR page, which is always at its bottom ("pruning")
 *     Q  resident HIR pages, in the order in which they are to go
 *
 * A HIR page that is used while it is in S has a smaller inter-reference recency than the LIR page
 * at the bottom: they change places. S remembers pages without a limit here (the paper's figures
 * do too); the records of pages are there anyway.
 *
 * Record 2 * page is the page's place in S, record 2 * page + 1 its place in Q; `count` of the
 * first is its status.
 */
#include "policy/page_list.h"

enum status {
	ABSENT, /* a HIR page in no frame, or never seen */
	LIR,
	HIR,
};

struct access_policy {
	uint32_t nr_frames, max_lir, nr_lir;
	struct page_list s; /* bottom first; of records 2 * page */
	struct page_list q; /* next to go first; of records 2 * page + 1 */
};

static size_t lirs_state_bytes(uint32_t nr_frames)
{
	(void)nr_frames;
	return sizeof(struct access_policy);
}

static void lirs_init(struct access_policy *p, uint32_t nr_frames)
{
	p->nr_frames = nr_frames;
	p->max_lir = nr_frames - MAX(nr_frames / 100, 1u);
	page_list_init(&p->s, 1);
	page_list_init(&p->q, 2);
}

static void to_top(struct access_policy *p, struct access_page *r, uint32_t page)
{
	if (r[2 * page].list)
		page_list_remove(&p->s, r, 2 * page);
	page_list_append(&p->s, r, 2 * page);
}

static void leave_q(struct access_policy *p, struct access_page *r, uint32_t page)
{
	if (r[2 * page + 1].list)
		page_list_remove(&p->q, r, 2 * page + 1);
}

static void prune(struct access_policy *p, struct access_page *r)
{
	while (p->s.nr && r[p->s.head].count != LIR)
		page_list_take_head(&p->s, r);
}

/* The page was used twice within S: it is LIR from now on, for the LIR page at the bottom. */
static void promote(struct access_policy *p, struct access_page *r, uint32_t page)
{
	leave_q(p, r, page);
	to_top(p, r, page);
	r[2 * page].count = LIR;
	if (++p->nr_lir <= p->max_lir)
		return;
	prune(p, r);
	uint32_t bottom = page_list_take_head(&p->s, r);
	r[bottom].count = HIR;
	page_list_append(&p->q, r, bottom + 1);
	p->nr_lir--;
}

static void hit(struct access_policy *p, struct access_page *r, uint32_t page)
{
	if (r[2 * page].count == LIR) {
		to_top(p, r, page);
	} else if (r[2 * page].list) {
		promote(p, r, page);
	} else {
		leave_q(p, r, page);
		page_list_append(&p->q, r, 2 * page + 1);
		to_top(p, r, page);
	}
}

static uint32_t miss(struct access_policy *p, struct access_page *r, uint32_t page)
{
	uint32_t victim = ACCESS_NO_PAGE;

	if (p->nr_lir + p->q.nr == p->nr_frames) {
		victim = page_list_take_head(&p->q, r) / 2;
		r[2 * victim].count = ABSENT;
	}
	if (p->nr_lir < p->max_lir || r[2 * page].list) {
		promote(p, r, page);
		return victim;
	}
	r[2 * page].count = HIR;
	to_top(p, r, page);
	page_list_append(&p->q, r, 2 * page + 1);
	return victim;
}

static bool lirs_access(struct access_policy *p, struct access_page *records, uint32_t page,
    uint64_t now, uint64_t next_use, uint32_t *ret_victim)
{
	bool is_hit = records[2 * page].count != ABSENT;

	(void)now, (void)next_use;
	*ret_victim = ACCESS_NO_PAGE;
	if (is_hit)
		hit(p, records, page);
	else
		*ret_victim = miss(p, records, page);
	prune(p, records);
	return is_hit;
}

const struct access_ops access_lirs = {
    .name = "lirs",
    .summary = "LIRS: by the distance between a page's last two uses",
    .records = 2,
    .state_bytes = lirs_state_bytes,
    .init = lirs_init,
    .access = lirs_access,
};
