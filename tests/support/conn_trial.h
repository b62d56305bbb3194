// conn_trial.h -- one connection, a server that misbehaves at random, and an account of every
// command: answered once, in order, with its own reply; what was "not sent" the server never saw.

#ifndef FB_TESTS_CONN_TRIAL_H
#define FB_TESTS_CONN_TRIAL_H

#include <stdarg.h>

#include "base/rng.h"
#include "conn_rig.h"

enum { TRIAL_SHOTS = 3000 };

typedef struct trial trial;

typedef struct trial_shot {
    trial *t;
    int number, calls;
    fb_conn_outcome outcome;
} trial_shot;

struct trial {
    rig r;
    fb_rng rng;
    trial_shot shots[TRIAL_SHOTS];
    int heard[TRIAL_SHOTS];  // how often the server was asked for each
    int count, answered, last_replied;
    int large;  // so many of the next are
    int outcomes[3];
    int violations;
    char first[256];
};

FB_PRINTF(2, 3) static inline void trial_blame(trial *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (t->violations++ == 0) {
        (void)vsnprintf(t->first, sizeof t->first, format, arguments);
    }
    va_end(arguments);
}

static inline void echo_last(fake_peer *peer, const fb_str *args, size_t arg_count) {
    assert_ok(fb_resp_write_bulk(&peer->out, args[arg_count - 1]));
}

static inline void trial_fire(trial *t);

static inline void trial_on_shot(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                                 const char *why) {
    (void)why;
    trial_shot *one = arg;
    trial *t = one->t;
    one->outcome = outcome;
    if (++one->calls > 1) {
        trial_blame(t, "%d was answered twice", one->number);
        return;
    }
    t->answered++;
    if (outcome == FB_CONN_REPLIED) {
        int64_t number = -1;
        if (value->type != FB_RESP_STRING || fb_str_int(value->text, &number) != FB_OK ||
            number != one->number) {
            trial_blame(t, "%d was answered \"%.*s\"", one->number,
                        value->text.len < 20 ? (int)value->text.len : 20, value->text.ptr);
        }
        if (one->number <= t->last_replied) {
            trial_blame(t, "%d was answered after %d", one->number, t->last_replied);
        }
        t->last_replied = one->number;
    }
    if (fb_rng_below(&t->rng, 8) == 0) {
        trial_fire(t);
    }
}

// ECHO filler number, the filler sometimes large.
static inline void trial_fire(trial *t) {
    static char filler[1000000];  // a few of these are more than a socket takes
    if (t->count == TRIAL_SHOTS) {
        return;
    }
    trial_shot *one = &t->shots[t->count];
    char number[16];
    uint64_t chance = fb_rng_below(&t->rng, 100);
    size_t len = t->large > 0 ? sizeof filler
                 : chance < 9 ? (size_t)fb_rng_below(&t->rng, 20000)
                              : 1;
    t->large -= t->large > 0 ? 1 : 0;
    memset(filler, 'f', len);
    snprintf(number, sizeof number, "%d", t->count);
    const fb_str args[] = {FB_STR("ECHO"), {filler, len}, fb_str_of(number)};
    fb_buf out = {0};
    assert_ok(fb_resp_write_command(&out, args, 3));
    *one = (trial_shot){.t = t, .number = t->count++};
    int64_t wait_ns = (int64_t)fb_rng_below(&t->rng, 40) * MS;
    // A callback of close() may get here.
    if (fb_conn_send(t->r.conn, fb_buf_str(&out), 1, fb_clock_now_ns() + wait_ns, trial_on_shot,
                     one) != FB_OK) {
        trial_blame(t, "%d was refused", one->number);
    }
    fb_buf_release(&out);
}

static inline void trial_behave(fake_redis *fake) {
    fake->mute = fake->deaf = false;
    fake->cut = 0;
    if (fake->listener == NULL) {
        fake_redis_listen(fake);
    }
}

