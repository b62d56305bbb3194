// What a script needs of a plan goes as one word of fixed bytes for each part, little-endian, so
// that the script takes it apart in one call: form, flags, two numbers of 32 bits, five of 64
// (their meaning is the form's), and behind them the override that is known.
//
// Deciding and leases are scripts. Forgetting and overrides are commands of the server's own: what
// they do, they do in one step anyway.
//
// Repeatable is what may be done twice: looking, forgetting, an override, and acquiring or renewing
// a lease, which its token names.

#include "redis/limits_step.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "redis/route.h"

enum { PART_BYTES = 50, CHARGE_DENIED = 1, IMPOSSIBLE = 2 };
#define FOR_US_MAX (INT64_C(366) * 86400 * 1000000)

// ---- keys

typedef struct subject {
    const char *name_space;
    fb_str key;
} subject;

static void put_key(fb_step *step, const subject *of, fb_str rule, const fb_str *rest,
                    size_t rest_count) {
    fb_str pieces[] = {fb_str_of(of->name_space), FB_STR(":{l:"), of->key, FB_STR("}:"), rule,
                       FB_STR(":"), FB_STR(""), FB_STR(""), FB_STR("")};
    size_t len = 0;

    memcpy(pieces + 6, rest, rest_count * sizeof *rest);
    for (size_t i = 0; i < 6 + rest_count; i++) {
        len += pieces[i].len;
    }
    fb_step_put_joined(step, pieces, 6 + rest_count);
    if (step->result == FB_OK) {
        const char *end = step->command.ptr + step->command.len - 2;
        step->slot = fb_slot_of(fb_str_make(end - len, len));
    }
}

static void put_state_key(fb_step *step, const subject *of, const fb_limit_part *part) {
    const fb_str rest[] = {part->tier, FB_STR(":"), fb_str_of(part->plan->tag)};
    put_key(step, of, part->rule, rest, 3);
}

static void put_override_key(fb_step *step, const subject *of, fb_str rule) {
    put_key(step, of, rule, &FB_STR("!"), 1);
}

static void put_leases_key(fb_step *step, const subject *of, fb_str rule) {
    put_key(step, of, rule, &FB_STR("s"), 1);
}

// ---- arguments

static int64_t ms_of(int64_t us) {
    return us <= 0 ? 1 : us / 1000 + (us % 1000 != 0);
}

static unsigned char *put_bytes(unsigned char *at, uint64_t number, size_t size) {
    for (size_t i = 0; i < size; i++) {
        at[i] = (unsigned char)(number >> 8 * i);
    }
    return at + size;
}

// The numbers of a form, in the order in which its rules (lua/limit_*.inc.lua) name them.
static void list_numbers(const fb_limit_plan *plan, const fb_limit_step *step, uint64_t *numbers) {
    uint32_t cost_part = 0;

    switch (plan->form) {
    case FB_LIMIT_FORM_RING:
        numbers[0] = (uint64_t)plan->tick_us;
        numbers[1] = (uint64_t)plan->window_ticks;
        return;
    case FB_LIMIT_FORM_PARTS:
        numbers[0] = (uint64_t)plan->part_us;
        numbers[1] = plan->parts;
        return;
    case FB_LIMIT_FORM_TOKEN:
        numbers[0] = plan->full_us;
        numbers[1] = plan->full_part;
        fb_limit_plan_token_cost(plan, step->cost, &numbers[2], &cost_part);
        numbers[3] = cost_part;
        return;
    default:
        FB_ASSERT(plan->form == FB_LIMIT_FORM_FIXED);
        numbers[0] = (uint64_t)step->start_us;
        numbers[1] = (uint64_t)step->end_us;
    }
}

static void put_part(fb_step *step, const fb_limit_part *part) {
    const fb_limit_plan *plan = part->plan;
    unsigned char bytes[PART_BYTES];
    uint64_t numbers[4] = {0};
    unsigned char *at = bytes;

    list_numbers(plan, &part->step, numbers);
    bool is_token = plan->form == FB_LIMIT_FORM_TOKEN;
    bool impossible = part->step.cost > plan->limit;
    *at++ = (unsigned char)plan->form;
    *at++ = (unsigned char)((plan->charge_denied ? CHARGE_DENIED : 0) |
                            (impossible ? IMPOSSIBLE : 0));
    at = put_bytes(at, is_token ? plan->rate : plan->limit, 4);
    at = put_bytes(at, part->step.cost, 4);
    at = put_bytes(at, (uint64_t)ms_of(plan->keep_us), 8);
    for (size_t i = 0; i < 4; i++) {
        at = put_bytes(at, numbers[i], 8);
    }
    FB_ASSERT(at == bytes + PART_BYTES);
    const fb_str pieces[] = {fb_str_make((const char *)bytes, PART_BYTES), part->override};
    fb_step_put_joined(step, pieces, 2);
}

