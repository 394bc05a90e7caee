/* ownership - who owns a person, and how that changes hands (docs/adr/0017), for spin.
 *
 * One person, two brokers, one connector, PostgreSQL. The client sends MESSAGES messages to the
 * person, all at once; the person is connected and gets them. Meanwhile the world breaks CHANGES times:
 * a broker is killed (with a batch under way, whose transaction may still commit), stops by itself, starts, loses its
 * membership while it lives (its lease was over, or it stood still), or loses its database
 * connection while a batch commits. Every order of these steps is searched.
 *
 * What is claimed, by the assertion of that name:
 *   NO GAP      a batch never leaves a hole in the person's sequence
 *   ONCE        no message is stored twice (I4)
 *   ORDER       messages of one sender are stored in the order in which they were sent (I3)
 *   ACCEPTED    an answered message is stored (I1)
 *   DELIVERED   what the client gets is the sequence: nothing is skipped or swapped
 *   NOT STUCK   whatever happened, in the end everything is answered and delivered (I2)
 *
 * What is left out: time (a lease is over whenever it suits the adversary, which includes
 * every clock), pushes, copies, several connectors (they do not talk to each other).
 *
 * Each rule of the protocol can be left out (-DWITHOUT_...); then a claim above must fail, or the rule
 * would be for nothing. tests/model/test_ownership.py runs all of it.
 *
 * The names are those of the code: a view is the generation (and the members of that generation)
 * that a process believes in. */

#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef CHANGES
#define CHANGES 3
#endif

/* Rendezvous for one person: B when it is a member, else A. */
#define A 0
#define B 1
#define NOBODY 2
#define BIT(b) (1 << (b))
#define OWNER(members) ((members) & BIT(B) -> B : ((members) & BIT(A) -> A : NOBODY))

/* A connection carries few frames at once: more order them no differently. */
#define FRAMES 4

/* --- PostgreSQL --- */

byte generation = 1;
byte members = BIT(A);
byte inbox[MESSAGES]; /* by seq - 1: which message */
byte rows = 0;

/* A transaction: what a broker sent through COMMIT in one flush. One that its broker does
 * not hear of any more (killed, connection lost) is an orphan and may still commit, once. */
typedef transaction {
    bool open;
    byte generation;
    bool once;  /* looks each MID up, numbers from the table */
    byte first; /* else: the seq of its first row, less 1 */
    byte count;
    byte message[MESSAGES];
    bool look[MESSAGES]; /* sent again by the connector: its MID is looked up */
};
transaction batch[2], orphan[2];

mtype = { IDLE, SENT, COMMITTED, FENCED, CONFLICT, UNKNOWN };
mtype outcome[2] = IDLE;

#define STORED(m) \
    ((rows > 0 && inbox[0] == (m)) || (rows > 1 && inbox[1] == (m)) || \
     (MESSAGES > 2 && rows > 2 && inbox[MESSAGES - 1] == (m)))

#ifdef WITHOUT_FENCE
#define FENCE_PASSED(t) true
#else
#define FENCE_PASSED(t) (t.generation == generation)
#endif

/* Fence and insert are one step: the shared lock is held from one to the end of the other, and who
 * changes the membership takes it exclusively. */
inline execute(t_execute, result)
{
    if
#ifdef WITHOUT_FENCE
    :: false -> result = FENCED
#else
    :: t_execute.generation != generation -> result = FENCED
#endif
    :: FENCE_PASSED(t_execute) && !t_execute.once && t_execute.first < rows -> result = CONFLICT /* UNIQUE */
    :: else ->
        assert(t_execute.once || t_execute.first == rows); /* NO GAP */
        i = 0;
        do
        :: i < t_execute.count ->
            if
#ifndef WITHOUT_LOOKUP
            :: (t_execute.once || t_execute.look[i]) && STORED(t_execute.message[i]) -> skip /* a repeat */
#endif
            :: else ->
                assert(!STORED(t_execute.message[i]));                               /* ONCE */
                assert(t_execute.message[i] == 0 || STORED(t_execute.message[i] - 1));       /* ORDER */
                inbox[rows] = t_execute.message[i];
                rows++
            fi;
            i++
        :: else -> break
        od;
        result = COMMITTED
    fi;
    t_execute.open = false
}

