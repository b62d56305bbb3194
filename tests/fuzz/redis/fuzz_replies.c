// Any bytes as the server's answer to any question, and as a message of the channel. The first byte
// names the verb, the second says which step of which layout it is; what follows is RESP.

#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "redis/channel.h"
#include "redis/remote_state.h"

enum { PARTITIONS = 3 };

static fb_remote remote;

static void on_record(void *arg, uint32_t log, uint64_t epoch, const fb_record *record) {
    (void)arg;
    (void)epoch;
    FB_ASSERT(log <= PARTITIONS && record->kind <= FB_RECORD_ALL);
}

static void on_ack(void *arg, uint64_t nonce, uint64_t node) {
    (void)arg;
    (void)nonce;
    (void)node;
}

static void begin(void) {
    fb_redis_options options = {.name_space = "fuzz", .partitions = PARTITIONS, .log_max = 10};
    fb_error error;

    FB_ASSERT(fb_redis_url_read(FB_STR("redis://localhost"), &options.url, &error) == FB_OK);
    FB_ASSERT(fb_redis_new(&options, &remote.redis, &error) == FB_OK);
    remote.events = (fb_sync_events){.on_record = on_record, .on_ack = on_ack};
}

static void check(const fb_ask *ask) {
    const fb_sync_reply *reply = &ask->reply;
    FB_ASSERT(reply->result <= FB_SYNC_UNKNOWN);
    FB_ASSERT(!reply->has_value || reply->version != 0);
    FB_ASSERT(reply->age_ns >= 0 && (reply->fresh_for_ns >= 0 || !reply->has_value));
    FB_ASSERT(reply->mark_count == 0 || reply->mark_count == PARTITIONS + 1 ||
              ask->verb == FB_SYNC_COMMIT);
    // Whoever does not know how it ended must not be told that nothing was done.
    FB_ASSERT(ask->verb != FB_SYNC_COMMIT || reply->result != FB_SYNC_FAILED);
    for (size_t i = 0; i < reply->stamp_count; i++) {
        FB_ASSERT(reply->stamps[i].slot < FB_SYNC_STAMP_SLOTS);
        FB_ASSERT(i == 0 || reply->stamps[i - 1].slot < reply->stamps[i].slot);
    }
}

static void take(uint8_t verb, uint8_t how, const fb_resp_value *value) {
    fb_ask *ask = fb_mem_zero(1, sizeof *ask);

    FB_ASSERT(ask != NULL);
    ask->remote = &remote;
    ask->verb = verb % (FB_SYNC_ACK + 1);  // what scripts answer: all but ACK
    ask->verb = ask->verb == FB_SYNC_ACK ? FB_SYNC_COMMIT : ask->verb;
    ask->plain = (how & 1) != 0 && ask->verb <= FB_SYNC_ADD;
    ask->step = ask->plain && (how & 2) != 0;
    ask->reply.result = (how & 4) != 0 ? FB_SYNC_DONE : FB_SYNC_CONFLICT;
    ask->pieces_left = (how & 8) != 0 ? PARTITIONS : 0;
    fb_loaded_init(&ask->reply.loaded);
    fb_reply_next next = fb_reply_take(ask, value);
    if (next == FB_REPLY_DICTIONARY) {
        ask->dictionary_asked = true;
        next = fb_reply_retry(ask);
        FB_ASSERT(next != FB_REPLY_DICTIONARY);
    }
    if (next == FB_REPLY_READY) {
        check(ask);
    }
    fb_loaded_release(&ask->reply.loaded);
    fb_buf_release(&ask->held_value);
    fb_mem_free(ask->array);
    fb_mem_free(ask);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (remote.redis == NULL) {
        begin();
    }
    fb_channel_message(&remote, fb_str_make((const char *)data, size));
    if (size < 3) {
        return 0;
    }
    fb_resp_reply *reader = NULL;
    const fb_resp_value *value;
    fb_error error;
    FB_ASSERT(fb_resp_reply_new(8, 1 << 20, &reader) == FB_OK);
    if (fb_resp_reply_read(reader, fb_str_make((const char *)data + 2, size - 2), &value, &error) > 0) {
        take(data[0], data[1], value);
    }
    fb_resp_reply_free(reader);
    return 0;
}