// '': the server's.
static void put_now(fb_step *step, const fb_limit_request *request) {
    if (request->now_us > 0) {
        fb_step_put_number(step, request->now_us);
    } else {
        fb_step_put(step, FB_STR(""));
    }
}

static void put_token(fb_step *step, uint64_t token) {
    char text[20];
    int len = snprintf(text, sizeof text, "%016" PRIx64, token);
    fb_step_put(step, fb_str_make(text, (size_t)len));
}

// ---- the verbs

static void encode_decide(fb_step *step, const subject *of, const fb_limit_request *request) {
    static const char *const ACTS[] = {"take", "look", "give"};
    size_t count = request->part_count;

    FB_ASSERT(count > 0 && count <= FB_LIMIT_QUESTIONS_MAX);
    fb_limit_act act = request->parts[0].step.act;
    step->repeatable = act == FB_LIMIT_LOOK;
    fb_step_begin(step, FB_SCRIPT_limit, 2 * count, 2 + count);
    for (size_t i = 0; i < count; i++) {
        FB_ASSERT(request->parts[i].step.act == act);
        put_state_key(step, of, &request->parts[i]);
    }
    for (size_t i = 0; i < count; i++) {
        put_override_key(step, of, request->parts[i].rule);
    }
    fb_step_put(step, fb_str_of(ACTS[act]));
    put_now(step, request);
    for (size_t i = 0; i < count; i++) {
        put_part(step, &request->parts[i]);
    }
}

static void encode_forget(fb_step *step, const subject *of, const fb_limit_request *request) {
    FB_ASSERT(request->part_count > 0);
    step->repeatable = true;
    fb_step_begin_verb(step, "UNLINK", request->part_count + 2);
    for (size_t i = 0; i < request->part_count; i++) {
        put_state_key(step, of, &request->parts[i]);
    }
    put_override_key(step, of, request->parts[0].rule);
    put_leases_key(step, of, request->parts[0].rule);
}

static void encode_override(fb_step *step, const subject *of, const fb_limit_part *part) {
    step->repeatable = true;
    if (part->override.len == 0) {
        fb_step_begin_verb(step, "DEL", 1);
        put_override_key(step, of, part->rule);
        return;
    }
    fb_step_begin_verb(step, "SET", 4);
    put_override_key(step, of, part->rule);
    fb_step_put(step, part->override);
    fb_step_put(step, FB_STR("PX"));
    fb_step_put_number(step, ms_of(part->ttl_us));
}

static void encode_lease(fb_step *step, const subject *of, const fb_limit_request *request) {
    static const char *const VERBS[] = {"acquire", "renew", "release", "count"};
    const fb_limit_part *part = &request->parts[0];
    const fb_limit_plan *plan = part->plan;
    bool is_set = part->ttl_us > 0 && part->ttl_us < plan->window_us;

    FB_ASSERT(request->verb >= FB_LIMIT_ACQUIRE && request->verb <= FB_LIMIT_COUNT);
    // Who releases twice is told that there was none.
    step->repeatable = request->verb != FB_LIMIT_RELEASE;
    fb_step_begin(step, FB_SCRIPT_limit_slot, 2, 8);
    put_leases_key(step, of, part->rule);
    put_override_key(step, of, part->rule);
    fb_step_put(step, fb_str_of(VERBS[request->verb - FB_LIMIT_ACQUIRE]));
    put_now(step, request);
    fb_step_put(step, part->override);
    fb_step_put_number(step, plan->limit);
    fb_step_put_number(step, plan->window_us);
    fb_step_put_number(step, ms_of(plan->window_us));
    put_token(step, part->token);
    fb_step_put_number(step, is_set ? part->ttl_us : plan->window_us);
}

int fb_limits_encode(fb_step *step, const char *name_space, const fb_limit_request *request) {
    const subject of = {name_space, request->key};

    fb_step_keep(step, fb_buf_reserve(&step->command, 512));
    switch (request->verb) {
    case FB_LIMIT_DECIDE:
        encode_decide(step, &of, request);
        break;
    case FB_LIMIT_FORGET:
        encode_forget(step, &of, request);
        break;
    case FB_LIMIT_OVERRIDE_PUT:
        encode_override(step, &of, &request->parts[0]);
        break;
    default:
        encode_lease(step, &of, request);
    }
    return fb_step_end(step);
}

