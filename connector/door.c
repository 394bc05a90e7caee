#include "connector/door.h"

#include "common/auto.h"

const struct door doors[DOOR_COUNT] = {
    [DOOR_TCP] = {.name = "listen.tcp", .options = offsetof(struct options, listen_tcp)},
};

int door_open(const struct door *door, struct connector *connector, int fd,
              struct transport *ret_transport)
{
    (void)door;
    (void)connector;
    transport_tcp_init(ret_transport, fd);
    return 0;
}

int doors_check(const struct options *options, struct err_text *et)
{
    for (size_t i = 0; i < ARRAY_LEN(doors); i++) {
        if (door_options(&doors[i], options)->enabled)
            return 0;
    }
    return err_set(et, ERR_CONFIG,
                   "no listener is enabled, expected at least one, as "
                   "\"listen.tcp.enabled\"");
}
