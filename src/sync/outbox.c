// One entry for a name: who tells it later tells how it stands then, so only the newest word
// counts. An entry that is being told may be owed anew meanwhile. It stays where it is found,
// marked busy, until the answer is there, so that two requests about one key are never under way
// together; its generation tells whether the answer was about the newest word.
//
// Wide invalidations stand in the same list: what is told after one may be stamped as of after it,
// so nothing behind one is told before it has been.
//
// What lies in a part of the shared tier that is not reached waits in a list of its own: so the next
// to be told is found at once, however much waits. It may be told after a wide invalidation that came
// later than it: who tells a value looks whether memory still has it, and the invalidation took it
// away there.
//
// What does not fit is not lost. Its log is marked, its other entries are not needed any more, and
// whoever tells the outbox gives that log a new epoch, which is worth an invalidation of everything
// in it. From the moment that this is asked for, entries are kept again: what changes then may come
// after the epoch began.

#include "sync/outbox.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

enum { FAILURES_MAX = 30 };

struct fb_outbox {
    fb_map entries;  // kind and name → entry
    fb_list list;    // oldest first; those that are parked:
    fb_list parked;
    size_t parked_count, parked_logs;
    size_t entries_max, count;
    size_t value_bytes;  // of the values kept
    uint32_t logs;
    uint32_t lost_count, asked_count;
    uint64_t last_generation;
    bool *lost;   // by log: entries were forgotten
    bool *asked;  // a new epoch was asked for
    bool *put_off;  // lost, but parked
    size_t *counts;  // entries, by log
};

int fb_outbox_new(size_t entries_max, uint32_t logs, fb_outbox **outbox) {
    *outbox = NULL;
    fb_outbox *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    fb_list_init(&made->list);
    fb_list_init(&made->parked);
    made->entries_max = entries_max;
    made->logs = logs;
    made->lost = fb_mem_zero(logs, 3 * sizeof *made->lost);
    if (made->lost == NULL) {
        fb_outbox_free(made);
        return FB_ENOMEM;
    }
    made->asked = made->lost + logs;
    made->put_off = made->asked + logs;
    made->counts = fb_mem_zero(logs, sizeof *made->counts);
    if (made->counts == NULL) {
        fb_outbox_free(made);
        return FB_ENOMEM;
    }
    *outbox = made;
    return FB_OK;
}

static fb_owed *owed_of(const fb_list *node) {
    return FB_LIST_OF((fb_list *)(uintptr_t)node, fb_owed, list);
}

static bool is_wide(const fb_owed *owed) {
    return owed->record.kind != FB_RECORD_KEY;
}

static size_t value_bytes(const fb_owed *owed) {
    return owed->value != NULL ? fb_blob_str(owed->value).len : 0;
}

static void release(fb_outbox *outbox, fb_owed *owed) {
    outbox->value_bytes -= value_bytes(owed);
    fb_blob_drop(owed->value);
    fb_mem_free(owed);
}

static void forget(fb_outbox *outbox, fb_owed *owed) {
    (void)fb_map_remove(&outbox->entries, owed->name);
    fb_list_remove(&owed->list);
    outbox->parked_count -= owed->parked;
    outbox->count--;
    outbox->counts[owed->log]--;
    release(outbox, owed);
}

void fb_outbox_free(fb_outbox *outbox) {
    if (outbox == NULL) {
        return;
    }
    fb_outbox_resume(outbox);
    FB_LIST_EACH_SAFE(node, after, &outbox->list) {
        forget(outbox, owed_of(node));
    }
    fb_map_release(&outbox->entries);
    fb_mem_free(outbox->lost);
    fb_mem_free(outbox->counts);
    fb_mem_free(outbox);
}

static void forget_of(fb_outbox *outbox, const fb_list *list, uint32_t log) {
    FB_LIST_EACH_SAFE(node, after, list) {
        if (outbox->counts[log] == 0) {
            break;
        }
        if (owed_of(node)->log == log) {
            forget(outbox, owed_of(node));
        }
    }
}

static void overflow(fb_outbox *outbox, uint32_t log) {
    FB_ASSERT(log < outbox->logs);
    forget_of(outbox, &outbox->list, log);
    forget_of(outbox, &outbox->parked, log);
    outbox->lost_count += !outbox->lost[log];
    outbox->lost[log] = true;
}

// ---- owing

