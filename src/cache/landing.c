// What a load brought, and what becomes of it.
//
//   success   the shared tier is told (with a lease) → memory is filled → whoever may have it is
//   answered,
//             the others go over to the next flight
//   failure   everyone who waits gets something old, else the same error: what is stale, as the
//             class allows it, and a fallback if the failure is one of those that excuse it; the
//             failure is remembered for a while
//
// A fill needs the ticket of the load's start, and the cache refuses it where an invalidation came
// in between. So nothing here has to ask in which order things happened.

#include <string.h>

#include "base/mem.h"
#include "cache/flight_state.h"

bool fb_flight_excuses(int result) {
    return result == FB_ESOURCE || result == FB_ETIMEDOUT || result == FB_EOVERLOAD ||
           result == FB_EIO;
}

// Failures of our own, and of the moment, say nothing about the next attempt.
static bool worth_remembering(int result) {
    return result != FB_EOVERLOAD && result != FB_ENOMEM && result != FB_ECLOSED;
}

bool fb_flight_satisfies(const fb_flights *flights, const fb_flight *flight,
                         const fb_waiter *waiter) {
    if (!flight->landed) {
        return false;
    }
    if (flight->loaded.result < 0) {
        return true;
    }
    if (FB_RULE(refresh) && waiter->refresh && (waiter->late || !flight->from_source)) {
        return false;
    }
    if (FB_RULE(distrust) && waiter->distrusts && waiter->late) {
        return false;  // what was asked for before the caller came may be older than his write
    }
    return fb_cache_answers(flights->cache, flight->ticket, &flight->loaded, waiter->seq);
}

static void count_answer(fb_flights *flights, const fb_flight *flight, const fb_waiter *waiter,
                         int64_t now_ns) {
    fb_cache *cache = flights->cache;
    if (!flight->from_source) {
        fb_cache_count(cache, waiter->class_id, FB_COUNTER_hits, 1);
        fb_cache_count(cache, waiter->class_id, FB_COUNTER_negative_hits,
                       flight->loaded.result == FB_NEGATIVE);
        return;
    }
    fb_cache_count(cache, waiter->class_id, FB_COUNTER_misses, 1);
    fb_cache_count(cache, waiter->class_id, FB_COUNTER_coalesced, !waiter->leads);
    fb_cache_time(cache, waiter->class_id, FB_TIMING_MISS, now_ns - waiter->begin_ns);
}

static void answer_failure(fb_flights *flights, fb_flight *flight, fb_waiter *waiter,
                           int64_t now_ns) {
    int result = flight->loaded.result;
    unsigned finds = fb_flight_excuses(result) ? FB_FINDS_ALL : FB_FINDS_OLD;
    if (fb_waiter_takes_memory(waiter) &&
        fb_waiter_serve(flights, waiter, flight->item.bound.key, finds, now_ns)) {
        return;
    }
    fb_waiter_fail(flights, waiter, result, flight->error);
}

void fb_flight_answer(fb_flights *flights, fb_flight *flight, fb_waiter *waiter, int64_t now_ns) {
    fb_loaded *loaded = &flight->loaded;
    if (loaded->result < 0) {
        answer_failure(flights, flight, waiter, now_ns);
        return;
    }
    count_answer(flights, flight, waiter, now_ns);
    if (loaded->result == FB_NEGATIVE) {
        fb_waiter_answer(flights, waiter, FB_NEGATIVE, NULL, NULL);
        return;
    }
    fb_value value = {
        .data = fb_blob_str(loaded->value),
        .kind = loaded->kind,
        .tier = flight->from_source ? FB_TIER_SOURCE : FB_TIER_SHARED,
        .freshness = FB_FRESH,
        .age_ms = (now_ns - flight->begun_ns + flight->age_ns) / FB_NS_PER_MS,
        .ttl_ms = flight->ttl_ms,
        .version = flight->version,
        .collapsed = flight->from_source && !waiter->leads,
        .owner = fb_blob_take(loaded->value),
    };
    fb_waiter_answer(flights, waiter, FB_OK, &value, NULL);
}

static void answer_satisfied(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    FB_LIST_EACH_SAFE(node, after, &flight->waiters) {
        fb_waiter *waiter = FB_LIST_OF(node, fb_waiter, list);
        if (fb_flight_satisfies(flights, flight, waiter)) {
            fb_flight_answer(flights, flight, waiter, now_ns);
        }
    }
}

// ---- failure

