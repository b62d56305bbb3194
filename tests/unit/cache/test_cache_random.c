// Random programs of all calls against a simple model: for each key what is stored, and one list of
// every invalidation by tag, class, namespace, index and of everything, which the model reads
// through for each question. Time is virtual. What the model and the cache say must be equal after
// each step.

#include "base/glob.h"
#include "cache_rig.h"

enum { KEYS = 9, TAGS = 5, TICKETS = 6, STEPS = 400, PROGRAMS = 300 };

static const struct {
    const char *name;
    uint16_t class_id;
    int user;  // of an indexed key; 0: none
} keys[KEYS] = {
    {"page:1", RIG_PAGE, 0},    {"page:2", RIG_PAGE, 0},
    {"item:1", RIG_ITEM, 0},    {"item:2", RIG_ITEM, 0},
    {"list:1:p1", RIG_LIST, 1}, {"list:1:p2", RIG_LIST, 1},
    {"list:2:p1", RIG_LIST, 2}, {"plain", 0, 0},
    {"list:1:x", 0, 1},
};
// The last two are also what the template of "list" gives.
static const char *const tags[TAGS] = {"red", "green", "blue", "user:1", "user:2"};
static const char *const globs[] = {"*:1", "page:*", "*", "list:[12]:p1", "p*", "nothing*"};

typedef struct event {
    fb_scope scope;
    int name;  // class id, 0 or 1 for the namespaces "default" and "shop", tag, or user (PATTERN)
    bool soft;
    int64_t at_ns;
} event;

typedef struct model_entry {
    bool there;
    char value[24];  // "-": negative
    uint32_t tags;   // bits
    size_t since;    // events before this one do not count
    int64_t born_ms;
    int64_t fresh_ns, dead_ns;
    bool grace;
    bool soft;
    int class_id;
} model_entry;

typedef struct model_ticket {
    fb_ticket *ticket;
    int key;
    uint16_t class_id;
    size_t since;
    int64_t begin_ns;
    bool doomed;
} model_ticket;

typedef struct model {
    fb_cache *cache;
    fb_rng *rng;
    int64_t now_ns;
    uint64_t values;
    size_t event_count;
    event events[STEPS];
    model_entry entries[KEYS];
    model_ticket tickets[TICKETS];
} model;

// ---- the model

static bool hits(const event *one, const model_entry *entry, int key) {
    int shop = entry->class_id == RIG_ITEM || entry->class_id == RIG_LIST;
    switch (one->scope) {
        case FB_SCOPE_ALL:
            return true;
        case FB_SCOPE_CLASS:
            return entry->class_id == one->name;
        case FB_SCOPE_NAMESPACE:
            return entry->class_id != 0 && shop == one->name;
        case FB_SCOPE_TAG:
            return (entry->tags & 1u << one->name) != 0;
        case FB_SCOPE_PATTERN:
            return keys[key].user == one->name;
        default:
            return false;
    }
}

// Hard: gone. Soft: *until is when what was invalidated first was, or when the entry was born where
// it was more than once.
static bool survives(const model *m, const model_entry *entry, int key, size_t since,
                     int64_t *until) {
    *until = INT64_MAX;
    for (size_t i = since; i < m->event_count; i++) {
        const event *one = &m->events[i];
        if (!hits(one, entry, key)) {
            continue;
        }
        if (!one->soft) {
            return false;
        }
        int64_t at_ns = one->at_ns;
        for (size_t j = i + 1; j < m->event_count; j++) {
            const event *later = &m->events[j];
            if (later->soft && later->scope == one->scope && later->name == one->name) {
                at_ns = entry->born_ms * FB_NS_PER_MS;
            }
        }
        *until = at_ns < *until ? at_ns : *until;
    }
    return true;
}

static int64_t stale_of(int class_id) {
    return class_id == RIG_PAGE || class_id == RIG_LIST ? S(5) : 0;
}

static fb_find judge(const model *m, const model_entry *entry, int key) {
    int64_t soft_ns;
    if (!entry->there || entry->dead_ns <= m->now_ns ||
        !survives(m, entry, key, entry->since, &soft_ns)) {
        return FB_FIND_NOTHING;
    }
    int64_t fresh_ns = soft_ns < entry->fresh_ns ? soft_ns : entry->fresh_ns;
    if (fresh_ns > m->now_ns) {
        return entry->soft && soft_ns == INT64_MAX && entry->fresh_ns > m->now_ns ? FB_FIND_STALE
                                                                                  : FB_FIND_FRESH;
    }
    if (!entry->grace) {
        return FB_FIND_NOTHING;
    }
    int64_t stale_ns = fresh_ns + stale_of(entry->class_id);
    if (m->now_ns < stale_ns) {
        return FB_FIND_STALE;
    }
    int64_t fallback_ns = entry->class_id == RIG_PAGE ? S(20) : 0;
    return m->now_ns < stale_ns + fallback_ns ? FB_FIND_FALLBACK : FB_FIND_NOTHING;
}