static inline void trial_misbehave(trial *t) {
    fake_redis *fake = &t->r.fake;
    switch (fb_rng_below(&t->rng, 30)) {
    case 0:
        fake_redis_drop_all(fake);
        break;
    case 1:
        fake_redis_kill(fake);
        break;
    case 2:
        fake->mute = true;
        break;
    case 3:
        fake->deaf = true;
        t->large = 4;
        break;
    case 4:
        fake->said = 0;
        fake->cut = 1 + (size_t)fb_rng_below(&t->rng, 400);
        break;
    case 5:
        fake->dribbles = !fake->dribbles;
        break;
    case 6:
        fake_redis_tell(fake, ">1\r\n+push\r\n");
        break;
    case 7:
    case 8:
    case 9:
    case 10:
        trial_behave(fake);
        break;
    default:
        break;
    }
}

static inline void trial_count_heard(trial *t) {
    fb_str left = fb_buf_str(&t->r.fake.heard);
    while (left.len > 0) {
        size_t end = fb_str_find(left, '\n');
        size_t start = end;
        while (start > 0 && left.ptr[start - 1] != ' ') {
            start--;
        }
        int64_t number = -1;
        if (fb_str_int(fb_str_make(left.ptr + start, end - start), &number) != FB_OK ||
            number < 0 || number >= TRIAL_SHOTS) {
            trial_blame(t, "the server was asked for \"%.*s\"", (int)(end - start),
                        left.ptr + start);
        } else {
            t->heard[number]++;
        }
        left = fb_str_make(left.ptr + end + 1, left.len - end - 1);
    }
}

static inline void trial_settle(trial *t) {
    static const char *const names[] = {"replied", "not sent", "unknown"};
    trial_count_heard(t);
    if (t->r.fake.malformed > 0) {
        trial_blame(t, "the server was told what is no command");
    }
    for (int i = 0; i < TRIAL_SHOTS; i++) {
        const trial_shot *one = &t->shots[i];
        if (one->calls != 1) {
            trial_blame(t, "%d was answered %d times", i, one->calls);
            continue;
        }
        int least = one->outcome == FB_CONN_REPLIED ? 1 : 0;
        int most = one->outcome == FB_CONN_NOT_SENT ? 0 : 1;
        if (t->heard[i] < least || t->heard[i] > most) {
            trial_blame(t, "%d is \"%s\" and was done %d times", i, names[one->outcome],
                        t->heard[i]);
        }
        t->outcomes[one->outcome]++;
    }
}

// Turns until it is up, or until every command is answered; whether that came to pass.
static inline bool trial_wait(trial *t, bool for_all) {
    int64_t until_ns = fb_clock_now_ns() + PATIENCE;
    while (for_all ? t->answered < TRIAL_SHOTS : !fb_conn_is_up(t->r.conn)) {
        turn(&t->r);
        if (fb_clock_now_ns() > until_ns) {
            trial_blame(t, for_all ? "not all is answered" : "it never is up again");
            return false;
        }
    }
    return true;
}

static inline void trial_run(trial *t, uint64_t seed) {
    *t = (trial){.last_replied = -1};
    fb_rng_init(&t->rng, seed);
    rig_init_fake(&t->r);
    int small = 8192;
    (void)setsockopt(evconnlistener_get_fd(t->r.fake.listener), SOL_SOCKET, SO_RCVBUF, &small,
                     sizeof small);
    t->r.fake.answer = echo_last;
    t->r.options.stall_ns = 30 * MS;
    t->r.options.connect_timeout_ns = 40 * MS;
    t->r.options.seed = seed;
    rig_open(&t->r);
    while (t->count < TRIAL_SHOTS && t->violations == 0) {
        for (uint64_t i = fb_rng_below(&t->rng, 4); i > 0; i--) {
            trial_fire(t);
        }
        trial_misbehave(t);
        turn(&t->r);
        if (t->count % 50 == 0) {  // or most of the time would be spent in pauses
            trial_behave(&t->r.fake);
            (void)trial_wait(t, false);
        }
    }
    if (t->violations == 0 && trial_wait(t, true)) {
        trial_settle(t);
    }
    t->count = TRIAL_SHOTS;  // no more of them while it is closed
    fb_conn_close(t->r.conn);
    t->r.conn = NULL;
    rig_release(&t->r);
}

#endif
