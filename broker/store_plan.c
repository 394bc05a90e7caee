/* A statement costs some 20 us, and a row in it 2 to 10: so what is of one kind goes into one
 * statement. Ops of different people do not touch the same rows, and may change places; those of
 * one person stay in order, for a session is cleared before it is made again. So each op goes into
 * the first statement of its kind behind the person's one before. (A push token is a row that two
 * people may touch, one after the other.) Cost: one pass over the ops, and for registrations of
 * tokens one over those before. */
#include "broker/store_plan.h"

#include "broker/push.h"
#include "broker/user.h"

#include <string.h>

/* A device that connects and subscribes, or leaves, passes the kinds once. Of who joins nothing
 * else is in a batch. */
static const uint8_t kind_order[STORE_PLAN_KINDS] = {
    [STORE_SESSION_CLEAR] = 0,    [STORE_SESSION_PUT] = 1,       [STORE_DEVICE_PUT] = 2,
    [STORE_SUBSCRIPTION_PUT] = 3, [STORE_SUBSCRIPTION_DROP] = 4, [STORE_SESSION_LEAVE] = 5,
    [STORE_PUSH_PUT] = 6,         [STORE_PUSH_DROP] = 7,         [STORE_SESSION_FIRST] = 8,
};

/* A token may go from one person to another: the later one waits for another plan. */
static bool push_fits(struct store_plan *plan, const struct store_op *op)
{
    if (op->type != STORE_PUSH_PUT)
        return true;
    if (plan->push_put_count == STORE_PLAN_PUSH_PUTS)
        return false;
    for (unsigned i = 0; i < plan->push_put_count; i++) {
        if (strcmp(plan->push_puts[i]->push->token, op->push->token) == 0)
            return false;
    }
    plan->push_puts[plan->push_put_count++] = op;
    return true;
}

/* Statements are counted from 1: 0 is a person without one. */
static unsigned statement_of(const struct store_op *op)
{
    unsigned before = op->user->op_statement;
    unsigned at = before / STORE_PLAN_KINDS * STORE_PLAN_KINDS + kind_order[op->type] + 1;

    return at > before ? at : at + STORE_PLAN_KINDS;
}

struct store_op *store_plan_make(struct store_plan *plan, struct store_op *op)
{
    struct store_op *first = op;

    plan->push_put_count = 0;
    for (unsigned i = 0; i < STORE_PLAN_STATEMENTS; i++)
        plan->runs[i] = (struct store_plan_run){.last = &plan->runs[i].first};
    for (; op; op = STAILQ_NEXT(op, link)) {
        unsigned at;

        if (op->type == STORE_NOTHING)
            continue;
        at = statement_of(op);
        if (at > STORE_PLAN_STATEMENTS || !push_fits(plan, op))
            break;
        op->user->op_statement = (uint16_t)at;
        op->next_in_run = NULL;
        *plan->runs[at - 1].last = op;
        plan->runs[at - 1].last = &op->next_in_run;
    }
    for (struct store_op *planned = first; planned != op; planned = STAILQ_NEXT(planned, link))
        planned->user->op_statement = 0;
    return op;
}
