// A job's head is one string of fixed numbers and short texts, big-endian, so that a script changes
// a state by cutting and joining, and reads a token by comparing bytes. What it looks like is said
// in lua/queue.inc.lua; here it is read (fb_queue_step_read_job()), and written whole for IMPORT.
//
// Keys of a partition: forebay:{q:NAME:PARTITION}: and
//   q  its state      h  heads by number    p  large payloads by number
//   n  blocks of numbers, in order          b  how many jobs are in each
//   u  unique keys    s  scheduled, by due  l  leased, by their ends  d  dead, by death
//   r  ready, by priority and place in line
//   m, mn, mu  marks: by name, in order, by their ends
// So a batch of any size is a few commands inside of the script, whatever the number of jobs, and
// every key is declared. No key ends by itself: a server that evicts only what does (volatile-…)
// takes none.

#include "redis/queue_step.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/str.h"
#include "redis/envelope.h"
#include "redis/route.h"

enum {
    KEYS = 10,
    MARK_KEYS = 3,
    HEAD_BYTES = 83,
    SPEC_BYTES = 36,
    TAIL_BYTES = 9,    // of a head: the numbers from its priority on
    INLINE_MAX = 256,  // bytes of a payload that is part of its head
    PREFIX_MAX = 400
};
// Below 2^53 whatever is added once.
#define TIME_MAX (INT64_C(1) << 52)
#define NUMBER_MAX ((UINT64_C(1) << 53) - 1)

// ---- words

static uint64_t time_of(int64_t ms) {
    return ms <= 0 ? 0 : (uint64_t)(ms < TIME_MAX ? ms : TIME_MAX);
}

static char *put(char *at, uint64_t number, size_t size) {
    for (size_t i = size; i-- > 0;) {
        *at++ = (char)(unsigned char)(number >> 8 * i);
    }
    return at;
}

static uint64_t get(const char *at, size_t size) {
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        number = number << 8 | (unsigned char)at[i];
    }
    return number;
}

static void put_numbers(fb_step *step, const uint64_t *numbers, size_t count) {
    char bytes[64];
    char *at = bytes;

    FB_ASSERT(count <= 8);
    for (size_t i = 0; i < count; i++) {
        at = put(at, numbers[i], 8);
    }
    fb_step_put(step, fb_str_make(bytes, 8 * count));
}

static fb_str cut(fb_str text, size_t len) {
    return fb_str_make(text.ptr, text.len < len ? text.len : len);
}

// ---- keys

static fb_str prefix_of(const fb_queue_place *place, char *text) {
    int len = snprintf(text, PREFIX_MAX, "%s:{q:%.*s:%u}:", place->name_space,
                       FB_STR_ARG(place->queue), place->partition);
    FB_ASSERT(len > 0 && len < PREFIX_MAX);
    return fb_str_make(text, (size_t)len);
}

uint16_t fb_queue_step_slot(const fb_queue_place *place) {
    char text[PREFIX_MAX];
    return fb_slot_of(prefix_of(place, text));
}

uint32_t fb_queue_step_partition(fb_str unique, uint32_t partitions) {
    uint8_t hash[16];
    fb_hash128(unique, hash);
    return (uint32_t)(get((const char *)hash, 8) % partitions);
}

// What every script begins with: keys, now, channel, queue.
typedef struct script_of {
    fb_script_name script;
    size_t arg_count;  // behind these
    bool has_marks;
} script_of;

static void begin(fb_step *step, const fb_queue_place *place, const fb_store_request *request,
                  const script_of *of) {
    static const char *const NAMES[] = {"q", "h", "p", "n", "b",  "u", "s",
                                        "l", "d", "r", "m", "mn", "mu"};
    char text[PREFIX_MAX];
    fb_str prefix = prefix_of(place, text);
    size_t key_count = of->has_marks ? KEYS + MARK_KEYS : KEYS;

    fb_step_begin(step, of->script, key_count, 3 + of->arg_count);
    for (size_t i = 0; i < key_count; i++) {
        const fb_str pieces[] = {prefix, fb_str_of(NAMES[i])};
        fb_step_put_joined(step, pieces, 2);
    }
    if (request->now_ms > 0) {
        fb_step_put_number(step, request->now_ms);
    } else {
        fb_step_put(step, FB_STR(""));
    }
    const fb_str channel[] = {fb_str_of(place->name_space), FB_STR(":q")};
    fb_step_put_joined(step, channel, 2);
    fb_step_put(step, place->queue);
    step->slot = fb_slot_of(prefix);
}

