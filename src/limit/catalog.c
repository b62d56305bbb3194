// A catalogue owns what it made, and borrows from the one before what it can go on with; they are
// freed together, the newest first. What it borrows may itself be borrowed: whoever made it says so
// by an owns_… of its own.
//
// A table's states are of use to another plan where the plan's tag is the same and they find room.
// How many keys it holds must be the same, too: a table does not grow beyond what it was made for.

#include "limit/catalog.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

enum { QUICK = 64, NEAR = 3 };

struct fb_limit_catalog {
    fb_limit_rule *quick[QUICK];  // by quick_place(): the first of those that have it, or NULL
    fb_limit_rule *rules;
    size_t rule_count;
    fb_map by_name;
    fb_limit_catalog *before;
};

typedef struct making {
    const fb_limit_catalog_options *options;
    fb_limit_catalog *catalog;
} making;

// ---- options

static int copy_options(const fb_limit_options *from, fb_limit_options *to) {
    if (fb_option_copy(fb_limit_options_table, sizeof *to, from, to) != FB_OK) {
        *to = (fb_limit_options){0};
        return FB_ENOMEM;
    }
    to->file = NULL;
    to->name = fb_mem_text(fb_str_of(from->name));
    return to->name != NULL ? FB_OK : FB_ENOMEM;
}

static void release_options(fb_limit_options *options) {
    fb_option_release(fb_limit_options_table, options);
    fb_mem_free(options->name);
}

// ---- one quota

// By a hash of its own: by that of the keys the salt of a rule would be the hash of the key
// "rule:", and the two together 0, of any rule.
static uint64_t salt_of(const making *one, const char *rule, fb_str tier) {
    static const uint64_t OTHER = UINT64_C(0x9ae16a3b2f90404f);
    fb_limit_hash_key key = one->options->hash_key;
    char text[160];
    key.k0 ^= OTHER;
    int len = snprintf(text, sizeof text, "%s:%.*s", rule, FB_STR_ARG(tier));
    FB_ASSERT(len > 0 && (size_t)len < sizeof text);
    return fb_limit_hash(&key, fb_str_make(text, (size_t)len));
}

static bool fits(const fb_limit_rule *rule, const fb_limit_rule *old, const fb_limit_plan *plan,
                 const fb_limit_plan *old_plan, uint16_t old_room) {
    return strcmp(plan->tag, old_plan->tag) == 0 && fb_limit_table_room(plan) <= old_room &&
           rule->options.keys_max == old->options.keys_max;
}

static int take_table(const fb_limit_rule *rule, fb_limit_quota *quota, const fb_limit_rule *old,
                      const fb_limit_quota *before) {
    if (before != NULL && before->table != NULL &&
        fits(rule, old, &quota->plan, &before->plan, before->room)) {
        quota->table = before->table;
        quota->room = before->room;
        return FB_OK;
    }
    quota->room = fb_limit_table_room(&quota->plan);
    quota->owns_table = true;
    return fb_limit_table_new(rule->options.keys_max, quota->room, &quota->table);
}

static int take_fallback(const fb_limit_rule *rule, fb_limit_quota *quota,
                         const fb_limit_rule *old, const fb_limit_quota *before) {
    if (before != NULL && before->fallback != NULL &&
        fits(rule, old, &quota->part, &before->part, before->fallback_room)) {
        quota->fallback = before->fallback;
        quota->fallback_room = before->fallback_room;
        return FB_OK;
    }
    quota->fallback_room = fb_limit_table_room(&quota->part);
    quota->owns_fallback = true;
    return fb_limit_table_new(rule->options.keys_max, quota->fallback_room, &quota->fallback);
}

