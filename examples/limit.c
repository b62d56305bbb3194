// Limits in a program of one's own: may this user do this now, and if not, when? No daemon is
// asked; with `redis.url` in the configuration the same calls are answered for all processes
// together.
//
//     cc limit.c $(pkg-config --cflags --libs forebay) -o limit && ./limit
//
// It prints:
//
//     ada, 4 pictures: allowed: 6 pictures remaining this minute
//     ada, 8 pictures: denied, 6 of 10 are left
//     ada, if she asked for 6: allowed: 6 pictures remaining this minute
//     ada, 4 given back: 10 pictures remaining this minute
//     bob has his own: allowed: 9 pictures remaining this minute
//     ada has 2 of 2 renderers
//     one more: denied, 0 of 2 are free
//     after she gave one back: allowed

#include <forebay/forebay.h>

#include <stdio.h>

static const char rules[] =
    "limits:\n"
    "  pictures: {limit: 10, window: 1m, per: user, message: pictures}\n"
    "  renderers: {algorithm: slots, limit: 2, window: 5m}\n";

static void print_verdict(const char *who, const fb_verdict *verdict) {
    char text[FB_LIMIT_MESSAGE_SIZE];
    if (verdict->allowed) {
        printf("%s: allowed: %s\n", who, fb_verdict_message(verdict, text));
    } else {  // verdict->retry_us says when to come back
        printf("%s: denied, %u of %u are left\n", who, verdict->remaining, verdict->limit);
    }
}

static int show_quota(fb_engine *engine, fb_error *error) {
    char text[FB_LIMIT_MESSAGE_SIZE];
    fb_limit_question ada = {.rule = FB_STR("pictures"), .key = FB_STR("user:ada"), .cost = 4};
    fb_limit_question bob = {.rule = FB_STR("pictures"), .key = FB_STR("user:bob"), .cost = 1};
    fb_verdict verdict;
    if (fb_limit_check(engine, &ada, 1, 0, &verdict, error) < 0) {
        return FB_EIO;
    }
    print_verdict("ada, 4 pictures", &verdict);
    ada.cost = 8;  // denied: nothing is charged
    if (fb_limit_check(engine, &ada, 1, 0, &verdict, error) < 0) {
        return FB_EIO;
    }
    print_verdict("ada, 8 pictures", &verdict);
    ada.cost = 6;
    if (fb_limit_check(engine, &ada, 1, FB_LIMIT_PEEK, &verdict, error) < 0) {
        return FB_EIO;
    }
    print_verdict("ada, if she asked for 6", &verdict);
    ada.cost = 4;  // the work failed: she does not pay for it
    if (fb_limit_refund(engine, &ada, &verdict, error) < 0) {
        return FB_EIO;
    }
    printf("ada, 4 given back: %s\n", fb_verdict_message(&verdict, text));
    if (fb_limit_check(engine, &bob, 1, 0, &verdict, error) < 0) {
        return FB_EIO;
    }
    print_verdict("bob has his own", &verdict);
    return FB_OK;
}

// How many at a time instead of how many a minute. A lease that is not given back ends by itself.
static int show_slots(fb_engine *engine, fb_error *error) {
    const fb_limit_question ada = {
        .rule = FB_STR("renderers"), .key = FB_STR("user:ada"), .cost = 1};
    uint64_t first, second, third;
    fb_verdict verdict;
    if (fb_slot_acquire(engine, &ada, 0, &first, &verdict, error) != FB_OK ||
        fb_slot_acquire(engine, &ada, 0, &second, &verdict, error) != FB_OK) {
        return FB_EIO;
    }
    printf("ada has 2 of %u renderers\n", verdict.limit);
    if (fb_slot_acquire(engine, &ada, 0, &third, &verdict, error) == FB_LIMITED) {
        printf("one more: denied, %u of %u are free\n", verdict.remaining, verdict.limit);
    }
    if (fb_slot_release(engine, &ada, first, error) < 0) {
        return FB_EIO;
    }
    int result = fb_slot_acquire(engine, &ada, 0, &third, &verdict, error);
    printf("after she gave one back: %s\n", result == FB_OK ? "allowed" : "denied");
    return result;
}

int main(void) {
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error = {.text = "out of memory"};
    int result = fb_config_new(&config);
    result = result ? result
                    : fb_config_read(config, (fb_str){rules, sizeof rules - 1}, NULL, &error);
    result = result ? result : fb_open(config, &engine, &error);
    result = result ? result : show_quota(engine, &error);
    result = result ? result : show_slots(engine, &error);
    if (result != FB_OK) {
        fprintf(stderr, "%s\n", error.text);
    }
    fb_close(engine, 1000);
    fb_config_free(config);
    return result != FB_OK;
}
