// Addresses that mails came back from. Each is a mark in the store of the mail queue, so that it is
// as durable as the jobs, and the same for all nodes that share the store. The mark's name holds a
// hash of the address, not the address: nobody who reads the store learns who it was. Case does not
// matter: no server worth the name has two mailboxes that differ in it.

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"
#include "engine/mail_inside.h"
#include "os/clock.h"

#define PREFIX "suppress:"

fb_str fb_mail_mark_of(fb_str address, char *mark) {
    char lower[FB_MAIL_ADDRESS_MAX];
    uint8_t hash[32];
    FB_ASSERT(address.len <= sizeof lower);
    for (size_t i = 0; i < address.len; i++) {
        char byte = address.ptr[i];
        lower[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
    }
    if (EVP_Digest(lower, address.len, hash, NULL, EVP_sha256(), NULL) != 1) {
        return FB_STR("");
    }
    memcpy(mark, PREFIX, sizeof PREFIX);
    fb_mail_hex(hash, sizeof hash, mark + sizeof PREFIX - 1);
    return fb_str_of(mark);
}

static void take_value(void *arg, const fb_queue_marked *marked) {
    if (marked->result == FB_OK && arg != NULL) {
        *(int64_t *)arg = marked->value;
    }
}

static int ask(fb_mailer *mailer, fb_queue_mark_call *call, fb_str address, int64_t *value,
               fb_error *error) {
    char mark[FB_MAIL_MARK_SIZE];
    call->queue = fb_str_of(mailer->options.queue);
    call->mark = fb_mail_mark_of(address, mark);
    if (call->mark.len == 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    return fb_queues_mark_ask(mailer->engine->queues, call, take_value, value, error);
}

int fb_mail_suppress(fb_mailer *mailer, fb_str address, fb_error *error) {
    fb_queue_mark_call call = {.verb = FB_STORE_MARK_SET, .value = fb_clock_wall_ms(), .own = true};
    return ask(mailer, &call, address, NULL, error);
}

int fb_mail_look_up(fb_mailer *mailer, fb_str address, bool own, int64_t *since_ms,
                    fb_error *error) {
    fb_queue_mark_call call = {.verb = FB_STORE_MARK_GET, .own = own};
    return ask(mailer, &call, address, since_ms, error);
}

// ---- what people ask

static int parse(fb_str text, fb_address *address, fb_error *error) {
    fb_error why = {0};
    return fb_address_parse(text, address, &why) == FB_OK
               ? FB_OK
               : fb_error_set(error, FB_EINVAL, "not a mail address: %s", why.text);
}

int fb_mail_suppressed(fb_engine *engine, fb_str text, int64_t *since_ms, fb_error *error) {
    fb_engine_ours(engine);
    fb_address address;
    int result = parse(text, &address, error);
    return result < 0 ? result
                      : fb_mail_look_up(engine->mailer, address.spec, false, since_ms, error);
}

int fb_mail_allow(fb_engine *engine, fb_str text, fb_error *error) {
    fb_engine_ours(engine);
    fb_address address;
    fb_queue_mark_call call = {.verb = FB_STORE_MARK_DROP};
    int result = parse(text, &address, error);
    return result < 0 ? result : ask(engine->mailer, &call, address.spec, NULL, error);
}
