// Commands on values.
//
// GET and plain SET are the hot path: the look-up's callback writes the reply, and because it may
// be called again with a newer value, or in vain, the reply is cut back to where it began first.
// What reads and then writes is one fb_edit_key() with a function that decides under the key's lock
// and keeps what the reply needs; the reply is written after it. A value known not to exist reads
// as nil.

#include "node/command_table.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/expiry.h"
#include "node/one_step.h"
#include "node/session_state.h"

enum { FLOAT_TEXT_SIZE = 5120, AHEAD = 16 };

// What fb_set() takes; further away (292 years) an edit means "never".
#define TTL_MS_MAX (INT64_MAX / 1000000)

// ---- reading

typedef struct reading {
    fb_reply *reply;
    size_t start;
} reading;

static void write_value(void *arg, const fb_value *value) {
    reading *one = arg;
    one->reply->out->len = one->start;
    fb_reply_bytes(one->reply, value->data);
}

static void reply_value(fb_command_call *call, fb_str key) {
    reading one = {call->reply, call->reply->out->len};
    if (fb_get(call->node->engine, key, write_value, &one) != FB_OK && !one.reply->failed) {
        one.reply->out->len = one.start;
        fb_reply_null(call->reply);
    }
}

void fb_string_get(fb_command_call *call) {
    reply_value(call, call->args[1]);
}

// With a shared tier what is not in memory is asked for at once, not one after the other: so values
// have to be copied until their turn comes.
typedef struct copying {
    fb_buf bytes;
    bool failed;
} copying;

static void copy_value(void *arg, const fb_value *value) {
    copying *one = arg;
    one->bytes.len = 0;
    one->failed = fb_buf_append(&one->bytes, value->data) < 0;
}

static void reply_some(fb_command_call *call, const fb_str *keys, size_t count) {
    copying copies[AHEAD];
    void *args[AHEAD];
    int results[AHEAD];
    for (size_t i = 0; i < count; i++) {
        copies[i] = (copying){.failed = false};
        args[i] = &copies[i];
    }
    fb_get_many(call->node->engine, keys, count, copy_value, args, results);
    for (size_t i = 0; i < count; i++) {
        if (results[i] == FB_OK && !copies[i].failed) {
            fb_reply_bytes(call->reply, fb_buf_str(&copies[i].bytes));
        } else {
            fb_reply_null(call->reply);
        }
        call->reply->failed = call->reply->failed || copies[i].failed;
        fb_buf_release(&copies[i].bytes);
    }
}

static void mget_shared(fb_command_call *call) {
    size_t start = call->reply->out->len;
    fb_reply_array(call->reply, call->arg_count - 1);
    for (size_t i = 1; i < call->arg_count; i += AHEAD) {
        size_t left = call->arg_count - i;
        reply_some(call, &call->args[i], left < AHEAD ? left : AHEAD);
        if (call->reply->out->len - start > FB_SESSION_REPLY_LEN_MAX) {
            call->outcome = FB_ECLOSED;
            return;
        }
    }
}

void fb_string_mget(fb_command_call *call) {
    if (call->node->waits) {
        mget_shared(call);
        return;
    }
    size_t start = call->reply->out->len;
    fb_reply_array(call->reply, call->arg_count - 1);
    for (size_t i = 1; i < call->arg_count; i++) {
        size_t left = call->arg_count - i;
        if (i % AHEAD == 1 && left > 1) {
            fb_prefetch(call->node->engine, &call->args[i], left < AHEAD ? left : AHEAD);
        }
        reply_value(call, call->args[i]);
        if (call->reply->out->len - start > FB_SESSION_REPLY_LEN_MAX) {
            call->outcome = FB_ECLOSED;
            return;
        }
    }
}

static void take_len(void *arg, const fb_value *value) {
    *(size_t *)arg = value->data.len;
}

void fb_string_strlen(fb_command_call *call) {
    size_t len = 0;
    bool there = fb_get(call->node->engine, call->args[1], take_len, &len) == FB_OK;
    fb_reply_integer(call->reply, there ? (int64_t)len : 0);
}

typedef struct range {
    reading reading;
    int64_t from, to;  // inclusive; negative: from the end
} range;

