/* store_plan - which small writes of a batch share a statement, and in which order these are sent.
 * No I/O. Loop thread only. */
#ifndef BECKON_BROKER_STORE_PLAN_H
#define BECKON_BROKER_STORE_PLAN_H

#include "broker/store.h"

/* Kinds of ops that are statements. */
#define STORE_PLAN_KINDS 9u
/* Passes through the kinds: who does more than that within one commit is an exception. */
#define STORE_PLAN_PASSES 8u
#define STORE_PLAN_STATEMENTS (STORE_PLAN_KINDS * STORE_PLAN_PASSES)
/* Registrations of push tokens: each is compared with those before it. */
#define STORE_PLAN_PUSH_PUTS 256u

struct store_plan {
    /* To send in this order, where there is one: ops of one kind, linked by next_in_run. */
    struct store_plan_run {
        struct store_op *first, **last;
    } runs[STORE_PLAN_STATEMENTS];
    const struct store_op *push_puts[STORE_PLAN_PUSH_PUTS];
    unsigned push_put_count;
};

/* Plans op and what follows it in its list, up to one that has to wait for another plan. Returns
 * that one, or NULL. */
struct store_op *store_plan_make(struct store_plan *plan, struct store_op *op);

#endif
