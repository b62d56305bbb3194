// Callers. Each has one timer: first at the moment when something stale is good enough (if there
// was something stale when it asked), then at the end of its time. What is stale is looked up when
// it is served and not when the caller came: an invalidation in between makes it gone.
//
// A caller is answered by taking it out of its flight and putting it into the queue of actions; it
// is freed at the event after the one that fetched its answer, so that what the action points to
// stays good.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/flight_state.h"

static fb_str name_of(fb_waiter *waiter) {
    fb_str name = {(const char *)&waiter->party.id, sizeof waiter->party.id};
    return name;
}

void fb_loader_drop(fb_loader *loader) {
    if (loader->free != NULL) {
        loader->free(loader->arg);
    }
    *loader = (fb_loader){0};
}

int fb_waiter_new(fb_flights *flights, uint64_t name, fb_waiter **waiter) {
    fb_waiter *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    fb_list_init(&made->list);
    int result = fb_party_init(flights, &made->party, FB_PARTY_WAITER, name);
    if (result == FB_OK) {
        FB_ASSERT(fb_map_get(&flights->waiters, name_of(made)) == NULL);
        result = fb_map_put(&flights->waiters, name_of(made), made);
    }
    if (result != FB_OK) {
        fb_party_release(flights, &made->party);
        fb_mem_free(made);
        return result;
    }
    made->soft_ns = made->hard_ns = INT64_MAX;
    made->since = flights->last_id;
    flights->waiting++;
    *waiter = made;
    return FB_OK;
}

// From here on it only has an answer.
static void stop_waiting(fb_flights *flights, fb_waiter *waiter) {
    FB_ASSERT(!waiter->answered);
    waiter->answered = true;
    flights->waiting--;
    fb_waiter_unjoin(waiter);
    if (waiter->change != NULL) {
        waiter->change->waiter = NULL;
        waiter->change = NULL;
    }
    fb_heap_remove(&flights->timers, &waiter->party.timer);
}

void fb_waiter_free(fb_flights *flights, fb_waiter *waiter) {
    if (!waiter->answered) {
        stop_waiting(flights, waiter);
    }
    if (fb_map_get(&flights->waiters, name_of(waiter)) == waiter) {
        (void)fb_map_remove(&flights->waiters, name_of(waiter));
    }
    fb_party_release(flights, &waiter->party);
    fb_loader_drop(&waiter->loader);
    fb_blob_drop(waiter->value.owner);
    fb_blob_drop(waiter->error);
    fb_mem_free(waiter);
}

void fb_waiter_join(fb_flights *flights, fb_waiter *waiter, fb_flight *flight) {
    fb_list_insert(&flight->waiters, &waiter->list);
    flight->waiter_count++;
    waiter->flight = flight;
    // Over to a flight that others began meanwhile, it is not late, however far that has come.
    waiter->late = (flight->given_out || waiter->distrusts) && flight->party.id <= waiter->since;
    if (!flight->given_out) {
        flight->priority = FB_PRIORITY_USER;
    }
    fb_party_wake(flights, &waiter->party,
                  waiter->soft_ns < waiter->hard_ns ? waiter->soft_ns : waiter->hard_ns);
}

void fb_waiter_unjoin(fb_waiter *waiter) {
    if (waiter->flight != NULL) {
        fb_list_remove(&waiter->list);
        waiter->flight->waiter_count--;
        waiter->flight = NULL;
    }
}

void fb_waiter_answer(fb_flights *flights, fb_waiter *waiter, int result, const fb_value *value,
                      fb_blob *error) {
    stop_waiting(flights, waiter);
    waiter->result = result;
    if (value != NULL) {
        waiter->value = *value;
    }
    waiter->error = error != NULL ? fb_blob_take(error) : NULL;
    fb_party_act(flights, &waiter->party, FB_ACTION_ANSWER);
}