static fb_str cut(fb_str bytes, int64_t from, int64_t to) {
    int64_t len = (int64_t)bytes.len;
    if (from < 0 && to < 0 && from > to) {
        return FB_STR("");
    }
    from = from < 0 ? from + len : from;
    to = to < 0 ? to + len : to;
    from = from < 0 ? 0 : from;
    to = to < 0 ? 0 : to;
    to = to >= len ? len - 1 : to;
    return from > to || len == 0 ? FB_STR("")
                                 : fb_str_make(bytes.ptr + from, (size_t)(to - from + 1));
}

static void write_range(void *arg, const fb_value *value) {
    range *one = arg;
    one->reading.reply->out->len = one->reading.start;
    fb_reply_bytes(one->reading.reply, cut(value->data, one->from, one->to));
}

void fb_string_getrange(fb_command_call *call) {
    range one = {.reading = {call->reply, call->reply->out->len}};
    if (!fb_command_int(call, 2, &one.from) || !fb_command_int(call, 3, &one.to)) {
        return;
    }
    if (fb_get(call->node->engine, call->args[1], write_range, &one) != FB_OK) {
        call->reply->out->len = one.reading.start;  // what it may have been shown is void
        fb_reply_text(call->reply, "");
    }
}

// ---- setting

typedef enum set_condition { SET_ALWAYS, SET_IF_ABSENT, SET_IF_PRESENT } set_condition;

typedef struct setting {
    fb_str value;
    set_condition condition;
    bool keep_ttl;
    bool get;  // the reply is what was there
    bool has_expiry;
    bool exact;          // expires_ms was said as Unix time, and is to come back as it was
    int64_t expires_ms;  // Unix time, where has_expiry
    int64_t now_ms;
    // found out
    bool found, stored;
    int result;  // of keeping what was there
    fb_buf before;
} setting;

static int decide_set(void *arg, fb_edit *edit) {
    setting *one = arg;
    one->found = edit->found;
    if (one->get && edit->found) {
        one->before.len = 0;
        int result = fb_buf_append(&one->before, edit->value.data);
        if (result < 0) {
            return result;
        }
    }
    one->stored = one->condition == SET_ALWAYS || (one->condition == SET_IF_PRESENT) == edit->found;
    if (!one->stored) {
        return FB_OK;
    }
    if (one->has_expiry && one->expires_ms <= one->now_ms) {
        edit->action = FB_EDIT_DELETE;  // gone the moment it is set, and loads are overtaken
        return FB_OK;
    }
    edit->action = FB_EDIT_PUT;
    edit->data = one->value;
    if (one->has_expiry) {
        edit->expires_ms = one->expires_ms;
    } else if (!one->keep_ttl && edit->found) {
        edit->expires_ms = -1;  // a new key of a class keeps the class's time instead
    }
    return FB_OK;
}

static int set_in_one_step(fb_command_call *call, fb_str key, setting *one) {
    one->now_ms = fb_expiry_now_ms(call->node);
    return fb_edit_key(call->node->engine, key, decide_set, one);
}

static void set_with_conditions(fb_command_call *call, setting *one) {
    int result = set_in_one_step(call, call->args[1], one);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else if (one->get && one->found) {
        fb_reply_bytes(call->reply, fb_buf_str(&one->before));
    } else if (one->get || !one->stored) {
        fb_reply_null(call->reply);
    } else {
        fb_reply_status(call->reply, "OK");
    }
    fb_buf_release(&one->before);
}

// The ordinary case needs no decision under the lock.
static void set_plainly(fb_command_call *call, setting *one) {
    fb_engine *engine = call->node->engine;
    fb_set_options options = {0};
    int result;
    if (one->has_expiry) {
        options.ttl_ms = one->expires_ms - fb_expiry_now_ms(call->node);
    }
    if (options.ttl_ms > TTL_MS_MAX) {
        set_with_conditions(call, one);
        return;
    }
    if (one->has_expiry && options.ttl_ms <= 0) {
        result = fb_del(engine, call->args[1]);  // gone the moment it is set
    } else {
        result = fb_set(engine, call->args[1], one->value, &options);
    }
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_status(call->reply, "OK");
    }
}

static bool read_condition(const fb_command_call *call, size_t index, setting *one) {
    bool absent = fb_command_word(call, index, "NX");
    bool present = fb_command_word(call, index, "XX");
    set_condition wanted = absent ? SET_IF_ABSENT : SET_IF_PRESENT;
    if ((!absent && !present) || (one->condition != SET_ALWAYS && one->condition != wanted)) {
        return false;
    }
    one->condition = wanted;
    return true;
}

