// The events. An ask looks once more at memory (somebody may have filled it since the caller
// looked), then joins the flight of its key or begins one and leads it. The rest of the machine is
// in the files that flight_state.h lists.
//
// Invariants:
// - At most one flight of a key can be joined ("live"): the one in the map. It leaves the map when
//   it is over, when the watchdog gives it up, or when an ask finds that an invalidation has
//   doomed it. Dooming happens on any thread, without a word to this machine; so it is looked at
//   when it matters, which is when somebody wants to join.
// - The ticket of a flight is taken before anything is asked for it (shared tier, source). So an
//   invalidation that it does not know of came before the source was asked.
// - Every caller is in exactly one place: in one flight, with one invalidation, or in the queue of
// actions.
// - Every flight has at most one thing outstanding: a timer, an action in the queue, or an answer
//   of the driver; and beside a GET a timer for those who have something stale at hand.
//
// A key that is known not to be cacheable is loaded by every caller for himself: such flights never
// were in the map.

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cache/flight_state.h"

static const int64_t WATCHDOG_MIN_NS = 30 * FB_NS_PER_S;
static const double EARLY_REACH = 20;  // early refreshes begin at fresh_until − 20·β·cost (read.c)

// An ask, and what is known of its key at that moment.
typedef struct question {
    fb_ask ask;
    fb_found found;             // in memory
    const fb_trouble *trouble;  // NULL: none
    int64_t now_ns;
} question;

// ---- parties

static fb_str name_of(const fb_party *party) {
    fb_str name = {(const char *)&party->id, sizeof party->id};
    return name;
}

int fb_party_init(fb_flights *flights, fb_party *party, fb_party_kind kind, uint64_t id) {
    party->kind = kind;
    party->id = id;
    fb_list_init(&party->out);
    return fb_heap_put(&flights->timers, &party->timer, INT64_MAX);
}

void fb_party_release(fb_flights *flights, fb_party *party) {
    fb_list_remove(&party->out);
    fb_heap_remove(&flights->timers, &party->timer);
}

void fb_party_act(fb_flights *flights, fb_party *party, fb_action_type action) {
    FB_ASSERT(fb_list_empty(&party->out));
    party->action = action;
    fb_list_insert(&flights->out, &party->out);
}

void fb_party_wake(fb_flights *flights, fb_party *party, int64_t at_ns) {
    FB_ASSERT(party->timer.place != 0);
    int result = fb_heap_put(&flights->timers, &party->timer, at_ns);
    FB_ASSERT(result == FB_OK);  // it is in the heap already
}

void fb_flights_begin(fb_flights *flights) {
    if (flights->spent != NULL) {
        fb_waiter_free(flights, flights->spent);
        flights->spent = NULL;
    }
}

// ---- flights

void fb_flight_wake(fb_flights *flights, fb_flight *flight) {
    fb_party_wake(flights, &flight->party,
                  flight->step_ns < flight->watchdog_ns ? flight->step_ns : flight->watchdog_ns);
}

void fb_flight_detach(fb_flights *flights, fb_flight *flight) {
    if (flight->live) {
        (void)fb_map_remove(&flights->live, flight->item.bound.key);
        flight->live = false;
    }
}

void fb_flight_free(fb_flights *flights, fb_flight *flight) {
    FB_ASSERT(!flight->live && flight->waiter_count == 0);
    if (fb_map_get(&flights->steps, name_of(&flight->party)) == flight) {
        (void)fb_map_remove(&flights->steps, name_of(&flight->party));
    }
    if (flight->ticket != NULL) {
        fb_cache_end(flights->cache, flight->ticket);
    }
    if (!fb_list_empty(&flight->list)) {
        flights->count--;
    }
    fb_list_remove(&flight->list);
    fb_list_remove(&flight->member);
    fb_party_release(flights, &flight->party);
    fb_loader_drop(&flight->item.loader);
    fb_loaded_release(&flight->loaded);
    fb_blob_drop(flight->error);
    fb_mem_free(flight->items);
    fb_mem_free(flight);
}

