// The shared tier, as a flight sees it. It is asked first: it has the value, or it lets one node of
// all load (a lease, named by a token), or somebody has the lease already. The lease is what keeps
// an old value out of the shared tier: an invalidation deletes it, and a fill without it is
// refused.
//
// A flight that finds the lease held serves what is stale, or looks again with growing pauses, for
// as long as a load usually takes and longer: a cold key is loaded by one node of all. Whoever has
// the lease and dies loses it when its time is over, and the next to look has it. Only where that
// does not help either the flight loads by itself, without a token: the shared tier can make a load
// dearer, but stop none.
//
// With a lease the shared tier says what may be stored of the key at all: nothing while it is held
// for a transaction, and nothing older than a fence. A value that does not tell its source version
// may be older, so it is not stored either. All of it answers those who wait.
//
// The shared tier is told before memory is filled, and where it refuses, memory is not filled
// either. The callers do not wait for it: they have their answer as soon as the value is there.
//
// An invalidation is applied in memory twice: at once, for the readers of this node, and again when
// the shared tier has acknowledged it, since in between a flight may have taken the old value from
// there.

#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "cache/flight_state.h"

static const int64_t LEASE_MIN_NS = FB_NS_PER_S;
static const int64_t LEASE_MAX_NS = 30 * FB_NS_PER_S;
static const int64_t LEASE_UNKNOWN_NS = 3 * FB_NS_PER_S;  // at most, where no cost is known
static const int64_t POLL_MIN_NS = 5 * FB_NS_PER_MS;
static const int64_t POLL_MAX_NS = 100 * FB_NS_PER_MS;

static int64_t clamp(int64_t ns, int64_t min_ns, int64_t max_ns) {
    return ns < min_ns ? min_ns : ns > max_ns ? max_ns : ns;
}

static int64_t cost_ns(const fb_flight *flight) {
    return (int64_t)flight->cost_us * FB_NS_PER_US;
}

// ---- flights

// Of a load that nobody has seen yet it is only known how long callers would wait; and all others wait
// for so long where whoever has the lease is cut off.
static int64_t lease_ns(const fb_flight *flight) {
    if (flight->cost_us == 0) {
        return clamp(flight->class_->options.hard_timeout_ns / 2, LEASE_MIN_NS, LEASE_UNKNOWN_NS);
    }
    return clamp(2 * cost_ns(flight), LEASE_MIN_NS, LEASE_MAX_NS);
}

void fb_lease_ask(fb_flights *flights, fb_flight *flight, bool refresh, int64_t now_ns) {
    flight->stage = FB_STAGE_GETTING;
    flight->refresh = refresh;
    fb_party_act(flights, &flight->party, FB_ACTION_REMOTE_GET);
    if (flights->remote_soft_ns > 0) {
        flight->step_ns = fb_flight_after(now_ns, flights->remote_soft_ns);
        fb_flight_wake(flights, flight);
    }
}

// Who waits takes what memory has, fresh or stale, if he may. `answered`: the shared tier has said
// that it has none; who wanted to hear that (waiter->skips) takes nothing older then.
static void serve_all(fb_flights *flights, fb_flight *flight, bool answered, int64_t now_ns) {
    FB_LIST_EACH_SAFE(node, after, &flight->waiters) {
        fb_waiter *waiter = FB_LIST_OF(node, fb_waiter, list);
        bool served = fb_waiter_takes_memory(waiter) && !(answered && waiter->skips) &&
                      fb_waiter_serve(flights, waiter, flight->item.bound.key, FB_FINDS_OLD,
                                      now_ns);
        (void)served;  // who is not goes on waiting
    }
}

void fb_lease_overdue(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    serve_all(flights, flight, false, now_ns);
}

bool fb_lease_permits(const fb_flight *flight) {
    if (FB_RULE(hold) && flight->keep_nothing) {
        return false;
    }
    return !FB_RULE(fence) || !flight->from_source ||
           flight->loaded.source_version >= flight->fence;
}

void fb_lease_hand_over(fb_flights *flights, fb_flight *flight) {
    flight->stage = FB_STAGE_FILLING;
    fb_party_act(flights, &flight->party, FB_ACTION_REMOTE_FILL);
}

// How long the shared tier may keep what was loaded; 0: not at all, it only gets its lease back.
static int64_t keep_ns(const fb_flight *flight) {
    const fb_loaded *loaded = &flight->loaded;
    const fb_class_options *options = &flight->class_->options;
    if (loaded->result < 0 || loaded->uncacheable || flight->abandoned || flight->ticket == NULL ||
        fb_ticket_doomed(flight->ticket) || !fb_lease_permits(flight)) {
        return 0;
    }
    int64_t ttl_ns = loaded->result == FB_NEGATIVE ? options->negative_ttl_ns : options->ttl_ns;
    if (loaded->ttl_ms >= 0 && __builtin_mul_overflow(loaded->ttl_ms, FB_NS_PER_MS, &ttl_ns)) {
        return INT64_MAX;
    }
    return ttl_ns;
}