/* --- brokers --- */

bool alive[2];
byte view[2], list[2];         /* the generation and the members believed in */
byte since[2];                 /* owner of the person without a break since this generation */
bool loaded[2];                /* the person is in memory: */
byte last[2];                  /*   the last committed seq, as known */
bool session[2];               /*   their device's connection was announced */
byte sent[2];                  /*   DELIVERed up to this seq */
typedef queue {
    byte count;
    byte message[MESSAGES];
    bool look[MESSAGES];
};
queue forming[2];              /* the next batch */

/* --- a link between the connector and a broker: one TCP connection at a time --- */

mtype = { PUBLISH, RESEND, ANNOUNCE, PUBLISHED, DELIVER, MEMBERS };
chan to_broker[2] = [FRAMES] of { byte, mtype, byte };    /* view of the sender, record, argument */
chan to_connector[2] = [FRAMES] of { byte, mtype, byte };
bool linked[2];

inline drop_link(b_drop_link)
{
    linked[b_drop_link] = false;
#ifndef WITHOUT_ANNOUNCE
    session[b_drop_link] = false; /* nothing is sent on a new link before it was announced there */
#endif
    do
    :: nempty(to_broker[b_drop_link]) -> to_broker[b_drop_link]?_, _, _
    :: empty(to_broker[b_drop_link]) -> break
    od;
    do
    :: nempty(to_connector[b_drop_link]) -> to_connector[b_drop_link]?_, _, _
    :: empty(to_connector[b_drop_link]) -> break
    od
}

inline forget_person(b_forget_person)
{
    loaded[b_forget_person] = false;
    last[b_forget_person] = 0;
    session[b_forget_person] = false;
    sent[b_forget_person] = 0;
    forming[b_forget_person].count = 0
}

inline forget_batch(b_forget_batch)
{
    outcome[b_forget_batch] = IDLE;
    batch[b_forget_batch].open = false;
    batch[b_forget_batch].count = 0
}

/* The person's rows as of now: a read of its own, under no lock and no fence. */
inline load(b_load)
{
    if
    :: !loaded[b_load] -> loaded[b_load] = true; last[b_load] = rows
    :: else
    fi
}

/* In the batch that forms, or under way: a repeat waits for that one. */
#define IN(q, m) ((q.count > 0 && q.message[0] == (m)) || (q.count > 1 && q.message[1] == (m)) || \
     (MESSAGES > 2 && q.count > 2 && q.message[MESSAGES - 1] == (m)))
#define UNDER_WAY(b, m) (outcome[b] != IDLE && IN(batch[b], m))

#define BETWEEN_BATCHES(b) (outcome[b] == IDLE || outcome[b] == FENCED)

#ifdef WITHOUT_JUMP
#define JUMPED(b) false
#else
#define JUMPED(b) (generation > view[b] + 1)
#endif

#ifdef WITHOUT_SINCE
#define TOO_OLD(b, from) false
#else
#define TOO_OLD(b, from) (from < since[b])
#endif