static size_t bytes_of(const fb_bound *bound) {
    size_t bytes = bound->key.len;
    for (size_t i = 0; i < bound->param_count; i++) {
        bytes += bound->params[i].name.len + bound->params[i].value.len;
    }
    return bytes;
}

static fb_str copy(char **at, fb_str bytes) {
    fb_str copied = {*at, bytes.len};
    if (bytes.len > 0) {
        memcpy(*at, bytes.ptr, bytes.len);
    }
    *at += bytes.len;
    return copied;
}

static void copy_bound(fb_bound *to, const fb_bound *from, char *at) {
    to->key = copy(&at, from->key);
    to->param_count = from->param_count;
    for (size_t i = 0; i < from->param_count; i++) {
        to->params[i].name = copy(&at, from->params[i].name);
        to->params[i].value = copy(&at, from->params[i].value);
    }
}

static void set_watchdog(fb_flight *flight, int64_t now_ns) {
    int64_t hard_ns = flight->class_->options.hard_timeout_ns;
    flight->watchdog_ns = INT64_MAX;
    if (hard_ns > 0) {
        int64_t patience_ns = hard_ns > INT64_MAX / 3 ? INT64_MAX : 3 * hard_ns;
        flight->watchdog_ns =
            fb_flight_after(now_ns, patience_ns > WATCHDOG_MIN_NS ? patience_ns : WATCHDOG_MIN_NS);
    }
}

// Registers it everywhere.
static int enter(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    fb_party *party = &flight->party;
    int result = fb_party_init(flights, party, FB_PARTY_FLIGHT, ++flights->last_id);
    if (result == FB_OK) {
        result = fb_map_put(&flights->steps, name_of(party), flight);
    }
    if (result == FB_OK) {
        result = fb_cache_begin(flights->cache, flight->class_, flight->item.bound.key, now_ns,
                                &flight->ticket);
    }
    if (result == FB_OK && !flight->alone) {
        result = fb_map_put(&flights->live, flight->item.bound.key, flight);
        flight->live = result == FB_OK;
    }
    return result;
}

// Takes the ask's loader over where it succeeds.
static int new_flight(fb_flights *flights, const question *asked, fb_flight **flight) {
    const fb_ask *ask = &asked->ask;
    const fb_found *found = &asked->found;
    int64_t now_ns = asked->now_ns;
    fb_flight *made = fb_mem_zero(1, sizeof *made + bytes_of(ask->bound));
    if (made == NULL) {
        return FB_ENOMEM;
    }
    copy_bound(&made->item.bound, ask->bound, (char *)(made + 1));
    fb_list_init(&made->list);
    fb_list_init(&made->waiters);
    fb_list_init(&made->members);
    fb_list_init(&made->member);
    fb_loaded_init(&made->loaded);
    made->class_ = ask->class_;
    made->priority = ask->priority;
    made->refresh = ask->refresh;
    made->alone = found->find == FB_FIND_HIT_FOR_MISS;
    made->ttl_ns = ask->ttl_ns;
    made->cost_us = found->cost_us;
    bool wants_later = found->find == FB_FIND_FRESH && !ask->skip_memory && !ask->distrust_memory;
    made->fresh_until_ns = wants_later ? found->fresh_until_ns : 0;
    made->begun_ns = now_ns;
    made->step_ns = INT64_MAX;
    set_watchdog(made, now_ns);
    int result = enter(flights, made, now_ns);
    if (result < 0) {
        fb_flight_free(flights, made);
        return result;
    }
    made->item.loader = ask->loader;
    fb_list_insert(&flights->flights, &made->list);
    flights->count++;
    fb_flight_wake(flights, made);
    *flight = made;
    return FB_OK;
}

