// A Cluster of fakes in which everything happens at random: slots move, servers refuse, lose
// answers, hang up before or after they did what they were told, or are away. Against a simple
// oracle: who did what how often.

#include "route_rig.h"

enum { SERVERS = 4, RANGES = 16, COMMANDS_MAX = 40000, RUN_MS = 2500 };

typedef struct world world;
typedef struct command {
    world *world;
    int calls, done;  // how often it was answered, how often a server did it
    fb_conn_outcome outcome;
    bool repeatable;
    int64_t deadline_ns;
} command;

typedef enum mood { GOOD, LOADING, CUT_OFF, DEAF, RUDE, MOODS } mood;

struct world {
    rig r;
    fb_rng rng;
    fake_redis *servers[SERVERS];
    mood moods[SERVERS];
    bool asked[SERVERS];      // the command before was ASKING
    int owners[RANGES];
    int getting[RANGES];      // who is getting the range; -1: nobody
    int believed[RANGES];     // as it was a while ago: what a server that is cut off says
    command commands[COMMANDS_MAX];
    size_t count, answered;
    int outcomes[3];
    int64_t late_ns;  // over a deadline, at most
};

static bool chance(world *w, uint64_t percent) {
    return fb_rng_below(&w->rng, 100) < percent;
}

// ---- the servers

static const char *show_map(world *w, const int *owners, char *text, size_t text_size) {
    size_t len = (size_t)snprintf(text, text_size, "*%d\r\n", RANGES);
    for (int i = 0; i < RANGES; i++) {
        len += (size_t)snprintf(text + len, text_size - len,
                                "*3\r\n:%d\r\n:%d\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n",
                                i * (FB_SLOTS / RANGES), (i + 1) * (FB_SLOTS / RANGES) - 1,
                                w->servers[owners[i]]->port);
    }
    return text;
}

static const char *redirect(const world *w, const char *word, uint16_t slot, int to, char *text) {
    assert_non_null(text);
    (void)snprintf(text, 100, "-%s %u 127.0.0.1:%d\r\n", word, slot, w->servers[to]->port);
    return text;
}

// What a server that works says to "INCR <id>": NULL where it does it.
static const char *refuse(world *w, int self, bool asked, uint16_t slot, char *text) {
    int range = slot / (FB_SLOTS / RANGES);
    if (w->moods[self] == LOADING) {
        return "-LOADING Redis is loading the dataset in memory\r\n";
    }
    if (w->moods[self] == CUT_OFF) {
        return "-CLUSTERDOWN The cluster is down\r\n";
    }
    if (w->owners[range] == self) {
        return w->getting[range] >= 0 && chance(w, 60)
                   ? redirect(w, "ASK", slot, w->getting[range], text)
                   : NULL;
    }
    if (asked && w->getting[range] == self) {
        return chance(w, 20) ? "-TRYAGAIN Multiple keys request during rehashing\r\n" : NULL;
    }
    return redirect(w, "MOVED", slot, w->owners[range], text);
}

static const char *answer(fake_redis *fake, const char *words, char *text, size_t text_size) {
    world *w = fake->arg;
    int self = 0;
    while (w->servers[self] != fake) {
        self++;
    }
    bool asked = w->asked[self];
    w->asked[self] = strcmp(words, "ASKING") == 0;
    if (w->moods[self] == DEAF) {
        return NULL;
    }
    if (w->moods[self] == RUDE && chance(w, 20)) {
        fake->ends = true;
        return NULL;
    }
    if (w->asked[self]) {
        return "+OK\r\n";
    }
    if (strcmp(words, "CLUSTER SLOTS") == 0) {
        return show_map(w, w->moods[self] == CUT_OFF ? w->believed : w->owners, text, text_size);
    }
    const char *key = strchr(words, ' ') + 1;
    const char *refusal = refuse(w, self, asked, fb_slot_of(fb_str_of(key)), text);
    if (refusal != NULL) {
        return refusal;
    }
    w->commands[atoi(key)].done++;
    fake->ends = w->moods[self] == RUDE && chance(w, 20);
    return ":1\r\n";
}

// ---- what happens

// Who was deaf has left commands out, which no server does on a connection that it goes on with.
static void set_mood(world *w, int server, mood now) {
    if (w->moods[server] == DEAF && now != DEAF) {
        fake_redis_hang_up(w->servers[server]);
    }
    w->moods[server] = now;
}

