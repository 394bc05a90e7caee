/* sqlstate - see the header. Codes: PostgreSQL, appendix "PostgreSQL Error Codes". */
#include "broker/sqlstate.h"

#include "common/auto.h"

#include <string.h>

bool sqlstate_passes(const char *sqlstate)
{
    /* Whole classes, by their first two characters, and single codes. */
    static const char *const passing[] = {
        "08",    /* connection exceptions */
        "25006", /* read-only transaction: a standby, or a server that was made read-only */
        "28",    /* authorization: a role or a password that is being changed */
        "3D",    /* no such database: it is being restored */
        "40",    /* rolled back: deadlocks, serialization */
        "53",    /* no disk, no memory, no connections */
        "55",    /* locked, or not in the state that it needs */
        "57",    /* the operator: cancelled, shutting down, starting */
        "58",    /* the system: files that can't be read */
        "XX",    /* internal: corruption, or a defect; not for what this statement holds */
    };

    if (!sqlstate || sqlstate[0] == '\0')
        return true;
    for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
        if (strncmp(sqlstate, passing[i], strlen(passing[i])) == 0)
            return true;
    }
    return false;
}
