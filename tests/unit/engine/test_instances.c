// What a program may rely on that has forebay in itself: several engines at once, fork(), and the hooks of
// the process, each through the public headers alone.

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <forebay/client.h>
#include <forebay/forebay.h>
#include <forebay/reader.h>

enum { ROUNDS = 300 };
#define THING "memory: 4MiB\nclasses:\n  thing: {key: 'thing:{id}', ttl: 1h}\n"

static fb_str text_of(const char *text) {
    return (fb_str){text, strlen(text)};
}

static fb_engine *open_engine(const char *yaml) {
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error = {.text = ""};
    assert_int_equal(fb_config_new(&config), FB_OK);
    assert_int_equal(fb_config_read(config, text_of(yaml), NULL, &error), FB_OK);
    if (fb_open(config, &engine, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    fb_config_free(config);
    return engine;
}

// ---- several engines

static int load_name(void *arg, const fb_load *load, fb_loaded *loaded) {
    (void)load;
    return fb_loaded_value(loaded, text_of(arg));
}

static int fetch(fb_engine *engine, const char *id, const char *name, fb_value *value) {
    const fb_param param = {FB_STR("id"), text_of(id)};
    const fb_request request = {.class_name = FB_STR("thing"),
                                .params = &param,
                                .param_count = 1,
                                .loader = load_name,
                                .loader_arg = (void *)(uintptr_t)name};
    return fb_fetch(engine, &request, value, NULL);
}

typedef struct user {
    pthread_t thread;
    fb_engine *engine;
    const char *name;
    int strange;  // answers that were another engine's
} user;

static void *use(void *arg) {
    user *one = arg;
    const fb_invalidation all = {.scope = FB_SCOPE_CLASS, .name = FB_STR("thing")};
    for (int i = 0; i < ROUNDS; i++) {
        char id[16];
        fb_value value;
        snprintf(id, sizeof id, "%d", i % 7);
        bool right = fetch(one->engine, id, one->name, &value) == FB_OK &&
                     value.data.len == strlen(one->name) &&
                     memcmp(value.data.ptr, one->name, value.data.len) == 0;
        fb_value_release(&value);
        right = fb_set(one->engine, FB_STR("mine"), text_of(one->name), NULL) == FB_OK && right;
        right = (i % 50 != 49 || fb_invalidate(one->engine, &all, NULL) == FB_OK) && right;
        one->strange += right ? 0 : 1;
    }
    return NULL;
}

static void assert_mine(fb_engine *engine, const char *name) {
    fb_value value;
    assert_int_equal(fb_get_copy(engine, FB_STR("mine"), &value), FB_OK);
    assert_int_equal(value.data.len, strlen(name));
    assert_memory_equal(value.data.ptr, name, value.data.len);
    fb_value_release(&value);
}

// The second is another in every respect, and has a limit that the first has not.
static void try_two(bool first_closes_first) {
    static const char one_text[] =
        "memory: 4MiB\nloops: 1\n"
        "classes:\n  thing: {key: 'thing:{id}', ttl: 1h}\n";
    static const char two_text[] =
        "memory: 16MiB\nloops: 2\nworkers: 2\n"
        "limits:\n  tries: {limit: 1, window: 1h}\n"
        "classes:\n  thing: {key: 'other:{id}', ttl: 5s, negative_ttl: 1s}\n";
    fb_engine *one = open_engine(one_text), *two = open_engine(two_text);
    user users[2] = {{.engine = one, .name = "one"}, {.engine = two, .name = "two"}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(users[i].thread, NULL), 0);
        assert_int_equal(users[i].strange, 0);
    }
    const fb_limit_question question = {.rule = FB_STR("tries"), .key = FB_STR("k"), .cost = 1};
    fb_verdict verdict;
    assert_int_equal(fb_limit_check(one, &question, 1, 0, &verdict, NULL), FB_ENOLIMIT);
    assert_int_equal(fb_limit_check(two, &question, 1, 0, &verdict, NULL), FB_OK);
    fb_close(first_closes_first ? one : two, 1000);
    fb_engine *left = first_closes_first ? two : one;
    assert_mine(left, first_closes_first ? "two" : "one");
    user last = {.engine = left, .name = first_closes_first ? "two" : "one"};
    use(&last);
    assert_int_equal(last.strange, 0);
    fb_close(left, 1000);
}

static void test_engines__two_work_at_once_and_close_in_any_order(void **state) {
    (void)state;
    try_two(true);
    try_two(false);
}

// ---- fork

enum { PANICKED = 42, RETURNED = 43, WRONG_WORDS = 44 };

static void end_child(void *arg, const char *file, int line, const char *expression) {
    (void)arg, (void)file, (void)line;
    _exit(strstr(expression, "after fork()") != NULL ? PANICKED : WRONG_WORDS);
}

static void seen(void *arg, const fb_value *value) {
    (void)arg, (void)value;
}

static void call_get(fb_engine *engine) {
    (void)!fb_get(engine, FB_STR("k"), seen, NULL);
}

static void call_set(fb_engine *engine) {
    (void)!fb_set(engine, FB_STR("k"), FB_STR("v"), NULL);
}

static void call_fetch(fb_engine *engine) {
    fb_value value;
    (void)!fetch(engine, "1", "child", &value);
}

static void call_invalidate(fb_engine *engine) {
    const fb_invalidation all = {.scope = FB_SCOPE_ALL};
    (void)!fb_invalidate(engine, &all, NULL);
}

static void call_stats(fb_engine *engine) {
    fb_stats stats;
    (void)!fb_stats_read(engine, &stats);
}

static void call_limit(fb_engine *engine) {
    const fb_limit_question question = {.rule = FB_STR("api"), .key = FB_STR("k"), .cost = 1};
    fb_verdict verdict;
    (void)!fb_limit_check(engine, &question, 1, 0, &verdict, NULL);
}

static void call_enqueue(fb_engine *engine) {
    const fb_job_spec spec = {.queue = FB_STR("default"), .priority = FB_JOB_PRIORITY_UNSET};
    fb_enqueued job;
    (void)!fb_queue_enqueue(engine, &spec, 1, &job, NULL);
}

static void nothing(void *arg) {
    (void)arg;
}

static void call_post(fb_engine *engine) {
    (void)!fb_loop_post(engine, 0, nothing, NULL);
}

static fb_worker *crew;  // of the parent's

static void free_worker_twice(fb_engine *engine) {
    (void)engine;
    fb_worker_free(crew, 1000);
    fb_worker_free(crew, 0);
}

static int no_work(void *arg, const fb_job *job, fb_work *work) {
    (void)arg, (void)job, (void)work;
    return FB_OK;
}

// What the child does takes no memory: a sanitizer's allocator may have been forked in the middle of
// something.
static int status_of_child(fb_engine *engine, void (*call)(fb_engine *engine)) {
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        call(engine);
        _exit(RETURNED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void close_twice(fb_engine *engine) {
    fb_close(engine, 1000);
    fb_close(engine, 0);
}

static void test_fork__a_child_is_told_that_the_engine_is_not_its_own(void **state) {
    void (*const calls[])(fb_engine *engine) = {call_get,   call_set,     call_fetch, call_invalidate,
                                                call_stats, call_limit,   call_enqueue, call_post};
    const fb_hooks hooks = {.panic = end_child};
    (void)state;
    fb_hooks_set(&hooks);  // here: the child of a process with threads does as little as it can
    fb_engine *engine = open_engine(THING);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        assert_int_equal(status_of_child(engine, calls[i]), PANICKED);
    }
    assert_int_equal(status_of_child(engine, close_twice), RETURNED);
    fb_value value;
    assert_int_equal(fetch(engine, "1", "parent", &value), FB_OK);  // the parent's goes on
    fb_value_release(&value);
    fb_close(engine, 1000);
    fb_hooks_set(NULL);
}

static void test_fork__a_child_leaves_its_parents_workers_alone(void **state) {
    char folder[] = "/tmp/forebay-instances.XXXXXX", text[256];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(text, sizeof text, "memory: 4MiB\nqueue: {file: %s/queue.db}\n", folder);
    fb_engine *engine = open_engine(text);
    const fb_str queue = FB_STR("default");
    const fb_worker_options options = {.queues = &queue, .queue_count = 1, .work = no_work};
    assert_int_equal(fb_worker_new(engine, &options, &crew, NULL), FB_OK);
    assert_int_equal(status_of_child(engine, free_worker_twice), RETURNED);
    fb_worker_free(crew, 1000);
    fb_close(engine, 1000);
    snprintf(text, sizeof text, "rm -r %s", folder);
    assert_int_equal(system(text), 0);
}

#ifndef __SANITIZE_THREAD__  // which does not support threads of a forked child
static void open_in_child(fb_engine *engine) {
    (void)engine;
    fb_engine *own = open_engine("memory: 4MiB\nloops: 1\n");
    assert_int_equal(fb_set(own, FB_STR("mine"), FB_STR("child"), NULL), FB_OK);
    assert_mine(own, "child");
    fb_close(own, 1000);
}

static void test_fork__a_child_opens_an_engine_of_its_own(void **state) {
    (void)state;
    fb_close(open_engine("memory: 4MiB\n"), 1000);
    assert_int_equal(status_of_child(NULL, open_in_child), RETURNED);
    fb_engine *engine = open_engine("memory: 4MiB\n");
    fb_close(engine, 1000);
}
#endif

// ---- hooks

typedef struct counts {
    atomic_long live, calls;
} counts;

static void *count_resize(void *arg, void *ptr, size_t size) {
    counts *seen_so_far = arg;
    atomic_fetch_add(&seen_so_far->calls, 1);
    if (size == 0) {
        atomic_fetch_sub(&seen_so_far->live, ptr != NULL ? 1 : 0);
        free(ptr);
        return NULL;
    }
    void *place = realloc(ptr, size);
    atomic_fetch_add(&seen_so_far->live, place != NULL && ptr == NULL ? 1 : 0);
    return place;
}

static int make_object(void *arg, fb_str name, void **object) {
    (void)arg, (void)name;
    *object = NULL;
    return FB_OK;
}

// Some of everything, on a thread that ends: what a thread keeps goes with it.
static void *use_everything(void *arg) {
    char *folder = arg, yaml[256];
    snprintf(yaml, sizeof yaml,
             "memory: 4MiB\nqueue: {file: %s/queue.db}\n"
             "classes:\n  thing: {key: 'thing:{id}', ttl: 1h, tags: ['t:{id}']}\n",
             folder);
    fb_engine *engine = open_engine(yaml);
    user one = {.engine = engine, .name = "value"};
    use(&one);
    assert_int_equal(one.strange, 0);
    const fb_limit_question question = {.rule = FB_STR("api"), .key = FB_STR("k"), .cost = 1};
    fb_verdict verdict;
    assert_int_equal(fb_limit_check(engine, &question, 1, 0, &verdict, NULL), FB_OK);
    const fb_job_spec spec = {.queue = FB_STR("default"),
                              .payload = FB_STR("work"),
                              .priority = FB_JOB_PRIORITY_UNSET};
    fb_enqueued job;
    assert_int_equal(fb_queue_enqueue(engine, &spec, 1, &job, NULL), FB_OK);
    fb_stats stats;
    assert_int_equal(fb_stats_read(engine, &stats), FB_OK);
    fb_stats_release(&stats);
    fb_registry *registry = NULL;
    void *object;
    assert_int_equal(fb_registry_new(&registry), FB_OK);
    assert_int_equal(fb_registry_get(registry, FB_STR("model"), make_object, NULL, NULL, &object),
                     FB_OK);
    fb_registry_free(registry);
    fb_close(engine, 1000);
    return NULL;
}

static void test_hooks__the_allocator_gets_everything_back(void **state) {
    counts all = {0};
    const fb_hooks hooks = {.resize = count_resize, .arg = &all};
    char folder[] = "/tmp/forebay-instances.XXXXXX", command[128];
    pthread_t thread;
    (void)state;
    assert_non_null(mkdtemp(folder));
    fb_hooks_set(&hooks);
    assert_int_equal(pthread_create(&thread, NULL, use_everything, folder), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    fb_hooks_set(NULL);
    assert_true(atomic_load(&all.calls) > 1000);
    assert_int_equal(atomic_load(&all.live), 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

typedef struct events {
    pthread_mutex_t lock;
    char event[64], fields[512];
    fb_log_level level;
} events;

static void keep_event(void *arg, fb_log_level level, const char *event, const char *fields) {
    events *kept = arg;
    pthread_mutex_lock(&kept->lock);
    snprintf(kept->event, sizeof kept->event, "%s", event);
    snprintf(kept->fields, sizeof kept->fields, "%s", fields);
    kept->level = level;
    pthread_mutex_unlock(&kept->lock);
}

static int fail_to_load(void *arg, const fb_load *load, fb_loaded *loaded) {
    (void)arg, (void)load;
    fb_loaded_error(loaded, FB_STR("the well is dry"));
    return FB_EIO;
}

static void test_hooks__the_log_hears_of_a_load_that_failed(void **state) {
    events kept = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const fb_hooks hooks = {.log = keep_event, .arg = &kept};
    (void)state;
    fb_hooks_set(&hooks);
    fb_engine *engine = open_engine(THING);
    const fb_param param = {FB_STR("id"), FB_STR("7")};
    const fb_request request = {.class_name = FB_STR("thing"),
                                .params = &param,
                                .param_count = 1,
                                .loader = fail_to_load};
    fb_value value;
    fb_error error;
    assert_int_equal(fb_fetch(engine, &request, &value, &error), FB_EIO);
    assert_string_equal(error.text, "the well is dry");
    assert_int_equal(error.code, FB_EIO);
    fb_close(engine, 1000);  // what there is to be logged has been then
    fb_hooks_set(NULL);
    assert_string_equal(kept.event, "load_failed");
    assert_int_equal(kept.level, FB_LOG_WARN);
    assert_non_null(strstr(kept.fields, "class=thing"));
    assert_non_null(strstr(kept.fields, "the well is dry"));
}

static jmp_buf after_panic;

static void keep_panic(void *arg, const char *file, int line, const char *expression) {
    (void)line;
    snprintf(arg, 256, "%s: %s", file, expression);
    longjmp(after_panic, 1);
}

static void test_hooks__a_panic_goes_where_the_program_says(void **state) {
    char said[256] = "";
    const fb_hooks hooks = {.panic = keep_panic, .arg = said};
    (void)state;
    fb_hooks_set(&hooks);
    fb_engine *engine = open_engine("memory: 4MiB\nloops: 1\n");
    if (setjmp(after_panic) == 0) {
        (void)fb_loop_base(engine, 1);
        fail();
    }
    fb_close(engine, 1000);
    fb_hooks_set(NULL);
    assert_non_null(strstr(said, "engine.c"));
    assert_non_null(strstr(said, "index"));
}

// ---- errors

static void ignore_event(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg, (void)level, (void)event, (void)fields;
}

typedef struct mistakes {
    fb_config *config;
    fb_engine *engine;
} mistakes;

// One mistake for each call that takes an fb_error; its result, and 0 after the last.
static int make_mistake(const mistakes *on, int which, fb_error *error) {
    const fb_param param = {FB_STR("nobody"), FB_STR("7")};
    const fb_request request = {.class_name = FB_STR("nothing"), .loader = load_name};
    const fb_request parameter = {.class_name = FB_STR("thing"),
                                  .params = &param,
                                  .param_count = 1,
                                  .loader = load_name};
    const fb_limit_question question = {.rule = FB_STR("none"), .key = FB_STR("k"), .cost = 1};
    const fb_limit_override override = {.kind = FB_LIMIT_OVERRIDE_ALLOW, .for_ms = 1000};
    const fb_job_spec spec = {.queue = FB_STR("none"), .priority = FB_JOB_PRIORITY_UNSET};
    const fb_queue_call call = {.verb = FB_QUEUE_LOOK, .queue = FB_STR("none")};
    const fb_mail mail = {.kind = FB_STR("none"), .to = FB_STR("ada@example.org")};
    const fb_worker_options options = {.queues = &spec.queue, .queue_count = 1};
    const fb_client_options away = {.url = FB_STR("ftp://nowhere")};
    const fb_reader_options no_file = {.file = FB_STR("/nothing/there")};
    static const char *const wrong[] = {"a: [", "no_such_option: 1", "memory: 3 apples"};
    fb_value value;
    fb_verdict verdict;
    fb_enqueued job;
    uint64_t token;
    char id[FB_JOB_ID_SIZE];
    char **list = NULL;
    fb_worker *worker = NULL;
    fb_client *client = NULL;
    fb_reader *reader = NULL;
    switch (which) {
        case 0:
        case 1:
        case 2:
            return fb_config_read(on->config, text_of(wrong[which]), "wrong.yaml", error);
        case 3: return fb_config_set(on->config, FB_STR("memory"), FB_STR("much"), error);
        case 4: return fb_config_parse_dotenv(FB_STR("="), ".env", &list, error);
        case 5: return fb_config_environment(on->config, (const char *[]){"FOREBAY_X=1", NULL}, error);
        case 6: return fb_fetch(on->engine, &request, &value, error);
        case 7: return fb_fetch(on->engine, &parameter, &value, error);
        case 8: return fb_warm(on->engine, FB_STR("nothing"), NULL, 0, NULL, error);
        case 9: return fb_limit_check(on->engine, &question, 1, 0, &verdict, error);
        case 10: return fb_limit_refund(on->engine, &question, NULL, error);
        case 11: return fb_limit_reset(on->engine, question.rule, question.key, error);
        case 12:
            return fb_limit_override_set(on->engine, question.rule, question.key, &override, error);
        case 13: return fb_slot_acquire(on->engine, &question, 0, &token, &verdict, error);
        case 14: return fb_throttle(on->engine, FB_STR("k"), -1, 0, 0, 1, &verdict, error);
        case 15: return fb_queue_enqueue(on->engine, &spec, 1, &job, error);
        case 16: return fb_queue_ask(on->engine, &call, NULL, NULL, error);
        case 17: return fb_worker_new(on->engine, &options, &worker, error);
        case 18: return fb_mail_send(on->engine, &mail, id, error);
        case 19: return fb_mail_test(on->engine, FB_STR("none"), NULL, NULL, error);
        case 20: return fb_client_open(&away, &client, error);
        case 21: return fb_reader_open(&no_file, &reader, error);
        case 22: return fb_otp_peek(on->engine, FB_STR(""), error);
        default: return 0;
    }
}

static void test_errors__say_in_words_what_was_wrong(void **state) {
    const fb_hooks quiet = {.log = ignore_event};
    mistakes on = {NULL, NULL};
    int result;
    (void)state;
    fb_hooks_set(&quiet);
    assert_int_equal(fb_config_new(&on.config), FB_OK);
    on.engine = open_engine(THING);
    int which = 0;
    do {
        fb_error error = {.text = ""};
        result = make_mistake(&on, which, &error);
        assert_true(result <= 0 || result == FB_MISS);
        if (result < 0 && (error.text[0] == '\0' || error.code != result)) {
            fail_msg("mistake %d: %s, told %s '%s'", which, fb_result_name(result),
                     fb_result_name(error.code), error.text);
        }
        assert_int_equal(make_mistake(&on, which, NULL), result);  // nobody has to be told
        which++;
    } while (result != 0);
    assert_int_equal(which, 24);
    fb_close(on.engine, 1000);
    fb_config_free(on.config);
    fb_hooks_set(NULL);
}

// ---- pointers

// What the headers say may be NULL is not looked at; the client's and the store's have tests of their own.
static void test_null__where_a_header_allows_it(void **state) {
    const fb_invalidation all = {.scope = FB_SCOPE_CLASS, .name = FB_STR("thing")};
    const fb_limit_question question = {.rule = FB_STR("api"), .key = FB_STR("k"), .cost = 1};
    const fb_param param = {FB_STR("id"), FB_STR("1")};
    const char *const nothing_set[] = {NULL};
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_value value = {0};
    fb_stats stats = {0};
    uint64_t lease;
    (void)state;
    assert_int_equal(fb_config_new(&config), FB_OK);
    assert_int_equal(fb_config_read(config, FB_STR(THING), NULL, NULL), FB_OK);
    assert_int_equal(fb_config_set(config, FB_STR("loops"), FB_STR("1"), NULL), FB_OK);
    assert_int_equal(fb_config_environment(config, nothing_set, NULL), FB_OK);
    assert_int_equal(fb_config_check(config, NULL), FB_OK);
    assert_int_equal(fb_check(config, NULL), FB_OK);
    assert_int_equal(fb_open(config, &engine, NULL), FB_OK);
    assert_int_equal(fb_reload(engine, config, NULL, NULL, NULL), FB_OK);
    assert_int_equal(fb_set(engine, FB_STR("k"), (fb_str){NULL, 0}, NULL), FB_OK);
    assert_int_equal(fb_lease_get(engine, FB_STR("l"), 0, &value, &lease), FB_MISS);
    assert_int_equal(fb_lease_fill(engine, FB_STR("l"), lease, FB_STR("v"), NULL), FB_OK);
    assert_int_equal(fb_invalidate(engine, &all, NULL), FB_OK);
    assert_int_equal(fb_invalidate_to(engine, &all, NULL, NULL, NULL), FB_OK);
    assert_int_equal(fb_warm(engine, FB_STR("thing"), &param, 1, NULL, NULL), FB_ENOSOURCE);
    assert_int_equal(fb_warm_top(engine, FB_STR("thing"), 1, NULL), FB_ENOSOURCE);
    assert_int_equal(fb_limit_refund(engine, &question, NULL, NULL), FB_OK);
    fb_value_release(&value);
    fb_stats_release(&stats);
    fb_close(engine, 1000);
    fb_config_free(config);
    fb_close(NULL, 0);
    fb_config_free(NULL);
    fb_config_free_dotenv(NULL);
    fb_registry_free(NULL);
    fb_worker_free(NULL, 0);
    fb_client_close(NULL);
    fb_reader_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engines__two_work_at_once_and_close_in_any_order),
        cmocka_unit_test(test_fork__a_child_is_told_that_the_engine_is_not_its_own),
        cmocka_unit_test(test_fork__a_child_leaves_its_parents_workers_alone),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(test_fork__a_child_opens_an_engine_of_its_own),
#endif
        cmocka_unit_test(test_hooks__the_allocator_gets_everything_back),
        cmocka_unit_test(test_hooks__the_log_hears_of_a_load_that_failed),
        cmocka_unit_test(test_errors__say_in_words_what_was_wrong),
        cmocka_unit_test(test_null__where_a_header_allows_it),
        cmocka_unit_test(test_hooks__a_panic_goes_where_the_program_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