static void remember(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    fb_loaded tags;
    fb_loaded_init(&tags);
    int result = fb_class_param_tags(flight->class_, &flight->item.bound, &tags);
    (void)result;  // without memory, those it has by then
    fb_failure failure = {.key = flight->item.bound.key,
                          .ticket = flight->ticket,
                          .result = flight->loaded.result,
                          .text = flight->error,
                          .tags = &tags};
    fb_trouble_note(&flights->troubles, &failure, now_ns);
    fb_loaded_release(&tags);
    flight->ticket = NULL;  // taken over
}

static void fail(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    fb_loaded *loaded = &flight->loaded;
    fb_str text = {loaded->error, strlen(loaded->error) + 1};
    flight->error = fb_blob_new(text);  // without memory: an error without detail
    fb_flight_detach(flights, flight);
    fb_cache_note_miss(flights->cache, flight->item.bound.key, FB_MISS_SOURCE_FAILED);
    answer_satisfied(flights, flight, now_ns);
    if (worth_remembering(loaded->result) && flight->ttl_ns < 0 && !flight->abandoned) {
        remember(flights, flight, now_ns);
    }
    if (flight->has_token) {
        fb_lease_hand_over(flights, flight);  // gives the lease back
    } else {
        fb_flight_free(flights, flight);
    }
}

// ---- success

// What the load cost; fb_cache_fill() smooths it over those before. That of an adopted value is not
// known, so what was stays.
static uint32_t cost_us(const fb_flight *flight, int64_t now_ns) {
    if (!flight->from_source) {
        return flight->cost_us;
    }
    int64_t took_ns =
        flight->loaded.took_ns > 0 ? flight->loaded.took_ns : now_ns - flight->issued_ns;
    int64_t took_us = took_ns / FB_NS_PER_US;
    return took_us < 1 ? 1 : took_us > UINT32_MAX ? UINT32_MAX : (uint32_t)took_us;
}

// The window of a deduplicated call takes the place of the class's times. False: keep nothing.
static bool set_window(fb_flight *flight) {
    if (flight->ttl_ns == 0) {
        return false;
    }
    if (flight->ttl_ns > 0) {
        int64_t ttl_ms = flight->ttl_ns / FB_NS_PER_MS;
        flight->loaded.ttl_ms = ttl_ms > 0 ? ttl_ms : 1;
    }
    return true;
}

static void store(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    fb_value info = {0};
    if ((FB_RULE(watchdog) && flight->abandoned) || !set_window(flight)) {
        return;
    }
    double jitter = 1 - fb_rng_unit(&flights->rng);
    int result = fb_cache_fill(flights->cache, flight->ticket, &flight->loaded,
                               cost_us(flight, now_ns), jitter, now_ns, &info);
    if (result == FB_OK) {
        flight->ttl_ms = info.ttl_ms;
        flight->version = info.version;
    } else if (result == FB_DOOMED) {
        fb_cache_count(flights->cache, flight->class_->id, FB_COUNTER_doomed, 1);
    } else if (result == FB_ETOOBIG) {
        fb_cache_note_miss(flights->cache, flight->item.bound.key, FB_MISS_TOO_BIG);
    }
    // Too big, or no memory: it is answered all the same.
}

void fb_flight_finish(fb_flights *flights, fb_flight *flight, bool may_store, int64_t now_ns) {
    if (may_store && flight->loaded.result >= 0 && fb_lease_permits(flight)) {
        store(flights, flight, now_ns);
    } else if (flight->loaded.result >= 0) {
        fb_cache_count(flights->cache, flight->class_->id, FB_COUNTER_doomed, 1);
    }
    fb_flight_detach(flights, flight);
    answer_satisfied(flights, flight, now_ns);
    while (!fb_list_empty(&flight->waiters)) {
        fb_waiter *waiter = FB_LIST_OF(flight->waiters.next, fb_waiter, list);
        fb_waiter_unjoin(waiter);
        fb_flight_rejoin(flights, waiter, flight, now_ns);
    }
    fb_flight_free(flights, flight);
}

void fb_flight_land(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    flight->landed = true;
    flight->step_ns = INT64_MAX;
    if (flight->loaded.result < 0) {
        fail(flights, flight, now_ns);
        return;
    }
    fb_trouble_forget(&flights->troubles, flight->item.bound.key);
    if (flight->loaded.uncacheable) {
        fb_cache_note_miss(flights->cache, flight->item.bound.key, FB_MISS_UNCACHEABLE);
    }
    if (flight->has_token) {
        answer_satisfied(flights, flight, now_ns);
        fb_lease_hand_over(flights, flight);
        return;
    }
    fb_flight_finish(flights, flight, true, now_ns);
}

void fb_flight_drop(fb_flights *flights, fb_flight *flight) {
    FB_ASSERT(fb_list_empty(&flight->waiters));
    fb_flight_detach(flights, flight);
    fb_flight_free(flights, flight);
}