// ---- ENQUEUE, IMPORT

static uint64_t share(uint32_t most, uint32_t partitions) {
    return (most + (uint64_t)partitions - 1) / partitions;
}

// A large one is not written again with every change of its job.
static bool lies_apart(const fb_job *job) {
    return job->payload.len > INLINE_MAX;
}

static uint64_t level_of(const fb_job *job) {
    return job->priority < FB_JOB_PRIORITIES ? job->priority : FB_JOB_PRIORITIES - 1;
}

static char *put_tail(char *at, const fb_job *job, size_t kind_len, size_t unique_len) {
    at = put(at, level_of(job), 1);
    at = put(at, kind_len, 1);
    at = put(at, unique_len, 2);
    at = put(at, job->attempts, 4);
    return put(at, lies_apart(job), 1);
}

// What the script reads, and the end of the head, which it does not.
static void put_spec(fb_step *step, const fb_store_job *from) {
    const fb_job *job = &from->job;
    char bytes[SPEC_BYTES], tail[TAIL_BYTES];
    fb_str kind = cut(job->kind, FB_JOB_KIND_MAX), unique = cut(job->unique, FB_JOB_UNIQUE_MAX);

    char *at = put(bytes, time_of(from->delay_ms), 8);
    at = put(at, time_of(job->due_ms), 8);
    at = put(at, time_of(from->life_ms), 8);
    at = put(at, time_of(job->lease_ms), 8);
    at = put(at, level_of(job), 1);
    at = put(at, kind.len, 1);
    at = put(at, unique.len, 2);
    FB_ASSERT(at == bytes + SPEC_BYTES);
    fb_step_put(step, fb_str_make(bytes, SPEC_BYTES));
    at = put_tail(tail, job, kind.len, unique.len);
    FB_ASSERT(at == tail + TAIL_BYTES);
    const fb_str pieces[] = {fb_str_make(tail, TAIL_BYTES), kind, unique, job->payload};
    fb_step_put_joined(step, pieces, lies_apart(job) ? 3 : 4);
}

static void encode_enqueue(fb_step *step, const fb_queue_place *place,
                           const fb_store_request *request, const fb_queue_items *items) {
    bool has_mark = request->mark.len > 0;
    const uint64_t numbers[] = {share(request->policy->jobs_max, place->partitions),
                                place->partition, items->count};
    const uint64_t value = (uint64_t)request->mark_value;
    size_t words = 3 + 2 * items->count;

    for (size_t i = 0; i < items->count; i++) {
        words += lies_apart(&request->jobs[items->at[i]].job);
    }
    begin(step, place, request, &(script_of){FB_SCRIPT_queue_add, words, has_mark});
    put_numbers(step, numbers, 3);
    fb_step_put(step, request->mark);
    put_numbers(step, &value, 1);
    for (size_t i = 0; i < items->count; i++) {
        put_spec(step, &request->jobs[items->at[i]]);
    }
    for (size_t i = 0; i < items->count; i++) {
        const fb_job *job = &request->jobs[items->at[i]].job;
        if (lies_apart(job)) {
            fb_step_put(step, job->payload);
        }
    }
}

