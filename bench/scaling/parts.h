/* parts - what is simulated, each prints its rows and claims. */
#ifndef BECKON_BENCH_SCALING_PARTS_H
#define BECKON_BENCH_SCALING_PARTS_H

#include <stdint.h>

/* A cell: connectors and brokers that are all linked, and one database. */
struct layout {
    double devices; /* of all cells */
    double cells, cell_devices;
    uint32_t brokers, connectors; /* of one cell */
};

struct layout layout_of(double devices);
double messages_per_s(double devices);
/* Of the database of so many devices; the images of whole pages are part of the bytes. */
double wal_images_per_s(double devices);
double wal_bytes_per_s(double devices);
void layout_check(const struct layout *layout);
/* Where one cell for everybody would end. */
void layout_limits(void);
void people_check(const struct layout *layout, uint64_t seed);
void handover_check(const struct layout *layout, uint64_t seed);
void storm_check(const struct layout *layout, uint64_t seed);

#endif