// The flight of `key` that can be joined. One that was overtaken goes on by itself.
static fb_flight *live_flight(fb_flights *flights, fb_str key) {
    fb_flight *flight = fb_map_get(&flights->live, key);
    if (flight != NULL && fb_ticket_doomed(flight->ticket)) {
        fb_flight_detach(flights, flight);
        return NULL;
    }
    return flight;
}

// ---- asking

static fb_class_state *class_state(fb_flights *flights, uint16_t class_id) {
    if (class_id >= flights->class_cap) {
        size_t cap = (size_t)class_id + 8;
        fb_class_state *classes = fb_mem_resize(flights->classes, cap * sizeof *classes);
        if (classes == NULL) {
            return NULL;
        }
        memset(classes + flights->class_cap, 0, (cap - flights->class_cap) * sizeof *classes);
        flights->classes = classes;
        flights->class_cap = cap;
    }
    return &flights->classes[class_id];
}

// Whether what is fresh is near enough to its end for an early refresh. It may have been refreshed
// since the reader decided for one.
static bool early_due(const question *asked) {
    double beta = asked->ask.class_->options.early_beta;
    double reach_ns = EARLY_REACH * beta * (double)asked->found.cost_us * 1000;
    return asked->found.fresh_until_ns != INT64_MAX &&
           (double)(asked->found.fresh_until_ns - asked->now_ns) <= reach_ns;
}

// For an ask that nobody waits for: whether there is nothing to do.
static bool is_idle(const question *asked) {
    const fb_trouble *trouble = asked->trouble;
    fb_priority priority = asked->ask.priority;
    if (asked->found.find == FB_FIND_HIT_FOR_MISS) {
        return true;
    }
    if (trouble != NULL) {
        bool warm = priority == FB_PRIORITY_WARM;
        if (asked->now_ns < (warm ? trouble->error_until_ns : trouble->calm_until_ns)) {
            return true;
        }
    }
    if (asked->found.find != FB_FIND_FRESH) {
        return false;
    }
    if (priority == FB_PRIORITY_EARLY) {
        return !early_due(asked);
    }
    return priority != FB_PRIORITY_WARM || !asked->ask.refresh;
}

// For a caller whose key's source failed a moment ago: whether he is answered without asking it.
static bool answer_in_trouble(fb_flights *flights, fb_waiter *waiter, const question *asked) {
    const fb_trouble *trouble = asked->trouble;
    fb_str key = asked->ask.bound->key;
    fb_find find = asked->found.find;
    bool excused =
        find == FB_FIND_STALE || (find == FB_FIND_FALLBACK && fb_flight_excuses(trouble->result));
    if (excused && asked->now_ns < trouble->calm_until_ns &&
        fb_waiter_serve(flights, waiter, key, FB_FINDS_ALL, asked->now_ns)) {
        return true;
    }
    if (!excused && asked->now_ns < trouble->error_until_ns &&
        fb_map_get(&flights->live, key) == NULL) {
        fb_waiter_fail(flights, waiter, trouble->result, trouble->text);
        return true;
    }
    return false;
}

// For a caller who takes what the cache has: whether he is answered without a flight.
static bool answer_at_once(fb_flights *flights, fb_waiter *waiter, const question *asked) {
    fb_str key = asked->ask.bound->key;
    if (asked->found.find == FB_FIND_FRESH && waiter->skips) {
        return false;
    }
    if (asked->found.find == FB_FIND_FRESH) {
        return fb_waiter_serve(flights, waiter, key, FB_FINDS_OLD, asked->now_ns);
    }
    return asked->trouble != NULL && asked->ask.ttl_ns < 0 &&
           answer_in_trouble(flights, waiter, asked);
}

