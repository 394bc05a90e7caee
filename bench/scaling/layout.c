/* layout - how many processes, links, bytes: arithmetic from the constants. */
#include <math.h>
#include <stdio.h>

#include "bench/scaling/claims.h"
#include "bench/scaling/constants.h"
#include "bench/scaling/parts.h"
#include "common/members.h"

#define DAY_S 86400.0
/* One that dies must not be half of the service. */
#define BROKERS_MIN 4.0
/* What else a broker does needs its processor; and a primary's disk has to be copied in a night. */
#define LINKS_SHARE 0.25
#define DISK_BYTES 4e12
#define WAL_BYTES_PER_S 100e6
#define RECOVER_S 120.0

static double per_second(double devices)
{
    return devices * constants.messages_per_day * constants.peak / DAY_S;
}

static double disk_bytes(double devices)
{
    return devices * constants.messages_per_day *
           (constants.stored_bytes * constants.retention_days + constants.move_bytes * 7);
}

static double recover_s(double people)
{
    return people / constants.recover_range *
           (constants.recover_pause_ms / 1e3 +
            constants.recover_range * constants.recover_us / 1e6);
}

struct layout layout_of(double devices)
{
    struct layout layout = {.devices = devices};

    layout.cells = ceil(devices / constants.cell_devices);
    layout.cell_devices = devices / layout.cells;
    layout.brokers =
        (uint32_t)fmax(BROKERS_MIN, ceil(layout.cell_devices / constants.devices_per_broker));
    layout.connectors = (uint32_t)fmax(2 * constants.connectors_per_machine,
                                       ceil(layout.cell_devices / constants.devices_per_connector));
    return layout;
}

void layout_check(const struct layout *layout)
{
    double rate = per_second(layout->cell_devices);
    double links_share = layout->connectors * constants.link_us_per_s / 1e6;

    printf("{\"row\": \"layout\", \"devices\": %.0f, \"cells\": %.0f, \"brokers\": %u, "
           "\"connectors\": %u, \"links\": %u, \"heartbeats_per_s\": %u, \"messages_per_s\": %.6g, "
           "\"all_messages_per_s\": %.6g, \"wal_mb_per_s\": %.4g, \"disk_tb\": %.4g, "
           "\"all_disk_tb\": %.5g, \"postgres_processors\": %.3g, \"connector_gb\": %.3g, "
           "\"broker_gb\": %.3g}\n",
           layout->devices, layout->cells, layout->brokers, layout->connectors,
           layout->brokers * layout->connectors, 2 * layout->brokers * layout->connectors, rate,
           rate * layout->cells, rate * constants.wal_bytes / 1e6,
           disk_bytes(layout->cell_devices) / 1e12, disk_bytes(layout->devices) / 1e12,
           rate * constants.message_postgres_us / 1e6,
           layout->cell_devices / layout->connectors *
               (constants.connector_bytes + constants.kernel_bytes) / 1e9,
           layout->cell_devices / layout->brokers * constants.broker_bytes / 1e9);
    claim("brokers of a cell", layout->devices, layout->brokers, MEMBERS_MAX);
    claim("share of a broker that idle links take", layout->devices, links_share, LINKS_SHARE);
    claim("share of a broker that messages take", layout->devices,
          rate / layout->brokers * constants.message_broker_us / 1e6, LINKS_SHARE);
    claim("processors of a database, messages that come seldom", layout->devices,
          rate * constants.message_postgres_us / 1e6, constants.postgres_processors / 2);
    claim("WAL of a database, bytes a second", layout->devices, rate * constants.wal_bytes,
          WAL_BYTES_PER_S);
    claim("disk of a database, bytes", layout->devices, disk_bytes(layout->cell_devices),
          DISK_BYTES);
    claim("seconds to look at everybody after a start", layout->devices,
          recover_s(layout->cell_devices), RECOVER_S);
}

static void limit(const char *what, double devices)
{
    printf("{\"row\": \"one cell for all ends\", \"by\": \"%s\", \"devices\": %.0f}\n", what,
           devices);
}

void layout_limits(void)
{
    limit("MEMBERS_MAX brokers", MEMBERS_MAX * constants.devices_per_broker);
    limit("idle links of a broker",
          LINKS_SHARE / constants.link_us_per_s * 1e6 * constants.devices_per_connector);
    limit("disk of one primary", DISK_BYTES / disk_bytes(1));
    limit("WAL of one primary", WAL_BYTES_PER_S / (per_second(1) * constants.wal_bytes));
    limit("processors of one primary, seldom",
          constants.postgres_processors / 2 /
              (per_second(1) * constants.message_postgres_us / 1e6));
    limit("processors of one primary, together",
          constants.postgres_processors / 2 /
              (per_second(1) * constants.together_postgres_us / 1e6));
    limit("looking at everybody after a start", RECOVER_S / recover_s(1));
}