proctype broker(byte b)
{
    byte from, argument, i;
    mtype record;

end:
    do
    /* a record from the connector; one of a newer view waits until this broker has it too */
    :: atomic { alive[b] && nempty(to_broker[b]) ->
        to_broker[b]?<from, record, argument>;
        if
        :: from > view[b] -> goto newer
        :: else -> to_broker[b]?from, record, argument
        fi;
        if
        :: OWNER(list[b]) != b || TOO_OLD(b, from) -> skip
            /* An older view: not ours now, or not all the time since. The connector moves it, or has
             * moved it away and back, behind what came before it. */
        :: OWNER(list[b]) == b && !TOO_OLD(b, from) && record == ANNOUNCE ->
            load(b);
            session[b] = true;
            sent[b] = argument
        :: OWNER(list[b]) == b && !TOO_OLD(b, from) && record != ANNOUNCE ->
            load(b);
            if
            :: IN(forming[b], argument) || UNDER_WAY(b, argument) -> skip
            :: else ->
                forming[b].message[forming[b].count] = argument;
                forming[b].look[forming[b].count] = (record == RESEND);
                forming[b].count++
            fi
        fi;
        from = 0; argument = 0; record = 0 }

    /* what has formed is sent, unless it is no use any more */
    :: atomic { alive[b] && outcome[b] == IDLE && forming[b].count > 0 && view[b] != 0 ->
        batch[b].generation = view[b];
        batch[b].once = false;
        batch[b].first = last[b];
        batch[b].count = forming[b].count;
        i = 0;
        do
        :: i < forming[b].count ->
            batch[b].message[i] = forming[b].message[i];
            batch[b].look[i] = forming[b].look[i];
            batch[b].once = batch[b].once || forming[b].look[i];
            i++
        :: else -> break
        od;
        i = 0;
        forming[b].count = 0;
        batch[b].open = true;
        outcome[b] = SENT }

    /* PostgreSQL works */
    :: atomic { outcome[b] == SENT && batch[b].open -> execute(batch[b], outcome[b]); i = 0 }

    /* committed: answers, then deliveries. The writer is free before anything else counts. */
    :: atomic { alive[b] && outcome[b] == COMMITTED &&
        (!linked[b] || len(to_connector[b]) + batch[b].count <= FRAMES) ->
        i = 0;
        do
        :: i < batch[b].count ->
            if
            :: linked[b] -> to_connector[b]!view[b], PUBLISHED, batch[b].message[i]
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0;
        if /* read back by a batch that looked up: the true last one */
        :: loaded[b] -> last[b] = rows
        :: else
        fi;
        forget_batch(b) }

    /* the connection was lost in between, or the seq was taken by what an orphan stored */
    :: atomic { alive[b] && (outcome[b] == UNKNOWN || outcome[b] == CONFLICT) ->
        batch[b].generation = view[b];
        batch[b].once = true;
        batch[b].open = true;
        outcome[b] = SENT }

    /* another generation: read at any moment between two batches, at the latest when one was
     * fenced */
    :: atomic { alive[b] && view[b] != generation && BETWEEN_BATCHES(b) &&
        (!linked[b] || nfull(to_connector[b])) ->
        if
        :: (members & BIT(b)) == 0 || JUMPED(b) ->
            /* anybody may have owned anybody meanwhile, or this broker is none any more */
            forget_person(b);
            forget_batch(b);
            drop_link(b);
            if
            :: (members & BIT(b)) == 0 -> members = members | BIT(b); generation++ /* joins again */
            :: else
            fi
        :: else ->
            if
            :: OWNER(members) != b -> forget_person(b); forget_batch(b)
            :: OWNER(members) == b && OWNER(list[b]) != b -> forget_person(b); forget_batch(b)
            :: else -> /* stays: what was fenced is sent again, before what has formed since */
                if
                :: outcome[b] == FENCED -> batch[b].generation = generation; batch[b].open = true;
                    outcome[b] = SENT
                :: else
                fi
            fi;
            if
            :: linked[b] -> to_connector[b]!generation, MEMBERS, members
            :: else
            fi
        fi;
        if
        :: OWNER(members) == b && (OWNER(list[b]) != b || JUMPED(b)) ->
            since[b] = generation
        :: else
        fi;
        view[b] = generation;
        list[b] = members;
newer:  skip }

    /* the next message for the client */
    :: atomic { alive[b] && session[b] && loaded[b] && sent[b] < last[b] && linked[b] &&
        nfull(to_connector[b]) ->
        sent[b]++;
        to_connector[b]!view[b], DELIVER, sent[b] }
    od
}

/* --- the connector, with the sender and the person's phone --- */

byte seen_view = 0, seen_list = 0;
bool asked[MESSAGES], answered[MESSAGES];
byte got = 0; /* the phone has everything up to this seq */

#define UNANSWERED(m) (asked[m] && !answered[m])