static void prepare(const fb_flights *flights, fb_waiter *waiter, const fb_ask *ask,
                    const fb_found *found) {
    const fb_class_options *options = &ask->class_->options;
    int64_t hard_ns = ask->timeout_ns > 0 ? ask->timeout_ns : options->hard_timeout_ns;
    waiter->class_id = ask->class_->id;
    waiter->is_read = true;
    waiter->seq = ask->seq;
    waiter->begin_ns = ask->begin_ns;
    waiter->refresh = ask->refresh;
    waiter->skips = ask->skip_memory;
    waiter->distrusts = ask->distrust_memory;
    waiter->ttl_ns = ask->ttl_ns;
    waiter->loader = ask->loader;
    if (hard_ns > 0) {
        waiter->hard_ns = fb_flight_after(ask->begin_ns, hard_ns);
    }
    if (fb_waiter_takes_memory(waiter) && found->find == FB_FIND_STALE) {
        int64_t soft_ns = options->soft_timeout_ns;
        if (ask->skip_memory && soft_ns < flights->remote_soft_ns) {
            soft_ns = flights->remote_soft_ns;
        }
        waiter->soft_ns = fb_flight_after(ask->begin_ns, soft_ns);
    }
}

static void join(fb_flights *flights, fb_waiter *waiter, fb_flight *flight, int64_t now_ns) {
    uint32_t max = flight->class_->options.waiters_max;
    if (max > 0 && flight->waiter_count >= max) {
        if (!fb_waiter_takes_memory(waiter) ||
            !fb_waiter_serve(flights, waiter, flight->item.bound.key, FB_FINDS_ALL, now_ns)) {
            fb_waiter_fail(flights, waiter, FB_EOVERLOAD, NULL);
        }
        return;
    }
    fb_waiter_join(flights, waiter, flight);
    if (fb_flight_satisfies(flights, flight, waiter)) {
        fb_flight_answer(flights, flight, waiter, now_ns);
    }
}

// Begins a flight; `waiter` (may be NULL) leads it.
static int lead(fb_flights *flights, fb_waiter *waiter, const question *asked) {
    const fb_ask *ask = &asked->ask;
    uint16_t class_id = ask->class_->id;
    fb_flight *flight = NULL;
    int result = new_flight(flights, asked, &flight);
    if (result < 0) {
        return result;
    }
    if (waiter != NULL) {
        waiter->loader = (fb_loader){0};  // the flight's now
        waiter->leads = true;
        fb_waiter_join(flights, waiter, flight);
    }
    if (ask->priority == FB_PRIORITY_EARLY) {
        fb_cache_count(flights->cache, class_id, FB_COUNTER_early_refreshes, 1);
        fb_ticket_mark_early(flight->ticket);
    } else if (ask->priority == FB_PRIORITY_WARM) {
        fb_cache_count(flights->cache, class_id, FB_COUNTER_warmed, 1);
    }
    bool shared = flights->remote && flight->live && ask->ttl_ns < 0 && class_id != FB_CLASS_PLAIN;
    if (shared) {
        fb_lease_ask(flights, flight, flight->refresh, asked->now_ns);
    } else {
        fb_batch_start(flights, flight, asked->now_ns);
    }
    return FB_OK;
}

// An ask without a waiter. Its loader is gone afterwards, to the flight or for good.
static int ask_alone(fb_flights *flights, question *asked) {
    fb_ask *ask = &asked->ask;
    int result = FB_OK;
    if (ask->priority != FB_PRIORITY_WARM) {
        ask->refresh = false;
    }
    if (live_flight(flights, ask->bound->key) == NULL && !is_idle(asked)) {
        result = lead(flights, NULL, asked);
        if (result == FB_OK) {
            return FB_OK;
        }
    }
    fb_loader_drop(&ask->loader);
    return result;
}

