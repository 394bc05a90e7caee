/* layout - how many processes, links, bytes: arithmetic from the constants. */
#include <math.h>
#include <stdio.h>

#include "bench/scaling/claims.h"
#include "bench/scaling/constants.h"
#include "bench/scaling/parts.h"
#include "common/members.h"

#define DAY_S 86400.0
/* What dies at once must be a small part of the service, however few devices there are. */
#define BROKERS_MIN 8.0
#define MACHINES_MIN 5.0
/* What else a broker does needs its processor; and a primary's disk has to be copied in a night. */
#define LINKS_SHARE 0.25
#define DISK_BYTES 4e12
#define WAL_BYTES_PER_S 100e6
#define RECOVER_S 120.0

double messages_per_s(double devices)
{
    return devices * constants.messages_per_day * constants.peak / DAY_S;
}

/* What a message leaves behind, and what a person has. */
static double disk_bytes(double devices)
{
    double inbox = constants.inbox_bytes + constants.inbox_index_bytes;
    double moves = constants.move_bytes + constants.move_index_bytes;

    return devices * constants.messages_per_day *
               (inbox * (constants.retention_days + constants.partition_days) +
                moves * (constants.trace_days + 1)) +
           devices * (constants.person_bytes + constants.device_bytes + constants.head_bytes +
                      constants.conversations *
                          (constants.conversation_bytes + constants.conversation_index_bytes));
}

/* One range of people, and the pause after it. */
static double range_s(void)
{
    return constants.recover_pause_ms / 1e3 + constants.recover_range * constants.recover_us / 1e6;
}

static double recover_s(double people)
{
    return people / constants.recover_range * range_s();
}

/* Processors of the database that so many brokers take while each looks at everybody. */
static double recover_processors(double brokers)
{
    return brokers * constants.recover_range * constants.recover_us / 1e6 / range_s();
}

static double links_us(const struct layout *layout)
{
    return (layout->connectors + layout->brokers - 1) * constants.link_us_per_s;
}

struct layout layout_of(double devices)
{
    struct layout layout = {.devices = devices};

    layout.cells = ceil(devices / constants.cell_devices);
    layout.cell_devices = devices / layout.cells;
    layout.brokers =
        (uint32_t)fmax(BROKERS_MIN, ceil(layout.cell_devices / constants.devices_per_broker));
    layout.connectors = (uint32_t)fmax(MACHINES_MIN * constants.connectors_per_machine,
                                       ceil(layout.cell_devices / constants.devices_per_connector));
    return layout;
}

static void print(const struct layout *layout)
{
    double devices = layout->cell_devices, rate = messages_per_s(devices);
    double a_connector = devices / layout->connectors, a_broker = devices / layout->brokers;

    printf("{\"row\": \"layout\", \"devices\": %.0f, \"cells\": %.0f, \"brokers\": %u, "
           "\"connectors\": %u, \"links\": %u, \"heartbeats_per_s\": %u, \"messages_per_s\": %.6g, "
           "\"all_messages_per_s\": %.6g, ",
           layout->devices, layout->cells, layout->brokers, layout->connectors,
           layout->brokers * layout->connectors, 2 * layout->brokers * layout->connectors, rate,
           rate * layout->cells);
    printf("\"connector_gb\": %.3g, \"connector_share\": %.3g, \"broker_gb\": %.3g, "
           "\"broker_share\": %.3g, ",
           a_connector * (constants.connector_bytes + constants.kernel_bytes) / 1e9,
           (a_connector * constants.idle_connector_us +
            layout->brokers * constants.link_connector_us +
            rate / layout->connectors * constants.message_connector_us) /
               1e6,
           a_broker * constants.broker_bytes / 1e9,
           (a_broker * constants.idle_broker_us + links_us(layout) +
            rate / layout->brokers * constants.message_broker_us) /
               1e6);
    printf("\"postgres_processors\": %.3g, \"wal_rows_mb_per_s\": %.4g, \"wal_mb_per_s\": %.4g, "
           "\"disk_tb\": %.4g, \"all_disk_tb\": %.5g, \"relay_links_share\": %.3g}\n",
           rate * constants.message_postgres_us / 1e6, rate * constants.wal_bytes / 1e6,
           wal_bytes_per_s(devices) / 1e6, disk_bytes(devices) / 1e12,
           disk_bytes(layout->devices) / 1e12, (layout->cells - 1) * constants.link_us_per_s / 1e6);
}

void layout_check(const struct layout *layout)
{
    double devices = layout->cell_devices, rate = messages_per_s(devices);

    print(layout);
    claim("brokers of a cell", layout->devices, layout->brokers, MEMBERS_MAX);
    claim("share of a broker that idle links take", layout->devices, links_us(layout) / 1e6,
          LINKS_SHARE);
    claim("share of a broker that messages take", layout->devices,
          rate / layout->brokers * constants.message_broker_us / 1e6, LINKS_SHARE);
    claim("processors of a database, messages that come seldom", layout->devices,
          rate * constants.message_postgres_us / 1e6, constants.postgres_processors / 2);
    claim("WAL of a database, bytes a second", layout->devices, wal_bytes_per_s(devices),
          WAL_BYTES_PER_S);
    claim("disk of a database, bytes", layout->devices, disk_bytes(devices), DISK_BYTES);
    claim("seconds to look at everybody after a start", layout->devices, recover_s(devices),
          RECOVER_S);
    claim("processors of a database, all brokers look at everybody", layout->devices,
          recover_processors(layout->brokers), constants.postgres_processors / 2);
}

static void limit(const char *what, double devices)
{
    printf("{\"row\": \"one cell for all ends\", \"by\": \"%s\", \"devices\": %.0f}\n", what,
           devices);
}

/* The most devices with at most so much WAL a second: it grows with them, but not evenly. */
static double wal_limit(void)
{
    double low = 0, high = 1e12;

    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;

        if (wal_bytes_per_s(middle) > WAL_BYTES_PER_S)
            high = middle;
        else
            low = middle;
    }
    return low;
}

void layout_limits(void)
{
    double half = constants.postgres_processors / 2;

    limit("MEMBERS_MAX brokers", MEMBERS_MAX * constants.devices_per_broker);
    limit("idle links of a broker",
          LINKS_SHARE / constants.link_us_per_s * 1e6 /
              (1 / constants.devices_per_connector + 1 / constants.devices_per_broker));
    limit("disk of one primary", DISK_BYTES / disk_bytes(1));
    limit("WAL of one primary", wal_limit());
    limit("processors of one primary, messages that come seldom",
          half / (messages_per_s(1) * constants.message_postgres_us / 1e6));
    limit("processors of one primary, messages that come together",
          half / (messages_per_s(1) * constants.together_postgres_us / 1e6));
    limit("seconds to look at everybody after a start", RECOVER_S / recover_s(1));
    limit("processors of one primary, all brokers look at everybody",
          half / recover_processors(1) * constants.devices_per_broker);
}