static int make_quota(const making *one, const fb_limit_rule *rule, const fb_limit_rule *old,
                      const fb_limit_tier_options *tier, fb_limit_quota *quota) {
    const fb_limit_options *options = &rule->options;
    quota->tier = fb_str_of(tier != NULL ? tier->name : "");
    quota->exempt = tier != NULL && tier->exempt;
    quota->salt = salt_of(one, options->name, quota->tier);
    fb_limit_plan_make(&quota->plan, options, tier, 0);
    fb_limit_plan_divide(&quota->part, &quota->plan, options->instances);
    if (options->chunk > 0 && !quota->exempt) {
        int result = fb_limit_plan_chunk(&quota->chunked, &quota->plan, options->chunk,
                                         &quota->chunk_us);
        FB_ASSERT(result == FB_OK);  // fb_limit_options_check() tried it
    }
    if (quota->plan.form == FB_LIMIT_FORM_SLOTS || quota->exempt) {
        return FB_OK;
    }
    const fb_limit_quota *before = NULL;
    for (size_t i = 0; old != NULL && i < old->quota_count; i++) {
        before = fb_str_equal(old->quotas[i].tier, quota->tier) ? &old->quotas[i] : before;
    }
    int result = take_table(rule, quota, old, before);
    return result == FB_OK && one->options->shared ? take_fallback(rule, quota, old, before)
                                                   : result;
}

static void release_quota(fb_limit_quota *quota) {
    if (quota->owns_table) {
        fb_limit_table_free(quota->table);
    }
    if (quota->owns_fallback) {
        fb_limit_table_free(quota->fallback);
    }
}

// ---- one rule

static int make_quotas(const making *one, fb_limit_rule *rule, const fb_limit_rule *old) {
    int result = FB_OK;
    rule->quotas = fb_mem_zero(rule->options.tier_count + 1, sizeof *rule->quotas);
    if (rule->quotas == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i <= rule->options.tier_count && result == FB_OK; i++) {
        const fb_limit_tier_options *tier = i > 0 ? &rule->options.tiers[i - 1] : NULL;
        rule->quota_count++;
        result = make_quota(one, rule, old, tier, &rule->quotas[i]);
    }
    rule->salt = rule->quotas[0].salt;
    return result;
}

static int make_slots(const making *one, fb_limit_rule *rule, const fb_limit_rule *old) {
    if (rule->options.algorithm != FB_LIMIT_SLOTS) {
        return FB_OK;
    }
    if (old != NULL && old->slots != NULL && old->options.keys_max == rule->options.keys_max) {
        rule->slots = old->slots;
        rule->slots_fallback = old->slots_fallback;
        return FB_OK;
    }
    rule->owns_slots = true;
    int result = fb_limit_slots_new(rule->options.keys_max, &rule->slots);
    return result == FB_OK && one->options->shared
               ? fb_limit_slots_new(rule->options.keys_max, &rule->slots_fallback)
               : result;
}

static int make_ledger(fb_limit_rule *rule, const fb_limit_rule *old) {
    if (old != NULL) {
        rule->ledger = old->ledger;
        return FB_OK;
    }
    rule->owns_ledger = true;
    return fb_limit_ledger_new(&rule->ledger);
}

static int make_rule(const making *one, const fb_limit_options *options, fb_limit_rule *rule) {
    const fb_limit_catalog *before = one->options->before;
    const fb_limit_rule *old =
        before != NULL ? fb_limit_catalog_find(before, fb_str_of(options->name)) : NULL;
    int result = copy_options(options, &rule->options);
    if (result == FB_OK) {
        rule->name = fb_str_of(rule->options.name);
        rule->by_address = strcmp(options->per, "address") == 0;
        rule->plain = options->algorithm != FB_LIMIT_SLOTS && options->deny_count == 0 &&
                      options->exempt_count == 0;
        result = make_ledger(rule, old);
    }
    if (result == FB_OK) {
        result = make_slots(one, rule, old);
    }
    if (result == FB_OK) {
        result = make_quotas(one, rule, old);
    }
    return result == FB_OK
               ? fb_map_put(&one->catalog->by_name, fb_str_of(rule->options.name), rule)
               : result;
}

static void release_rule(fb_limit_rule *rule) {
    for (size_t i = 0; i < rule->quota_count; i++) {
        release_quota(&rule->quotas[i]);
    }
    fb_mem_free(rule->quotas);
    if (rule->owns_slots) {
        fb_limit_slots_free(rule->slots);
        fb_limit_slots_free(rule->slots_fallback);
    }
    if (rule->owns_ledger) {
        fb_limit_ledger_free(rule->ledger);
    }
    release_options(&rule->options);
}

