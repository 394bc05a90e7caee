/* person_fakes - one person with one phone, and what needs no more than being there: the fakes that
 * test_inbox.c and test_alert*.c have in common. Included by those files only. */
#ifndef BECKON_TESTS_PERSON_FAKES_H
#define BECKON_TESTS_PERSON_FAKES_H

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/delivery.h"
#include "broker/store.h"
#include "broker/unread.h"
#include "broker/will.h"

#include <check.h>
#include <stdlib.h>

static struct broker broker;
static struct user *user;
static struct session session;
static struct peer peer;
static struct buf frame;

void store_forget_device(struct broker *b, struct device *d)
{
    (void)b, (void)d;
}
void user_pin(struct broker *b, struct user *u)
{
    (void)b;
    u->pins++;
}
void user_unpin(struct broker *b, struct user *u)
{
    (void)b;
    u->pins--;
}
void will_destroy(struct will *will)
{
    ck_assert_ptr_null(will);
}
struct buf *bus_out(struct broker *b, struct peer *p)
{
    (void)b, (void)p;
    return &frame;
}
void delivery_log(struct broker *b, const struct device *d, const struct flight *flight,
                  const char *route, const char *what)
{
    (void)b, (void)d, (void)flight, (void)route, (void)what;
}
void unread_count(struct broker *b, struct user *u, const struct message *message)
{
    (void)b, (void)u, (void)message;
}

/* bob, and his phone connected in the foreground. */
static struct device *person_create(uint32_t window)
{
    struct device *device;

    STAILQ_INIT(&broker.touched);
    broker.options.tail_messages = 1000;
    broker.options.retention_days = 30;
    broker.options.tail_bytes = broker.options.inbox_window_bytes = 1000000;
    user = calloc(1, sizeof(*user) + 4);
    ck_assert_ptr_nonnull(user);
    memcpy(user->id, "bob", 4);
    user->id_len = 3;
    user->state = USER_READY;
    TAILQ_INIT(&user->devices);
    STAILQ_INIT(&user->parked);
    device = device_create(&broker, user, bytes_of_string("phone"));
    ck_assert_ptr_nonnull(device);
    device->no = 7;
    device->inbox = true;
    session = (struct session){.conn = 1,
                               .epoch = 5,
                               .window = window,
                               .opened = true,
                               .device = device,
                               .peer = &peer,
                               .state = WIRE_FOREGROUND};
    device->session = &session;
    return device;
}

static void person_destroy(struct device *device)
{
    device_destroy(&broker, device);
    tail_fini(&user->tail);
    free(user);
    hash_fini(&broker.devices);
    buf_release(&frame);
}

#endif
