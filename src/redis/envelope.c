// Reading goes through one cursor that never passes the end: a piece that is not there in full
// makes the whole value unreadable, and it counts as none. Two things must agree: the place of the
// payload that the head names (the scripts go by it), and the end of the fields before it.

#include "redis/envelope.h"

#include <string.h>

#include "base/check.h"
#include "base/str.h"

enum { FORMAT = 0xf1, FLAG_ZSTD = 1, WIDE_AT = 36, FLAGS_AT = 60 };

_Static_assert(FB_TAG_LEN_MAX <= UINT8_MAX && FB_TAGS_MAX <= UINT8_MAX, "lengths of one byte");

void fb_envelope_put64(char bytes[8], uint64_t number) {
    for (int i = 7; i >= 0; i--) {
        bytes[i] = (char)(number & 0xff);
        number >>= 8;
    }
}

uint64_t fb_envelope_get64(const char *bytes) {
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) {
        number = number << 8 | (unsigned char)bytes[i];
    }
    return number;
}

static void put32(char bytes[4], uint32_t number) {
    for (int i = 3; i >= 0; i--) {
        bytes[i] = (char)(number & 0xff);
        number >>= 8;
    }
}

static uint32_t get32(const char *bytes) {
    uint32_t number = 0;
    for (int i = 0; i < 4; i++) {
        number = number << 8 | (unsigned char)bytes[i];
    }
    return number;
}

// ---- reading

typedef struct cursor {
    fb_str bytes;
    size_t at;
} cursor;

static bool take(cursor *from, size_t len, fb_str *piece) {
    if (len > from->bytes.len - from->at) {
        return false;
    }
    *piece = fb_str_make(from->bytes.ptr + from->at, len);
    from->at += len;
    return true;
}

static bool take_byte(cursor *from, uint8_t *byte) {
    fb_str piece;
    if (!take(from, 1, &piece)) {
        return false;
    }
    *byte = (uint8_t)piece.ptr[0];
    return true;
}

static bool take_fields(cursor *from, fb_envelope *envelope) {
    fb_str piece;
    uint8_t len;

    if (envelope->compressed) {
        if (!take(from, 8, &piece)) {
            return false;
        }
        envelope->raw_len = get32(piece.ptr);
        envelope->dictionary = get32(piece.ptr + 4);
    }
    if (!take_byte(from, &len) || !take(from, len, &envelope->class_name) ||
        !take_byte(from, &envelope->tag_count)) {
        return false;
    }
    size_t begin = from->at;
    for (uint8_t i = 0; i < envelope->tag_count; i++) {
        if (!take_byte(from, &len) || !take(from, len, &piece)) {
            return false;
        }
    }
    envelope->tags = fb_str_make(from->bytes.ptr + begin, from->at - begin);
    return true;
}

int fb_envelope_read(fb_str bytes, fb_envelope *envelope) {
    cursor from = {bytes, FLAGS_AT};
    const char *at = bytes.ptr;
    uint8_t flags;

    *envelope = (fb_envelope){0};
    if (bytes.len <= FLAGS_AT || (unsigned char)at[0] != FORMAT ||
        (at[1] != 'b' && at[1] != 'j' && at[1] != 'n') || !take_byte(&from, &flags) ||
        (flags & ~FLAG_ZSTD) != 0) {
        return FB_ESYNTAX;
    }
    size_t begins = (size_t)(unsigned char)at[2] << 8 | (unsigned char)at[3];
    envelope->kind = at[1];
    envelope->epoch = fb_envelope_get64(at + 4);
    envelope->version = fb_envelope_get64(at + 12);
    envelope->born_ms = (int64_t)(fb_envelope_get64(at + 20) & INT64_MAX);
    envelope->source_version = fb_envelope_get64(at + 28);
    envelope->wide.epoch = fb_envelope_get64(at + WIDE_AT);
    envelope->wide.seq = fb_envelope_get64(at + WIDE_AT + 8);
    envelope->wide.nonce = fb_envelope_get64(at + WIDE_AT + 16);
    envelope->compressed = (flags & FLAG_ZSTD) != 0;
    if (!take_fields(&from, envelope) || from.at != begins || envelope->version == 0) {
        return FB_ESYNTAX;
    }
    envelope->payload = fb_str_make(bytes.ptr + begins, bytes.len - begins);
    return FB_OK;
}

