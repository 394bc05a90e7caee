/* paho_c_peer - a client of Beckon written with paho C's asynchronous API.
 *
 * Proves that a C client nobody here wrote gets along with Beckon: it connects with a session that
 * outlives the connection, and receives COUNT messages from its inbox (in MQTT 5 one at a time:
 * Receive Maximum 1), or sends COUNT of them (in MQTT 5 with user properties), or vanishes without
 * DISCONNECT and leaves a Will. The library works in threads of its own; a mutex and one condition
 * carry events from its callbacks to main, which waits for each with a deadline. Output is one JSON
 * object a line.
 *
 *   paho_c_peer URI 4|5 DEVICE USER TOKEN receive COUNT
 *   paho_c_peer URI 4|5 DEVICE USER TOKEN send TOPIC COUNT
 *   paho_c_peer URI 4|5 DEVICE USER TOKEN vanish TOPIC 0 */
#include <MQTTAsync.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_S 20         /* bounds a failure; a whole run takes well under a second */
#define SESSION_EXPIRY_S 3600 /* longer than any test */
#define MAX_COUNT 1000        /* what a test asks for at most */

/* What the callbacks have seen. Guarded by lock. */
struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool connected, session_present, disconnected;
    bool failed;       /* the library reported a failure; it was printed */
    long subscribed;   /* SUBACKs */
    long acknowledged; /* PUBACKs */
    long received;
};

/* Contexts of calls, for the failure texts; the library wants them writable. */
static char connecting[] = "connect", subscribing[] = "subscribe", sending[] = "send",
            disconnecting[] = "disconnect";

static struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void note(bool *flag, long *counter)
{
    pthread_mutex_lock(&seen.lock);
    if (flag)
        *flag = true;
    if (counter)
        ++*counter;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

/* Returns false when counter does not reach count, or something failed, before the deadline. */
static bool wait_for(const bool *flag, const long *counter, long count)
{
    struct timespec deadline;
    int r = 0;
    bool done = false;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&seen.lock);
    while (r != ETIMEDOUT && !seen.failed) {
        done = (!flag || *flag) && (!counter || *counter >= count);
        if (done)
            break;
        r = pthread_cond_timedwait(&seen.changed, &seen.lock, &deadline);
    }
    pthread_mutex_unlock(&seen.lock);
    if (!done)
        fprintf(stderr, "paho_c_peer: deadline or failure\n");
    return done;
}

