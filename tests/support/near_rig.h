// near_rig.h -- a client that keeps a near cache: a session in RESP3 with CLIENT TRACKING, whose replies
// and notices are read one by one. For tests of tracking.
//
// near_ask() says a command and waits for its reply, taking notices as they come; what it gets for a key
// it keeps, and a notice throws away.

#ifndef FB_TESTS_NEAR_RIG_H
#define FB_TESTS_NEAR_RIG_H

#include <stdarg.h>

#include "node_rig.h"
#include "support.h"
#include "wire/resp.h"

enum { NEAR_KEYS = 64, NEAR_TEXT = 128 };

typedef struct near_client {
    rig_client client;
    fb_resp_reply *reader;
    size_t at;  // in client.out: read so far
    // What it keeps, by the number of the key "k<number>"; "" for "none", NULL-like flag beside.
    bool kept[NEAR_KEYS];
    char values[NEAR_KEYS][NEAR_TEXT];
    uint64_t notices, flushes;
    char reply[NEAR_TEXT];  // the last, as text
} near_client;

static inline void near_open(near_client *one, rig *on, uint32_t loop) {
    memset(one, 0, sizeof *one);
    rig_client_open_at(&one->client, on, loop);
    assert_ok(fb_resp_reply_new(16, UINT64_C(1) << 20, &one->reader));
}

static inline void near_close(near_client *one) {
    rig_client_close(&one->client);
    fb_resp_reply_free(one->reader);
}

static inline int near_number(fb_str key) {
    int64_t number = -1;
    fb_str digits = {key.ptr + 1, key.len > 0 ? key.len - 1 : 0};
    bool is_one = digits.len > 0 && key.ptr[0] == 'k' && fb_str_int(digits, &number) == FB_OK;
    return is_one && number >= 0 && number < NEAR_KEYS ? (int)number : -1;
}

static inline void near_hear(near_client *one, const fb_resp_value *push) {
    assert_true(push->child_count >= 2);
    if (!fb_str_equal(push->children[0].text, FB_STR("invalidate"))) {
        return;
    }
    const fb_resp_value *keys = &push->children[1];
    if (keys->type == FB_RESP_NULL) {
        one->flushes++;
        memset(one->kept, 0, sizeof one->kept);
        return;
    }
    for (size_t i = 0; i < keys->child_count; i++) {
        int number = near_number(keys->children[i].text);
        one->notices++;
        if (number >= 0) {
            one->kept[number] = false;
        }
    }
}

static inline void near_write(near_client *one, const fb_resp_value *value) {
    if (value->type == FB_RESP_NULL) {
        (void)snprintf(one->reply, NEAR_TEXT, "(nil)");
    } else if (value->type == FB_RESP_INTEGER) {
        (void)snprintf(one->reply, NEAR_TEXT, "%lld", (long long)value->integer);
    } else {
        (void)snprintf(one->reply, NEAR_TEXT, "%.*s", (int)value->text.len, value->text.ptr);
    }
}

// Reads what has come, waiting for it with the lock held. True: a reply (in one->reply); false: a notice.
static inline bool near_read(near_client *one) {
    rig_client *client = &one->client;
    bool reply = false;
    pthread_mutex_lock(&client->lock);
    for (;;) {
        const fb_resp_value *value = NULL;
        fb_error error = {0};
        ssize_t used = fb_resp_reply_read(
            one->reader, fb_str_make(client->out.ptr + one->at, client->out.len - one->at), &value,
            &error);
        assert_true(used >= 0);
        if (used > 0) {
            reply = value->type != FB_RESP_PUSH;
            if (reply) {
                near_write(one, value);
            } else {
                near_hear(one, value);
            }
            one->at += (size_t)used;
            break;
        }
        pthread_cond_wait(&client->changed, &client->lock);
    }
    pthread_mutex_unlock(&client->lock);
    return reply;
}

static inline const char *near_await_reply(near_client *one) {
    while (!near_read(one)) {
    }
    return one->reply;
}

static inline void near_await_notice(near_client *one) {
    uint64_t before = one->notices + one->flushes;
    while (one->notices + one->flushes == before) {
        assert_false(near_read(one));
    }
}

FB_PRINTF(2, 3) static inline void near_say(near_client *one, const char *format, ...) {
    char text[512];
    va_list list;
    va_start(list, format);
    int len = vsnprintf(text, sizeof text - 2, format, list);
    va_end(list);
    memcpy(text + len, "\r\n", 2);
    rig_client_say(&one->client, fb_str_make(text, (size_t)len + 2));
}

// What is kept is answered without asking.
static inline const char *near_get(near_client *one, int number) {
    if (!one->kept[number]) {
        near_say(one, "GET k%d", number);
        const char *reply = near_await_reply(one);
        one->kept[number] = true;
        (void)snprintf(one->values[number], NEAR_TEXT, "%s", reply);
    }
    return one->values[number];
}

// All notices of what has happened before are heard when it returns: they come in order, and the last is
// of a key that nobody else uses.
static inline void near_settle(near_client *one) {
    int last = NEAR_KEYS - 1;
    (void)near_get(one, last);
    fb_str key = fb_str_of("k63");
    assert_ok(fb_set(one->client.rig->engine, key, FB_STR("settled"), NULL));
    while (one->kept[last]) {
        assert_false(near_read(one));
    }
}

static inline void near_track(near_client *one, const char *options) {
    near_say(one, "HELLO 3");
    (void)near_await_reply(one);
    near_say(one, "CLIENT TRACKING ON %s", options);
    assert_string_equal(near_await_reply(one), "OK");
}

#endif