// A kind and a name lie one behind the other in the entry's memory.
static fb_owed *make(fb_outbox *outbox, const fb_owed *what) {
    size_t name_len = what->record.name.len;
    fb_owed *made = fb_mem_new(sizeof *made + 1 + name_len + what->tags.len);
    if (made == NULL) {
        return NULL;
    }
    char *at = (char *)(made + 1);
    *made = *what;
    bool keeps = value_bytes(what) <= FB_OUTBOX_VALUES_MAX - outbox->value_bytes;
    made->value = what->value != NULL && keeps ? fb_blob_take(what->value) : NULL;
    outbox->value_bytes += value_bytes(made);
    at[0] = (char)('0' + (int)what->record.kind);
    if (name_len > 0) {
        memcpy(at + 1, what->record.name.ptr, name_len);
    }
    if (what->tags.len > 0) {
        memcpy(at + 1 + name_len, what->tags.ptr, what->tags.len);
    }
    made->name = fb_str_make(at, 1 + name_len);
    made->record.name = fb_str_make(at + 1, name_len);
    made->tags = fb_str_make(at + 1 + name_len, what->tags.len);
    made->busy = false;
    made->parked = false;
    made->told_delta = 0;
    made->failures = 0;
    fb_list_init(&made->list);
    return made;
}

const fb_owed *fb_outbox_find(const fb_outbox *outbox, fb_record_kind kind, fb_str name) {
    char bytes[1 + FB_KEY_LEN_MAX];
    if (outbox->count == 0 || name.len > FB_KEY_LEN_MAX) {
        return NULL;
    }
    bytes[0] = (char)('0' + (int)kind);
    if (name.len > 0) {
        memcpy(bytes + 1, name.ptr, name.len);
    }
    return fb_map_get(&outbox->entries, fb_str_make(bytes, 1 + name.len));
}

static fb_owed *find(const fb_outbox *outbox, fb_record_kind kind, fb_str name) {
    return (fb_owed *)(uintptr_t)fb_outbox_find(outbox, kind, name);
}

// What is owed after `what`, where `older` was. false: it cannot be said in one word.
static bool merge(const fb_owed *older, const fb_owed *what, fb_owed *merged) {
    *merged = *what;
    merged->since_ns = older->since_ns;
    merged->record.soft = what->record.soft && older->record.soft && what->kind == older->kind;
    if (older->record.fence > what->record.fence) {
        merged->record.fence = older->record.fence;
    }
    if (is_wide(what)) {
        return true;
    }
    if (what->kind == FB_OWED_ADD && older->kind == FB_OWED_ADD) {
        return !__builtin_add_overflow(older->delta, what->delta, &merged->delta);
    } else if (what->kind == FB_OWED_ADD) {
        merged->kind = FB_OWED_SET;
        merged->tags = older->tags;
    }
    return true;
}

static void add(fb_outbox *outbox, fb_owed *made) {
    int result = fb_map_put(&outbox->entries, made->name, made);
    if (result != FB_OK) {
        uint32_t log = made->log;
        release(outbox, made);
        overflow(outbox, log);
        return;
    }
    made->generation = ++outbox->last_generation;
    fb_list_insert(&outbox->list, &made->list);
    outbox->count++;
    outbox->counts[made->log]++;
}

void fb_outbox_owe(fb_outbox *outbox, const fb_owed *what, int64_t now_ns) {
    FB_ASSERT(what->log < outbox->logs);
    if (outbox->lost[what->log]) {
        return;
    }
    fb_owed merged = *what;
    merged.since_ns = now_ns;
    fb_owed *older = find(outbox, what->record.kind, what->record.name);
    bool fits = older != NULL ? merge(older, what, &merged) : outbox->count < outbox->entries_max;
    fb_owed *made = fits ? make(outbox, &merged) : NULL;
    if (made == NULL) {
        overflow(outbox, what->log);
        return;
    }
    if (older != NULL) {
        made->busy = older->busy;
        made->told_delta = older->busy ? older->told_delta : 0;
        forget(outbox, older);
    }
    add(outbox, made);
}

// ---- telling

const fb_owed *fb_outbox_next(const fb_outbox *outbox) {
    FB_LIST_EACH(node, &outbox->list) {
        const fb_owed *owed = owed_of(node);
        if (!owed->busy) {
            return owed;
        }
        if (is_wide(owed)) {
            return NULL;
        }
    }
    return NULL;
}

uint64_t fb_outbox_tell(fb_outbox *outbox, const fb_owed *owed) {
    fb_owed *mine = find(outbox, owed->record.kind, owed->record.name);
    FB_ASSERT(mine == owed && !mine->busy);
    mine->busy = true;
    mine->told_delta = mine->delta;
    return mine->generation;
}

void fb_outbox_done(fb_outbox *outbox, fb_record_kind kind, fb_str name, uint64_t generation) {
    fb_owed *owed = find(outbox, kind, name);
    if (owed == NULL) {
        return;
    }
    owed->busy = false;
    if (owed->generation == generation) {
        forget(outbox, owed);
    } else if (owed->kind == FB_OWED_ADD) {
        owed->delta -= owed->told_delta;
    }
}

void fb_outbox_again(fb_outbox *outbox, fb_record_kind kind, fb_str name, uint32_t weight) {
    fb_owed *owed = find(outbox, kind, name);
    if (owed == NULL) {
        return;
    }
    owed->busy = false;
    owed->told_delta = 0;
    owed->failures += weight;
    if (owed->failures >= FAILURES_MAX && owed->kind == FB_OWED_SET) {
        owed->kind = FB_OWED_DROP;
    }
}