// Something stale, where the class has no patience: the caller gets that, and one refresh begins.
static bool answer_stale(fb_flights *flights, fb_waiter *waiter, question *asked) {
    fb_ask *ask = &asked->ask;
    if (asked->found.find != FB_FIND_STALE || ask->class_->options.soft_timeout_ns > 0 ||
        waiter->skips ||
        !fb_waiter_serve(flights, waiter, ask->bound->key, FB_FINDS_OLD, asked->now_ns)) {
        return false;
    }
    ask->loader = waiter->loader;
    waiter->loader = (fb_loader){0};
    ask->priority = FB_PRIORITY_REFRESH;
    // That no refresh can begin for lack of memory is not the caller's matter.
    (void)ask_alone(flights, asked);
    return true;
}

static int ask_waiting(fb_flights *flights, fb_waiter *waiter, question *asked) {
    const fb_ask *ask = &asked->ask;
    fb_flight *flight = live_flight(flights, ask->bound->key);
    prepare(flights, waiter, ask, &asked->found);
    if (fb_waiter_takes_memory(waiter) &&
        (answer_at_once(flights, waiter, asked) || answer_stale(flights, waiter, asked))) {
        return FB_OK;
    }
    if (flight != NULL && asked->found.find != FB_FIND_HIT_FOR_MISS) {
        join(flights, waiter, flight, asked->now_ns);
        return FB_OK;
    }
    return lead(flights, waiter, asked);
}

int fb_flights_ask(fb_flights *flights, const fb_ask *ask, int64_t now_ns) {
    question asked = {.ask = *ask, .now_ns = now_ns};
    fb_waiter *waiter = NULL;
    fb_flights_begin(flights);
    asked.ask.skip_memory &= flights->remote;
    asked.ask.distrust_memory &= flights->remote;
    int result = class_state(flights, ask->class_->id) != NULL ? FB_OK : FB_ENOMEM;
    if (result == FB_OK && ask->waiter != 0) {
        result = fb_waiter_new(flights, ask->waiter, &waiter);
    }
    if (result < 0) {
        fb_loader_drop(&asked.ask.loader);
        return result;
    }
    (void)fb_cache_peek(flights->cache, ask->bound->key, now_ns, &asked.found);
    asked.trouble = fb_trouble_find(&flights->troubles, ask->bound->key, now_ns);
    if (waiter == NULL) {
        return ask_alone(flights, &asked);
    }
    result = ask_waiting(flights, waiter, &asked);
    if (result < 0) {
        fb_waiter_free(flights, waiter);
    }
    return result;
}

void fb_flight_rejoin(fb_flights *flights, fb_waiter *waiter, const fb_flight *from,
                      int64_t now_ns) {
    fb_str key = from->item.bound.key;
    question asked = {.ask = {.class_ = from->class_,
                              .bound = &from->item.bound,
                              .priority = FB_PRIORITY_USER,
                              .refresh = waiter->refresh,
                              .skip_memory = waiter->skips,
                              .distrust_memory = waiter->distrusts,
                              .loader = waiter->loader,
                              .ttl_ns = waiter->ttl_ns},
                      .now_ns = now_ns};
    fb_flight *flight = live_flight(flights, key);
    (void)fb_cache_peek(flights->cache, key, now_ns, &asked.found);
    if (fb_waiter_takes_memory(waiter) && asked.found.find == FB_FIND_FRESH &&
        fb_waiter_serve(flights, waiter, key, FB_FINDS_OLD, now_ns)) {
        return;
    }
    waiter->leads = false;
    if (flight != NULL) {
        join(flights, waiter, flight, now_ns);
        return;
    }
    int result = lead(flights, waiter, &asked);
    if (result < 0) {
        fb_waiter_fail(flights, waiter, result, NULL);
    }
}

void fb_flights_leave(fb_flights *flights, uint64_t name) {
    fb_flights_begin(flights);
    fb_waiter *waiter = fb_map_get(&flights->waiters, (fb_str){(const char *)&name, sizeof name});
    if (waiter == NULL) {
        return;  // it has its answer
    }
    if (!waiter->answered && waiter->is_read) {
        fb_cache_count(flights->cache, waiter->class_id, FB_COUNTER_misses, 1);
    }
    fb_waiter_free(flights, waiter);
}