// Which time a command was told: a number in one form, or the word that stands for none.
typedef struct told_time {
    bool word;      // KEEPTTL of SET, PERSIST of GETEX
    size_t number;  // the argument; 0: none
    fb_expiry_form form;
} told_time;

// The word, or a form and its number, from *index on. As Redis has it each may be said again, and then
// the last number counts; but not one beside another.
static bool read_time(const fb_command_call *call, size_t *index, const char *word, told_time *time) {
    fb_expiry_form form;
    if (fb_command_word(call, *index, word)) {
        time->word = true;
        return time->number == 0;
    }
    if (time->word || *index + 1 == call->arg_count || !fb_expiry_word(call, *index, &form) ||
        (time->number > 0 && form != time->form)) {
        return false;
    }
    time->form = form;
    time->number = ++*index;
    return true;
}

// The time's number is read last, as Redis does: a wrong word is a syntax error even behind a wrong
// number.
static bool read_set_options(fb_command_call *call, setting *one) {
    told_time time = {.number = 0};
    for (size_t i = 3; i < call->arg_count; i++) {
        if (fb_command_word(call, i, "GET")) {
            one->get = true;
        } else if (!read_condition(call, i, one) && !read_time(call, &i, "KEEPTTL", &time)) {
            fb_command_syntax_error(call);
            return false;
        }
    }
    one->keep_ttl = time.word;
    one->has_expiry = time.number > 0;
    if (!one->has_expiry) {
        return true;
    }
    one->exact = time.form == FB_EXPIRY_UNIX_SECONDS || time.form == FB_EXPIRY_UNIX_MS;
    return fb_expiry_read(call, time.number, time.form, true, &one->expires_ms);
}

void fb_string_set(fb_command_call *call) {
    setting one = {.value = call->args[2]};
    if (call->arg_count > 3 && !read_set_options(call, &one)) {
        return;
    }
    if (one.condition == SET_ALWAYS && !one.get && !one.keep_ttl && !one.exact) {
        set_plainly(call, &one);
    } else {
        set_with_conditions(call, &one);
    }
}

static void set_for(fb_command_call *call, fb_expiry_form form) {
    setting one = {.value = call->args[3], .has_expiry = true};
    if (fb_expiry_read(call, 2, form, true, &one.expires_ms)) {
        set_plainly(call, &one);
    }
}

void fb_string_setex(fb_command_call *call) {
    set_for(call, FB_EXPIRY_SECONDS);
}

void fb_string_psetex(fb_command_call *call) {
    set_for(call, FB_EXPIRY_MS);
}

void fb_string_setnx(fb_command_call *call) {
    setting one = {.value = call->args[2], .condition = SET_IF_ABSENT};
    int result = set_in_one_step(call, call->args[1], &one);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, one.stored);
    }
}

void fb_string_getset(fb_command_call *call) {
    setting one = {.value = call->args[2], .get = true};
    set_with_conditions(call, &one);
}

static bool odd_pairs(fb_command_call *call) {
    if (call->arg_count % 2 == 1) {
        return false;
    }
    fb_reply_error(call->reply, "ERR wrong number of arguments for '%s' command",
                   call->command->name);
    return true;
}

// Whether each pair may be stored; says so where one may not. Before the first is: what is refused
// at once should not be done in part.
static bool pairs_fit(fb_command_call *call) {
    uint64_t most = fb_value_max(call->node->engine);
    for (size_t i = 1; i < call->arg_count; i += 2) {
        if (call->args[i].len > FB_KEY_LEN_MAX ||
            (uint64_t)call->args[i].len + call->args[i + 1].len > most) {
            fb_command_failed(call, FB_ETOOBIG, NULL);
            return false;
        }
    }
    return true;
}

static void set_pairs(fb_command_call *call) {
    for (size_t i = 1; i < call->arg_count; i += 2) {
        int result = fb_set(call->node->engine, call->args[i], call->args[i + 1], NULL);
        if (result < 0) {
            fb_command_failed(call, result, NULL);
            return;
        }
    }
    fb_reply_status(call->reply, "OK");
}