static void print_text(const char *text, size_t len)
{
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\' || c < 0x20 || c > 0x7e)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_user_properties(const MQTTProperties *properties)
{
    const char *comma = "";

    for (int i = 0; i < properties->count; i++) {
        const MQTTProperty *property = &properties->array[i];

        if (property->identifier != MQTTPROPERTY_CODE_USER_PROPERTY)
            continue;
        printf("%s[", comma);
        print_text(property->value.data.data, (size_t)property->value.data.len);
        printf(", ");
        print_text(property->value.value.data, (size_t)property->value.value.len);
        printf("]");
        comma = ", ";
    }
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    (void)context;
    pthread_mutex_lock(&seen.lock);
    printf("{\"topic\": ");
    print_text(topic, topic_len > 0 ? (size_t)topic_len : strlen(topic));
    printf(", \"payload\": ");
    print_text(message->payload, (size_t)message->payloadlen);
    printf(", \"qos\": %d, \"dup\": %s, \"properties\": [", message->qos,
           message->dup ? "true" : "false");
    print_user_properties(&message->properties);
    printf("]}\n");
    pthread_mutex_unlock(&seen.lock);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    note(NULL, &seen.received);
    return 1;
}

static void on_lost(void *context, char *cause)
{
    (void)context;
    fprintf(stderr, "paho_c_peer: connection lost: %s\n", cause ? cause : "no cause given");
    note(&seen.failed, NULL);
}

static void on_failure(void *context, MQTTAsync_failureData *data)
{
    fprintf(stderr, "paho_c_peer: %s failed: %d %s\n", (const char *)context, data->code,
            data->message ? data->message : "");
    note(&seen.failed, NULL);
}

static void on_failure5(void *context, MQTTAsync_failureData5 *data)
{
    fprintf(stderr, "paho_c_peer: %s failed: %d, reason 0x%02x %s\n", (const char *)context,
            data->code, (unsigned)data->reasonCode, data->message ? data->message : "");
    note(&seen.failed, NULL);
}

/* Printed here and not by main: messages of a resumed session may follow at once. */
static void note_session(bool session_present)
{
    pthread_mutex_lock(&seen.lock);
    seen.session_present = session_present;
    printf("{\"session\": %s}\n", session_present ? "true" : "false");
    pthread_mutex_unlock(&seen.lock);
    note(&seen.connected, NULL);
}

static void on_connected(void *context, MQTTAsync_successData *data)
{
    (void)context;
    note_session(data->alt.connect.sessionPresent != 0);
}

static void on_connected5(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    note_session(data->alt.connect.sessionPresent != 0);
}

static void on_subscribed(void *context, MQTTAsync_successData *data)
{
    (void)context;
    (void)data;
    note(NULL, &seen.subscribed);
}

static void on_subscribed5(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    note(NULL, &seen.subscribed);
}

static void on_sent(void *context, MQTTAsync_successData *data)
{
    (void)context;
    (void)data;
    note(NULL, &seen.acknowledged);
}

static void on_sent5(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    note(NULL, &seen.acknowledged);
}

static void on_disconnected(void *context, MQTTAsync_successData *data)
{
    (void)context;
    (void)data;
    note(&seen.disconnected, NULL);
}

static void on_disconnected5(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    note(&seen.disconnected, NULL);
}

static bool started(int code, const char *what)
{
    if (code == MQTTASYNC_SUCCESS)
        return true;
    fprintf(stderr, "paho_c_peer: %s: %s\n", what, MQTTAsync_strerror(code));
    return false;
}

static bool open_client(MQTTAsync *ret_client, const char *uri, int version, const char *device)
{
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
    int code;

    options.MQTTVersion = version;
    code = MQTTAsync_createWithOptions(ret_client, uri, device, MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                       &options);
    return started(code, "create") &&
           started(MQTTAsync_setCallbacks(*ret_client, NULL, on_lost, on_message, NULL),
                   "callbacks");
}

/* will_topic: NULL = no Will. */
static bool connect_client(MQTTAsync client, int version, const char *user, const char *token,
                           const char *will_topic)
{
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTAsync_connectOptions plain = MQTTAsync_connectOptions_initializer;
    MQTTAsync_connectOptions five = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_connectOptions *options = version == MQTTVERSION_5 ? &five : &plain;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                           .value.integer4 = SESSION_EXPIRY_S};
    MQTTProperty one = {.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, .value.integer2 = 1};
    bool ok;

    will.topicName = will_topic;
    will.message = "gone";
    will.qos = 1;
    options->will = will_topic ? &will : NULL;
    options->username = user;
    options->password = token;
    options->context = connecting;
    if (version == MQTTVERSION_5) {
        if (MQTTProperties_add(&properties, &expiry) != 0 ||
            MQTTProperties_add(&properties, &one) != 0)
            return false;
        five.cleanstart = 0;
        five.connectProperties = &properties;
        five.onSuccess5 = on_connected5;
        five.onFailure5 = on_failure5;
    } else {
        plain.cleansession = 0;
        plain.MQTTVersion = MQTTVERSION_3_1_1;
        plain.onSuccess = on_connected;
        plain.onFailure = on_failure;
    }
    ok = started(MQTTAsync_connect(client, options), "connect") &&
         wait_for(&seen.connected, NULL, 0);
    MQTTProperties_free(&properties);
    return ok;
}

static MQTTAsync_responseOptions call_options(int version, char *what, MQTTAsync_onSuccess *success,
                                              MQTTAsync_onSuccess5 *success5)
{
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;

    options.context = what;
    if (version == MQTTVERSION_5) {
        options.onSuccess5 = success5;
        options.onFailure5 = on_failure5;
    } else {
        options.onSuccess = success;
        options.onFailure = on_failure;
    }
    return options;
}

