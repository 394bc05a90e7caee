/* wal - bytes of WAL a second of one database, at its busiest.
 *
 * A small benchmark sees only the rows. What it does not see: the first change of a page after a
 * checkpoint writes the whole page (full_page_writes), and where there are millions of people
 * nearly each message is the first on the pages that it changes. Five kinds of page belong to a
 * message: its device, head and conversation (rows that are changed in place), and a leaf of the
 * index of inbox and of cursor_move each; heaps of those two grow at their end, which all messages
 * share. Of P pages M messages at random touch P (1 - e^(-M / P)). */
#include <math.h>

#include "bench/scaling/constants.h"
#include "bench/scaling/parts.h"

#define PAGE 8192.0

static double touched(double bytes, double messages)
{
    double pages = ceil(bytes / PAGE);

    return pages * -expm1(-messages / pages);
}

double wal_images_per_s(double devices)
{
    double messages = messages_per_s(devices) * constants.checkpoint_s;
    double a_day = devices * constants.messages_per_day;
    double pages =
        touched(devices * constants.device_bytes, messages) +
        touched(devices * constants.head_bytes, messages) +
        touched(devices * constants.conversations * constants.conversation_bytes, messages) +
        touched(a_day * constants.partition_days * constants.inbox_index_bytes, messages) +
        touched(a_day * constants.move_index_bytes, messages);

    return pages * PAGE / constants.checkpoint_s;
}

double wal_bytes_per_s(double devices)
{
    return messages_per_s(devices) * constants.wal_bytes + wal_images_per_s(devices);
}