// ---- the whole

// Of a few bytes of a name, which is enough to tell apart what people call their rules.
static size_t quick_place(fb_str name) {
    uint32_t ends = (uint32_t)(unsigned char)name.ptr[0] << 8 |
                    (uint32_t)(unsigned char)name.ptr[name.len - 1];
    return ((ends + (uint32_t)name.len) * UINT32_C(0x9e3779b1)) >> 26;
}

static void keep_quick(fb_limit_catalog *catalog) {
    for (size_t i = 0; i < catalog->rule_count; i++) {
        fb_str name = catalog->rules[i].name;
        if (name.len > 0 && catalog->quick[quick_place(name)] == NULL) {
            catalog->quick[quick_place(name)] = &catalog->rules[i];
        }
    }
}

static void free_one(fb_limit_catalog *catalog) {
    for (size_t i = 0; i < catalog->rule_count; i++) {
        release_rule(&catalog->rules[i]);
    }
    fb_mem_free(catalog->rules);
    fb_map_release(&catalog->by_name);
    fb_mem_free(catalog);
}

int fb_limit_catalog_new(const fb_limit_catalog_options *options, fb_limit_catalog **out) {
    fb_limit_catalog *catalog = fb_mem_zero(1, sizeof *catalog);
    making one = {options, catalog};
    int result = FB_OK;
    *out = NULL;
    if (catalog == NULL) {
        return FB_ENOMEM;
    }
    catalog->by_name.seed = options->hash_key.k0;
    catalog->rules = fb_mem_zero(options->rule_count + 1, sizeof *catalog->rules);
    if (catalog->rules == NULL) {
        result = FB_ENOMEM;
    }
    for (size_t i = 0; i < options->rule_count && result == FB_OK; i++) {
        if (options->rules[i].enabled) {
            result = make_rule(&one, &options->rules[i], &catalog->rules[catalog->rule_count++]);
        }
    }
    if (result < 0) {
        free_one(catalog);
        return result;
    }
    keep_quick(catalog);
    catalog->before = options->before;
    *out = catalog;
    return FB_OK;
}

void fb_limit_catalog_free(fb_limit_catalog *catalog) {
    while (catalog != NULL) {
        fb_limit_catalog *before = catalog->before;
        free_one(catalog);
        catalog = before;
    }
}

void fb_limit_catalog_disown(fb_limit_catalog *catalog) {
    catalog->before = NULL;
}

fb_limit_catalog *fb_limit_catalog_before(const fb_limit_catalog *catalog) {
    return catalog->before;
}

size_t fb_limit_catalog_count(const fb_limit_catalog *catalog) {
    return catalog->rule_count;
}

fb_limit_rule *fb_limit_catalog_at(const fb_limit_catalog *catalog, size_t index) {
    FB_ASSERT(index < catalog->rule_count);
    return &catalog->rules[index];
}

fb_limit_rule *fb_limit_catalog_find(const fb_limit_catalog *catalog, fb_str name) {
    if (name.len == 0) {
        return NULL;
    }
    fb_limit_rule *rule = catalog->quick[quick_place(name)];
    if (rule == NULL || (rule->name.len == name.len &&
                         memcmp(rule->name.ptr, name.ptr, name.len) == 0)) {
        return rule;
    }
    return fb_map_get(&catalog->by_name, name);
}

const char *fb_limit_catalog_nearest(const fb_limit_catalog *catalog, fb_str name) {
    const char *near = NULL;
    size_t best = NEAR;
    for (size_t i = 0; i < catalog->rule_count; i++) {
        fb_str known = catalog->rules[i].name;
        size_t distance = fb_str_distance(name, known, NEAR);
        if (distance < best && distance < known.len) {
            best = distance;
            near = known.ptr;
        }
    }
    return near;
}

const fb_limit_quota *fb_limit_rule_quota(const fb_limit_rule *rule, fb_str tier) {
    for (size_t i = 1; tier.len > 0 && i < rule->quota_count; i++) {
        if (fb_str_equal(rule->quotas[i].tier, tier)) {
            return &rule->quotas[i];
        }
    }
    return &rule->quotas[0];
}
