/* brokers_view - who the brokers are, from what one of them tells.
 *
 * A list that is older than ours comes from a broker that does not know yet: in MEMBERS it is
 * ignored, in WELCOME that link is tried again. A newer one is applied at once: members get slots,
 * links are made, people are moved (brokers_move.c), and who is not on it leaves. When generations
 * were missed anybody may have owned anybody meanwhile, so that all links are dropped and
 * everything is said anew. */
#include "connector/brokers_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"

#include "connector/conn.h"
#include "connector/session.h"

static struct broker *find_broker(const struct brokers *brokers, const char *name)
{
    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        if (brokers->slots[i] != NULL && strcmp(brokers->slots[i]->name, name) == 0)
            return brokers->slots[i];
    }
    return NULL;
}

/* A member that was not there. NULL: out of memory. */
static struct broker *add_broker(struct brokers *brokers, const struct member *member)
{
    struct broker *broker = broker_new(brokers, member->name, member->endpoint);

    if (broker == NULL)
        return NULL;
    broker->requests = link_requests_create(brokers->config.pending_bytes);
    if (broker->requests == NULL) {
        free(broker);
        return NULL;
    }
    /* Requests to it wait from now on, whether it is reached soon or not. */
    link_requests_set_credit(broker->requests, brokers->credit);
    for (uint8_t slot = 0; broker->slot == BROKER_NONE; slot++) {
        if (brokers->slots[slot] == NULL)
            broker->slot = slot; /* there are twice as many as members */
    }
    brokers->slots[broker->slot] = broker;
    return broker;
}

/* It serves elsewhere under the same name. Its unanswered requests stay. */
static void move_link(struct broker *broker, const char *endpoint)
{
    struct broker *shell;

    if (strcmp(broker->endpoint, endpoint) == 0)
        return;
    shell = broker_new(broker->brokers, broker->name, broker->endpoint);
    if (shell == NULL)
        return; /* the link stays where it was, and is refused there or finds nobody */
    shell->link = broker->link;
    if (shell->link != NULL)
        link_set_arg(shell->link, shell);
    broker_leave(shell);
    broker->link = NULL;
    broker->ready = false;
    snprintf(broker->endpoint, sizeof(broker->endpoint), "%s", endpoint);
}

/* Each member of fresh gets a slot. False: out of memory, nothing has changed but new slots. */
static bool place_members(struct brokers *brokers, const struct members *fresh,
                          uint8_t slot_of[MEMBERS_MAX])
{
    for (unsigned i = 0; i < fresh->count; i++) {
        struct broker *broker = find_broker(brokers, fresh->all[i].name);

        if (broker == NULL)
            broker = add_broker(brokers, &fresh->all[i]);
        if (broker == NULL)
            return false;
        slot_of[i] = broker->slot;
        broker->staying = true;
    }
    return true;
}

/* Who waited for one that is gone, or for people who moved, is read again and finds out. */
static void resume_all(struct brokers *brokers)
{
    struct conn *c;

    TAILQ_FOREACH(c, &brokers->connector->conns->lists.in[CONN_STALLED], state_link)
    c->stalled_for = BROKER_NONE;
    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        if (brokers->slots[i] != NULL)
            brokers->slots[i]->stalled = true;
    }
}

static void drop_absent(struct brokers *brokers)
{
    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        struct broker *broker = brokers->slots[i];

        if (broker == NULL || broker->staying)
            continue;
        brokers->slots[i] = NULL;
        broker_leave(broker);
    }
}

static void log_view(const struct brokers *brokers)
{
    char names[512];
    size_t used = 0;

    for (unsigned i = 0; i < brokers->view.count && used < sizeof(names); i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i == 0 ? "" : " ",
                                 brokers->view.all[i].name);
    log_info(NULL, "%u brokers in generation %llu of ownership: %s", brokers->view.count,
             (unsigned long long)brokers->view.generation, names);
}

/* teller: whose link brought it in WELCOME, with that name; NULL: it came in MEMBERS. False: out of
 * memory, and the former view holds. */
