// A table of slots of one size, each with a version that is odd while it is written (a seqlock). A
// request is put together as bytes: class, then names and values, each with its length before it.
// Those bytes stand in the slot in front of the key and are compared, so two requests are never
// taken for one another. The words of a slot are atomic, so a reader that is overtaken by a writer
// sees a mixture, but nothing undefined; and since each is stored with release and loaded with
// acquire, whoever saw a newer word sees the newer version after it, and starts from the daemon.
//
// A fork in the middle of a write leaves the child a slot that is odd for ever: one slot less.

#include "client/memo.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    SLOTS = 4096,
    SLOT_WORDS = 64,
    HEAD_WORDS = 4,
    BODY_WORDS = SLOT_WORDS - HEAD_WORDS,
    BODY_MAX = BODY_WORDS * 8,
    SHOWN_MAX = BODY_MAX - 1,  // bytes of a request: at least one is the key's
};
_Static_assert((int)FB_MEMO_KEY_MAX < (int)BODY_MAX, "a key of the greatest length fits a slot");

struct fb_memo_slot {
    _Atomic uint64_t version, hash, generation;
    _Atomic uint64_t lengths;  // of the request in the low half, of the key in the high half
    _Atomic uint64_t body[BODY_WORDS];
};
_Static_assert(sizeof(fb_memo_slot) == SLOT_WORDS * 8, "a slot is eight lines");

void fb_memo_release(fb_memo *memo) {
    fb_mem_free(atomic_load(&memo->slots));
}

typedef struct shown {
    size_t len;  // 0: it does not fit
    char bytes[BODY_MAX];
} shown;

static bool show_one(shown *to, fb_str text) {
    uint16_t len = (uint16_t)text.len;
    if (text.len > SHOWN_MAX || to->len + sizeof len + text.len > SHOWN_MAX) {
        return false;
    }
    memcpy(to->bytes + to->len, &len, sizeof len);
    if (len > 0) {
        memcpy(to->bytes + to->len + sizeof len, text.ptr, len);
    }
    to->len += sizeof len + len;
    return true;
}

static bool show(const fb_client_request *request, shown *to) {
    to->len = 0;
    bool fits = show_one(to, request->class_name);
    for (size_t i = 0; i < request->param_count && fits; i++) {
        fits = show_one(to, request->params[i].name) && show_one(to, request->params[i].value);
    }
    return fits;
}

// Words of 8 bytes, so `bytes` needs room for a whole number of them.
static void read_words(fb_memo_slot *slot, size_t count, char *bytes) {
    for (size_t i = 0; i < count; i++) {
        uint64_t word = atomic_load_explicit(&slot->body[i], memory_order_acquire);
        memcpy(bytes + 8 * i, &word, sizeof word);
    }
}

static size_t read_slot(fb_memo_slot *slot, const shown *what, uint64_t hash, uint64_t generation,
                        char key[FB_MEMO_KEY_MAX]) {
    uint64_t version = atomic_load_explicit(&slot->version, memory_order_acquire);
    if (version % 2 != 0 || atomic_load_explicit(&slot->hash, memory_order_relaxed) != hash ||
        atomic_load_explicit(&slot->generation, memory_order_acquire) != generation) {
        return 0;
    }
    uint64_t lengths = atomic_load_explicit(&slot->lengths, memory_order_acquire);
    size_t shown_len = (uint32_t)lengths, key_len = (size_t)(lengths >> 32);
    if (shown_len != what->len || key_len > FB_MEMO_KEY_MAX || shown_len + key_len > BODY_MAX) {
        return 0;
    }
    char body[BODY_MAX];
    read_words(slot, (shown_len + key_len + 7) / 8, body);
    if (atomic_load_explicit(&slot->version, memory_order_relaxed) != version ||
        memcmp(body, what->bytes, shown_len) != 0) {
        return 0;
    }
    memcpy(key, body + shown_len, key_len);
    return key_len;
}

size_t fb_memo_find(const fb_memo *memo, const fb_client_request *request, uint64_t generation,
                    char key[FB_MEMO_KEY_MAX]) {
    fb_memo_slot *slots = atomic_load_explicit(&memo->slots, memory_order_acquire);
    shown what;
    if (slots == NULL || !show(request, &what)) {
        return 0;
    }
    uint64_t hash = fb_hash64(fb_str_make(what.bytes, what.len), 0);
    return read_slot(&slots[hash % SLOTS], &what, hash, generation, key);
}

static fb_memo_slot *open_slots(fb_memo *memo) {
    fb_memo_slot *slots = atomic_load_explicit(&memo->slots, memory_order_acquire);
    if (slots == NULL) {
        fb_memo_slot *made = fb_mem_zero(SLOTS, sizeof *made);
        if (made == NULL || atomic_compare_exchange_strong(&memo->slots, &slots, made)) {
            return made;
        }
        fb_mem_free(made);
    }
    return slots;
}

static void write_slot(fb_memo_slot *slot, const shown *what, uint64_t hash, uint64_t generation,
                       fb_str key) {
    uint64_t version = atomic_load_explicit(&slot->version, memory_order_relaxed);
    // Somebody else writes here: one of both is enough.
    if (version % 2 != 0 ||
        !atomic_compare_exchange_strong_explicit(&slot->version, &version, version + 1,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return;
    }
    char body[BODY_MAX + 8] = {0};
    memcpy(body, what->bytes, what->len);
    memcpy(body + what->len, key.ptr, key.len);
    for (size_t i = 0; i < (what->len + key.len + 7) / 8; i++) {
        uint64_t word;
        memcpy(&word, body + 8 * i, sizeof word);
        atomic_store_explicit(&slot->body[i], word, memory_order_release);
    }
    atomic_store_explicit(&slot->hash, hash, memory_order_release);
    atomic_store_explicit(&slot->generation, generation, memory_order_release);
    atomic_store_explicit(&slot->lengths, (uint64_t)key.len << 32 | what->len,
                          memory_order_release);
    atomic_store_explicit(&slot->version, version + 2, memory_order_release);
}

void fb_memo_learn(fb_memo *memo, const fb_client_request *request, uint64_t generation,
                   fb_str key) {
    shown what;
    if (key.len == 0 || key.len > FB_MEMO_KEY_MAX || !show(request, &what) ||
        what.len + key.len > BODY_MAX) {
        return;
    }
    fb_memo_slot *slots = open_slots(memo);
    if (slots != NULL) {
        uint64_t hash = fb_hash64(fb_str_make(what.bytes, what.len), 0);
        write_slot(&slots[hash % SLOTS], &what, hash, generation, key);
    }
}