/* Everything that b has to know, in order. */
inline tell_owner(b_tell_owner)
{
    if
    :: linked[b_tell_owner] && OWNER(seen_list) == b_tell_owner ->
        to_broker[b_tell_owner]!seen_view, ANNOUNCE, got;
        j = 0;
        do
        :: j < MESSAGES ->
            if
            :: UNANSWERED(j) -> to_broker[b_tell_owner]!seen_view, RESEND, j
            :: else
            fi;
            j++
        :: else -> break
        od;
        j = 0
    :: else
    fi
}

inline take_view(new_view, new_list)
{
    if
    :: new_view <= seen_view -> skip
    :: new_view == seen_view + 1 ->
        moved = (OWNER(seen_list) != OWNER(new_list));
        seen_view = new_view;
        seen_list = new_list;
        if
        :: moved && OWNER(seen_list) != NOBODY -> tell_owner(OWNER(seen_list))
        :: else
        fi;
        moved = false
    :: new_view > seen_view + 1 -> /* anything may have moved there and back: begin again */
        seen_view = new_view;
        seen_list = new_list;
        drop_link(A);
        drop_link(B)
    fi
}

#define WELCOMES(b) (alive[b] && !linked[b] && view[b] >= seen_view)

/* Room for all that tell_owner and take_view may send. */
#define ROOMY (len(to_broker[A]) + MESSAGES + 1 <= FRAMES && len(to_broker[B]) + MESSAGES + 1 <= FRAMES)

proctype connector()
{
    byte from, argument, b, j;
    mtype record;
    bool moved;

end:
    do
    /* a link comes up: HELLO, WELCOME. A broker of an older view than ours is tried again later. */
    :: atomic { ROOMY && (WELCOMES(A) || WELCOMES(B)) ->
        if
        :: WELCOMES(A) -> b = A
        :: WELCOMES(B) -> b = B
        fi;
        linked[b] = true;
        if
        :: view[b] == seen_view -> tell_owner(b)
        :: view[b] == seen_view + 1 && seen_view != 0 ->
            moved = (OWNER(seen_list) != OWNER(list[b]));
            seen_view = view[b];
            seen_list = list[b];
            if
            :: moved && OWNER(seen_list) != NOBODY -> tell_owner(OWNER(seen_list))
            :: else -> tell_owner(b)
            fi;
            moved = false
        :: else ->
            seen_view = view[b];
            seen_list = list[b];
            drop_link(1 - b);
            tell_owner(b)
        fi;
        b = 0 }

    /* the client sends its next message */
    :: atomic { ROOMY && !asked[MESSAGES - 1] ->
        j = 0;
        do
        :: asked[j] -> j++
        :: else -> break
        od;
        asked[j] = true;
        if
        :: OWNER(seen_list) != NOBODY ->
            if
            :: linked[OWNER(seen_list)] -> to_broker[OWNER(seen_list)]!seen_view, PUBLISH, j
            :: else
            fi
        :: else
        fi;
        j = 0 }

    :: atomic { ROOMY && (nempty(to_connector[A]) || nempty(to_connector[B])) ->
        if
        :: nempty(to_connector[A]) -> b = A
        :: nempty(to_connector[B]) -> b = B
        fi;
        to_connector[b]?from, record, argument;
        if
        :: record == MEMBERS -> take_view(from, argument)
        :: record == PUBLISHED ->
            if
            :: OWNER(seen_list) == b ->
                assert(STORED(argument)); /* ACCEPTED */
                answered[argument] = true
            :: else /* it was moved to another link's requests */
            fi
        :: record == DELIVER && OWNER(seen_list) == b ->
            assert(argument <= got + 1); /* DELIVERED */
            if
            :: argument == got + 1 -> got++
            :: else
            fi
        :: else
        fi;
        from = 0; argument = 0; record = 0; b = 0 }
    od
}

/* --- the world --- */

inline start(b_start)
{
    forget_person(b_start);
    forget_batch(b_start);
    members = members | BIT(b_start);
    generation++;
    view[b_start] = generation;
    list[b_start] = members;
    since[b_start] = generation;
    alive[b_start] = true
}