static bool receive(MQTTAsync client, int version, long count)
{
    MQTTAsync_responseOptions options =
        call_options(version, subscribing, on_subscribed, on_subscribed5);
    bool resumed;

    pthread_mutex_lock(&seen.lock);
    resumed = seen.session_present;
    pthread_mutex_unlock(&seen.lock);
    if (!resumed && !(started(MQTTAsync_subscribe(client, "inbox/#", 1, &options), "subscribe") &&
                      wait_for(NULL, &seen.subscribed, 1)))
        return false;
    return wait_for(NULL, &seen.received, count);
}

static bool add_user_property(MQTTProperties *properties, char *name, char *value)
{
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_USER_PROPERTY,
                             .value.data = {(int)strlen(name), name},
                             .value.value = {(int)strlen(value), value}};

    return MQTTProperties_add(properties, &property) == 0; /* which copies */
}

static bool send_all(MQTTAsync client, int version, const char *topic, long count)
{
    static char z[] = "z", a[] = "a", first[] = "1", second[] = "2";

    for (long i = 0; i < count; i++) {
        MQTTAsync_responseOptions options = call_options(version, sending, on_sent, on_sent5);
        char text[32];
        int len = snprintf(text, sizeof(text), "message %ld", i);
        bool ok = version != MQTTVERSION_5 || (add_user_property(&options.properties, z, first) &&
                                               add_user_property(&options.properties, a, second) &&
                                               add_user_property(&options.properties, z, first));

        ok = ok && started(MQTTAsync_send(client, topic, len, text, 1, 0, &options), "send");
        MQTTProperties_free(&options.properties);
        if (!ok)
            return false;
    }
    return wait_for(NULL, &seen.acknowledged, count);
}

static bool disconnect_client(MQTTAsync client, int version)
{
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;

    options.timeout = DEADLINE_S * 1000;
    options.context = disconnecting;
    if (version == MQTTVERSION_5) {
        options.onSuccess5 = on_disconnected5;
        options.onFailure5 = on_failure5;
    } else {
        options.onSuccess = on_disconnected;
        options.onFailure = on_failure;
    }
    return started(MQTTAsync_disconnect(client, &options), "disconnect") &&
           wait_for(&seen.disconnected, NULL, 0);
}

int main(int argc, char **argv)
{
    bool sends = argc == 9 && strcmp(argv[6], "send") == 0;
    bool vanishes = argc == 9 && strcmp(argv[6], "vanish") == 0;
    bool receives = argc == 8 && strcmp(argv[6], "receive") == 0;
    int version = argc > 2 && strcmp(argv[2], "5") == 0 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    MQTTAsync client = NULL;
    char *end = NULL;
    long count = sends || receives || vanishes ? strtol(argv[argc - 1], &end, 10) : -1;
    bool ok;

    if (!end || *end != '\0' || count < 0 || count > MAX_COUNT) {
        fprintf(stderr, "usage: paho_c_peer URI 4|5 DEVICE USER TOKEN receive COUNT\n"
                        "       paho_c_peer URI 4|5 DEVICE USER TOKEN send TOPIC COUNT\n"
                        "       paho_c_peer URI 4|5 DEVICE USER TOKEN vanish TOPIC 0\n");
        return 2;
    }
    ok = open_client(&client, argv[1], version, argv[3]) &&
         connect_client(client, version, argv[4], argv[5], vanishes ? argv[7] : NULL);
    if (ok && vanishes)
        _exit(fflush(stdout) == 0 ? 0 : 1); /* the kernel closes the socket */
    ok = ok &&
         (sends ? send_all(client, version, argv[7], count) : receive(client, version, count)) &&
         disconnect_client(client, version);
    MQTTAsync_destroy(&client);
    return ok && fflush(stdout) == 0 ? 0 : 1;
}