static fb_flight *find_load(fb_flights *flights, uint64_t load) {
    fb_party *party = fb_map_get(&flights->steps, (fb_str){(const char *)&load, sizeof load});
    FB_ASSERT(party != NULL && party->kind == FB_PARTY_FLIGHT);
    return FB_LIST_OF(party, fb_flight, party);
}

void fb_flights_loaded(fb_flights *flights, uint64_t load, fb_loaded *loaded, size_t item_count,
                       int64_t now_ns) {
    fb_flights_begin(flights);
    fb_batch_loaded(flights, find_load(flights, load), loaded, item_count, now_ns);
}

void fb_flights_failed(fb_flights *flights, uint64_t load, int result, const char *text,
                       int64_t now_ns) {
    fb_flights_begin(flights);
    fb_batch_failed(flights, find_load(flights, load), result, fb_str_of(text), now_ns);
}

// ---- time

int64_t fb_flights_due(const fb_flights *flights) {
    const fb_heap_node *first = fb_heap_first(&flights->timers);
    return first != NULL ? first->key : INT64_MAX;
}

static void tick_flight(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    if (now_ns >= flight->watchdog_ns) {
        flight->watchdog_ns = INT64_MAX;
        flight->abandoned = true;
        fb_flight_detach(flights, flight);
    }
    bool step = now_ns >= flight->step_ns;
    if (step) {
        flight->step_ns = INT64_MAX;
    }
    fb_flight_wake(flights, flight);
    if (step && flight->stage == FB_STAGE_HELD) {
        fb_lease_ask(flights, flight, flight->refresh, now_ns);
    } else if (step && flight->stage == FB_STAGE_GETTING) {
        fb_lease_overdue(flights, flight, now_ns);
    } else if (step && flight->stage == FB_STAGE_GATHERING) {
        fb_batch_issue(flights, flight, now_ns);
    }
}

void fb_flights_tick(fb_flights *flights, int64_t now_ns) {
    fb_flights_begin(flights);
    while (fb_flights_due(flights) <= now_ns) {
        fb_party *party = FB_LIST_OF(fb_heap_first(&flights->timers), fb_party, timer);
        if (party->kind == FB_PARTY_WAITER) {
            fb_waiter_tick(flights, FB_LIST_OF(party, fb_waiter, party), now_ns);
        } else {
            FB_ASSERT(party->kind == FB_PARTY_FLIGHT);
            tick_flight(flights, FB_LIST_OF(party, fb_flight, party), now_ns);
        }
    }
}

// ---- actions

bool fb_flights_next(fb_flights *flights, fb_action *action) {
    fb_flights_begin(flights);
    *action = (fb_action){.type = FB_ACTION_NONE, .error = ""};
    if (fb_list_empty(&flights->out)) {
        return false;
    }
    fb_party *party = FB_LIST_OF(flights->out.next, fb_party, out);
    fb_list_remove(&party->out);
    action->type = party->action;
    if (party->kind == FB_PARTY_WAITER) {
        fb_waiter *waiter = FB_LIST_OF(party, fb_waiter, party);
        action->waiter = party->id;
        action->result = waiter->result;
        action->value = waiter->value;
        action->error = waiter->error != NULL ? fb_blob_str(waiter->error).ptr : "";
        waiter->value = (fb_value){0};
        // Its name is free again: the driver may use it for the next ask at once.
        (void)fb_map_remove(&flights->waiters, name_of(party));
        flights->spent = waiter;
    } else if (party->action == FB_ACTION_LOAD) {
        fb_batch_action(FB_LIST_OF(party, fb_flight, party), action);
    } else {
        fb_lease_action(flights, party, action);
    }
    return true;
}

size_t fb_flights_count(const fb_flights *flights) {
    return flights->count;
}

size_t fb_flights_waiting(const fb_flights *flights) {
    return flights->waiting;
}

