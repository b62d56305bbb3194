// An engine whose memory tier other processes read: what they find there while it runs, after it
// stopped, after it was killed, and after the next one came.

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/log.h"
#include "cache/hints.h"
#include "cache/outside.h"
#include "engine_rig.h"
#include "os/clock.h"
#include "os/region_file.h"

static char region_path[96];
static char yaml_text[2048];

static const char CLASSES[] =
    "classes:\n"
    "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h, jitter: 0,\n"
    "         tags: ['kind:{kind}'],\n"
    "         query: 'SELECT gate(kind) AS kind, version FROM item WHERE id = :id'}\n";

static int up(void **state) {
    if (access("/dev/shm", W_OK) != 0) {
        return -1;
    }
    (void)snprintf(region_path, sizeof region_path, "/dev/shm/forebay-test-%ld", (long)getpid());
    return rig_up(state);
}

static int down(void **state) {
    static const char *const endings[] = {"", ".hints", ".lock"};
    for (size_t i = 0; i < 3; i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "%s%s", region_path, endings[i]);
        (void)unlink(name);
    }
    return rig_down(state);
}

static const char *yaml(const char *keep, const char *memory, const char *classes) {
    (void)snprintf(yaml_text, sizeof yaml_text,
                   "memory: %s\nloops: 2\nworkers: 2\nregion: {file: %s, keep: %s}\n"
                   "sources: {base: {sqlite: a.db}}\n%s",
                   memory, region_path, keep, classes);
    return yaml_text;
}

static fb_engine *open_region(bool keep) {
    return rig_open(yaml(keep ? "true" : "false", "8MiB", CLASSES));
}

// ---- as another process would

typedef struct reader {
    fb_store *store;
    fb_outside outside;
} reader;

static reader attach(void) {
    reader one = {NULL};
    char text[64];
    fb_str boot;
    fb_error error = {0};
    uint64_t bytes = 0;
    int fd = open(region_path, O_RDONLY);
    assert_true(fd >= 0);
    assert_ok(fb_region_file_boot(text, &boot));
    if (fb_store_attach(fd, FB_OUTSIDE_FORMAT, fb_outside_boot(boot), &one.store, &error) !=
        FB_OK) {
        fail_msg("%s", error.text);
    }
    (void)close(fd);
    const void *room = fb_store_app(one.store, &bytes);
    assert_ok(fb_outside_view(room, bytes, &one.outside));
    return one;
}

static bool alive(const reader *one) {
    return fb_store_alive_at(one->store, fb_clock_now_ns(), INT64_C(30000000000));
}

typedef struct look {
    const reader *one;
    bool fresh;
    char text[128];
} look;

static void see(void *arg, const fb_item *item) {
    look *at = arg;
    fb_value value;
    at->fresh = fb_outside_judge(&at->one->outside, item, fb_clock_now_ns(), NULL, &value) == FB_OK;
    if (at->fresh) {
        (void)snprintf(at->text, sizeof at->text, "%.*s", FB_STR_ARG(value.data));
    }
}

static void assert_seen(const reader *one, const char *key, const char *text) {
    look at = {.one = one};
    if (fb_store_get(one->store, fb_str_of(key), fb_clock_now_ns(), see, &at) != FB_OK) {
        at.fresh = false;
    }
    assert_string_equal(at.fresh ? at.text : "ask", text);
}

static int fetch(fb_engine *engine, const char *id) {
    asker one;
    asker_init(&one, engine, NULL, id);
    ask(&one);
    fb_value_release(&one.value);
    return one.result;
}

static int loads(void) {
    return atomic_load(&rig_gate.loads);
}

// ---- tests

static void test_region__is_read_beside_the_engine(void **state) {
    fb_engine *engine = open_region(false);
    fb_region_info info;
    struct stat file;
    fb_region_info_read(engine, &info);
    assert_string_equal(info.file, region_path);
    assert_non_null(strstr(info.hints, ".hints"));
    assert_int_equal(info.limit_bytes, 8 << 20);
    reader one = attach();
    assert_true(alive(&one));
    assert_true(info.generation == fb_outside_generation(&one.outside));
    assert_ok(fb_set(engine, FB_STR("a"), FB_STR("1"), NULL));
    assert_ok(fetch(engine, "1"));
    assert_seen(&one, "a", "1");
    assert_seen(&one, "item:1", "{\"kind\":\"a\",\"version\":0}");
    fb_invalidation what = {.scope = FB_SCOPE_TAG, .name = FB_STR("kind:a")};
    assert_ok(fb_invalidate(engine, &what, NULL));
    assert_seen(&one, "item:1", "ask");
    // More and less memory at run time: the region stays the same.
    fb_error error;
    assert_ok(rig_reload(engine, yaml("false", "32MiB", CLASSES), &error));
    fb_region_info_read(engine, &info);
    assert_int_equal(info.limit_bytes, 32 << 20);
    assert_seen(&one, "a", "1");
    assert_ok(rig_reload(engine, yaml("false", "4MiB", CLASSES), &error));
    assert_true(alive(&one));
    assert_ok(fb_set(engine, FB_STR("b"), FB_STR("2"), NULL));
    assert_seen(&one, "b", "2");
    fb_close(engine, 1000);
    assert_false(alive(&one));
    assert_int_equal(stat(region_path, &file), -1);  // it is memory: nobody has a use for it
    fb_store_free(one.store);
}