static void live(const model *m, model_entry *entry, int64_t ttl_ns, bool grace) {
    entry->fresh_ns = ttl_ns < 0 ? INT64_MAX : m->now_ns + ttl_ns;
    entry->grace = grace && stale_of(entry->class_id) > 0;
    entry->dead_ns = entry->fresh_ns;
    if (entry->grace) {
        entry->dead_ns += stale_of(entry->class_id) + (entry->class_id == RIG_PAGE ? S(20) : 0);
    }
}

static void doom(model *m, int key) {
    for (int i = 0; i < TICKETS; i++) {
        m->tickets[i].doomed = m->tickets[i].doomed || m->tickets[i].key == key;
    }
}

// What a caller's own value has from its key.
static model_entry own_entry(model *m, int key) {
    model_entry entry = {.there = true,
                         .class_id = keys[key].class_id,
                         .since = m->event_count,
                         .born_ms = m->now_ns / FB_NS_PER_MS};
    if (entry.class_id == RIG_LIST) {
        entry.tags = 1u << (2 + keys[key].user);
    }
    (void)snprintf(entry.value, sizeof entry.value, "v%llu", (unsigned long long)++m->values);
    return entry;
}

// ---- the steps, on both

static void step_put(model *m, int key) {
    model_entry entry = own_entry(m, key);
    const int64_t ttls[] = {0, -1, S(4), S(12)};
    int64_t ttl_ns = ttls[fb_rng_below(m->rng, 4)];
    fb_str given[TAGS];
    size_t count = 0;
    for (int i = 0; i < TAGS; i++) {
        if (fb_rng_below(m->rng, 6) == 0) {
            given[count++] = fb_str_of(tags[i]);
            entry.tags |= 1u << i;
        }
    }
    assert_ok(fb_cache_put(m->cache, fb_str_of(keys[key].name), fb_str_of(entry.value), ttl_ns,
                           given, count, m->now_ns));
    bool by_class = ttl_ns == 0;
    live(m, &entry, by_class ? (entry.class_id != 0 ? S(10) : -1) : ttl_ns, by_class);
    m->entries[key] = entry;
    doom(m, key);
}

static void step_del(model *m, int key) {
    model_entry *entry = &m->entries[key];
    fb_find find = judge(m, entry, key);
    bool there = (find == FB_FIND_FRESH || find == FB_FIND_STALE) && entry->value[0] != '-';
    assert_result(fb_cache_del(m->cache, fb_str_of(keys[key].name), m->now_ns),
                  there ? FB_OK : FB_MISS);
    entry->there = false;
    doom(m, key);
}

typedef struct change {
    fb_edit_action action;
    const char *data;
    int64_t left_ms;  // 0: leave it
    int result;
    bool found;
} change;

static int make_change(void *arg, fb_edit *edit) {
    change *one = arg;
    one->found = edit->found;
    edit->action = one->action;
    edit->data = fb_str_of(one->data);
    if (one->left_ms != 0) {
        edit->expires_ms = one->left_ms < 0 ? -1 : 1000000 + one->left_ms;
    }
    return one->result;
}

