#include "connector/conn.h"
#include "connector/handle.h"

void handle_ping(struct conn *c)
{
    struct buf out = conn_begin(c);

    mqtt_put_pingresp(&out);
    conn_end(c, &out);
}
