/* Tests of common/loop.c: descriptors, the order of a turn, posted work. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/common/loop_fixture.h"

/* A readable descriptor when count > 0, always writable. */
static int open_event(unsigned count)
{
    int fd = eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static loop_id add(int fd, uint32_t events, loop_io_fn fn, void *arg)
{
    loop_id id = 0;

    ck_assert_int_eq(loop_io_add(loop, fd, events, fn, arg, &id), 0);
    ck_assert(id != 0);
    return id;
}

static void on_io_note(void *arg, uint32_t events)
{
    ck_assert(events != 0);
    note(*(const char *)arg);
}

/* Descriptors */

START_TEST(test_io_is_level_triggered)
{
    int fd = open_event(1);
    loop_id id = add(fd, EPOLLIN, on_io_note, LETTER('i'));

    turn(LONG_MS);
    turn(LONG_MS); /* nobody read it */
    ck_assert_str_eq(trace, "ii");
    loop_io_remove(loop, id);
    turn(0);
    ck_assert_str_eq(trace, "ii");
    close(fd);
}
END_TEST

START_TEST(test_io_set_changes_the_mask)
{
    int fd = open_event(1);
    loop_id id = add(fd, 0, on_io_note, LETTER('i'));

    turn(0);
    ck_assert_str_eq(trace, "");
    ck_assert_int_eq(loop_io_set(loop, id, EPOLLIN), 0);
    ck_assert_int_eq(loop_io_set(loop, id, EPOLLIN), 0);
    turn(LONG_MS);
    ck_assert_str_eq(trace, "i");
    ck_assert_int_eq(loop_io_set(loop, id, 0), 0);
    turn(0);
    ck_assert_str_eq(trace, "i");
    loop_io_remove(loop, id);
    close(fd);
}
END_TEST

START_TEST(test_stale_ids_are_refused)
{
    int fd = open_event(1);
    loop_id id = add(fd, EPOLLIN, on_io_note, LETTER('a'));

    loop_io_remove(loop, id);
    loop_id again = add(fd, EPOLLIN, on_io_note, LETTER('b')); /* the same slot */
    ck_assert(again != id);
    ck_assert_int_eq(loop_io_set(loop, id, 0), ERR_NOT_FOUND);
    ck_assert_int_eq(loop_io_set(loop, 0, 0), ERR_NOT_FOUND);
    ck_assert_int_eq(loop_io_set(loop, UINT64_MAX, 0), ERR_NOT_FOUND);
    loop_io_remove(loop, id);
    loop_io_remove(loop, 0);
    turn(LONG_MS);
    ck_assert_str_eq(trace, "b");
    loop_io_remove(loop, again);
    close(fd);
}
END_TEST

struct rival {
    int fd, quiet_fd;
    loop_id id;
    struct rival *other;
};

/* Removes the other, whose event is in the same batch, and puts a quiet source in its slot. */
static void on_rival(void *arg, uint32_t events)
{
    struct rival *rival = arg;

    ck_assert_uint_eq(events, EPOLLIN);
    note('r');
    loop_io_remove(loop, rival->other->id);
    rival->other->id = add(rival->quiet_fd, EPOLLIN, on_io_note, LETTER('x'));
}

START_TEST(test_event_of_a_removed_source_is_dropped)
{
    struct rival a = {.fd = open_event(1), .quiet_fd = open_event(0)};
    struct rival b = {.fd = open_event(1), .quiet_fd = a.quiet_fd, .other = &a};

    a.other = &b;
    a.id = add(a.fd, EPOLLIN, on_rival, &a);
    b.id = add(b.fd, EPOLLIN, on_rival, &b);
    turn(LONG_MS);
    ck_assert_str_eq(trace, "r");
    loop_io_remove(loop, a.id);
    loop_io_remove(loop, b.id);
    close(a.fd);
    close(b.fd);
    close(a.quiet_fd);
}
END_TEST

struct counted {
    int fd;
    unsigned calls;
    loop_id id;
};

static struct counted counted[600]; /* of which a wait takes 512 */

static void on_counted(void *arg, uint32_t events)
{
    struct counted *source = arg;

    ck_assert_uint_eq(events, EPOLLIN);
    if (source == counted && source->calls == 0) { /* the table moves while its callback runs */
        for (size_t i = 1; i < ARRAY_LEN(counted); i++) {
            counted[i].fd = open_event(1);
            counted[i].id = add(counted[i].fd, EPOLLIN, on_counted, &counted[i]);
        }
    }
    source->calls++;
}

START_TEST(test_table_grows_and_all_are_served)
{
    counted[0].fd = open_event(1);
    counted[0].id = add(counted[0].fd, EPOLLIN, on_counted, counted);
    for (unsigned i = 0; i < 3; i++)
        turn(LONG_MS);
    for (size_t i = 0; i < ARRAY_LEN(counted); i++) {
        ck_assert_uint_ge(counted[i].calls, 1);
    }
    for (size_t i = 0; i < ARRAY_LEN(counted); i++) {
        loop_io_remove(loop, counted[i].id);
        close(counted[i].fd);
    }
}
END_TEST

START_TEST(test_what_epoll_refuses)
{
    AUTO_CLOSE int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    loop_id id = 17;

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(loop_io_add(loop, file, EPOLLIN, on_io_note, LETTER('x'), &id), ERR_SYSTEM);
    ck_assert_int_eq(loop_io_add(loop, -1, EPOLLIN, on_io_note, LETTER('x'), &id), ERR_SYSTEM);
    ck_assert_uint_eq(id, 17); /* untouched */
}
END_TEST

/* Order of a turn */

static struct loop_task task_in_turn = {.fn = on_note, .arg = LETTER('p')};

static void on_free_note(struct loop_garbage *garbage)
{
    ck_assert_ptr_nonnull(garbage);
    note('f');
}

static struct loop_garbage garbage_in_turn = {.destroy = on_free_note};

static void on_first_io(void *arg, uint32_t events)
{
    ck_assert_uint_eq(events, EPOLLIN);
    note('i');
    loop_defer_free(loop, &garbage_in_turn);
    loop_post(loop, &task_in_turn);
    loop_io_remove(loop, *(loop_id *)arg);
}

START_TEST(test_order_of_a_turn)
{
    int fd = open_event(1);
    struct timer timer;
    loop_id id;

    timer_init(&timer, on_timer_note);
    loop_timer_add(loop, &timer, 0);
    ck_assert_int_eq(loop_hook_add(loop, on_note, LETTER('h')), 0);
    ck_assert_int_eq(loop_hook_add(loop, on_note, LETTER('H')), 0);
    id = add(fd, EPOLLIN, on_first_io, &id);
    turn(LONG_MS);
    ck_assert_str_eq(trace, "itphHf");
    close(fd);
}
END_TEST

static struct loop_garbage inner_garbage = {.destroy = on_free_note};

static void on_free_outer(struct loop_garbage *garbage)
{
    ck_assert_ptr_nonnull(garbage);
    note('F');
    loop_defer_free(loop, &inner_garbage);
}

START_TEST(test_garbage_may_defer_garbage)
{
    struct loop_garbage outer = {.destroy = on_free_outer};

    loop_defer_free(loop, &outer);
    ck_assert_str_eq(trace, "");
    turn(0);
    ck_assert_str_eq(trace, "Ff");
}
END_TEST

START_TEST(test_destroy_frees_what_waits)
{
    struct loop_task posted = {.fn = on_note, .arg = LETTER('x')};

    loop_post(loop, &posted);
    loop_defer_free(loop, &inner_garbage);
    loop_destroy(loop);
    ck_assert_str_eq(trace, "f");
    ck_assert_ptr_null(posted.pprev); /* its owner may unpost it as if nothing happened */
    loop = NULL;
}
END_TEST

/* Posted work */

static void on_repost(void *arg)
{
    note('r');
    loop_post(loop, arg);
}

START_TEST(test_posted_in_order_once)
{
    struct loop_task a = {.fn = on_note, .arg = LETTER('a')},
                     b = {.fn = on_note, .arg = LETTER('b')};
    struct loop_task c = {.fn = on_note, .arg = LETTER('c')};

    loop_post(loop, &a);
    loop_post(loop, &b);
    loop_post(loop, &c);
    loop_post(loop, &a); /* already posted */
    loop_unpost(loop, &b);
    loop_unpost(loop, &b);
    turn(LONG_MS); /* does not wait */
    ck_assert_str_eq(trace, "ac");
    loop_post(loop, &b);
    loop_unpost(loop, &b); /* the last and only one */
    loop_post(loop, &c);
    turn(LONG_MS);
    turn(0);
    ck_assert_str_eq(trace, "acc");
}
END_TEST

START_TEST(test_posted_by_posted_runs_next_turn)
{
    struct loop_task task = {.fn = on_repost};

    task.arg = &task;
    loop_post(loop, &task);
    turn(LONG_MS);
    ck_assert_str_eq(trace, "r");
    turn(LONG_MS);
    ck_assert_str_eq(trace, "rr");
    loop_unpost(loop, &task);
    turn(0);
    ck_assert_str_eq(trace, "rr");
}
END_TEST

static void on_unpost_other(void *arg)
{
    note('u');
    loop_unpost(loop, arg);
}

START_TEST(test_posted_may_unpost_others)
{
    struct loop_task last = {.fn = on_note, .arg = LETTER('x')};
    struct loop_task killer = {.fn = on_unpost_other, .arg = &last};
    struct loop_task later = {.fn = on_note, .arg = LETTER('l')};

    loop_post(loop, &killer);
    loop_post(loop, &last);
    turn(LONG_MS);
    ck_assert_str_eq(trace, "u");
    loop_post(loop, &later); /* the list is whole */
    turn(LONG_MS);
    ck_assert_str_eq(trace, "ul");
}
END_TEST

START_TEST(test_forgotten_before_it_is_closed)
{
    int fd = open_event(1), other;
    loop_id id = add(fd, EPOLLIN, on_io_note, LETTER('i'));

    loop_io_forget(loop, id);
    close(fd);
    ck_assert_int_eq(loop_io_set(loop, id, EPOLLIN), ERR_NOT_FOUND);
    loop_io_forget(loop, id); /* no effect */
    other = open_event(1);
    ck_assert_int_eq(other, fd); /* the same number, another source */
    ck_assert(add(other, EPOLLIN, on_io_note, LETTER('o')) != id);
    turn(LONG_MS);
    ck_assert_str_eq(trace, "o");
    close(other);
}
END_TEST

static void on_turn_ask(void *arg)
{
    (void)arg;
    note(loop_more(loop) ? '+' : '-');
}

START_TEST(test_more_while_descriptors_are_ready)
{
    int fd = open_event(1);
    loop_id id = add(fd, EPOLLIN, on_io_note, LETTER('i'));

    ck_assert_int_eq(loop_hook_add(loop, on_turn_ask, NULL), 0);
    ck_assert_int_eq(loop_hook_add(loop, on_turn_ask, NULL), 0);
    for (unsigned i = 0; i < 6; i++)
        turn(LONG_MS);
    ck_assert_str_eq(trace, "i++i++i++i++i--i++"); /* not for ever */
    loop_io_remove(loop, id);                      /* what was seen of it is dropped */
    turn(LONG_MS);
    ck_assert_str_eq(trace, "i++i++i++i++i--i++--");
    turn(0);
    ck_assert_str_eq(trace, "i++i++i++i++i--i++----");
    add(fd, EPOLLIN, on_io_note, LETTER('i'));
    loop_stop(loop); /* no turn follows */
    turn(0);
    ck_assert_str_eq(trace, "i++i++i++i++i--i++----i--");
    close(fd);
}
END_TEST

START_TEST(test_what_more_has_seen_is_not_waited_for)
{
    int first = open_event(1), second = open_event(0);
    loop_id id = add(first, EPOLLIN, on_io_note, LETTER('1'));

    add(second, EPOLLIN, on_io_note, LETTER('2'));
    ck_assert_int_eq(loop_hook_add(loop, on_turn_ask, NULL), 0);
    turn(0);
    ck_assert_str_eq(trace, "1+");
    ck_assert_int_eq(eventfd_write(second, 1), 0); /* too late for that look */
    turn(LONG_MS);
    ck_assert_str_eq(trace, "1+1+");
    loop_io_remove(loop, id);
    turn(LONG_MS);
    ck_assert_str_eq(trace, "1+1+2+");
    close(first);
    close(second);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("loop");
    TCase *io = make_case(suite, "io");
    TCase *order = make_case(suite, "order");
    TCase *posted = make_case(suite, "posted");

    tcase_add_test(io, test_io_is_level_triggered);
    tcase_add_test(io, test_io_set_changes_the_mask);
    tcase_add_test(io, test_stale_ids_are_refused);
    tcase_add_test(io, test_event_of_a_removed_source_is_dropped);
    tcase_add_test(io, test_table_grows_and_all_are_served);
    tcase_add_test(io, test_what_epoll_refuses);
    tcase_add_test(io, test_forgotten_before_it_is_closed);
    tcase_add_test(order, test_order_of_a_turn);
    tcase_add_test(order, test_garbage_may_defer_garbage);
    tcase_add_test(order, test_destroy_frees_what_waits);
    tcase_add_test(order, test_more_while_descriptors_are_ready);
    tcase_add_test(order, test_what_more_has_seen_is_not_waited_for);
    tcase_add_test(posted, test_posted_in_order_once);
    tcase_add_test(posted, test_posted_by_posted_runs_next_turn);
    tcase_add_test(posted, test_posted_may_unpost_others);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