// Without a shared tier one after the other: a claim would cost everybody more than it is worth.
void fb_string_mset(fb_command_call *call) {
    if (odd_pairs(call) || !pairs_fit(call)) {
        return;
    }
    if (call->node->waits && call->arg_count > 3) {
        fb_command_in_one_step(call, set_pairs, true);
    } else {
        set_pairs(call);
    }
}

// ---- MSETNX
//
// Each key is set only if it is absent; where one turns out to be there after all, those set before
// it are taken back, unless somebody has changed them meanwhile. It is one step (node/one_step.h), so no
// other connection sees that; but callers of the library do, and where the step cannot be one, everybody.
// What nobody sees is that two MSETNX that share a key both succeed. Keys are set in the order of their
// bytes, whatever the order they were named in: of several that want the same keys at the
// same time, the one that holds the last key wanted by another gets all of its own, so they cannot all be
// turned away by one another.

typedef struct pair {
    fb_str key, value;
    size_t index;
} pair;

static int compare_pairs(const void *a, const void *b) {
    const pair *one = a;
    const pair *two = b;
    int order = fb_str_compare(one->key, two->key);
    return order != 0 ? order : (one->index > two->index) - (one->index < two->index);
}

// In order, each key once: of a key named twice the last value counts. NULL: no memory.
static pair *sort_pairs(const fb_command_call *call, size_t *count) {
    size_t named = (call->arg_count - 1) / 2;
    pair *pairs = fb_mem_new(named * sizeof *pairs);
    if (pairs == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < named; i++) {
        pairs[i] = (pair){call->args[2 * i + 1], call->args[2 * i + 2], i};
    }
    qsort(pairs, named, sizeof *pairs, compare_pairs);
    *count = 0;
    for (size_t i = 0; i < named; i++) {
        bool again = i + 1 < named && fb_str_equal(pairs[i].key, pairs[i + 1].key);
        if (!again) {
            pairs[(*count)++] = pairs[i];
        }
    }
    return pairs;
}

static bool any_exists(const fb_command_call *call, const pair *pairs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (fb_exists(call->node->engine, pairs[i].key) == FB_OK) {
            return true;
        }
    }
    return false;
}

static int take_back(void *arg, fb_edit *edit) {
    const pair *one = arg;
    if (edit->found && fb_str_equal(edit->value.data, one->value)) {
        edit->action = FB_EDIT_DELETE;
    }
    return FB_OK;
}

// FB_OK: all are set. FB_REFUSED: none is.
static int set_absent(fb_command_call *call, pair *pairs, size_t count) {
    int result = FB_OK;
    size_t set = 0;
    for (; set < count; set++) {
        setting one = {.value = pairs[set].value, .condition = SET_IF_ABSENT};
        result = set_in_one_step(call, pairs[set].key, &one);
        if (result < 0 || !one.stored) {
            result = result < 0 ? result : FB_REFUSED;
            break;
        }
    }
    while (result != FB_OK && set > 0) {
        set--;
        int undone = fb_edit_key(call->node->engine, pairs[set].key, take_back, &pairs[set]);
        (void)undone;  // a deletion needs nothing that could be short
    }
    return result;
}

static void set_pairs_if_absent(fb_command_call *call) {
    size_t count = 0;
    pair *pairs = sort_pairs(call, &count);
    int result = pairs == NULL                    ? FB_ENOMEM
                 : any_exists(call, pairs, count) ? FB_REFUSED
                                                  : set_absent(call, pairs, count);
    fb_mem_free(pairs);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, result == FB_OK);
    }
}

void fb_string_msetnx(fb_command_call *call) {
    if (!odd_pairs(call) && pairs_fit(call)) {
        fb_command_in_one_step(call, set_pairs_if_absent, false);
    }
}

// ---- reading and changing

typedef struct taking {
    bool found;
    bool change_expiry, delete;
    int64_t expires_ms;  // -1: never
    fb_buf value;
} taking;

static int take(void *arg, fb_edit *edit) {
    taking *one = arg;
    one->found = edit->found;
    if (!edit->found) {
        return FB_MISS;
    }
    one->value.len = 0;
    int result = fb_buf_append(&one->value, edit->value.data);
    if (result < 0) {
        return result;
    }
    if (one->delete) {
        edit->action = FB_EDIT_DELETE;
    } else if (one->change_expiry) {
        edit->action = FB_EDIT_EXPIRE;
        edit->expires_ms = one->expires_ms;
    }
    return FB_OK;
}

