/* brokers_internal - between brokers.c (links) and brokers_view.c (which there are). */
#ifndef BECKON_CONNECTOR_BROKERS_INTERNAL_H
#define BECKON_CONNECTOR_BROKERS_INTERNAL_H

#include "connector/brokers.h"

/* In no slot, without a link. NULL: out of memory. */
struct broker *broker_new(struct brokers *brokers, const char *name, const char *endpoint);
/* It is muted now, and freed by a posted task: not under a callback of its link. */
void broker_leave(struct broker *broker);
/* The seed turned out to be that member: its link works, whatever the list says. The member's
 * former link goes with the seed. */
void broker_adopt(struct broker *member, struct broker *seed);

/* Gives members without a link those of seeds that are on their way to the same endpoint; teller, a
 * seed, NULL or another broker, has said that it is the member of that name. */
void brokers_adopt_seeds(struct brokers *brokers, struct broker *teller, const char *name);
/* Asks the brokers of the configuration, when nothing is linked. */
void brokers_ask_seeds(struct brokers *brokers);
void brokers_drop_seeds(struct brokers *brokers);
/* Makes the links of members that have none; again later, where that fails. */
void brokers_make_links(struct brokers *brokers);
/* Calls `changed`. */
void brokers_tell(const struct brokers *brokers, const char *why);

/* Events of links (common/link/link.h); arg is the broker. */
void brokers_on_welcomed(void *arg, const struct wire_welcome *welcome);
void brokers_on_members(void *arg, const struct wire_members *members);

#endif