void fb_lease_action(const fb_flights *flights, const fb_party *party, fb_action *action) {
    action->remote = party->id;
    if (party->kind == FB_PARTY_CHANGE) {
        action->key = FB_LIST_OF(party, fb_flight_change, party)->key;
        return;
    }
    const fb_flight *flight = FB_LIST_OF(party, fb_flight, party);
    action->class_ = flight->class_;
    action->key = flight->item.bound.key;
    if (action->type == FB_ACTION_REMOTE_GET) {
        action->refresh = flight->refresh;
        action->ttl_ns = lease_ns(flight);
    } else {
        action->token = flight->token;
        action->wide = flight->wide;
        action->loaded = &flight->loaded;
        action->ttl_ns = keep_ns(flight);
    }
}

// The value is another node's load; memory keeps it no longer than the shared tier does.
static void adopt(fb_flights *flights, fb_flight *flight, fb_remote_reply *reply, int64_t now_ns) {
    const fb_class_options *options = &flight->class_->options;
    int64_t keep =
        reply->loaded.result == FB_NEGATIVE ? options->negative_ttl_ns : options->memory_ttl_ns;
    flight->loaded = reply->loaded;
    fb_loaded_init(&reply->loaded);
    flight->age_ns = reply->age_ns;
    if (keep <= 0 || reply->fresh_for_ns < keep) {
        keep = reply->fresh_for_ns;
    }
    flight->loaded.ttl_ms = keep / FB_NS_PER_MS;
    fb_flight_land(flights, flight, now_ns);
}

// Whether it is worth adopting: an early refresh wants something that lasts longer than what it
// has.
static bool wanted(const fb_flight *flight, const fb_remote_reply *reply, int64_t now_ns) {
    return !flight->refresh && reply->fresh_for_ns >= FB_NS_PER_MS &&
           (reply->loaded.result == FB_NEGATIVE ||
            (reply->loaded.result == FB_OK && reply->loaded.value != NULL)) &&
           fb_flight_after(now_ns, reply->fresh_for_ns) > flight->fresh_until_ns;
}

static void held(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    serve_all(flights, flight, true, now_ns);
    if (flight->waiter_count == 0) {
        fb_flight_drop(flights, flight);  // somebody else loads it
        return;
    }
    if (flight->held_until_ns == 0) {
        int64_t hard_ns = flight->class_->options.hard_timeout_ns;
        int64_t wait_ns = hard_ns / 2 > lease_ns(flight) ? hard_ns / 2 : lease_ns(flight);
        flight->held_until_ns = fb_flight_after(now_ns, wait_ns);
        flight->poll_ns = POLL_MIN_NS;
    }
    if (now_ns >= flight->held_until_ns) {
        fb_batch_start(flights, flight, now_ns);
        return;
    }
    flight->stage = FB_STAGE_HELD;
    flight->step_ns = fb_flight_after(now_ns, flight->poll_ns);
    flight->poll_ns = clamp(2 * flight->poll_ns, POLL_MIN_NS, POLL_MAX_NS);
    fb_flight_wake(flights, flight);
}

// Memory's word counts where the shared tier has none.
static void passed_by(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    bool served = false;
    FB_LIST_EACH_SAFE(node, after, &flight->waiters) {
        fb_waiter *waiter = FB_LIST_OF(node, fb_waiter, list);
        served |= waiter->skips && fb_waiter_takes_memory(waiter) &&
                  fb_waiter_serve(flights, waiter, flight->item.bound.key,
                                  FB_FIND_BIT(FB_FIND_FRESH), now_ns);
    }
    if (served && flight->waiter_count == 0) {
        fb_flight_drop(flights, flight);
    } else {
        fb_batch_start(flights, flight, now_ns);
    }
}

static void got(fb_flights *flights, fb_flight *flight, fb_remote_reply *reply, int64_t now_ns) {
    flight->step_ns = INT64_MAX;
    fb_flight_wake(flights, flight);
    flight->fence = reply->fence;
    flight->keep_nothing = reply->keep_nothing;
    switch (reply->result) {
        case FB_REMOTE_VALUE:
            if (wanted(flight, reply, now_ns)) {
                adopt(flights, flight, reply, now_ns);
            } else if (!flight->refresh) {
                fb_lease_ask(flights, flight, true, now_ns);
            } else {
                fb_batch_start(flights, flight, now_ns);  // it was asked for a lease
            }
            break;
        case FB_REMOTE_HELD:
            held(flights, flight, now_ns);
            break;
        case FB_REMOTE_LEASE:
            flight->token = reply->token;
            flight->has_token = true;
            flight->wide = reply->wide;
            fb_batch_start(flights, flight, now_ns);
            break;
        case FB_REMOTE_DONE:
        case FB_REMOTE_REFUSED:
        case FB_REMOTE_FAILED:
            passed_by(flights, flight, now_ns);
            break;
    }
}