static void check_flight(const fb_flights *flights, const fb_flight *flight) {
    size_t count = 0;
    FB_LIST_EACH(node, &flight->waiters) {
        const fb_waiter *waiter = FB_LIST_OF(node, fb_waiter, list);
        FB_ASSERT(waiter->flight == flight && !waiter->answered && waiter->change == NULL);
        FB_ASSERT(!fb_flight_satisfies(flights, flight, waiter));
        count++;
    }
    FB_ASSERT(count == flight->waiter_count);
    FB_ASSERT(flight->live == (fb_map_get(&flights->live, flight->item.bound.key) == flight));
    // What can store something, and is no load of an uncacheable key, can be joined: so there is
    // one.
    bool stores = !flight->abandoned && flight->ticket != NULL &&
                  !fb_ticket_doomed(flight->ticket) &&
                  !(flight->landed && flight->loaded.result < 0);
    FB_ASSERT(flight->live || flight->alone || !stores);
}

void fb_flights_check(const fb_flights *flights) {
    size_t count = 0, waiting = 0;
    FB_LIST_EACH(node, &flights->flights) {
        const fb_flight *flight = FB_LIST_OF(node, fb_flight, list);
        check_flight(flights, flight);
        count++;
        waiting += flight->waiter_count;
    }
    FB_LIST_EACH(node, &flights->changes) {
        waiting += FB_LIST_OF(node, fb_flight_change, list)->waiter != NULL;
    }
    FB_ASSERT(count == flights->count && waiting == flights->waiting);
}

// ---- the machine

int fb_flights_new(const fb_flights_options *options, fb_flights **flights) {
    fb_flights *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->cache = options->cache;
    made->remote = options->remote;
    made->remote_soft_ns = options->remote_soft_ns;
    fb_rng_init(&made->rng, options->seed);
    made->live.seed = fb_rng_next(&made->rng);
    made->steps.seed = fb_rng_next(&made->rng);
    made->waiters.seed = fb_rng_next(&made->rng);
    fb_list_init(&made->out);
    fb_list_init(&made->flights);
    fb_list_init(&made->changes);
    fb_trouble_init(&made->troubles, options->cache, fb_rng_next(&made->rng));
    *flights = made;
    return FB_OK;
}

// So that they can be freed in any order.
static void take_apart(fb_flights *flights) {
    FB_LIST_EACH(node, &flights->flights) {
        fb_flight *flight = FB_LIST_OF(node, fb_flight, list);
        fb_list_remove(&flight->member);
        FB_LIST_EACH_SAFE(waiting, after, &flight->waiters) {
            fb_waiter_free(flights, FB_LIST_OF(waiting, fb_waiter, list));
        }
    }
}

void fb_flights_free(fb_flights *flights) {
    if (flights == NULL) {
        return;
    }
    fb_flights_begin(flights);
    FB_LIST_EACH_SAFE(node, after, &flights->out) {
        fb_party *party = FB_LIST_OF(node, fb_party, out);
        if (party->kind == FB_PARTY_WAITER) {
            fb_waiter_free(flights, FB_LIST_OF(party, fb_waiter, party));
        }
    }
    take_apart(flights);
    FB_LIST_EACH_SAFE(node, after, &flights->flights) {
        fb_flight_drop(flights, FB_LIST_OF(node, fb_flight, list));
    }
    FB_LIST_EACH_SAFE(node, after, &flights->changes) {
        fb_flight_change *change = FB_LIST_OF(node, fb_flight_change, list);
        fb_waiter *waiter = change->waiter;
        fb_change_free(flights, change);
        if (waiter != NULL) {
            fb_waiter_free(flights, waiter);
        }
    }
    fb_trouble_release(&flights->troubles);
    fb_map_release(&flights->live);
    fb_map_release(&flights->steps);
    fb_map_release(&flights->waiters);
    fb_heap_release(&flights->timers);
    fb_mem_free(flights->classes);
    fb_mem_free(flights);
}