static void test_region__private_memory_has_none(void **state) {
    fb_engine *engine = rig_open("memory: 8MiB\n");
    fb_region_info info;
    fb_region_info_read(engine, &info);
    assert_null(info.file);
    assert_null(info.hints);
    assert_int_equal(info.limit_bytes, 8 << 20);
    fb_close(engine, 0);
}

static int try_open(const char *text, fb_error *error) {
    fb_config *config = rig_config(text);
    fb_engine *engine = NULL;
    int result = fb_open(config, &engine, error);
    fb_config_free(config);
    fb_close(engine, 0);
    return result;
}

static void test_region__has_one_engine(void **state) {
    fb_error error = {0};
    fb_engine *engine = open_region(false);
    assert_ok(fb_set(engine, FB_STR("a"), FB_STR("1"), NULL));
    assert_result(try_open(yaml("false", "8MiB", CLASSES), &error), FB_EIO);
    assert_non_null(strstr(error.text, "belongs to process"));
    reader one = attach();  // it did no harm
    assert_true(alive(&one));
    assert_seen(&one, "a", "1");
    fb_store_free(one.store);
    fb_close(engine, 0);
}

static void test_region__keeping_needs_a_file(void **state) {
    fb_error error = {0};
    assert_result(try_open("region: {keep: true}\n", &error), FB_ECONFLICT);
    assert_non_null(strstr(error.text, "region.file"));
}

static void test_region__is_kept_over_a_stop(void **state) {
    fb_engine *engine = open_region(true);
    assert_ok(fb_set(engine, FB_STR("a"), FB_STR("1"), NULL));
    assert_ok(fetch(engine, "1"));
    assert_ok(fetch(engine, "3"));
    fb_invalidation what = {.scope = FB_SCOPE_TAG, .name = FB_STR("kind:b")};
    assert_ok(fb_invalidate(engine, &what, NULL));
    reader one = attach();
    fb_close(engine, 1000);
    assert_false(alive(&one));  // nobody keeps it up
    int before = loads();
    // Another class comes first: the numbers of those that were there stay with their names.
    char classes[1024];
    (void)snprintf(classes, sizeof classes, "%s%s",
                   "classes:\n  first: {key: 'first:{id}', namespace: new, ttl: 1h}\n",
                   CLASSES + strlen("classes:\n"));
    engine = rig_open(yaml("true", "8MiB", classes));
    assert_true(alive(&one));  // who had it open goes on
    assert_seen(&one, "a", "1");
    assert_seen(&one, "item:1", "{\"kind\":\"a\",\"version\":0}");
    assert_seen(&one, "item:3", "ask");
    assert_ok(fetch(engine, "1"));
    assert_int_equal(loads(), before);
    assert_ok(fetch(engine, "3"));  // it was invalidated before
    assert_int_equal(loads(), before + 1);
    fb_store_free(one.store);
    fb_close(engine, 1000);
}