static bool take_view(struct brokers *brokers, const struct members *fresh, struct broker *teller,
                      const char *name)
{
    /* Between the two, anybody may have owned anybody. */
    bool jumped = brokers->view.generation != 0 && fresh->generation > brokers->view.generation + 1;
    uint8_t slot_of[MEMBERS_MAX];

    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        if (brokers->slots[i] != NULL)
            brokers->slots[i]->staying = false;
    }
    if (!place_members(brokers, fresh, slot_of))
        return false;
    brokers->connector->metrics.view_changes += brokers->view.generation != 0;
    brokers->view = *fresh;
    memcpy(brokers->slot_of, slot_of, sizeof(slot_of));
    log_view(brokers);
    for (unsigned i = 0; i < fresh->count; i++)
        move_link(brokers->slots[slot_of[i]], fresh->all[i].endpoint);
    brokers_adopt_seeds(brokers, teller, name);
    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        struct broker *broker = brokers->slots[i];

        if (broker == NULL || broker->link == NULL)
            continue;
        link_set_generation(broker->link, fresh->generation);
        if (jumped && broker->ready) { /* who says WELCOME just now is told everything anyway */
            broker->ready = false;
            link_drop(broker->link, "its view is newer by more than one: everything is said anew");
        }
    }
    brokers_make_links(brokers);
    brokers_move_people(brokers);
    drop_absent(brokers);
    resume_all(brokers);
    brokers_tell(brokers, NULL);
    return true;
}

/* What is wrong with a list that a broker told, as far as can be said of it alone: NULL, nothing.
 * Otherwise the link is to be dropped with that. */
static const char *find_flaw(const struct brokers *brokers, const struct members *fresh)
{
    if (fresh->generation == brokers->view.generation && !members_equal(fresh, &brokers->view))
        return "it has other members than we were told, in the same generation";
    return NULL;
}

/* The member that said WELCOME; NULL: the link is being dropped. */
static struct broker *identify(struct broker *broker, const struct wire_welcome *welcome,
                               struct members *fresh)
{
    struct brokers *brokers = broker->brokers;
    const struct member *itself = NULL;
    const char *flaw;
    bool stranger;

    if (members_read(&welcome->members, fresh) < 0) {
        link_put_off(broker->link, "its list of members is not in order");
        return NULL;
    }
    itself = members_find(fresh, welcome->name);
    flaw = find_flaw(brokers, fresh);
    stranger = itself != NULL && broker->name[0] != '\0' && strcmp(broker->name, itself->name) != 0;
    if (itself == NULL)
        flaw = "it is not among the members that it names";
    else if (fresh->generation < brokers->view.generation)
        flaw = "it has an older view of the members than ours";
    if (flaw == NULL && fresh->generation > brokers->view.generation &&
        !take_view(brokers, fresh, stranger ? NULL : broker, itself->name))
        flaw = "out of memory for its members";
    if (flaw == NULL && stranger)
        flaw = "another broker answers at its endpoint"; /* as its view has it, now */
    if (flaw != NULL && broker->link != NULL)
        link_put_off(broker->link, flaw);
    if (flaw != NULL) {
        return NULL;
    }
    return find_broker(brokers, itself->name);
}

void brokers_on_welcomed(void *arg, const struct wire_welcome *welcome)
{
    static struct members fresh; /* too large for comfort on a stack */
    struct broker *told_by = arg, *broker;
    struct brokers *brokers = told_by->brokers;
    struct link *link = told_by->link;

    if (told_by->gone)
        return;
    brokers->credit = welcome->credit;
    broker = identify(told_by, welcome, &fresh);
    if (broker == NULL)
        return;
    if (broker->link != link && !broker->ready)
        broker_adopt(broker, told_by); /* the members were known, and this one is reached */
    brokers_drop_seeds(brokers);
    if (broker->link != link)
        return; /* it is linked already */
    link_set_generation(broker->link, brokers->view.generation);
    broker->ready = true;
    log_info(NULL, "linked to %s", broker->name);
    brokers_tell(brokers, NULL);
    session_announce_all(broker, welcome);
}

void brokers_on_members(void *arg, const struct wire_members *members)
{
    static struct members fresh;
    struct broker *broker = arg;
    struct brokers *brokers = broker->brokers;
    const char *flaw = NULL;

    if (broker->gone || !broker->ready)
        return;
    if (members_read(members, &fresh) < 0)
        flaw = "its list of members is not in order";
    else
        flaw = find_flaw(brokers, &fresh);
    if (flaw == NULL && fresh.generation > brokers->view.generation &&
        !take_view(brokers, &fresh, NULL, NULL))
        flaw = "out of memory for its members";
    if (flaw != NULL)
        link_put_off(broker->link, flaw);
    brokers_ask_seeds(brokers); /* the only one that was linked may have left */
}