// ---- what is not reached

void fb_outbox_park(fb_outbox *outbox, fb_record_kind kind, fb_str name) {
    fb_owed *owed = find(outbox, kind, name);
    if (owed == NULL) {
        return;
    }
    FB_ASSERT(!owed->parked && !is_wide(owed));
    owed->busy = false;
    owed->told_delta = 0;
    owed->parked = true;
    outbox->parked_count++;
    fb_list_remove(&owed->list);
    fb_list_insert(&outbox->parked, &owed->list);
}

void fb_outbox_park_log(fb_outbox *outbox, uint32_t log) {
    FB_ASSERT(log < outbox->logs && outbox->lost[log]);
    outbox->parked_logs += !outbox->put_off[log];
    outbox->put_off[log] = true;
}

void fb_outbox_resume(fb_outbox *outbox) {
    const fb_list *head = &outbox->parked;
    while (!fb_list_empty(head)) {  // they are the older ones, mostly: to the front
        fb_owed *last = owed_of(head->prev);
        fb_list_remove(&last->list);
        fb_list_insert(outbox->list.next, &last->list);
        last->parked = false;
    }
    for (uint32_t log = 0; outbox->parked_logs > 0 && log < outbox->logs; log++) {
        outbox->parked_logs -= outbox->put_off[log];
        outbox->put_off[log] = false;
    }
    outbox->parked_count = 0;
}

bool fb_outbox_has_parked(const fb_outbox *outbox) {
    return outbox->parked_count > 0 || outbox->parked_logs > 0;
}

// ---- logs whose entries were forgotten

uint32_t fb_outbox_overflowed(const fb_outbox *outbox) {
    for (uint32_t log = 0; outbox->lost_count > 0 && log < outbox->logs; log++) {
        if (outbox->lost[log] && !outbox->asked[log] && !outbox->put_off[log]) {
            return log;
        }
    }
    return UINT32_MAX;
}

void fb_outbox_renew(fb_outbox *outbox, uint32_t log) {
    FB_ASSERT(outbox->lost[log] && !outbox->asked[log]);
    outbox->lost[log] = false;
    outbox->lost_count--;
    outbox->asked[log] = true;
    outbox->asked_count++;
}

void fb_outbox_renewed(fb_outbox *outbox, uint32_t log, bool done) {
    FB_ASSERT(outbox->asked[log]);
    outbox->asked[log] = false;
    outbox->asked_count--;
    if (!done) {
        overflow(outbox, log);
    }
}

void fb_outbox_give_up(fb_outbox *outbox) {
    fb_outbox_resume(outbox);
    while (!fb_list_empty(&outbox->list)) {
        overflow(outbox, owed_of(outbox->list.next)->log);
    }
}

bool fb_outbox_empty(const fb_outbox *outbox) {
    return outbox->count == 0 && outbox->lost_count == 0 && outbox->asked_count == 0;
}

bool fb_outbox_owes(const fb_outbox *outbox, uint32_t log) {
    return outbox->counts[log] > 0 || outbox->lost[log] || outbox->asked[log];
}

bool fb_outbox_owes_wide(const fb_outbox *outbox) {
    return fb_outbox_owes(outbox, outbox->logs - 1);
}

size_t fb_outbox_count(const fb_outbox *outbox) {
    return outbox->count;
}

static size_t check_list(const fb_outbox *outbox, const fb_list *list, bool parked, size_t *wide) {
    size_t count = 0;
    FB_LIST_EACH(node, list) {
        const fb_owed *owed = owed_of(node);
        FB_ASSERT(fb_map_get(&outbox->entries, owed->name) == owed && owed->parked == parked);
        FB_ASSERT(owed->log < outbox->logs && !outbox->lost[owed->log]);
        FB_ASSERT(is_wide(owed) == (owed->log == outbox->logs - 1));
        FB_ASSERT(!parked || (!owed->busy && !is_wide(owed)));
        count++;
        *wide += is_wide(owed);
    }
    return count;
}

void fb_outbox_check(const fb_outbox *outbox) {
    size_t wide = 0, lost = 0, asked = 0, put_off = 0;
    size_t parked = check_list(outbox, &outbox->parked, true, &wide);
    size_t count = parked + check_list(outbox, &outbox->list, false, &wide);
    FB_ASSERT(parked == outbox->parked_count);
    for (uint32_t log = 0; log < outbox->logs; log++) {
        lost += outbox->lost[log];
        asked += outbox->asked[log];
        put_off += outbox->put_off[log];
    }
    FB_ASSERT(put_off == outbox->parked_logs);
    FB_ASSERT(count == outbox->count && wide == outbox->counts[outbox->logs - 1]);
    FB_ASSERT(count <= outbox->entries_max || outbox->entries_max == 0);
    FB_ASSERT(lost == outbox->lost_count && asked == outbox->asked_count);
}