inline lose_transaction(b_lose_transaction)
{
    orphan[b_lose_transaction].open = true;
    orphan[b_lose_transaction].generation = batch[b_lose_transaction].generation;
    orphan[b_lose_transaction].once = batch[b_lose_transaction].once;
    orphan[b_lose_transaction].first = batch[b_lose_transaction].first;
    orphan[b_lose_transaction].count = batch[b_lose_transaction].count;
    i = 0;
    do
    :: i < batch[b_lose_transaction].count ->
        orphan[b_lose_transaction].message[i] = batch[b_lose_transaction].message[i];
        orphan[b_lose_transaction].look[i] = batch[b_lose_transaction].look[i];
        i++
    :: else -> break
    od;
    i = 0;
    batch[b_lose_transaction].open = false
}

inline kill(b_kill)
{
    if
    :: outcome[b_kill] == SENT && batch[b_kill].open && !orphan[b_kill].open -> lose_transaction(b_kill)
    :: else
    fi;
    alive[b_kill] = false;
    view[b_kill] = 0;
    list[b_kill] = 0;
    forget_person(b_kill);
    forget_batch(b_kill);
    drop_link(b_kill)
}

#define OTHER_LIVES(b) (alive[1 - (b)] && (members & BIT(1 - (b))) && view[1 - (b)] == generation)

#define MAY_LEAVE(b) (alive[b] && outcome[b] == IDLE && (members & BIT(b)) != 0)

proctype world()
{
    byte changes, i;
    mtype result;

end:
    do
    :: atomic { changes < CHANGES && alive[A] -> changes++; kill(A) }
    :: atomic { changes < CHANGES && alive[B] -> changes++; kill(B) }
    /* stops by itself: nothing is under way then, and it says that it goes */
    :: atomic { changes < CHANGES && MAY_LEAVE(A) ->
        changes++; kill(A); members = members & ~BIT(A); generation++ }
    :: atomic { changes < CHANGES && MAY_LEAVE(B) ->
        changes++; kill(B); members = members & ~BIT(B); generation++ }
    :: atomic { changes < CHANGES && !alive[B] -> changes++; start(B) }
    /* at most one of them stays away for ever, and its lease runs out */
    :: atomic { !alive[A] && (changes < CHANGES || !alive[B] || (members & BIT(A)) == 0) -> start(A) }
    :: atomic { !alive[A] && (members & BIT(A)) && OTHER_LIVES(A) ->
        members = members & ~BIT(A); generation++ }
    :: atomic { !alive[B] && (members & BIT(B)) && OTHER_LIVES(B) ->
        members = members & ~BIT(B); generation++ }
    /* a broker that lives, and was thought dead */
    :: atomic { changes < CHANGES && alive[A] && (members & BIT(A)) && OTHER_LIVES(A) ->
        changes++; members = members & ~BIT(A); generation++ }
    :: atomic { changes < CHANGES && alive[B] && (members & BIT(B)) && OTHER_LIVES(B) ->
        changes++; members = members & ~BIT(B); generation++ }
    /* the database connection is lost while a batch commits */
    :: atomic { changes < CHANGES && alive[A] && outcome[A] == SENT && !orphan[A].open ->
        changes++; lose_transaction(A); outcome[A] = UNKNOWN }
    :: atomic { changes < CHANGES && alive[B] && outcome[B] == SENT && !orphan[B].open ->
        changes++; lose_transaction(B); outcome[B] = UNKNOWN }
    /* ... and its transaction commits all the same, or never */
    :: atomic { orphan[A].open -> execute(orphan[A], result); i = 0; result = 0 }
    :: atomic { orphan[B].open -> execute(orphan[B], result); i = 0; result = 0 }
    :: atomic { orphan[A].open -> orphan[A].open = false }
    :: atomic { orphan[B].open -> orphan[B].open = false }
    od
}

/* Nothing can move any more: then everything must have happened. */
active proctype end_of_time()
{
    byte j;

    timeout;
    j = 0;
    do
    :: j < MESSAGES -> assert(asked[j] && answered[j]); j++ /* NOT STUCK */
    :: else -> break
    od;
    assert(got == MESSAGES && rows == MESSAGES) /* NOT STUCK */
}

init {
    atomic {
        view[A] = 1;
        list[A] = BIT(A);
        alive[A] = true;
        run broker(A);
        run broker(B);
        run connector();
        run world()
    }
}
