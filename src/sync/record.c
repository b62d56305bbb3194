// Records as text, one line of fields and then the name, which may be any bytes:
//
//     before nonce node kind hold fence name
//     00f1…  9ac3… 77b0… Ksa  1500 0    user:42
//
// The nonces, the node and the fence are 16 hex digits, lower case; `before` stands first, so that
// the script which appends a record (it alone knows what was there before) puts it in front of what
// it is given. The kind is a letter, then `s` for a soft one and `a` for one that wants an
// acknowledgement. hold is decimal milliseconds.
//
// There is one text for each record and one record for each text: what is not written exactly as
// fb_sync_record_write() does is FB_ESYNTAX. A node that cannot read a record must not guess at what it
// was to drop; the follower flushes the partition then.

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/str.h"
#include "sync/port.h"

enum { HEX_LEN = FB_RECORD_BEFORE_LEN, KINDS = 6 };

static const char KIND_LETTERS[] = "KTCNPA";

_Static_assert(sizeof KIND_LETTERS == KINDS + 1 && FB_RECORD_ALL == KINDS - 1,
               "a letter for each kind");

int fb_sync_record_write(const fb_record *record, fb_buf *out) {
    FB_ASSERT(record->nonce != 0 && record->kind <= FB_RECORD_ALL && record->hold_ms >= 0);
    FB_ASSERT(record->kind != FB_RECORD_ALL || record->name.len == 0);
    size_t before = out->len;
    int result = fb_buf_printf(
        out, "%016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %c%s%s %" PRId64 " %016" PRIx64 " ",
        record->before, record->nonce, record->node, KIND_LETTERS[record->kind],
        record->soft ? "s" : "", record->wants_ack ? "a" : "", record->hold_ms, record->fence);
    if (result == FB_OK) {
        result = fb_buf_append(out, record->name);
    }
    if (result < 0) {
        out->len = before;
    }
    return result;
}

// ---- reading: each takes its field, and the space behind it, off the front of *rest

static bool take_field(fb_str *rest, fb_str *field) {
    size_t len = fb_str_find(*rest, ' ');
    if (len == rest->len) {
        return false;
    }
    *field = fb_str_make(rest->ptr, len);
    *rest = fb_str_make(rest->ptr + len + 1, rest->len - len - 1);
    return true;
}

static bool take_hex(fb_str *rest, uint64_t *number) {
    static const char DIGITS[] = "0123456789abcdef";
    fb_str field;
    *number = 0;
    if (!take_field(rest, &field) || field.len != HEX_LEN) {
        return false;
    }
    for (size_t i = 0; i < HEX_LEN; i++) {
        const char *digit = field.ptr[i] != '\0' ? strchr(DIGITS, field.ptr[i]) : NULL;
        if (digit == NULL) {
            return false;
        }
        *number = *number << 4 | (uint64_t)(digit - DIGITS);
    }
    return true;
}

static bool take_kind(fb_str *rest, fb_record *record) {
    fb_str field;
    if (!take_field(rest, &field) || field.len == 0 || field.ptr[0] == '\0') {
        return false;
    }
    const char *letter = strchr(KIND_LETTERS, field.ptr[0]);
    size_t used = 1;
    record->soft = used < field.len && field.ptr[used] == 's';
    used += record->soft;
    record->wants_ack = used < field.len && field.ptr[used] == 'a';
    used += record->wants_ack;
    record->kind = letter != NULL ? (fb_record_kind)(letter - KIND_LETTERS) : FB_RECORD_KEY;
    return letter != NULL && used == field.len;
}

static bool take_hold(fb_str *rest, int64_t *hold_ms) {
    fb_str field;
    return take_field(rest, &field) && fb_str_int(field, hold_ms) == FB_OK && *hold_ms >= 0;
}

int fb_sync_record_read(fb_str text, uint64_t seq, fb_record *record) {
    fb_str rest = text;
    *record = (fb_record){.seq = seq};
    bool whole = take_hex(&rest, &record->before) && take_hex(&rest, &record->nonce) &&
                 take_hex(&rest, &record->node) && take_kind(&rest, record) &&
                 take_hold(&rest, &record->hold_ms) && take_hex(&rest, &record->fence);
    if (!whole || record->nonce == 0 || (record->kind == FB_RECORD_ALL && rest.len != 0)) {
        return FB_ESYNTAX;
    }
    record->name = rest;
    return FB_OK;
}

// ---- slots

// The kind seeds the hash, so that a tag and a class of one name do not share a slot for that.
uint32_t fb_sync_slot(fb_record_kind kind, fb_str name) {
    if (kind == FB_RECORD_ALL) {
        return 0;
    }
    FB_ASSERT(kind == FB_RECORD_TAG || kind == FB_RECORD_CLASS || kind == FB_RECORD_NAMESPACE);
    return 1 + (uint32_t)(fb_hash64(name, (uint64_t)kind) % (FB_SYNC_STAMP_SLOTS - 1));
}
