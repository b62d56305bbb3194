// LOADs. Every flight can carry a load of its own; where its class has a query for many, the first
// to miss holds its load open for `batch_wait` and those who miss meanwhile become members of it.
// The host is a flight like the others: it stays until its load is answered, since that is when
// every member lands.
//
// The array of items grows when a member is added; where there is no memory for that, the flight
// goes by itself instead.

#include "base/mem.h"
#include "base/str.h"
#include "cache/flight_state.h"

static const int64_t LOAD_TIME_NS = 30 * FB_NS_PER_S;  // where the class says nothing

static bool gathers(const fb_flight *flight) {
    const fb_class_options *options = &flight->class_->options;
    return options->batch_query != NULL && options->batch_wait_ns > 0 && options->batch_max > 1 &&
           flight->item.loader.fn == NULL;
}

static void add_member(fb_flight *host, fb_flight *flight) {
    fb_list_insert(&host->members, &flight->member);
    host->member_count++;
    flight->stage = FB_STAGE_GATHERING;
}

// An overtaken flight of the same key may be in the batch already: one query must not name a key
// twice.
static bool has_key(const fb_flight *host, fb_str key) {
    FB_LIST_EACH(node, &host->members) {
        if (fb_str_equal(FB_LIST_OF(node, fb_flight, member)->item.bound.key, key)) {
            return true;
        }
    }
    return false;
}

static bool make_room(fb_flight *host) {
    if (host->member_count < host->item_cap) {
        return true;
    }
    uint32_t cap = host->item_cap == 0 ? 4 : host->item_cap * 2;
    fb_load_item *items = fb_mem_resize(host->items, cap * sizeof *items);
    if (items == NULL) {
        return false;
    }
    if (host->item_cap == 0) {
        items[0] = host->item;
    }
    host->items = items;
    host->item_cap = cap;
    return true;
}

static bool try_join(fb_flight *host, fb_flight *flight) {
    if (host->class_ != flight->class_ || has_key(host, flight->item.bound.key) ||
        !make_room(host)) {
        return false;
    }
    host->items[host->member_count] = flight->item;
    add_member(host, flight);
    return true;
}

void fb_batch_start(fb_flights *flights, fb_flight *flight, int64_t now_ns) {
    fb_flight **open = &flights->classes[flight->class_->id].gathering;
    bool gather = gathers(flight);
    if (gather && *open != NULL) {
        fb_flight *host = *open;
        if (try_join(host, flight)) {
            if (host->member_count >= flight->class_->options.batch_max) {
                fb_batch_issue(flights, host, now_ns);
            }
            return;
        }
        gather = false;
    }
    add_member(flight, flight);
    if (!gather) {
        fb_batch_issue(flights, flight, now_ns);
        return;
    }
    *open = flight;
    flight->step_ns = fb_flight_after(now_ns, flight->class_->options.batch_wait_ns);
    fb_flight_wake(flights, flight);
}

void fb_batch_issue(fb_flights *flights, fb_flight *host, int64_t now_ns) {
    fb_class_state *state = &flights->classes[host->class_->id];
    if (state->gathering == host) {
        state->gathering = NULL;
    }
    host->step_ns = INT64_MAX;
    fb_flight_wake(flights, host);
    FB_LIST_EACH(node, &host->members) {
        fb_flight *flight = FB_LIST_OF(node, fb_flight, member);
        flight->stage = FB_STAGE_LOADING;
        flight->issued_ns = now_ns;
    }
    fb_party_act(flights, &host->party, FB_ACTION_LOAD);
}

// The latest of `at_ns` and the ends of its callers' times.
static int64_t until_last(const fb_flight *flight, int64_t at_ns) {
    FB_LIST_EACH(node, &flight->waiters) {
        const fb_waiter *waiter = FB_LIST_OF(node, fb_waiter, list);
        at_ns = waiter->hard_ns > at_ns ? waiter->hard_ns : at_ns;
    }
    return at_ns;
}

// Callers who run out of time do not end a load that has begun: the next one finds its value. So it
// has until the watchdog gives its flight up. One whose turn comes only when all who wanted it are
// gone is not worth beginning.
static void set_times(const fb_flight *flight, fb_action *action) {
    int64_t hard_ns = flight->class_->options.hard_timeout_ns;
    int64_t begin_by_ns = fb_flight_after(flight->issued_ns, hard_ns > 0 ? hard_ns : LOAD_TIME_NS);
    int64_t deadline_ns = flight->watchdog_ns != INT64_MAX ? flight->watchdog_ns : begin_by_ns;
    begin_by_ns = until_last(flight, begin_by_ns);
    deadline_ns = until_last(flight, deadline_ns);
    if (begin_by_ns > action->begin_by_ns) {
        action->begin_by_ns = begin_by_ns;
    }
    if (deadline_ns > action->deadline_ns) {
        action->deadline_ns = deadline_ns;
    }
}

