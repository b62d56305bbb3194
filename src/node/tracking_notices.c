// A list, the oldest first. Keys of one notice lie in one piece: length, bytes, length, bytes …

#include "node/tracking_notices.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/tracking.h"
#include "wire/resp.h"

enum { DOUBLES_LOOKED = 32 };  // keys of a notice among which one that comes again is looked for

typedef enum notice_kind { NOTICE_KEYS, NOTICE_ALL, NOTICE_BROKEN } notice_kind;

typedef struct fb_notice {
    struct fb_notice *next;
    notice_kind kind;
    fb_notice_origin origin;
    size_t count;
    fb_buf keys;
} notice;

// ---- the list

void fb_notices_init(fb_notices *notices) {
    notices->first = NULL;
    notices->end = &notices->first;
    notices->bytes = 0;
    atomic_init(&notices->waiting, false);
}

void fb_notices_release(fb_notices *notices) {
    while (notices->first != NULL) {
        notice *next = notices->first->next;
        fb_buf_release(&notices->first->keys);
        fb_mem_free(notices->first);
        notices->first = next;
    }
    notices->end = &notices->first;
    notices->bytes = 0;
}

static notice *append(fb_notices *notices, notice_kind kind) {
    notice *one = fb_mem_zero(1, sizeof *one);
    if (one != NULL) {
        one->kind = kind;
        *notices->end = one;
        notices->end = &one->next;
        atomic_store(&notices->waiting, true);
    }
    return one;
}

// ---- putting by

// Where even this finds no memory, what waits already is made to say it.
bool fb_notices_all(fb_notices *notices) {
    notice *kept = notices->first;
    if (kept == NULL) {
        return append(notices, NOTICE_ALL) != NULL;
    }
    notices->first = kept->next;
    fb_notices_release(notices);
    fb_buf_release(&kept->keys);
    *kept = (notice){.kind = NOTICE_ALL};
    notices->first = kept;
    notices->end = &kept->next;
    return true;
}

bool fb_notices_broken(fb_notices *notices) {
    const notice *one = notices->first;
    while (one != NULL && one->kind != NOTICE_BROKEN) {
        one = one->next;
    }
    return one == NULL && append(notices, NOTICE_BROKEN) != NULL;
}

static bool holds(const notice *one, fb_str key) {
    const char *at = one->keys.ptr;
    for (size_t i = 0; i < one->count; i++) {
        uint32_t len;
        memcpy(&len, at, sizeof len);
        if (fb_str_equal(fb_str_make(at + sizeof len, len), key)) {
            return true;
        }
        at += sizeof len + len;
    }
    return false;
}

static int add_key(notice *one, fb_str key) {
    uint32_t len = (uint32_t)key.len;
    if (one->count <= DOUBLES_LOOKED && holds(one, key)) {
        return FB_OK;
    }
    int result = fb_buf_reserve(&one->keys, sizeof len + key.len);
    if (result == FB_OK) {
        result = fb_buf_append(&one->keys, fb_str_make((const char *)&len, sizeof len));
    }
    if (result == FB_OK) {
        result = fb_buf_append(&one->keys, key);
        one->count++;
    }
    return result;
}

// The notice of this turn for this prefix, if there is one.
static notice *of_turn(const fb_notices *notices, const fb_notice_origin *origin) {
    notice *one = origin->prefix != 0 && origin->actor != 0 ? notices->first : NULL;
    while (one != NULL &&
           (one->kind != NOTICE_KEYS || one->origin.prefix != origin->prefix ||
            one->origin.actor != origin->actor || one->origin.turn != origin->turn)) {
        one = one->next;
    }
    return one;
}

bool fb_notices_key(fb_notices *notices, fb_str key, const fb_notice_origin *origin) {
    notice *one = of_turn(notices, origin);
    bool fits = notices->bytes + key.len <= FB_TRACKING_WAITING_MAX;
    if (fits && one == NULL) {
        one = append(notices, NOTICE_KEYS);
        if (one != NULL) {
            one->origin = *origin;
        }
    }
    if (!fits || one == NULL || add_key(one, key) < 0) {
        return fb_notices_all(notices);
    }
    notices->bytes += sizeof *one + key.len;
    return true;
}

// ---- writing

static int write_keys(const notice *one, int proto, fb_buf *out) {
    const char *at = one->keys.ptr;
    if (one->kind == NOTICE_ALL) {
        return fb_resp_write_null_array(out, proto);
    }
    int result = fb_resp_write_array(out, one->count);
    for (size_t i = 0; i < one->count && result == FB_OK; i++) {
        uint32_t len;
        memcpy(&len, at, sizeof len);
        result = fb_resp_write_bulk(out, fb_str_make(at + sizeof len, len));
        at += sizeof len + len;
    }
    return result;
}

// In RESP2 there is but the channel to tell of it by.
static int write_one(const notice *one, const fb_notice_form *form, fb_buf *out) {
    int proto = form->proto;
    int result;
    if (one->kind == NOTICE_BROKEN) {
        result = proto == 3 ? fb_resp_write_push(out, proto, 2) : FB_MISS;
        result = result == FB_OK ? fb_resp_write_bulk(out, FB_STR("tracking-redir-broken")) : result;
        return result == FB_OK ? fb_resp_write_integer(out, (int64_t)form->redirect) : result;
    }
    if (proto == 2 && !form->subscribed) {
        return FB_OK;
    }
    result = fb_resp_write_push(out, proto, proto == 3 ? 2 : 3);
    if (result == FB_OK) {
        result = fb_resp_write_bulk(out, proto == 3 ? FB_STR("invalidate") : FB_STR("message"));
    }
    if (result == FB_OK && proto == 2) {
        result = fb_resp_write_bulk(out, FB_STR(FB_TRACKING_CHANNEL));
    }
    return result == FB_OK ? write_keys(one, proto, out) : result;
}

int fb_notices_write(fb_notices *notices, const fb_notice_form *form, fb_buf *out) {
    size_t start = out->len;
    int result = FB_OK;
    for (const notice *one = notices->first; one != NULL && result >= FB_OK; one = one->next) {
        result = write_one(one, form, out);
    }
    if (result < FB_OK) {
        out->len = start;
        return result;
    }
    fb_notices_release(notices);
    atomic_store(&notices->waiting, false);
    return FB_OK;
}