// The child is killed where it stands.
static void in_a_child_that_is_killed(void (*work)(fb_engine *engine)) {
    pid_t child = fork();
    if (child == 0) {
        work(open_region(true));
        (void)kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void fill(fb_engine *engine) {
    for (int i = 0; i < 2000; i++) {
        char key[24], value[24];
        int key_len = snprintf(key, sizeof key, "key:%d", i);
        int value_len = snprintf(value, sizeof value, "value:%d", i);
        assert_ok(fb_set(engine, fb_str_make(key, (size_t)key_len),
                         fb_str_make(value, (size_t)value_len), NULL));
    }
    assert_ok(fetch(engine, "1"));
    assert_ok(fetch(engine, "3"));
    fb_invalidation what = {.scope = FB_SCOPE_TAG, .name = FB_STR("kind:a")};
    assert_ok(fb_invalidate(engine, &what, NULL));
    assert_ok(fb_del(engine, FB_STR("key:7")));
}

static void test_region__is_kept_over_a_kill(void **state) {
    in_a_child_that_is_killed(fill);
    fb_engine *engine = open_region(true);
    fb_value value;
    assert_int_equal(fb_count(engine), 2001);  // what was invalidated is swept later
    assert_ok(fb_get_copy(engine, FB_STR("key:1999"), &value));
    assert_str(value.data, "value:1999");
    fb_value_release(&value);
    assert_result(fb_exists(engine, FB_STR("key:7")), FB_MISS);
    assert_result(fb_exists(engine, FB_STR("item:1")), FB_MISS);
    assert_ok(fb_exists(engine, FB_STR("item:3")));
    fb_close(engine, 0);
}

static void test_region__without_keep_a_start_is_empty(void **state) {
    in_a_child_that_is_killed(fill);
    reader old = attach();
    assert_true(alive(&old));  // for all that can be known so soon
    fb_engine *engine = open_region(false);
    assert_int_equal(fb_count(engine), 0);
    assert_false(alive(&old));  // its readers turn away at once
    reader now = attach();
    assert_true(alive(&now));
    assert_seen(&now, "key:1", "ask");
    assert_true(fb_outside_generation(&old.outside) != fb_outside_generation(&now.outside));
    fb_store_free(old.store);
    fb_store_free(now.store);
    fb_close(engine, 0);
}

// What was logged since it was empty last.
static char logged[2048];
static pthread_mutex_t logged_lock = PTHREAD_MUTEX_INITIALIZER;

static void keep_log(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg, (void)level;
    pthread_mutex_lock(&logged_lock);
    size_t len = strlen(logged);
    (void)snprintf(logged + len, sizeof logged - len, "%s %s\n", event, fields);
    pthread_mutex_unlock(&logged_lock);
}

static void test_region__what_cannot_be_kept_is_replaced_and_told(void **state) {
    in_a_child_that_is_killed(fill);
    int fd = open(region_path, O_RDWR);
    assert_true(fd >= 0);
    uint32_t format = 99;
    assert_int_equal(pwrite(fd, &format, sizeof format, 8), sizeof format);
    (void)close(fd);
    logged[0] = '\0';
    fb_engine *engine = open_region(true);
    assert_non_null(strstr(logged, "region_not_kept"));
    assert_non_null(strstr(logged, "format 99"));
    assert_int_equal(fb_count(engine), 0);
    assert_ok(fb_set(engine, FB_STR("a"), FB_STR("1"), NULL));
    reader one = attach();
    assert_seen(&one, "a", "1");
    fb_store_free(one.store);
    fb_close(engine, 0);
}

static void test_region__hits_of_readers_are_counted(void **state) {
    fb_engine *engine = open_region(false);
    fb_region_info info;
    assert_ok(fetch(engine, "1"));
    reader one = attach();
    fb_region_info_read(engine, &info);
    int fd = open(info.hints, O_RDWR);
    assert_true(fd >= 0);
    fb_hints *hints = mmap(NULL, sizeof *hints, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(hints != MAP_FAILED);
    assert_true(hints->magic == FB_HINTS_MAGIC);
    uint16_t id = fb_outside_class_id(&one.outside, FB_STR("item"));
    for (uint32_t i = 0; i < 100; i++) {
        fb_hints_note(hints, fb_store_hash(one.store, FB_STR("item:1")), id, i);
    }
    uint64_t hits = rig_figures(engine, "item").hits;
    rig_until(rig_figures(engine, "item").region_hits == 100);
    assert_int_equal(rig_figures(engine, "item").hits, hits + 100);
    for (size_t i = 0; i < FB_HINTS_KEYS; i++) {
        rig_until(atomic_load(&hints->keys[i]) == 0);
    }
    // Whoever cuts them short harms nobody but those who read.
    assert_int_equal(munmap(hints, sizeof *hints), 0);
    assert_int_equal(ftruncate(fd, 100), 0);
    struct stat file;
    rig_until(fstat(fd, &file) == 0 && file.st_size == (off_t)sizeof(fb_hints));
    (void)close(fd);
    fb_store_free(one.store);
    fb_close(engine, 0);
}

static int scenario(void *arg) {
    fb_config *config = arg;
    fb_engine *engine = NULL;
    fb_error error;
    int result = fb_open(config, &engine, &error);
    fb_close(engine, 0);
    return result;
}

static void test_region__failing_allocations(void **state) {
    in_a_child_that_is_killed(fill);
    fb_config *config = rig_config(yaml("true", "8MiB", CLASSES));
    test_memory *memory = test_memory_get();
    for (size_t n = 1;; n += 3) {
        test_memory_fail(n);
        int result = scenario(config);
        bool failed = memory->failed;
        test_memory_fail(0);
        if (!failed) {
            assert_ok(result);
            break;
        }
    }
    fb_config_free(config);
    fb_engine *engine = open_region(true);
    assert_ok(fb_exists(engine, FB_STR("key:1999")));  // each of them left it whole
    fb_close(engine, 0);
}

#define region_test(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void) {
    static const fb_hooks hooks = {.log = keep_log};
    fb_hooks_set(&hooks);
    const struct CMUnitTest tests[] = {
        region_test(test_region__is_read_beside_the_engine),
        region_test(test_region__private_memory_has_none),
        region_test(test_region__has_one_engine),
        region_test(test_region__keeping_needs_a_file),
        region_test(test_region__is_kept_over_a_stop),
        region_test(test_region__is_kept_over_a_kill),
        region_test(test_region__without_keep_a_start_is_empty),
        region_test(test_region__what_cannot_be_kept_is_replaced_and_told),
        region_test(test_region__hits_of_readers_are_counted),
        region_test(test_region__failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
