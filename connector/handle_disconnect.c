#include "connector/conn.h"
#include "connector/handle.h"

void handle_disconnect(struct conn *c, const struct mqtt_disconnect *disconnect)
{
    static const struct mqtt_fault revived = {
        MQTT_PROTOCOL_ERROR, "section 3.14.2.2.2",
        "Session Expiry Interval above 0 after one of 0 in CONNECT"};
    const struct mqtt_properties *properties = &disconnect->properties;

    if ((properties->present & MQTT_HAS_SESSION_EXPIRY) != 0) {
        if (properties->session_expiry_s != 0 && !c->client->asked_expiry) {
            conn_close(c, CLOSE_FAULT, &revived);
            return;
        }
        c->client->session_expiry_s = properties->session_expiry_s;
    }
    /* Only 0x00 withdraws the Will (MQTT-3.14.4-3); any other reason tells of a client in trouble.
     */
    conn_close(c, disconnect->reason == MQTT_SUCCESS ? CLOSE_CLIENT : CLOSE_CLIENT_WILL, NULL);
}