// Its number and its head.
static void put_whole(fb_step *step, const fb_job *job) {
    char bytes[8 + HEAD_BYTES];
    fb_str kind = cut(job->kind, FB_JOB_KIND_MAX), unique = cut(job->unique, FB_JOB_UNIQUE_MAX);
    fb_str error = cut(job->error, FB_JOB_TEXT_MAX), progress = cut(job->progress, FB_JOB_TEXT_MAX);
    bool is_leased = job->state == FB_JOB_LEASED, is_dead = job->state == FB_JOB_DEAD;

    char *at = put(bytes, job->number, 8);
    at = put(at, (uint64_t)job->state, 1);
    at = put(at, is_dead ? (uint64_t)job->end : 0, 1);
    at = put(at, job->attempt, 4);
    at = put(at, is_leased ? job->token : 0, 8);
    at = put(at, is_leased ? time_of(job->claimed_ms) : 0, 8);
    at = put(at, is_leased ? time_of(job->until_ms) : 0, 8);
    at = put(at, time_of(job->due_ms), 8);
    at = put(at, is_dead ? time_of(job->died_ms) : 0, 8);
    at = put(at, time_of(job->expires_ms), 8);
    at = put(at, time_of(job->lease_ms), 8);
    at = put(at, error.len, 2);
    at = put(at, progress.len, 2);
    at = put(at, time_of(job->enqueued_ms), 8);
    at = put_tail(at, job, kind.len, unique.len);
    FB_ASSERT(at == bytes + sizeof bytes);
    const fb_str pieces[] = {
        fb_str_make(bytes, sizeof bytes), kind, unique, error, progress, job->payload};
    fb_step_put_joined(step, pieces, lies_apart(job) ? 5 : 6);
    fb_step_put(step, lies_apart(job) ? job->payload : FB_STR(""));
}

static void encode_import(fb_step *step, const fb_queue_place *place,
                          const fb_store_request *request, const fb_queue_items *items) {
    const fb_store_job *last =
        request->item_count > 0 ? &request->jobs[request->item_count - 1] : NULL;
    const uint64_t numbers[] = {place->partition, last != NULL ? last->job.number : 0,
                                request->flag};

    begin(step, place, request, &(script_of){FB_SCRIPT_queue_import, 2 + 2 * items->count, true});
    put_numbers(step, numbers, 3);
    fb_step_put(step, request->mark);
    for (size_t i = 0; i < items->count; i++) {
        put_whole(step, &request->jobs[items->at[i]].job);
    }
}

// ---- claims

static void put_claims(fb_step *step, const fb_store_request *request, const fb_queue_items *items,
                       bool with_tokens) {
    fb_buf bytes = {0};
    size_t size = with_tokens ? 16 : 8;
    int result = items->count > 0 ? fb_buf_reserve(&bytes, size * items->count) : FB_OK;

    fb_step_keep(step, result);
    for (size_t i = 0; i < items->count && result == FB_OK; i++) {
        const fb_job_claim *claim = &request->claims[items->at[i]];
        char *at = put(bytes.ptr + size * i, claim->number, 8);
        if (with_tokens) {
            (void)put(at, claim->token, 8);
        }
    }
    bytes.len = result == FB_OK ? size * items->count : 0;
    fb_step_put(step, fb_buf_str(&bytes));
    fb_buf_release(&bytes);
}

static uint64_t dead_share(const fb_queue_place *place, const fb_store_request *request) {
    return share(request->policy->dead_max, place->partitions);
}

// Then none comes twice, and the script need not look.
static bool ascends(const fb_store_request *request, const fb_queue_items *items) {
    for (size_t i = 1; i < items->count; i++) {
        if (request->claims[items->at[i]].number <= request->claims[items->at[i - 1]].number) {
            return false;
        }
    }
    return true;
}

static void encode_take(fb_step *step, const fb_queue_place *place, const fb_store_request *request,
                        const fb_queue_items *items) {
    const uint64_t numbers[] = {request->count,
                                request->token,
                                time_of(request->lease_ms),
                                time_of(request->policy->dead_keep_ms),
                                dead_share(place, request),
                                ascends(request, items)};

    begin(step, place, request, &(script_of){FB_SCRIPT_queue_take, 2, false});
    put_numbers(step, numbers, 6);
    put_claims(step, request, items, true);
}