void fb_waiter_fail(fb_flights *flights, fb_waiter *waiter, int result, fb_blob *error) {
    fb_cache *cache = flights->cache;
    fb_cache_count(cache, waiter->class_id, FB_COUNTER_misses, 1);
    fb_cache_count(cache, waiter->class_id, FB_COUNTER_errors, 1);
    if (result == FB_ETIMEDOUT) {
        fb_cache_count(cache, waiter->class_id, FB_COUNTER_timeouts, 1);
    } else if (result == FB_EOVERLOAD) {
        fb_cache_count(cache, waiter->class_id, FB_COUNTER_overloads, 1);
    }
    fb_waiter_answer(flights, waiter, result, NULL, error);
}

// ---- out of memory

// What is found is copied, perhaps more than once: the last copy counts.
typedef struct copying {
    fb_blob *blob;
} copying;

static void copy_bytes(void *arg, const fb_value *value) {
    copying *copy = arg;
    fb_blob_drop(copy->blob);
    copy->blob = fb_blob_new(value->data);
}

static void count_hit(fb_flights *flights, const fb_waiter *waiter, const fb_found *found) {
    fb_cache *cache = flights->cache;
    fb_cache_count(cache, waiter->class_id, FB_COUNTER_hits, 1);
    if (found->negative) {
        fb_cache_count(cache, waiter->class_id, FB_COUNTER_negative_hits, 1);
    }
    if (found->find == FB_FIND_STALE) {
        fb_cache_count(cache, waiter->class_id, FB_COUNTER_stale_hits, 1);
    } else if (found->find == FB_FIND_FALLBACK) {
        fb_cache_count(cache, waiter->class_id, FB_COUNTER_fallback_hits, 1);
    }
}

bool fb_waiter_serve(fb_flights *flights, fb_waiter *waiter, fb_str key, unsigned finds,
                     int64_t now_ns) {
    fb_found found;
    copying copy = {NULL};
    fb_find find = fb_cache_read(flights->cache, key, now_ns, NULL, copy_bytes, &copy, &found);
    if ((finds & FB_FIND_BIT(find)) == 0 || (!found.negative && copy.blob == NULL)) {
        fb_blob_drop(copy.blob);
        return false;
    }
    count_hit(flights, waiter, &found);
    if (found.negative) {
        fb_blob_drop(copy.blob);
        fb_waiter_answer(flights, waiter, FB_NEGATIVE, NULL, NULL);
        return true;
    }
    fb_value value = found.value;
    value.data = fb_blob_str(copy.blob);
    value.owner = copy.blob;
    fb_waiter_answer(flights, waiter, FB_OK, &value, NULL);
    return true;
}

// ---- time

// Without memory it is told less.
static void time_out(fb_flights *flights, fb_waiter *waiter) {
    char text[192];
    fb_str name = waiter->flight->class_->name;
    (void)snprintf(text, sizeof text, "%s%.*s%sno answer within %" PRId64 " ms",
                   name.len > 0 ? "class " : "", FB_STR_ARG(name), name.len > 0 ? ": " : "",
                   (waiter->hard_ns - waiter->begin_ns) / FB_NS_PER_MS);
    fb_blob *error = fb_blob_new(fb_str_make(text, strlen(text) + 1));
    fb_waiter_fail(flights, waiter, FB_ETIMEDOUT, error);
    fb_blob_drop(error);
}

void fb_waiter_tick(fb_flights *flights, fb_waiter *waiter, int64_t now_ns) {
    fb_str key = waiter->flight->item.bound.key;
    if (now_ns >= waiter->soft_ns) {
        waiter->soft_ns = INT64_MAX;
        if (fb_waiter_serve(flights, waiter, key, FB_FINDS_OLD, now_ns)) {
            return;
        }
    }
    if (now_ns < waiter->hard_ns) {
        fb_party_wake(flights, &waiter->party, waiter->hard_ns);
    } else if (!fb_waiter_takes_memory(waiter) ||
               !fb_waiter_serve(flights, waiter, key, FB_FINDS_ALL, now_ns)) {
        time_out(flights, waiter);
    }
}