// ---- answers

static const fb_resp_value *item(const fb_resp_value *array, size_t index) {
    static const fb_resp_value NOTHING = {.type = FB_RESP_NULL};
    bool has = array->type == FB_RESP_ARRAY && index < array->child_count;
    return has ? &array->children[index] : &NOTHING;
}

static bool is_text(const fb_resp_value *value) {
    return value->type == FB_RESP_STRING || value->type == FB_RESP_SIMPLE;
}

static bool says(const fb_resp_value *value, const char *text) {
    return is_text(value) && fb_str_equal(value->text, fb_str_of(text));
}

// An integer from 0 to max.
static bool number(const fb_resp_value *value, int64_t max, int64_t *read) {
    *read = value->integer;
    return value->type == FB_RESP_INTEGER && value->integer >= 0 && value->integer <= max;
}

// The shape is wrong: what it did nobody knows.
static void strange(fb_limit_reply *reply) {
    reply->result = FB_LIMIT_UNKNOWN;
    reply->text = "the server's answer is not understood";
}

// For each part: whether it is allowed, and the state.
static bool take_states(size_t part_count, const fb_resp_value *value, fb_limit_reply *reply) {
    for (size_t i = 0; i < part_count; i++) {
        int64_t allowed;
        const fb_resp_value *state = item(value, 3 + 2 * i);
        if (!number(item(value, 2 + 2 * i), 1, &allowed) || !is_text(state) ||
            state->text.len > FB_LIMIT_STATE_MAX) {
            return false;
        }
        reply->parts[i].allowed = allowed == 1;
        reply->parts[i].state.len = (uint16_t)state->text.len;
        if (state->text.len > 0) {
            memcpy(reply->parts[i].state.bytes, state->text.ptr, state->text.len);
        }
    }
    return true;
}

// Found, used, until the first ends, until the last does.
static bool take_slots(const fb_resp_value *value, fb_limit_reply *reply) {
    int64_t found, used;
    bool is_fine = number(item(value, 2), 1, &found) && number(item(value, 3), UINT32_MAX, &used) &&
                   number(item(value, 4), FOR_US_MAX, &reply->slots.next_us) &&
                   number(item(value, 5), FOR_US_MAX, &reply->slots.last_us);
    if (is_fine) {
        reply->found = found == 1;
        reply->slots.used = (uint32_t)used;
    }
    return is_fine;
}

// Which part (from 1), its override, how many milliseconds more (-1: no end, which nobody gave it).
static bool take_override(size_t part_count, const fb_resp_value *value, fb_limit_reply *reply) {
    int64_t which, ms = item(value, 4)->integer;
    const fb_resp_value *override = item(value, 3);

    if (!number(item(value, 2), (int64_t)part_count, &which) || which == 0 || !is_text(override) ||
        item(value, 4)->type != FB_RESP_INTEGER) {
        return false;
    }
    reply->result = FB_LIMIT_OVERRIDDEN;
    reply->which = (size_t)which - 1;
    reply->override = override->text;
    reply->override_us = ms < 0 || ms > FOR_US_MAX / 1000 ? FOR_US_MAX : ms * 1000;
    return true;
}

static bool take_script(const fb_limits_question *question, const fb_resp_value *value,
                        fb_limit_reply *reply) {
    if (!number(item(value, 1), INT64_MAX, &reply->now_us)) {
        return false;
    }
    if (says(item(value, 0), "DONE")) {
        return question->verb == FB_LIMIT_DECIDE ? take_states(question->part_count, value, reply)
                                                 : take_slots(value, reply);
    }
    if (says(item(value, 0), "OVERRIDE")) {
        return take_override(question->part_count, value, reply);
    }
    reply->result = FB_LIMIT_CLOCK;
    return says(item(value, 0), "CLOCK") && question->verb == FB_LIMIT_DECIDE;
}

void fb_limits_take(const fb_limits_question *question, const fb_resp_value *value,
                    fb_limit_reply *reply) {
    bool is_fine;

    reply->result = FB_LIMIT_DONE;
    if (question->verb == FB_LIMIT_FORGET) {
        is_fine = value->type == FB_RESP_INTEGER;
    } else if (question->verb == FB_LIMIT_OVERRIDE_PUT) {
        is_fine = value->type == FB_RESP_INTEGER || says(value, "OK");
    } else {
        is_fine = take_script(question, value, reply);
    }
    if (!is_fine) {
        strange(reply);
    }
}
