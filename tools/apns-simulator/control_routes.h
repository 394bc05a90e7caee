/* control_routes - what each call to the control door does. Loop thread only. */
#ifndef BECKON_APNS_SIMULATOR_CONTROL_ROUTES_H
#define BECKON_APNS_SIMULATOR_CONTROL_ROUTES_H

#include "control_feed.h"

struct simulator;

struct control_request {
    const char *method, *path;
    const char *device; /* the query's; "" when absent */
    const char *body;
    size_t body_len;
};

/* Queues the answer, whatever it is. MHD_NO when out of memory: the connection ends. */
enum MHD_Result control_route(struct simulator *simulator, struct feeds *feeds,
                              struct MHD_Connection *connection,
                              const struct control_request *request);
/* Queues an application/problem+json. key: the one to blame, "" for none. */
enum MHD_Result control_problem(struct MHD_Connection *connection, unsigned status, const char *key,
                                const char *detail);

#endif
