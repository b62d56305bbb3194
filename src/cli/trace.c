// Reading traces. Keys become small numbers at once, so that a trace of any length costs four bytes
// a request (eight with sizes), and whatever is replayed later can keep what it knows in arrays.

#include "cli/trace.h"

#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

enum { RECORD_BYTES = 24, FIRST_SLOTS = 1024, FIRST_REQUESTS = 1024 };

// Numbers of keys, by their identity. Open addressing.
typedef struct slot {
    uint64_t id;
    uint32_t number;
    bool used;
} slot;

typedef struct reader {
    fb_trace *trace;
    slot *slots;
    size_t slot_count;
    size_t room;  // requests there is room for
    fb_error *error;
} reader;

static slot *find_slot(slot *slots, size_t slot_count, uint64_t id) {
    size_t at = (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (slot_count - 1);
    while (slots[at].used && slots[at].id != id) {
        at = (at + 1) & (slot_count - 1);
    }
    return &slots[at];
}

static int grow_slots(reader *self) {
    size_t count = self->slot_count > 0 ? self->slot_count * 2 : FIRST_SLOTS;
    slot *slots = fb_mem_zero(count, sizeof(*slots));
    if (slots == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < self->slot_count; i++) {
        if (self->slots[i].used) {
            *find_slot(slots, count, self->slots[i].id) = self->slots[i];
        }
    }
    fb_mem_free(self->slots);
    self->slots = slots;
    self->slot_count = count;
    return FB_OK;
}

static int grow_requests(reader *self) {
    size_t room = self->room > 0 ? self->room * 2 : FIRST_REQUESTS;
    uint32_t *keys = fb_mem_resize(self->trace->keys, room * sizeof(*keys));
    if (keys == NULL) {
        return FB_ENOMEM;
    }
    self->trace->keys = keys;
    uint32_t *sizes = fb_mem_resize(self->trace->sizes, room * sizeof(*sizes));
    if (sizes == NULL) {
        return FB_ENOMEM;
    }
    self->trace->sizes = sizes;
    self->room = room;
    return FB_OK;
}

static int add_request(reader *self, uint64_t id, uint32_t size) {
    fb_trace *trace = self->trace;
    if (trace->count == self->room && grow_requests(self) != FB_OK) {
        return FB_ENOMEM;
    }
    if (trace->distinct >= self->slot_count / 4 * 3 && grow_slots(self) != FB_OK) {
        return FB_ENOMEM;
    }
    slot *place = find_slot(self->slots, self->slot_count, id);
    if (!place->used) {
        if (trace->distinct == UINT32_MAX) {
            return fb_error_set(self->error, FB_ETOOBIG, "more than 2^32 distinct keys");
        }
        *place = (slot){id, trace->distinct++, true};
        trace->bytes += size;
    }
    trace->keys[trace->count] = place->number;
    trace->sizes[trace->count++] = size;
    return FB_OK;
}

static int complain(reader *self, uint64_t line, const char *text) {
    (void)fb_error_set(self->error, FB_ETYPE, "%s", text);
    fb_error_place(self->error, NULL, line < UINT32_MAX ? (uint32_t)line : UINT32_MAX, 0);
    return FB_ETYPE;
}

// One line without its end.
static int read_line(reader *self, fb_str line, uint64_t number, bool *sized) {
    size_t comma = line.len;
    while (comma > 0 && line.ptr[comma - 1] != ',') {
        comma--;
    }
    int64_t size = 0;
    fb_str key = line;
    if (comma > 0) {
        fb_str digits = fb_str_make(line.ptr + comma, line.len - comma);
        key.len = comma - 1;
        if (fb_str_int(digits, &size) < 0 || size < 0 || size > UINT32_MAX) {
            return complain(self, number, "what follows the last comma is no size in bytes");
        }
        *sized = true;
    }
    if (key.len == 0) {
        return complain(self, number, "an empty key");
    }
    return add_request(self, fb_hash64(key, 0), (uint32_t)size);
}

static int read_text(reader *self, fb_str bytes, bool *sized) {
    uint64_t number = 0;
    int result = FB_OK;
    while (result == FB_OK && bytes.len > 0) {
        size_t end = fb_str_find(bytes, '\n');
        fb_str line = fb_str_make(bytes.ptr, end);
        size_t used = end < bytes.len ? end + 1 : end;
        bytes = fb_str_make(bytes.ptr + used, bytes.len - used);
        number++;
        line.len -= line.len > 0 && line.ptr[line.len - 1] == '\r';
        if (memchr(line.ptr, '\0', line.len) != NULL) {
            return complain(self, number, "a byte of 0: this is no text");
        }
        result = line.len > 0 ? read_line(self, line, number, sized) : FB_OK;
    }
    return result;
}

static uint64_t little(const char *bytes, unsigned count) {
    uint64_t number = 0;
    for (unsigned i = count; i-- > 0;) {
        number = number << 8 | (uint8_t)bytes[i];
    }
    return number;
}

static int read_oracle(reader *self, fb_str bytes) {
    int result = FB_OK;
    size_t at = 0;
    for (; result == FB_OK && at + RECORD_BYTES <= bytes.len; at += RECORD_BYTES) {
        const char *record = bytes.ptr + at;
        result = add_request(self, little(record + 4, 8), (uint32_t)little(record + 12, 4));
    }
    if (result == FB_OK && at < bytes.len) {
        return complain(self, at / RECORD_BYTES + 1, "the last record is not whole");
    }
    return result;
}

fb_trace_format fb_trace_detect(const char *name, fb_str bytes) {
    enum { LOOK = 4096 };
    size_t len = strlen(name);
    if (strstr(name, "oracleGeneral") != NULL || (len > 4 && strcmp(name + len - 4, ".bin") == 0)) {
        return FB_TRACE_ORACLE;
    }
    size_t look = bytes.len < LOOK ? bytes.len : LOOK;
    bool binary = look > 0 && memchr(bytes.ptr, '\0', look) != NULL;
    return binary ? FB_TRACE_ORACLE : FB_TRACE_TEXT;
}

int fb_trace_parse(fb_str bytes, fb_trace_format format, fb_trace *trace, fb_error *error) {
    *trace = (fb_trace){0};
    reader self = {.trace = trace, .error = error};
    bool sized = format == FB_TRACE_ORACLE;
    int result =
        format == FB_TRACE_ORACLE ? read_oracle(&self, bytes) : read_text(&self, bytes, &sized);
    fb_mem_free(self.slots);
    if (result == FB_OK && trace->count == 0) {
        result = complain(&self, 0, "there is no request in it");
    }
    if (result == FB_ENOMEM) {
        (void)fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    if (!sized) {
        fb_mem_free(trace->sizes);
        trace->sizes = NULL;
    }
    return result;
}

void fb_trace_release(fb_trace *trace) {
    fb_mem_free(trace->keys);
    fb_mem_free(trace->sizes);
    *trace = (fb_trace){0};
}