static void encode_fail(fb_step *step, const fb_queue_place *place, const fb_store_request *request,
                        const fb_queue_items *items) {
    const fb_queue_policy *policy = request->policy;
    char bytes[8 + 1 + 4 + 4 * 8];

    begin(step, place, request, &(script_of){FB_SCRIPT_queue_fail, 3, false});
    char *at = put(bytes, request->delay_ms < 0 ? UINT64_MAX : time_of(request->delay_ms), 8);
    at = put(at, request->permanent, 1);
    at = put(at, request->random, 4);
    at = put(at, time_of(policy->retry_delay_ms), 8);
    at = put(at, time_of(policy->retry_max_ms), 8);
    at = put(at, time_of(policy->dead_keep_ms), 8);
    at = put(at, dead_share(place, request), 8);
    FB_ASSERT(at == bytes + sizeof bytes);
    fb_step_put(step, fb_str_make(bytes, sizeof bytes));
    put_claims(step, request, items, true);
    fb_step_put(step, cut(request->text, FB_JOB_TEXT_MAX));
}

static void encode_release(fb_step *step, const fb_queue_place *place,
                           const fb_store_request *request, const fb_queue_items *items) {
    const uint64_t delay = time_of(request->delay_ms);

    begin(step, place, request, &(script_of){FB_SCRIPT_queue_release, 2, false});
    put_numbers(step, &delay, 1);
    put_claims(step, request, items, true);
}

static void encode_extend(fb_step *step, const fb_queue_place *place,
                          const fb_store_request *request, const fb_queue_items *items) {
    const uint64_t lease = time_of(request->lease_ms);
    bool says = request->text.ptr != NULL;
    const fb_str pieces[] = {FB_STR("+"), cut(request->text, FB_JOB_TEXT_MAX)};

    begin(step, place, request, &(script_of){FB_SCRIPT_queue_extend, 3, false});
    put_numbers(step, &lease, 1);
    put_claims(step, request, items, true);
    fb_step_put_joined(step, pieces, says ? 2 : 0);
}

// ---- the others

static void encode_numbers(fb_step *step, const fb_queue_place *place,
                           const fb_store_request *request, const fb_queue_items *items) {
    bool gets = request->verb == FB_STORE_GET;
    fb_script_name script = gets ? FB_SCRIPT_queue_get : FB_SCRIPT_queue_cancel;

    begin(step, place, request, &(script_of){script, 1, false});
    put_claims(step, request, items, false);
}

static void encode_state(fb_step *step, const fb_queue_place *place,
                         const fb_store_request *request, const fb_queue_items *items) {
    bool kicks = request->verb == FB_STORE_KICK;
    const uint64_t numbers[] = {(uint64_t)request->state, request->count};
    fb_script_name script = kicks ? FB_SCRIPT_queue_kick : FB_SCRIPT_queue_purge;

    begin(step, place, request, &(script_of){script, kicks ? 2 : 1, false});
    put_numbers(step, numbers, 2);
    if (kicks) {
        put_claims(step, request, items, false);
    }
}

static void encode_list(fb_step *step, const fb_queue_place *place,
                        const fb_store_request *request) {
    const uint64_t numbers[] = {(uint64_t)(request->state + 1), request->after, request->count,
                                request->flag, place->partition};

    begin(step, place, request, &(script_of){FB_SCRIPT_queue_list, 1, false});
    put_numbers(step, numbers, 5);
}

static void encode_mark(fb_step *step, const fb_queue_place *place,
                        const fb_store_request *request) {
    static const char *const VERBS[] = {"set", "get", "drop", "list"};
    const uint64_t numbers[] = {(uint64_t)request->mark_value, time_of(request->life_ms),
                                request->count};
    bool goes_on =
        request->after_mark.len > 0 && fb_str_compare(request->after_mark, request->mark) >= 0;
    const fb_str from[] = {goes_on ? FB_STR("(") : FB_STR("["),
                           goes_on ? request->after_mark : request->mark};

    begin(step, place, request, &(script_of){FB_SCRIPT_queue_mark, 4, true});
    fb_step_put(step, fb_str_of(VERBS[request->verb - FB_STORE_MARK_SET]));
    fb_step_put(step, request->mark);
    put_numbers(step, numbers, 3);
    fb_step_put_joined(step, from, 2);
}

