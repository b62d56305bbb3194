// The value is copied once into a counted blob, which the flight then shares with the store and
// every waiter. Tags lie one behind the other in one buffer: most loads have one or two short ones.

#include "cache/loaded.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "base/utf8.h"

_Static_assert(FB_TAG_LEN_MAX <= UINT16_MAX, "tag_lens holds the length of a tag");

void fb_loaded_init(fb_loaded *loaded) {
    *loaded = (fb_loaded){.result = FB_ESOURCE, .ttl_ms = -1};
}

void fb_loaded_release(fb_loaded *loaded) {
    fb_blob_drop(loaded->value);
    fb_buf_release(&loaded->tag_bytes);
    fb_loaded_init(loaded);
}

fb_str fb_loaded_tag_at(const fb_loaded *loaded, size_t index) {
    size_t at = 0;
    for (size_t i = 0; i < index; i++) {
        at += loaded->tag_lens[i];
    }
    return fb_str_make(loaded->tag_bytes.ptr + at, loaded->tag_lens[index]);
}

static bool has_tag(const fb_loaded *loaded, fb_str tag) {
    for (size_t i = 0; i < loaded->tag_count; i++) {
        if (fb_str_equal(fb_loaded_tag_at(loaded, i), tag)) {
            return true;
        }
    }
    return false;
}

int fb_loaded_add_tag(fb_loaded *loaded, fb_str tag) {
    if (tag.len == 0 || tag.len > FB_TAG_LEN_MAX) {
        return FB_EINVAL;
    }
    if (has_tag(loaded, tag)) {
        return FB_OK;
    }
    if (loaded->tag_count == FB_TAGS_MAX) {
        return FB_EINVAL;
    }
    int result = fb_buf_append(&loaded->tag_bytes, tag);
    if (result == FB_OK) {
        loaded->tag_lens[loaded->tag_count++] = (uint16_t)tag.len;
    }
    return result;
}

int fb_loaded_tag(fb_loaded *loaded, fb_str tag) {
    if (tag.len > 0 && tag.ptr[0] == FB_TAG_OWN) {
        return FB_EINVAL;
    }
    return fb_loaded_add_tag(loaded, tag);
}

int fb_loaded_value(fb_loaded *loaded, fb_str data) {
    if (loaded->value != NULL) {
        return FB_EINVAL;
    }
    loaded->value = fb_blob_new(data);
    if (loaded->value == NULL) {
        return FB_ENOMEM;
    }
    loaded->kind = fb_json_valid(data) ? FB_KIND_JSON : FB_KIND_BYTES;
    return FB_OK;
}

void fb_loaded_ttl(fb_loaded *loaded, int64_t ttl_ms) {
    loaded->ttl_ms = ttl_ms < 0 ? -1 : ttl_ms;
}

void fb_loaded_uncacheable(fb_loaded *loaded) {
    loaded->uncacheable = true;
}

void fb_loaded_version(fb_loaded *loaded, uint64_t source_version) {
    loaded->source_version = source_version;
}

void fb_loaded_error(fb_loaded *loaded, fb_str text) {
    size_t len = text.len;
    if (len >= sizeof loaded->error) {
        len = fb_utf8_cut(text.ptr, sizeof loaded->error - 1);
    }
    if (len > 0) {
        memcpy(loaded->error, text.ptr, len);
    }
    loaded->error[len] = '\0';
}