// ---- invalidations

void fb_change_free(fb_flights *flights, fb_flight_change *change) {
    if (change->waiter != NULL) {
        change->waiter->change = NULL;
    }
    (void)fb_map_remove(&flights->steps,
                        (fb_str){(const char *)&change->party.id, sizeof(uint64_t)});
    fb_party_release(flights, &change->party);
    fb_list_remove(&change->list);
    fb_mem_free(change);
}

static int new_change(fb_flights *flights, fb_str key, fb_flight_change **change) {
    fb_flight_change *made = fb_mem_zero(1, sizeof *made + key.len);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->key = (fb_str){(char *)(made + 1), key.len};
    if (key.len > 0) {
        memcpy(made + 1, key.ptr, key.len);
    }
    fb_list_init(&made->list);
    int result = fb_party_init(flights, &made->party, FB_PARTY_CHANGE, ++flights->last_id);
    if (result == FB_OK) {
        result = fb_map_put(&flights->steps,
                            (fb_str){(const char *)&made->party.id, sizeof(uint64_t)}, made);
    }
    if (result != FB_OK) {
        fb_party_release(flights, &made->party);
        fb_mem_free(made);
        return result;
    }
    fb_list_insert(&flights->changes, &made->list);
    *change = made;
    return FB_OK;
}

static int drop_here(fb_flights *flights, fb_str key, int64_t now_ns) {
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = key};
    return fb_cache_invalidate(flights->cache, &what, now_ns, NULL);
}

int fb_flights_invalidate(fb_flights *flights, fb_str key, uint64_t waiter_name, int64_t now_ns) {
    fb_waiter *waiter = NULL;
    fb_flight_change *change = NULL;
    int result = FB_OK;
    fb_flights_begin(flights);
    if (waiter_name != 0) {
        result = fb_waiter_new(flights, waiter_name, &waiter);
    }
    if (result == FB_OK && flights->remote) {
        result = new_change(flights, key, &change);
    }
    if (result == FB_OK) {
        result = drop_here(flights, key, now_ns);
    }
    if (result < 0) {
        if (change != NULL) {
            fb_change_free(flights, change);
        }
        if (waiter != NULL) {
            fb_waiter_free(flights, waiter);
        }
        return result;
    }
    if (change != NULL) {
        change->waiter = waiter;
        if (waiter != NULL) {
            waiter->change = change;
        }
        fb_party_act(flights, &change->party, FB_ACTION_REMOTE_INVALIDATE);
    } else if (waiter != NULL) {
        fb_waiter_answer(flights, waiter, FB_OK, NULL, NULL);
    }
    return FB_OK;
}

static void acknowledged(fb_flights *flights, fb_flight_change *change, fb_remote_result result,
                         int64_t now_ns) {
    int here = FB_RULE(reapply) ? drop_here(flights, change->key, now_ns) : FB_OK;
    if (change->waiter != NULL) {
        int told = result == FB_REMOTE_DONE ? FB_OK : FB_ESOURCE;
        fb_waiter_answer(flights, change->waiter, here < 0 ? here : told, NULL, NULL);
    }
    fb_change_free(flights, change);
}

void fb_flights_notice(fb_flights *flights, fb_str key, int64_t now_ns) {
    fb_flights_begin(flights);
    int result = drop_here(flights, key, now_ns);
    FB_ASSERT(result >= 0);  // by key it takes no memory
}

void fb_flights_remote(fb_flights *flights, uint64_t remote, fb_remote_reply *reply,
                       int64_t now_ns) {
    fb_flights_begin(flights);
    fb_party *party = fb_map_get(&flights->steps, (fb_str){(const char *)&remote, sizeof remote});
    FB_ASSERT(party != NULL);
    if (party->kind == FB_PARTY_CHANGE) {
        acknowledged(flights, FB_LIST_OF(party, fb_flight_change, party), reply->result, now_ns);
    } else {
        fb_flight *flight = FB_LIST_OF(party, fb_flight, party);
        FB_ASSERT(flight->stage == FB_STAGE_GETTING || flight->stage == FB_STAGE_FILLING);
        if (flight->stage == FB_STAGE_GETTING) {
            got(flights, flight, reply, now_ns);
        } else {
            fb_flight_finish(flights, flight, reply->result != FB_REMOTE_REFUSED, now_ns);
        }
    }
    if (reply->result == FB_REMOTE_VALUE) {
        fb_loaded_release(&reply->loaded);
    }
}
