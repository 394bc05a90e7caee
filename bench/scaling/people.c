/* people - how even common/owner.c deals people and their traffic, and who moves.
 *
 * A billion people are not dealt one by one: PEOPLE of them are, which says how even the rest lie
 * (the more, the more even: the deviation falls with the root). Traffic is Zipf's: the person of
 * rank r gets r^-zipf. The heaviest PEOPLE are dealt exactly, the traffic of all others as evenly
 * as the sample of people. */
#include <math.h>
#include <stdio.h>

#include "bench/scaling/claims.h"
#include "bench/scaling/constants.h"
#include "bench/scaling/parts.h"
#include "common/owner.h"

#define PEOPLE 262144u

static int add(struct members *members, unsigned i)
{
    char name[24];

    snprintf(name, sizeof(name), "broker/%u", i);
    return members_add(members, bytes_of_string(name), bytes_of_string("tcp://x:1"));
}

static uint64_t person_hash(uint64_t seed, unsigned rank)
{
    char name[48];

    snprintf(name, sizeof(name), "%llu-user%u", (unsigned long long)seed, rank);
    return owner_hash(bytes_of_string(name));
}

/* The sum of r^-s for ranks from + 1 to to. */
static double tail_weight(double from, double to, double s)
{
    if (to <= from)
        return 0;
    return fabs(s - 1) < 1e-9 ? log(to / from) : (pow(to, 1 - s) - pow(from, 1 - s)) / (1 - s);
}

/* The busiest broker's traffic as a multiple of the mean. */
static double busiest(const struct members *members, uint64_t seed, double people, double s,
                      double *ret_most_people)
{
    double load[MEMBERS_MAX] = {0}, count[MEMBERS_MAX] = {0}, all = 0, highest = 0;
    double tail = tail_weight(PEOPLE, people, s);

    *ret_most_people = 0;
    for (unsigned i = 0; i < PEOPLE; i++) {
        double weight = pow(i + 1, -s);
        unsigned owner = owner_of_hash(members, person_hash(seed, i));

        load[owner] += weight;
        count[owner]++;
        all += weight;
    }
    for (unsigned i = 0; i < members->count; i++) {
        highest = fmax(highest, load[i] + tail * count[i] / PEOPLE);
        *ret_most_people = fmax(*ret_most_people, count[i] * members->count / PEOPLE);
    }
    return highest * members->count / (all + tail);
}

static void moves(const struct layout *layout, struct members *members, uint64_t seed)
{
    struct members former = *members;
    unsigned moved = 0, elsewhere = 0;
    double share = 1.0 / (members->count + 1), found;

    if (add(members, members->count) < 0)
        return; /* as many as there can be */
    for (unsigned i = 0; i < PEOPLE; i++) {
        uint64_t hash = person_hash(seed, i);
        const char *old = former.all[owner_of_hash(&former, hash)].name;
        const char *new = members->all[owner_of_hash(members, hash)].name;

        if (members_find(members, bytes_of_string(old)) !=
            members_find(members, bytes_of_string(new))) {
            moved++;
            elsewhere += members_find(&former, bytes_of_string(new)) != NULL;
        }
    }
    found = (double)moved / PEOPLE / share;
    claim("people that move when a broker joins or leaves, of its share", layout->devices, found,
          1 + 6 * sqrt(1 / (share * PEOPLE)));
    claim("people that move between brokers that stay", layout->devices, elsewhere, 0);
}

void people_check(const struct layout *layout, uint64_t seed)
{
    static struct members members;
    double most, heavy, load;

    members = (struct members){.generation = 1};
    for (unsigned i = 0; i < layout->brokers && i < MEMBERS_MAX; i++) {
        if (add(&members, i) < 0)
            break;
    }
    load = busiest(&members, seed, layout->cell_devices, constants.zipf, &most);
    claim("people of the fullest broker, of the mean", layout->devices, most,
          1 + 6 * sqrt((double)members.count / PEOPLE));
    claim("traffic of the busiest broker, of the mean", layout->devices, load, 1.25);
    heavy = busiest(&members, seed, layout->cell_devices, 1.0, &most);
    printf("{\"row\": \"balance\", \"devices\": %.0f, \"brokers\": %u, \"zipf\": %g, \"busiest\": "
           "%.4f, "
           "\"busiest_at_zipf_1\": %.4f}\n",
           layout->devices, members.count, constants.zipf, load, heavy);
    moves(layout, &members, seed);
}