int fb_envelope_load(const fb_envelope *envelope, fb_str value, fb_loaded *loaded) {
    const char *at = envelope->tags.ptr;

    for (uint8_t i = 0; i < envelope->tag_count; i++) {
        size_t len = (unsigned char)*at;
        int result = fb_loaded_add_tag(loaded, fb_str_make(at + 1, len));
        if (result < 0) {
            return result == FB_EINVAL ? FB_ESYNTAX : result;
        }
        at += 1 + len;
    }
    loaded->source_version = envelope->source_version;
    if (envelope->kind == 'n') {
        loaded->result = FB_NEGATIVE;
        return FB_OK;
    }
    // Not fb_loaded_value(): what the kind is was found out when it was stored.
    loaded->value = fb_blob_new(value);
    if (loaded->value == NULL) {
        return FB_ENOMEM;
    }
    loaded->kind = envelope->kind == 'j' ? FB_KIND_JSON : FB_KIND_BYTES;
    loaded->result = FB_OK;
    return FB_OK;
}

// ---- writing

static char kind_of(const fb_loaded *loaded) {
    if (loaded->result == FB_NEGATIVE || loaded->value == NULL) {
        return 'n';
    }
    return loaded->kind == FB_KIND_JSON ? 'j' : 'b';
}

static size_t len_before(const fb_envelope *how, const fb_loaded *loaded, size_t class_len) {
    size_t len = FLAGS_AT + 1U + (how->compressed ? 8U : 0U) + 1U + class_len + 1U;
    return len + loaded->tag_count + loaded->tag_bytes.len;
}

int fb_envelope_write(const fb_envelope *how, const fb_loaded *loaded,
                      char what[FB_ENVELOPE_WHAT_LEN], fb_buf *rest) {
    size_t class_len = how->class_name.len <= FB_ENVELOPE_CLASS_MAX ? how->class_name.len : 0;
    size_t begins = len_before(how, loaded, class_len);
    size_t len = begins - FB_ENVELOPE_HEAD_LEN;
    int result = fb_buf_reserve(rest, len + how->payload.len);
    if (result < 0) {
        return result;
    }
    FB_ASSERT(begins <= UINT16_MAX);
    what[0] = (char)FORMAT;
    what[1] = kind_of(loaded);
    what[2] = (char)(begins >> 8);
    what[3] = (char)(begins & 0xff);
    char *at = rest->ptr + rest->len;
    fb_envelope_put64(at, how->wide.epoch);
    fb_envelope_put64(at + 8, how->wide.seq);
    fb_envelope_put64(at + 16, how->wide.nonce);
    at += 24;
    *at++ = how->compressed ? FLAG_ZSTD : 0;
    if (how->compressed) {
        put32(at, how->raw_len);
        put32(at + 4, how->dictionary);
        at += 8;
    }
    *at++ = (char)class_len;
    memcpy(at, how->class_name.len > 0 ? how->class_name.ptr : "", class_len);
    at += class_len;
    *at++ = (char)loaded->tag_count;
    for (size_t i = 0; i < loaded->tag_count; i++) {
        fb_str tag = fb_loaded_tag_at(loaded, i);
        *at++ = (char)tag.len;
        memcpy(at, tag.ptr, tag.len);
        at += tag.len;
    }
    FB_ASSERT((size_t)(at - rest->ptr) == rest->len + len);
    rest->len += len;
    return fb_buf_append(rest, how->payload);
}