static void change_world(world *w) {
    int range = (int)fb_rng_below(&w->rng, RANGES), server = (int)fb_rng_below(&w->rng, SERVERS);
    switch (fb_rng_below(&w->rng, 8)) {
        case 0:
        case 1:
            w->getting[range] = server != w->owners[range] ? server : -1;
            break;
        case 2:
        case 3:
            w->owners[range] = w->getting[range] >= 0 ? w->getting[range] : w->owners[range];
            w->getting[range] = -1;
            break;
        case 4:
            memcpy(w->believed, w->owners, sizeof w->owners);
            break;
        case 5:
            fake_redis_hang_up(w->servers[server]);
            break;
        default:
            set_mood(w, server, chance(w, 60) ? GOOD : (mood)fb_rng_below(&w->rng, MOODS));
            break;
    }
}

static void on_reply(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                     const char *why) {
    command *c = arg;
    world *w = c->world;
    c->calls++;
    c->outcome = outcome;
    w->answered++;
    w->outcomes[outcome]++;
    int64_t late_ns = fb_clock_now_ns() - c->deadline_ns;
    w->late_ns = late_ns > w->late_ns ? late_ns : w->late_ns;
    if (outcome == FB_CONN_REPLIED) {
        assert_int_equal(value->type, FB_RESP_INTEGER);
    }
}

static void send_one(world *w) {
    char text[64], key[16];
    if (w->count == COMMANDS_MAX) {
        return;
    }
    command *c = &w->commands[w->count];
    snprintf(key, sizeof key, "%zu", w->count);
    snprintf(text, sizeof text, "*2\r\n$4\r\nINCR\r\n$%zu\r\n%s\r\n", strlen(key), key);
    *c = (command){.world = w,
                   .repeatable = chance(w, 50),
                   .deadline_ns = fb_clock_now_ns() +
                                  (int64_t)(1 + fb_rng_below(&w->rng, 300)) * INT64_C(1000000)};
    fb_route_command sent = {.command = fb_str_of(text),
                             .slot = fb_slot_of(fb_str_of(key)),
                             .repeatable = c->repeatable,
                             .deadline_ns = c->deadline_ns,
                             .fn = on_reply,
                             .arg = c};
    w->count++;
    assert_ok(fb_route_send(w->r.route, &sent));
}

static void check(const world *w) {
    for (size_t i = 0; i < w->count; i++) {
        const command *c = &w->commands[i];
        if (c->calls != 1 || (c->done > 1 && !c->repeatable) ||
            (c->outcome == FB_CONN_REPLIED && c->done == 0) ||
            (c->outcome == FB_CONN_NOT_SENT && c->done > 0)) {
            fail_msg("command %zu (%s): answered %d times, the last time %d; done %d times", i,
                     c->repeatable ? "repeatable" : "once", c->calls, c->outcome, c->done);
        }
    }
}

static void test_route__keeps_its_word_whatever_happens(void **state) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->rng = test_rng();
    for (int i = 0; i < SERVERS; i++) {
        w->servers[i] = fake_redis_new(&w->r, answer, w);
        w->servers[i]->mode = "cluster";
    }
    for (int i = 0; i < RANGES; i++) {
        w->owners[i] = w->believed[i] = i % SERVERS;
        w->getting[i] = -1;
    }
    char url[128];
    snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%d,127.0.0.1:%d", w->servers[0]->port,
             w->servers[1]->port);
    rig_open(&w->r, url);
    int64_t end_ms = test_redis_now_ms() + RUN_MS;
    for (int64_t now_ms = 0, last_ms = 0; now_ms < end_ms; last_ms = now_ms) {
        now_ms = test_redis_now_ms();
        for (uint64_t more = fb_rng_below(&w->rng, 16); more > 0 && now_ms > last_ms; more--) {
            send_one(w);
        }
        if (now_ms > last_ms && chance(w, 30)) {
            change_world(w);
        }
        rig_turn(&w->r);
    }
    RUN_UNTIL(&w->r, w->answered == w->count);
    assert_false(rig_is_late(&w->r, w->late_ns));
    check(w);
    // When faults stop it is whole again.
    for (int i = 0; i < SERVERS; i++) {
        set_mood(w, i, GOOD);
    }
    memcpy(w->believed, w->owners, sizeof w->owners);
    RUN_UNTIL(&w->r, w->r.up);
    printf("%zu commands: %d answered, %d not done, %d unknown; %d changes, %d times down\n",
           w->count, w->outcomes[FB_CONN_REPLIED], w->outcomes[FB_CONN_NOT_SENT],
           w->outcomes[FB_CONN_UNKNOWN], w->r.changes, w->r.downs);
    for (int i = 0; i < SERVERS; i++) {
        fake_redis_free(w->servers[i]);
    }
    rig_close(&w->r);
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route__keeps_its_word_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