static void take_and_reply(fb_command_call *call, taking *one) {
    int result = fb_edit_key(call->node->engine, call->args[1], take, one);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else if (one->found) {
        fb_reply_bytes(call->reply, fb_buf_str(&one->value));
    } else {
        fb_reply_null(call->reply);
    }
    fb_buf_release(&one->value);
}

void fb_string_getdel(fb_command_call *call) {
    taking one = {.delete = true};
    take_and_reply(call, &one);
}

void fb_string_getex(fb_command_call *call) {
    taking one = {.change_expiry = true, .expires_ms = -1};
    told_time time = {.number = 0};
    for (size_t i = 2; i < call->arg_count; i++) {
        if (!read_time(call, &i, "PERSIST", &time)) {
            fb_command_syntax_error(call);
            return;
        }
    }
    if (call->arg_count == 2) {
        reply_value(call, call->args[1]);
        return;
    }
    if (time.number > 0) {
        if (fb_exists(call->node->engine, call->args[1]) != FB_OK) {
            fb_reply_null(call->reply);  // before a word about the number, as Redis has it
            return;
        }
        if (!fb_expiry_read(call, time.number, time.form, true, &one.expires_ms)) {
            return;
        }
        one.delete = one.expires_ms <= fb_expiry_now_ms(call->node);
    }
    take_and_reply(call, &one);
}

// APPEND and SETRANGE: the new value is built from the old one, some bytes in their place.
typedef struct patch {
    fb_str bytes;
    bool at_end;
    size_t offset;
    uint64_t string_max, entry_max;
    fb_buf value;
} patch;

static int build(void *arg, fb_edit *edit) {
    patch *one = arg;
    fb_str before = edit->found ? edit->value.data : FB_STR("");
    size_t offset = one->at_end ? before.len : one->offset;
    size_t end = offset + one->bytes.len;
    size_t len = end > before.len ? end : before.len;
    if (end > one->string_max) {
        return FB_ERANGE;
    }
    if (len > one->entry_max) {
        return FB_ETOOBIG;
    }
    one->value.len = 0;
    int result = fb_buf_reserve(&one->value, len);
    if (result < 0) {
        return result;
    }
    if (before.len > 0) {
        memcpy(one->value.ptr, before.ptr, before.len);
    }
    if (offset > before.len) {
        memset(one->value.ptr + before.len, 0, offset - before.len);
    }
    if (one->bytes.len > 0) {
        memcpy(one->value.ptr + offset, one->bytes.ptr, one->bytes.len);
    }
    one->value.len = len;
    edit->action = FB_EDIT_PUT;
    edit->data = fb_buf_str(&one->value);
    return FB_OK;
}

static void too_long(fb_command_call *call) {
    fb_reply_error(call->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
}

// What could never be stored is not built first, with the key locked; and room for what is known to
// be needed is found before.
static void patch_and_reply(fb_command_call *call, patch *one) {
    size_t least = one->offset + one->bytes.len;
    one->string_max = fb_command_string_max(call);
    one->entry_max = fb_value_max(call->node->engine);
    int result = least > one->entry_max ? FB_ETOOBIG : fb_buf_reserve(&one->value, least);
    if (result == FB_OK) {
        result = fb_edit_key(call->node->engine, call->args[1], build, one);
    }
    if (result == FB_ERANGE) {
        too_long(call);
    } else if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, (int64_t)one->value.len);
    }
    fb_buf_release(&one->value);
}

void fb_string_append(fb_command_call *call) {
    patch one = {.bytes = call->args[2], .at_end = true};
    patch_and_reply(call, &one);
}

void fb_string_setrange(fb_command_call *call) {
    int64_t offset = 0;
    if (!fb_command_int(call, 2, &offset)) {
        return;
    }
    if (offset < 0) {
        fb_reply_error(call->reply, "ERR offset is out of range");
        return;
    }
    if (call->args[3].len == 0) {  // changes nothing, and makes no key
        fb_string_strlen(call);
        return;
    }
    if ((uint64_t)offset + call->args[3].len > fb_command_string_max(call)) {
        too_long(call);
        return;
    }
    patch one = {.bytes = call->args[3], .offset = (size_t)offset};
    patch_and_reply(call, &one);
}