void fb_batch_action(fb_flight *host, fb_action *action) {
    action->load = host->party.id;
    action->class_ = host->class_;
    action->items = host->member_count > 1 ? host->items : &host->item;
    action->item_count = host->member_count;
    action->priority = FB_PRIORITY_WARM;
    FB_LIST_EACH(node, &host->members) {
        fb_flight *flight = FB_LIST_OF(node, fb_flight, member);
        flight->given_out = true;
        if (flight->priority < action->priority) {
            action->priority = flight->priority;
        }
        set_times(flight, action);
    }
}

// A loader is the caller's code: what it says is not to be believed blindly.
static void normalise(fb_loaded *loaded) {
    const char *wrong = NULL;
    if (loaded->result == FB_OK && loaded->value == NULL) {
        wrong = "the loader reported success without a value";
    } else if (loaded->result > 0 && loaded->result != FB_NEGATIVE) {
        wrong = "the loader returned a result that has no meaning here";
    }
    if (wrong != NULL) {
        loaded->result = FB_ESOURCE;
        fb_loaded_error(loaded, fb_str_of(wrong));
    }
}

// A LOAD that was refused for lack of room, or because all ends, was none.
static void tally(fb_flights *flights, const fb_flight *host, const fb_loaded *loaded,
                  size_t item_count) {
    fb_cache *cache = flights->cache;
    uint16_t class_id = host->class_->id;
    bool failed = false, negative = false;
    if (loaded[0].result == FB_EOVERLOAD || loaded[0].result == FB_ECLOSED) {
        return;
    }
    for (size_t i = 0; i < item_count; i++) {
        failed |= loaded[i].result < 0;
        negative |= loaded[i].result == FB_NEGATIVE;
    }
    fb_cache_count(cache, class_id, FB_COUNTER_loads, 1);
    fb_cache_count(cache, class_id, FB_COUNTER_batches, item_count > 1);
    fb_cache_count(cache, class_id, FB_COUNTER_load_failures, failed);
    fb_cache_count(cache, class_id, FB_COUNTER_load_negatives, negative);
    fb_cache_time(cache, class_id, FB_TIMING_LOAD, loaded[0].took_ns);
}

// The tags that follow from the parameters: every load has them, whoever ran it.
static void add_tags(fb_flight *flight) {
    fb_loaded *loaded = &flight->loaded;
    int result = loaded->result < 0
                     ? FB_OK
                     : fb_class_param_tags(flight->class_, &flight->item.bound, loaded);
    if (result < 0) {
        loaded->result = result;
        fb_loaded_error(loaded, FB_STR("more tags than an entry may have, or one too long"));
    }
}

// All members of the load leave it and land, in the order of its items.
static void land(fb_flights *flights, fb_list *landing, int64_t now_ns) {
    while (!fb_list_empty(landing)) {
        fb_flight *flight = FB_LIST_OF(landing->next, fb_flight, member);
        fb_list_remove(&flight->member);
        flight->from_source = true;
        add_tags(flight);
        fb_flight_land(flights, flight, now_ns);
    }
}

static void take_members(fb_flight *host, fb_list *landing) {
    FB_ASSERT(host->stage == FB_STAGE_LOADING);
    fb_list_init(landing);
    while (!fb_list_empty(&host->members)) {
        fb_list *member = host->members.next;
        fb_list_remove(member);
        fb_list_insert(landing, member);
    }
    host->member_count = 0;
}

void fb_batch_loaded(fb_flights *flights, fb_flight *host, fb_loaded *loaded, size_t item_count,
                     int64_t now_ns) {
    FB_ASSERT(item_count == host->member_count);
    for (size_t i = 0; i < item_count; i++) {
        normalise(&loaded[i]);
    }
    tally(flights, host, loaded, item_count);
    fb_list landing;
    take_members(host, &landing);
    FB_LIST_EACH(node, &landing) {
        FB_LIST_OF(node, fb_flight, member)->loaded = *loaded;
        fb_loaded_init(loaded++);
    }
    land(flights, &landing, now_ns);
}

void fb_batch_failed(fb_flights *flights, fb_flight *host, int result, fb_str text,
                     int64_t now_ns) {
    FB_ASSERT(result < 0);
    fb_list landing;
    take_members(host, &landing);
    FB_LIST_EACH(node, &landing) {
        fb_loaded *loaded = &FB_LIST_OF(node, fb_flight, member)->loaded;
        loaded->result = result;
        fb_loaded_error(loaded, text);
    }
    land(flights, &landing, now_ns);
}
