// limit/catalog.h -- the rules in force, ready to decide with: plans, tables, figures.
//
// Made of the options at once; what the next one can go on with (tables whose states still fit,
// figures) it takes along from the one before, which stays until the engine closes: running
// questions and verdicts point into it. Immutable once made, but for what its parts say of
// themselves.
//
// Threads: any, once it is made.

#ifndef FB_LIMIT_CATALOG_H
#define FB_LIMIT_CATALOG_H

#include <stdatomic.h>

#include "limit/ledger.h"
#include "limit/plan.h"
#include "limit/slots.h"
#include "limit/table.h"

#ifdef __cplusplus
extern "C" {
#endif

// What a key may have: of a rule without tier, or of one of its tiers.
typedef struct fb_limit_quota {
    fb_str tier;           // "": none
    bool exempt;
    uint64_t salt;         // of rule and tier: a key's hash ^ salt names the key's quota
    fb_limit_plan plan;
    fb_limit_plan part;    // this node's part of it, where it does not know of the others
    fb_limit_plan chunked; // of rules with `chunk`
    int64_t chunk_us;      // how long a chunk may be spent
    // Not of SLOTS:
    fb_limit_table *table;     // by `plan`
    fb_limit_table *fallback;  // by `part`; NULL where there is no shared tier
    uint16_t room, fallback_room;
    bool owns_table, owns_fallback;
} fb_limit_quota;

// The period of a calendar that was worked out last, by whoever knows of time zones.
typedef struct fb_limit_period {
    _Atomic(uint32_t) changes;  // odd: it is being changed
    _Atomic(int64_t) start_us, end_us;
} fb_limit_period;

typedef struct fb_limit_rule {
    fb_limit_options options;
    fb_str name;               // of options
    uint64_t salt;             // quotas[0].salt
    bool by_address;
    bool plain;                // not of SLOTS, and no lists of keys
    fb_limit_quota *quotas;    // [0]: without a tier
    size_t quota_count;
    fb_limit_slots *slots;     // SLOTS
    fb_limit_slots *slots_fallback;
    bool owns_slots;
    fb_limit_ledger *ledger;
    bool owns_ledger;
    void *zone;                // the engine's: of `time_zone`
    fb_limit_period period;
} fb_limit_rule;

typedef struct fb_limit_catalog fb_limit_catalog;

typedef struct fb_limit_catalog_options {
    const fb_limit_options *rules;   // checked; those that are switched off are left out
    size_t rule_count;
    bool shared;                     // there is a shared tier
    fb_limit_hash_key hash_key;      // the same of all
    fb_limit_catalog *before;        // or NULL; is owned by the new one, with FB_OK
} fb_limit_catalog_options;

// FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_limit_catalog_new(const fb_limit_catalog_options *options,
                                         fb_limit_catalog **catalog);
// And all that were before it.
void fb_limit_catalog_free(fb_limit_catalog *catalog);
// Takes `before` from it again, which it has had no use of yet.
void fb_limit_catalog_disown(fb_limit_catalog *catalog);
fb_limit_catalog *fb_limit_catalog_before(const fb_limit_catalog *catalog);

size_t fb_limit_catalog_count(const fb_limit_catalog *catalog);
fb_limit_rule *fb_limit_catalog_at(const fb_limit_catalog *catalog, size_t index);
fb_limit_rule *fb_limit_catalog_find(const fb_limit_catalog *catalog, fb_str name);
// The name that was meant, perhaps; or NULL.
const char *fb_limit_catalog_nearest(const fb_limit_catalog *catalog, fb_str name);
// Of a tier that the rule does not have: as of none.
const fb_limit_quota *fb_limit_rule_quota(const fb_limit_rule *rule, fb_str tier);

#ifdef __cplusplus
}
#endif

#endif
