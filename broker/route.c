/* route - see the header. */
#include "broker/route.h"

#include "broker/broker.h"
#include "broker/delivery.h"
#include "broker/session.h"

#define LIVE "live"

int route_check(struct broker *broker, struct err_text *et)
{
    broker->live = plugin_find(broker, LIVE);
    if (!broker->live)
        return err_set(et, ERR_CONFIG,
                       "plugins: no plugin \"" LIVE "\" is configured, and routes need it");
    return 0;
}

bool route_available(const struct device *device)
{
    return device->session && device->session->opened && device->inbox && device->no != 0 &&
           device->writes == 0;
}

int route_deliver(struct broker *broker, struct device *device, struct message *message,
                  uint64_t id, bool redelivery)
{
    return delivery_start(
        broker, broker->live,
        &(struct delivery_source){.device = device, .message = message, .redelivery = redelivery},
        id);
}

void route_socket_result(struct broker *broker, uint64_t id, uint32_t result)
{
    plugin_socket_result(broker->live, id, result);
}
