// Where the configuration comes from, and who wins.

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/configure.h"
#include "support.h"

static char folder[64], before[4096];

static void write_file(const char *name, const char *text) {
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static int up(void **state) {
    (void)state;
    static const char *const names[] = {"FOREBAY_CONFIG",  "FOREBAY_MEMORY", "FOREBAY_LOOPS",
                                        "FOREBAY_WORKERS", "REDIS_URL",      "REDIS_HOST"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unsetenv(names[i]);
    }
    (void)snprintf(folder, sizeof folder, "/tmp/forebay-configure-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_non_null(getcwd(before, sizeof before));
    return chdir(folder);
}

static int down(void **state) {
    static const char *const names[] = {".env", "forebay.yaml", "other.yaml", "sub/.env",
                                        "sub/c.yaml"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unlink(names[i]);
    }
    (void)rmdir("sub");
    (void)chdir(before);
    return rmdir(folder);
}

// The values of memory, loops and workers, as "8MiB 2 4".
static const char *gather(const fb_configure *how, char *used, fb_error *error) {
    static char text[200];
    static const char *const paths[] = {"memory", "loops", "workers"};
    fb_config *config = NULL;
    size_t len = 0;
    if (fb_configure_read(how, &config, used, FB_CONFIGURE_PATH_SIZE, error) < 0) {
        (void)snprintf(text, sizeof text, "%.150s", error->text);
        return text;
    }
    for (size_t i = 0; i < 3; i++) {
        assert_ok(fb_config_get(config, fb_str_of(paths[i]), text + len, sizeof text - len));
        len += strlen(text + len);
        text[len++] = i < 2 ? ' ' : '\0';
    }
    fb_config_free(config);
    return text;
}

static void test_configure__who_comes_later_wins(void **state) {
    (void)state;
    char used[FB_CONFIGURE_PATH_SIZE];
    fb_error error;
    const char *const settings[] = {"workers=7"};
    fb_configure how = {0};
    assert_string_equal(gather(&how, used, &error), "256MiB 0 0");
    assert_string_equal(used, "");
    write_file("forebay.yaml", "memory: 8MiB\nloops: 2\nworkers: 3\n");
    assert_string_equal(gather(&how, used, &error), "8MiB 2 3");
    assert_string_equal(used, "forebay.yaml");
    write_file(".env", "FOREBAY_LOOPS=4\nexport FOREBAY_WORKERS='5'\nOTHER=x\n");
    assert_string_equal(gather(&how, used, &error), "8MiB 4 5");
    assert_int_equal(setenv("FOREBAY_WORKERS", "6", 1), 0);
    assert_string_equal(gather(&how, used, &error), "8MiB 4 6");
    how.settings = settings;
    how.setting_count = 1;
    assert_string_equal(gather(&how, used, &error), "8MiB 4 7");
}

static void test_configure__the_file_is_chosen_by_flag_then_variable_then_habit(void **state) {
    (void)state;
    char used[FB_CONFIGURE_PATH_SIZE];
    fb_error error;
    fb_configure how = {0};
    write_file("forebay.yaml", "memory: 8MiB\n");
    write_file("other.yaml", "memory: 9MiB\n");
    assert_int_equal(mkdir("sub", 0700), 0);
    write_file("sub/c.yaml", "memory: 10MiB\n");
    write_file("sub/.env", "FOREBAY_LOOPS=3\n");
    assert_int_equal(setenv("FOREBAY_CONFIG", "other.yaml", 1), 0);
    assert_string_equal(gather(&how, used, &error), "9MiB 0 0");
    how.path = "sub/c.yaml";  // with the .env beside it
    assert_string_equal(gather(&how, used, &error), "10MiB 3 0");
    assert_string_equal(used, "sub/c.yaml");
}

static void expect_refused(const fb_configure *how, const char *shown) {
    fb_config *config = NULL;
    fb_error error = {0};
    char text[1024];
    assert_true(fb_configure_read(how, &config, NULL, 0, &error) < 0);
    assert_null(config);
    fb_configure_show_error(&error, text, sizeof text);
    if (strstr(text, shown) == NULL) {
        fail_msg("'%s' is not in: %s", shown, text);
    }
}

static void test_configure__mistakes_have_their_place(void **state) {
    (void)state;
    const char *settings[] = {"memory"};
    fb_configure how = {.path = "missing.yaml"};
    expect_refused(&how, "missing.yaml");
    how = (fb_configure){.settings = settings, .setting_count = 1};
    expect_refused(&how, "--set memory: expected option=value");
    settings[0] = "memroy=1MiB";
    expect_refused(&how, "memory");  // did you mean
    how = (fb_configure){0};
    write_file("forebay.yaml", "memory: 8MiB\nloops: many\n");
    expect_refused(&how, "forebay.yaml:2:8: ");
    write_file("forebay.yaml", "memory: 8MiB\n");
    write_file(".env", "FOREBAY_LOOPS=2\nFOREBAY_WORKERS='\n");
    expect_refused(&how, ".env:2:");
    write_file(".env", "FOREBAY_WORKRES=1\n");
    expect_refused(&how, ".env: FOREBAY_WORKRES");
    write_file(".env", "FOREBAY_WORKERS=many\n");
    expect_refused(&how, ".env: FOREBAY_WORKERS");
}

static void assert_redis(const char *option, const char *expected) {
    fb_configure how = {0};
    fb_config *config = NULL;
    fb_error error;
    char text[64] = "";
    assert_ok(fb_configure_read(&how, &config, NULL, 0, &error));
    assert_ok(fb_config_get(config, fb_str_of(option), text, sizeof text));
    assert_string_equal(text, expected);
    fb_config_free(config);
}

static void test_configure__a_redis_is_seen_wherever_it_is_named(void **state) {
    (void)state;
    write_file(".env", "REDIS_URL=\nREDIS_HOST=cache\n");
    assert_redis("redis.host", "cache");
    assert_int_equal(setenv("REDIS_URL", "redis://other", 1), 0);
    assert_redis("redis.url", "redis://other");
}

static int read_it(void *arg) {
    const fb_configure *how = arg;
    fb_config *config = NULL;
    fb_error error;
    int result = fb_configure_read(how, &config, NULL, 0, &error);
    fb_config_free(config);
    return result;
}

static void test_configure__survives_lack_of_memory(void **state) {
    (void)state;
    const char *const settings[] = {"workers=7"};
    fb_configure how = {.settings = settings, .setting_count = 1};
    write_file("forebay.yaml", "memory: 8MiB\nclasses: {item: {key: 'item:{id}'}}\n");
    write_file(".env", "FOREBAY_LOOPS=2\nREDIS_HOST=x\n");
    assert_ok(read_it(&how));
    assert_true(test_memory_sweep(read_it, &how) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_configure__who_comes_later_wins, up, down),
        cmocka_unit_test_setup_teardown(
            test_configure__the_file_is_chosen_by_flag_then_variable_then_habit, up, down),
        cmocka_unit_test_setup_teardown(test_configure__mistakes_have_their_place, up, down),
        cmocka_unit_test_setup_teardown(test_configure__a_redis_is_seen_wherever_it_is_named, up,
                                        down),
        cmocka_unit_test_setup_teardown(test_configure__survives_lack_of_memory, up, down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
