// Deciding in this process's memory: by the table of the quota, or, where an override is in force,
// by one of the engine's. Without a shared tier that is all; with one it is what is left when that
// does not answer (the node's part of the limit, in tables of their own), and what is of this
// machine alone.

#include "engine/limits.h"

#include "base/check.h"
#include "limit/words.h"

void fb_limits_go_local(fb_limit_ask *ask) {
    FB_ASSERT(!ask->local && !ask->settled);
    ask->local = true;
    if (ask->plan == &ask->made) {
        fb_limit_plan whole = ask->made;
        fb_limit_plan_divide(&ask->made, &whole, ask->rule->options.instances);
    } else {
        ask->plan = &ask->quota->part;
    }
}

static void choose(fb_limits *limits, const fb_limit_ask *ask, fb_limit_item *item) {
    item->plan = ask->plan;
    item->hash = ask->hash;
    if (ask->override.kind == FB_LIMIT_OVERRIDE_LIMIT) {
        item->table = limits->own[ask->plan->form == FB_LIMIT_FORM_FIXED ? 1 : 0];
        item->hash = fb_limits_hash_of(ask);
    } else {
        item->table = ask->local ? ask->quota->fallback : ask->quota->table;
    }
    FB_ASSERT(item->table != NULL);
}

// It was decided to give, or the table had no place for it: then nothing has changed.
static void give(fb_limit_item *item) {
    if (item->place == FB_LIMIT_DECIDED && item->allowed && item->step.cost > 0) {
        item->step.act = FB_LIMIT_GIVE;
        (void)fb_limit_table_decide(item, 1);
    }
}

// Whether it was charged though, or because, it was denied itself.
static bool pays_denied(const fb_limit_item *item) {
    return item->place == FB_LIMIT_DECIDED && !item->allowed && item->plan->charge_denied &&
           item->step.cost <= item->plan->limit;
}

// Whether it is denied because there is no room for it: then the others are not charged either.
static bool turns_away(const fb_limit_ask *ask, const fb_limit_item *item) {
    return item->place == FB_LIMIT_TABLE_FULL && ask->rule->options.full == FB_LIMIT_FULL_CLOSED;
}

static void say(fb_limit_ask *ask, const fb_limit_item *item, bool charged) {
    fb_limit_source source = ask->local ? FB_LIMIT_BY_LOCAL : FB_LIMIT_BY_MEMORY;
    bool degraded = ask->local;
    if (item->place == FB_LIMIT_DECIDED) {
        fb_limit_tell(item->plan, &item->step, &item->view, item->allowed, ask->verdict);
        ask->verdict->source = source;
        ask->grant = charged ? FB_LIMIT_GRANT_HERE : FB_LIMIT_GRANT_NONE;
    } else {
        bool open = ask->rule->options.full == FB_LIMIT_FULL_OPEN;
        fb_limits_undecided(ask, open, open ? FB_LIMIT_BY_OPEN : FB_LIMIT_BY_CLOSED);
        ask->verdict->retry_us = open ? 0 : ask->plan->window_us;
        fb_limit_ledger_add(ask->rule->ledger, FB_LIMIT_COUNTER_untracked, open ? 1 : 0);
    }
    ask->verdict->degraded = degraded;
    ask->settled = true;
}

