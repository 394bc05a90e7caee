/* membership_sql - see the header. */
#include "broker/membership_sql.h"

#include "broker/store_sql.h"

const struct pg_statement sql_membership[SQL_MEMBERSHIP_COUNT] = {
    [SQL_MEMBERS_LISTEN] = {"listen", "LISTEN beckon_members", 0},

    /* $1 generation. The lock is not needed: joining, which takes it, follows. A row, for it is
     * read as all the others. */
    [SQL_MEMBERS_FLOOR] = {"floor",
                           "UPDATE ownership SET generation = greatest(generation, $1::int8)"
                           " RETURNING generation",
                           1},

    /* $1 name $2 instance $3 endpoint $4 lease in milliseconds. */
    [SQL_MEMBERS_JOIN] = {"join", "SELECT beckon_join($1::text, $2::uuid, $3::text, $4::int8)", 4},

    /* $1 name $2 instance $3 lease in milliseconds. */
    [SQL_MEMBERS_RENEW] = {"renew", "SELECT beckon_renew($1::text, $2::uuid, $3::int8)", 3},

    /* As SQL_MEMBERS_RENEW. */
    [SQL_MEMBERS_LEAVE] = {"leave", "SELECT beckon_leave($1::text, $2::uuid, $3::int8)", 3},

    /* $1 lease in milliseconds. */
    [SQL_MEMBERS_REMOVE] = {"remove", "SELECT beckon_remove_expired($1::int8)", 1},

    /* One statement, one snapshot: the list is that of the generation. */
    [SQL_MEMBERS_READ] = {"members",
                          "SELECT o.generation, b.name, b.instance, b.endpoint, " SQL_SYNCHRONOUS
                          " FROM ownership o"
                          " LEFT JOIN broker b ON true ORDER BY b.name",
                          0},
};