static void encode_plain(fb_step *step, const fb_queue_place *place,
                         const fb_store_request *request) {
    bool pauses = request->verb == FB_STORE_PAUSE;
    fb_script_name script = pauses ? FB_SCRIPT_queue_pause : FB_SCRIPT_queue_look;

    begin(step, place, request, &(script_of){script, pauses, false});
    if (pauses) {
        fb_step_put(step, request->flag ? FB_STR("1") : FB_STR("0"));
    }
}

typedef void (*encode_fn)(fb_step *step, const fb_queue_place *place,
                          const fb_store_request *request, const fb_queue_items *items);

int fb_queue_step_encode(fb_step *step, const fb_queue_place *place,
                         const fb_store_request *request, const fb_queue_items *items) {
    static const encode_fn WITH_ITEMS[FB_STORE_MARK_LIST + 1] = {
        [FB_STORE_ENQUEUE] = encode_enqueue, [FB_STORE_RESERVE] = encode_take,
        [FB_STORE_ACK] = encode_take,        [FB_STORE_FAIL] = encode_fail,
        [FB_STORE_RELEASE] = encode_release, [FB_STORE_EXTEND] = encode_extend,
        [FB_STORE_GET] = encode_numbers,     [FB_STORE_CANCEL] = encode_numbers,
        [FB_STORE_KICK] = encode_state,      [FB_STORE_PURGE] = encode_state,
        [FB_STORE_IMPORT] = encode_import};

    fb_step_keep(step, fb_buf_reserve(&step->command, 1024));
    if (WITH_ITEMS[request->verb] != NULL) {
        WITH_ITEMS[request->verb](step, place, request, items);
    } else if (request->verb == FB_STORE_LIST) {
        encode_list(step, place, request);
    } else if (request->verb >= FB_STORE_MARK_SET) {
        encode_mark(step, place, request);
    } else {
        encode_plain(step, place, request);
    }
    step->repeatable = request->verb == FB_STORE_GET || request->verb == FB_STORE_LIST ||
                       request->verb == FB_STORE_LOOK || request->verb == FB_STORE_MARK_GET ||
                       request->verb == FB_STORE_MARK_LIST;
    return fb_step_end(step);
}

// ---- answers

static bool is_text(const fb_resp_value *value) {
    return value->type == FB_RESP_STRING || value->type == FB_RESP_SIMPLE;
}

bool fb_queue_step_read(const fb_resp_value *value, fb_queue_said *said) {
    static const struct {
        const char *word;
        fb_store_result result;
    } WORDS[] = {{"DONE", FB_STORE_DONE}, {"MISS", FB_STORE_MISS}, {"FULL", FB_STORE_FULL}};

    if (value->type != FB_RESP_ARRAY || value->child_count < 4) {
        return false;
    }
    const fb_resp_value *words = value->children;
    if (!is_text(&words[0]) || words[1].type != FB_RESP_INTEGER || words[1].integer < 0 ||
        !is_text(&words[2]) || words[3].type != FB_RESP_INTEGER || words[3].integer < -1) {
        return false;
    }
    said->now_ms = words[1].integer;
    said->items = words[2].text;
    said->number = words[3].integer;
    said->rest = words + 4;
    said->rest_count = value->child_count - 4;
    for (size_t i = 0; i < 3; i++) {
        if (fb_str_equal(words[0].text, fb_str_of(WORDS[i].word))) {
            said->result = WORDS[i].result;
            return true;
        }
    }
    return false;
}

bool fb_queue_step_read_item(fb_str items, size_t index, fb_queue_item *item) {
    static const int RESULTS[] = {FB_OK, FB_MISS, FB_REFUSED, FB_LOST};

    if (items.len < FB_QUEUE_ITEM_BYTES * (index + 1)) {
        return false;
    }
    const char *at = items.ptr + FB_QUEUE_ITEM_BYTES * index;
    uint64_t code = get(at, 1), end = get(at + 1, 1);
    if (code > 3 || end > FB_JOB_END_EXPIRED) {
        return false;
    }
    item->result = RESULTS[code];
    item->end = (int)end;
    item->number = (int64_t)get(at + 2, 8);
    return true;
}