// ---- numbers

static void add(fb_command_call *call, int64_t delta) {
    int64_t sum = 0;
    int result = fb_incr(call->node->engine, call->args[1], delta, &sum);
    if (result == FB_ETYPE) {
        fb_reply_error(call->reply, "ERR value is not an integer or out of range");
    } else if (result == FB_ERANGE) {
        fb_reply_error(call->reply, "ERR increment or decrement would overflow");
    } else if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, sum);
    }
}

void fb_string_incr(fb_command_call *call) {
    add(call, 1);
}

void fb_string_decr(fb_command_call *call) {
    add(call, -1);
}

void fb_string_incrby(fb_command_call *call) {
    int64_t delta = 0;
    if (fb_command_int(call, 2, &delta)) {
        add(call, delta);
    }
}

void fb_string_decrby(fb_command_call *call) {
    int64_t delta = 0;
    if (!fb_command_int(call, 2, &delta)) {
        return;
    }
    if (delta == INT64_MIN) {
        fb_reply_error(call->reply, "ERR decrement would overflow");
        return;
    }
    add(call, -delta);
}

// Redis counts in long double, which gives sums such as 0.1 + 0.2 the digits people expect.
typedef struct float_sum {
    long double delta;
    bool overflow;
    size_t len;
    char text[FLOAT_TEXT_SIZE];
} float_sum;

// As long as the longest sum, so that each can be added to again; `text` is room. What a long double is
// too small for is no number, at either end, but infinity may be named.
static bool read_float(fb_str bytes, char text[FLOAT_TEXT_SIZE], long double *number) {
    if (bytes.len == 0 || bytes.len >= FLOAT_TEXT_SIZE || bytes.ptr[0] == ' ' ||
        (bytes.ptr[0] >= '\t' && bytes.ptr[0] <= '\r')) {
        return false;
    }
    memcpy(text, bytes.ptr, bytes.len);
    text[bytes.len] = '\0';
    char *end = NULL;
    errno = 0;
    *number = strtold_l(text, &end, fb_locale_get());
    bool out_of_range = errno == ERANGE && (isinf(*number) || fpclassify(*number) == FP_ZERO);
    return end == text + bytes.len && !out_of_range && !isnan(*number);
}

// 17 digits after the point without the zeros at their end, whatever sign the locale puts there.
static size_t show_float(long double number, char text[FLOAT_TEXT_SIZE]) {
    int len = snprintf(text, FLOAT_TEXT_SIZE, "%.17Lf", number);
    size_t kept = 0;
    bool point = false;
    for (int i = 0; i < len; i++) {
        bool plain = (text[i] >= '0' && text[i] <= '9') || text[i] == '-';
        if (plain) {
            text[kept++] = text[i];
        } else if (!point) {
            text[kept++] = '.';
            point = true;
        }
    }
    while (point && text[kept - 1] == '0') {
        kept--;
    }
    kept -= point && text[kept - 1] == '.' ? 1 : 0;
    if (kept == 2 && text[0] == '-' && text[1] == '0') {
        text[0] = '0';
        kept = 1;
    }
    return kept;
}

static int add_float(void *arg, fb_edit *edit) {
    float_sum *one = arg;
    long double number = 0;
    if (edit->found && !read_float(edit->value.data, one->text, &number)) {
        return FB_ETYPE;
    }
    number += one->delta;
    if (isnan(number) || isinf(number)) {
        return FB_ERANGE;
    }
    one->len = show_float(number, one->text);
    edit->action = FB_EDIT_PUT;
    edit->data = fb_str_make(one->text, one->len);
    return FB_OK;
}

void fb_string_incrbyfloat(fb_command_call *call) {
    float_sum one;
    int result = FB_ETYPE;
    if (read_float(call->args[2], one.text, &one.delta)) {
        result = fb_edit_key(call->node->engine, call->args[1], add_float, &one);
    }
    if (result == FB_ETYPE) {
        fb_reply_error(call->reply, "ERR value is not a valid float");
    } else if (result == FB_ERANGE) {
        fb_reply_error(call->reply, "ERR increment would produce NaN or Infinity");
    } else if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_bytes(call->reply, fb_str_make(one.text, one.len));
    }
}
