/* membership_sql - the statements of membership.c. The functions are in schema/migrations/0004. */
#ifndef BECKON_BROKER_MEMBERSHIP_SQL_H
#define BECKON_BROKER_MEMBERSHIP_SQL_H

#include "broker/pg.h"

enum sql_membership {
    SQL_MEMBERS_LISTEN,
    SQL_MEMBERS_FLOOR,
    SQL_MEMBERS_JOIN,
    SQL_MEMBERS_RENEW,
    SQL_MEMBERS_LEAVE,
    SQL_MEMBERS_REMOVE,
    SQL_MEMBERS_READ,
    SQL_MEMBERSHIP_COUNT
};

/* Of SQL_MEMBERS_READ: at least one row; name is null when there are no members. */
enum {
    MEMBERS_GENERATION,
    MEMBERS_NAME,
    MEMBERS_INSTANCE,
    MEMBERS_ENDPOINT,
    MEMBERS_SYNCHRONOUS /* commits wait for a standby */
};

extern const struct pg_statement sql_membership[SQL_MEMBERSHIP_COUNT];

#endif