// A time or a token; what is too large cannot be ours.
static const char *read_time(const char *at, int64_t *ms) {
    *ms = (int64_t)(get(at, 8) & INT64_MAX);
    return at + 8;
}

static bool read_texts(fb_str head, const size_t *lens, fb_job *job) {
    fb_str *const texts[] = {&job->kind, &job->unique, &job->error, &job->progress};
    size_t at = HEAD_BYTES;

    for (size_t i = 0; i < 4; i++) {
        if (head.len - at < lens[i]) {
            return false;
        }
        *texts[i] = fb_str_make(head.ptr + at, lens[i]);
        at += lens[i];
    }
    if (job->payload.ptr == NULL) {
        job->payload = fb_str_make(head.ptr + at, head.len - at);
    }
    return true;
}

bool fb_queue_step_read_job(const fb_resp_value *three, fb_job *job) {
    int64_t token;
    size_t lens[4];

    if (!is_text(&three[0]) || three[0].text.len != 8 || !is_text(&three[1]) ||
        three[1].text.len < HEAD_BYTES || !is_text(&three[2])) {
        return false;
    }
    const char *at = three[1].text.ptr;
    uint64_t state = get(at, 1), end = get(at + 1, 1);
    if (state >= FB_JOB_STATE_COUNT || end > FB_JOB_END_EXPIRED) {
        return false;
    }
    *job = (fb_job){.number = get(three[0].text.ptr, 8),
                    .state = (fb_job_state)state,
                    .end = (fb_job_end)end,
                    .attempt = (uint32_t)get(at + 2, 4)};
    at = read_time(at + 6, &token);
    job->token = (uint64_t)token;
    at = read_time(at, &job->claimed_ms);
    at = read_time(at, &job->until_ms);
    at = read_time(at, &job->due_ms);
    at = read_time(at, &job->died_ms);
    at = read_time(at, &job->expires_ms);
    at = read_time(at, &job->lease_ms);
    lens[2] = (size_t)get(at, 2);
    lens[3] = (size_t)get(at + 2, 2);
    at = read_time(at + 4, &job->enqueued_ms);
    job->priority = (uint8_t)get(at, 1);
    lens[0] = (size_t)get(at + 1, 1);
    lens[1] = (size_t)get(at + 2, 2);
    job->attempts = (uint32_t)get(at + 4, 4);
    if (at[8] != 0) {  // it lies apart
        job->payload =
            fb_str_make(three[2].text.ptr != NULL ? three[2].text.ptr : "", three[2].text.len);
    }
    return job->number > 0 && job->number <= NUMBER_MAX && job->token <= NUMBER_MAX &&
           job->priority < FB_JOB_PRIORITIES && (job->end != FB_JOB_END_NONE) == (state == FB_JOB_DEAD) &&
           read_texts(three[1].text, lens, job);
}

bool fb_queue_step_read_mark(const fb_resp_value *three, fb_store_mark *mark) {
    if (!is_text(&three[0]) || !is_text(&three[1]) || three[1].text.len != 8) {
        return false;
    }
    mark->name = three[0].text;
    mark->value = (int64_t)get(three[1].text.ptr, 8);
    return true;
}

bool fb_queue_step_read_look(const fb_resp_value *figures, fb_queue_look *look) {
    int64_t oldest_ms;

    if (!is_text(figures) ||
        figures->text.len != 8 * (FB_JOB_STATE_COUNT + FB_JOB_PRIORITIES) + 9) {
        return false;
    }
    const char *at = figures->text.ptr;
    for (size_t i = 0; i < FB_JOB_STATE_COUNT; i++, at += 8) {
        look->counts[i] += get(at, 8);
    }
    for (size_t i = 0; i < FB_JOB_PRIORITIES; i++, at += 8) {
        look->ready[i] += get(at, 8);
    }
    at = read_time(at, &oldest_ms);
    look->oldest_ms = oldest_ms > look->oldest_ms ? oldest_ms : look->oldest_ms;
    look->paused = look->paused || *at != 0;
    return true;
}