bool fb_limits_decide_here(fb_limits *limits, const fb_limit_group *group, fb_limit_act act) {
    fb_limit_item items[FB_LIMIT_QUESTIONS_MAX];
    fb_limit_ask *open[FB_LIMIT_QUESTIONS_MAX];
    size_t count = 0;
    bool allowed = true;
    for (size_t i = 0; i < group->count; i++) {
        fb_limit_ask *ask = group->asks[i];
        if (ask->settled) {
            allowed = allowed && !ask->verdict->denied;
            continue;
        }
        choose(limits, ask, &items[count]);
        fb_limits_step(ask, act, fb_limits_time_us(limits, items[count].plan),
                       &items[count].step);
        open[count++] = ask;
    }
    // Where one of them is barred already, the others are only looked at.
    for (size_t i = 0; i < count && !allowed && act == FB_LIMIT_TAKE; i++) {
        items[i].step.act = FB_LIMIT_LOOK;
    }
    bool charged = allowed && act == FB_LIMIT_TAKE;
    allowed = (count == 0 || fb_limit_table_decide(items, count)) && allowed;
    bool turned_away = false;
    for (size_t i = 0; i < count; i++) {
        turned_away = turned_away || turns_away(open[i], &items[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (turned_away && charged && allowed) {
            give(&items[i]);
        }
        say(open[i], &items[i], charged && (allowed ? !turned_away : pays_denied(&items[i])));
    }
    return allowed && !turned_away;
}

void fb_limits_give_here(fb_limits *limits, fb_limit_ask *ask) {
    fb_limit_item item;
    choose(limits, ask, &item);
    fb_limits_step(ask, FB_LIMIT_GIVE, fb_limits_time_us(limits, item.plan), &item.step);
    (void)fb_limit_table_decide(&item, 1);
    if (item.place == FB_LIMIT_DECIDED) {
        fb_limit_tell(item.plan, &item.step, &item.view, true, ask->verdict);
    } else {
        // It is in no table, so nothing of it is charged.
        fb_limits_undecided(ask, true, FB_LIMIT_BY_MEMORY);
    }
    ask->verdict->source = ask->local ? FB_LIMIT_BY_LOCAL : FB_LIMIT_BY_MEMORY;
    ask->verdict->degraded = ask->local;
    ask->settled = true;
}

// ---- the short way

static bool find_plain(fb_limits *limits, const fb_limit_question *question, fb_limit_rule **rule,
                       const fb_limit_quota **quota) {
    const fb_limit_catalog *catalog = atomic_load_explicit(&limits->catalog, memory_order_acquire);
    *rule = fb_limit_catalog_find(catalog, question->rule);
    if (*rule == NULL || !(*rule)->plain || question->key.len == 0 ||
        question->key.len > FB_LIMIT_KEY_MAX || question->cost > FB_LIMIT_COST_MAX) {
        return false;
    }
    *quota = fb_limit_rule_quota(*rule, question->tier);
    return !(*quota)->exempt;
}

static void say_plain(const fb_limit_rule *rule, const fb_limit_item *item, fb_verdict *verdict) {
    fb_limit_tell(item->plan, &item->step, &item->view, item->allowed, verdict);
    verdict->allowed = item->allowed || rule->options.shadow;
    verdict->degraded = false;
    verdict->source = FB_LIMIT_BY_MEMORY;
    verdict->rule = rule->options.name;
    verdict->message = rule->options.message;
}

// A processor does these at the same time, as none needs what another gives: reading the clock,
// hashing the key and, as long as nothing waits for it, having the key's slot come from memory.
int fb_limits_check_plain(fb_limits *limits, const fb_limit_question *question, bool peek,
                          fb_verdict *verdict) {
    fb_limit_rule *rule;
    const fb_limit_quota *quota;
    char address[64];
    fb_limit_item item;
    if (!find_plain(limits, question, &rule, &quota)) {
        return FB_MISS;
    }
    fb_str key = question->key;
    if (rule->by_address) {
        key = fb_limit_address_key(key, rule->options.ipv6_prefix, address);
    }
    int64_t now_us = fb_limits_time_us(limits, &quota->plan);
    uint64_t hash = fb_limit_hash(&limits->hash_key, key);
    fb_limit_table_expect(quota->table, hash);
    if (fb_limit_overrides_any(limits->overrides, hash ^ rule->salt)) {
        return FB_MISS;
    }
    item.table = quota->table;
    item.plan = &quota->plan;
    item.hash = hash;
    item.step.act = peek ? FB_LIMIT_LOOK : FB_LIMIT_TAKE;
    item.step.cost = question->cost;
    fb_limits_begin(rule, &quota->plan, now_us, &item.step);
    (void)fb_limit_table_decide(&item, 1);
    if (item.place != FB_LIMIT_DECIDED) {
        return FB_MISS;
    }
    say_plain(rule, &item, verdict);
    if (!peek) {
        fb_limits_count(rule, hash, key, verdict,
                        item.allowed || pays_denied(&item) ? question->cost : 0);
    }
    return verdict->allowed ? FB_OK : FB_LIMITED;
}