static void step_edit(model *m, int key) {
    model_entry *entry = &m->entries[key];
    model_entry fresh = own_entry(m, key);
    const int64_t lefts[] = {0, 0, -1, 3000};
    change one = {.action = (fb_edit_action)fb_rng_below(m->rng, 4),
                  .data = fresh.value,
                  .left_ms = lefts[fb_rng_below(m->rng, 4)],
                  .result = fb_rng_below(m->rng, 8) == 0 ? FB_ETYPE : FB_OK};
    bool found = judge(m, entry, key) == FB_FIND_FRESH && entry->value[0] != '-';
    assert_result(
        fb_cache_edit(m->cache, fb_str_of(keys[key].name), m->now_ns, 1000000, make_change, &one),
        one.result);
    assert_int_equal(one.found, found);
    if (one.result < 0 || one.action == FB_EDIT_KEEP || (one.action == FB_EDIT_EXPIRE && !found)) {
        return;
    }
    doom(m, key);
    if (one.action == FB_EDIT_DELETE) {
        entry->there = false;
        return;
    }
    if (one.action == FB_EDIT_PUT) {
        live(m, &fresh, fresh.class_id != 0 ? S(10) : -1, true);
        if (found) {
            fresh.tags |= entry->tags;
            fresh.since = entry->since;
            fresh.fresh_ns = entry->fresh_ns;
            fresh.dead_ns = entry->dead_ns;
            fresh.grace = entry->grace;
        }
        *entry = fresh;
    }
    if (one.left_ms != 0) {
        entry->fresh_ns = one.left_ms < 0 ? INT64_MAX : m->now_ns + one.left_ms * FB_NS_PER_MS;
        entry->dead_ns = entry->fresh_ns;
        entry->grace = false;  // a caller's time is literal
    }
}

static void step_begin(model *m, int key) {
    model_ticket *ticket = &m->tickets[fb_rng_below(m->rng, TICKETS)];
    if (ticket->ticket != NULL) {
        return;
    }
    *ticket = (model_ticket){
        .key = key, .class_id = keys[key].class_id, .since = m->event_count, .begin_ns = m->now_ns};
    ticket->ticket = rig_begin(m->cache, ticket->class_id, keys[key].name, m->now_ns);
}

// What comes of a fill, in the model.
static int fill(model *m, const model_ticket *ticket, model_entry *entry) {
    bool negative = entry->value[0] == '-';
    int64_t ttl_ns =
        negative ? (entry->class_id == RIG_PAGE ? S(3) : 0) : (entry->class_id != 0 ? S(10) : -1);
    if (ticket->doomed) {
        return FB_DOOMED;
    }
    if (ttl_ns == 0) {
        m->entries[ticket->key].there = false;
        return FB_OK;
    }
    live(m, entry, ttl_ns, !negative);
    if (judge(m, entry, ticket->key) == FB_FIND_NOTHING) {
        return FB_DOOMED;
    }
    m->entries[ticket->key] = *entry;
    return FB_OK;
}

static void step_fill(model *m) {
    model_ticket *ticket = &m->tickets[fb_rng_below(m->rng, TICKETS)];
    if (ticket->ticket == NULL) {
        return;
    }
    model_entry entry = {.there = true,
                         .class_id = ticket->class_id,
                         .since = ticket->since,
                         .born_ms = ticket->begin_ns / FB_NS_PER_MS};
    int tag = (int)fb_rng_below(m->rng, TAGS);
    entry.tags = 1u << tag;
    if (fb_rng_below(m->rng, 5) == 0) {
        entry.value[0] = '-';
    } else {
        (void)snprintf(entry.value, sizeof entry.value, "v%llu", (unsigned long long)++m->values);
    }
    int expected = fill(m, ticket, &entry);
    int64_t unused;
    if (!ticket->doomed && survives(m, &entry, ticket->key, ticket->since, &unused) &&
        unused == INT64_MAX) {
        assert_false(fb_ticket_doomed(ticket->ticket));
    }
    if (ticket->doomed) {
        assert_true(fb_ticket_doomed(ticket->ticket));
    }
    assert_result(rig_fill(m->cache, ticket->ticket, entry.value[0] == '-' ? NULL : entry.value,
                           tags[tag], m->now_ns),
                  expected);
    ticket->ticket = NULL;
}

static void drop(model *m, int key, bool soft, int64_t *removed) {
    model_entry *entry = &m->entries[key];
    bool there = judge(m, entry, key) != FB_FIND_NOTHING;
    doom(m, key);
    if (soft && there && entry->grace) {
        entry->fresh_ns = entry->fresh_ns < m->now_ns ? entry->fresh_ns : m->now_ns;
        entry->soft = true;
        if (judge(m, entry, key) != FB_FIND_NOTHING) {
            return;
        }
    }
    entry->there = false;
    *removed += there;
}

static void step_drop(model *m, fb_scope scope, const char *name, bool soft) {
    int64_t removed = 0;
    for (int key = 0; key < KEYS; key++) {
        if (fb_glob_match(fb_str_of(name), fb_str_of(keys[key].name))) {
            drop(m, key, soft, &removed);
        }
    }
    assert_int_equal(rig_invalidate(m->cache, scope, name, soft, m->now_ns), removed);
}

