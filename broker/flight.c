/* flight - see the header. */
#include "broker/flight.h"

#include <stdlib.h>
#include <string.h>

struct flight *flight_push(struct flights *flights, uint64_t seq, enum flight_state state)
{
    struct flight *flight;

    if (flights->count == flights->cap) {
        uint32_t cap = flights->cap ? flights->cap * 2 : 4;
        struct flight *ring = malloc(cap * sizeof(*ring));

        if (!ring)
            return NULL;
        for (uint32_t i = 0; i < flights->count; i++)
            ring[i] = *flight_at(flights, i);
        free(flights->ring);
        flights->ring = ring;
        flights->head = 0;
        flights->cap = cap;
    }
    flight = flight_at(flights, flights->count++);
    memset(flight, 0, sizeof(*flight));
    flight->seq = seq;
    flight->state = (uint8_t)state;
    if (state != FLIGHT_DONE)
        flights->outstanding++;
    return flight;
}

static void give_back(struct flights *flights, const struct flight *flight)
{
    if (flight->state == FLIGHT_DONE || flight->timed_out)
        return;
    flights->outstanding--;
    flights->outstanding_bytes -= flight->bytes;
}

void flight_unpush(struct flights *flights)
{
    give_back(flights, flight_at(flights, flights->count - 1));
    if (--flights->count == 0)
        flights_clear(flights);
}

void flight_done(struct flights *flights, struct flight *flight)
{
    give_back(flights, flight);
    flight->state = FLIGHT_DONE;
}

void flight_timed_out(struct flights *flights, struct flight *flight)
{
    give_back(flights, flight);
    flight->timed_out = true;
}

void flight_pop(struct flights *flights)
{
    give_back(flights, flight_at(flights, 0));
    flights->head = (flights->head + 1) & (flights->cap - 1);
    if (--flights->count == 0)
        flights_clear(flights);
}

void flights_clear(struct flights *flights)
{
    free(flights->ring);
    *flights = (struct flights){0};
}

struct flight *flight_find(const struct flights *flights, uint32_t seq_low)
{
    uint32_t low = 0, high = flights->count;

    /* ascending, and never two billion apart: the low halves are ascending too, modulo wrap */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct flight *flight = flight_at(flights, middle);

        if ((uint32_t)flight->seq == seq_low)
            return flight;
        if ((int32_t)((uint32_t)flight->seq - seq_low) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
