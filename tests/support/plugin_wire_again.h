/* plugin_wire_again - encodes a decoded record of plugin_wire.h once more: the same bytes must come
 * out. */
#ifndef BECKON_TESTS_SUPPORT_PLUGIN_WIRE_AGAIN_H
#define BECKON_TESTS_SUPPORT_PLUGIN_WIRE_AGAIN_H

#include "plugin-host/plugin_wire.h"

#include <stdlib.h>

static inline void plugin_wire_again_open(struct buf *frame, struct plugin_wire_record *record)
{
    uint16_t count = record->settings.count, i = 0;
    struct dp_setting *settings = calloc((size_t)count + 1, sizeof(*settings));

    while (settings && plugin_wire_next_setting(record, &settings[i]) == 1)
        i++;
    if (settings)
        plugin_wire_put_open(frame, settings, i);
    free(settings);
}

/* Settings of an OPEN record are taken off. */
static inline void plugin_wire_again(struct buf *frame, struct plugin_wire_record *record)
{
    struct dp_plugin descriptor = {.struct_size = sizeof(descriptor)};

    switch (record->type) {
    case PLUGIN_WIRE_HELLO:
        plugin_wire_put_hello(frame, record->abi);
        break;
    case PLUGIN_WIRE_OPEN:
        plugin_wire_again_open(frame, record);
        break;
    case PLUGIN_WIRE_OPENED:
        descriptor.name = record->opened.name;
        descriptor.version = record->opened.version;
        descriptor.flags = record->opened.flags;
        plugin_wire_put_opened(frame, &descriptor);
        break;
    case PLUGIN_WIRE_FAILED:
        plugin_wire_put_failed(frame, record->text);
        break;
    case PLUGIN_WIRE_DELIVER:
        plugin_wire_put_deliver(frame, &record->deliver.delivery);
        break;
    case PLUGIN_WIRE_OUTCOME:
        plugin_wire_put_outcome(frame, record->outcome.id, &record->outcome.outcome);
        break;
    case PLUGIN_WIRE_CANCEL:
        plugin_wire_put_cancel(frame, record->id);
        break;
    case PLUGIN_WIRE_PING:
    case PLUGIN_WIRE_PONG:
        plugin_wire_put_stamp(frame, record->type, record->stamp);
        break;
    case PLUGIN_WIRE_COUNT:
        plugin_wire_put_count(frame, record->count.name, record->count.delta);
        break;
    case PLUGIN_WIRE_LOG:
        plugin_wire_put_log(frame, record->log.level, record->log.text);
        break;
    case PLUGIN_WIRE_CLOSE:
    case PLUGIN_WIRE_CLOSED:
        plugin_wire_put_empty(frame, record->type);
        break;
    }
}

#endif