static void step_all(model *m, bool soft) {
    rig_invalidate(m->cache, FB_SCOPE_ALL, "", soft, m->now_ns);
    for (int key = 0; key < KEYS; key++) {
        doom(m, key);
    }
    m->events[m->event_count++] = (event){FB_SCOPE_ALL, 0, soft, m->now_ns};
}

static void step_stamp(model *m, bool soft) {
    static const char *const names[][3] = {
        {"page", "item", "list"}, {"default", "shop", NULL}, {"list:1:*", "list:2:*", NULL}};
    uint64_t what = fb_rng_below(m->rng, 4);
    event one = {.soft = soft, .at_ns = m->now_ns};
    const char *name;
    if (what == 0) {
        one.scope = FB_SCOPE_CLASS;
        one.name = (int)fb_rng_below(m->rng, 3) + 1;
        name = names[0][one.name - 1];
    } else if (what == 1) {
        one.scope = FB_SCOPE_NAMESPACE;
        one.name = (int)fb_rng_below(m->rng, 2);
        name = names[1][one.name];
    } else if (what == 2) {
        one.scope = FB_SCOPE_TAG;
        one.name = (int)fb_rng_below(m->rng, TAGS);
        name = tags[one.name];
    } else {
        one.scope = FB_SCOPE_PATTERN;
        one.name = (int)fb_rng_below(m->rng, 2) + 1;
        name = names[2][one.name - 1];
    }
    assert_int_equal(rig_invalidate(m->cache, one.scope, name, soft, m->now_ns), -1);
    m->events[m->event_count++] = one;
}

static void step(model *m) {
    int key = (int)fb_rng_below(m->rng, KEYS);
    bool soft = fb_rng_below(m->rng, 2) == 0;
    switch (fb_rng_below(m->rng, 14)) {
        case 0:
        case 1:
            step_put(m, key);
            break;
        case 2:
            step_del(m, key);
            break;
        case 3:
            step_edit(m, key);
            break;
        case 4:
        case 5:
        case 6:
            step_begin(m, key);
            break;
        case 7:
        case 8:
        case 9:
            step_fill(m);
            break;
        case 10:
            step_drop(m, FB_SCOPE_KEY, keys[key].name, soft);
            break;
        case 11:
            step_drop(m, FB_SCOPE_PATTERN, globs[fb_rng_below(m->rng, 6)], soft);
            break;
        case 12:
            if (fb_rng_below(m->rng, 8) == 0) {
                step_all(m, soft);
            } else {
                step_stamp(m, soft);
            }
            break;
        default:
            m->now_ns += (int64_t)fb_rng_below(m->rng, (uint64_t)S(4));
            break;
    }
}

static void compare(const model *m, uint64_t program, int at) {
    static const char *const names[] = {"nothing", "fresh", "early", "stale", "fallback"};
    for (int key = 0; key < KEYS; key++) {
        const model_entry *entry = &m->entries[key];
        fb_find find = judge(m, entry, key);
        char expected[64];
        (void)snprintf(expected, sizeof expected, "%s%s%s", names[find],
                       find == FB_FIND_NOTHING ? "" : ":",
                       find == FB_FIND_NOTHING ? "" : entry->value);
        const char *actual = rig_read(m->cache, keys[key].name, m->now_ns);
        if (strcmp(actual, expected) != 0) {
            fail_msg("program %llu, step %d: %s is %s, not %s", (unsigned long long)program, at,
                     keys[key].name, actual, expected);
        }
    }
}

static void test_cache__random_programs_agree_with_a_model(void **state) {
    for (uint64_t program = 0; program < PROGRAMS; program++) {
        fb_rng rng;
        fb_rng_init(&rng, test_seed() + program);
        model m = {.cache = rig_cache(), .rng = &rng, .now_ns = S(100)};
        for (int i = 0; i < TICKETS; i++) {
            m.tickets[i].key = -1;
        }
        for (int i = 0; i < KEYS; i++) {
            const fb_catalog *catalog = fb_cache_catalog(m.cache);
            assert_int_equal(fb_catalog_of_key(catalog, fb_str_of(keys[i].name))->id,
                             keys[i].class_id);
        }
        for (int at = 0; at < STEPS; at++) {
            step(&m);
            compare(&m, program, at);
        }
        for (int i = 0; i < TICKETS; i++) {
            if (m.tickets[i].ticket != NULL) {
                fb_cache_end(m.cache, m.tickets[i].ticket);
            }
        }
        fb_store_check(fb_cache_store(m.cache));
        fb_cache_free(m.cache);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache__random_programs_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
