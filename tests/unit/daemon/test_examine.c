// What is said of a machine depends on it; what is said of a configuration on it does not.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/machine.h"
#include "support.h"

typedef struct heard {
    size_t count;
    struct {
        char name[40], text[400], change[400];
        fb_finding_state state;
    } all[20];
} heard;

static void hear(void *arg, const fb_finding *finding) {
    heard *to = arg;
    assert_string_equal(finding->area, "machine");
    assert_true(finding->text[0] != '\0');
    assert_true(to->count < sizeof to->all / sizeof to->all[0]);
    (void)snprintf(to->all[to->count].name, sizeof to->all[0].name, "%s", finding->name);
    (void)snprintf(to->all[to->count].text, sizeof to->all[0].text, "%s", finding->text);
    (void)snprintf(to->all[to->count].change, sizeof to->all[0].change, "%s", finding->change);
    to->all[to->count].state = finding->state;
    // What does not stand well has something to do about it.
    assert_true((finding->state == FB_FINDING_OK) == (finding->change[0] == '\0'));
    to->count++;
}

static heard look(const char *yaml) {
    heard found = {0};
    fb_config *config = NULL;
    fb_error error = {0};
    assert_ok(fb_config_new(&config));
    assert_ok(fb_config_read(config, fb_str_of(yaml), "test", &error));
    fb_machine_examine(config, hear, &found);
    fb_config_free(config);
    return found;
}

// Its index, or the number of findings where there is none.
static size_t find(const heard *found, const char *name) {
    size_t i = 0;
    while (i < found->count && strcmp(found->all[i].name, name) != 0) {
        i++;
    }
    return i;
}

static void assert_state(const heard *found, const char *name, fb_finding_state state) {
    size_t i = find(found, name);
    assert_true(i < found->count);
    if (found->all[i].state != state) {
        fail_msg("%s: %s", name, found->all[i].text);
    }
}

static void test_examine__without_a_configuration_it_says_what_there_is(void **state) {
    (void)state;
    heard found = {0};
    fb_machine_examine(NULL, hear, &found);
    assert_state(&found, "open files", FB_FINDING_OK);
    assert_state(&found, "memory", FB_FINDING_OK);
    assert_int_equal(find(&found, "region"), found.count);
    assert_int_equal(find(&found, "queue"), found.count);
}

static void test_examine__memory_beyond_what_there_is_fails(void **state) {
    (void)state;
    heard found = look("memory: 1MiB\n");
    assert_state(&found, "memory", FB_FINDING_OK);
    long pages = sysconf(_SC_PHYS_PAGES);
    long size = sysconf(_SC_PAGE_SIZE);
    if (pages > 0 && size > 0 && (uint64_t)pages * (uint64_t)size < UINT64_C(1) << 40) {
        found = look("memory: 1TiB\n");
        assert_state(&found, "memory", FB_FINDING_FAIL);
    }
}

static void test_examine__connections_want_files(void **state) {
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit fewer = before;
    fewer.rlim_cur = 200;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &fewer), 0);
    heard enough = look("listen: {connections: 100}\n");
    heard few = look("listen: {connections: 199}\n");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_state(&enough, "open files", FB_FINDING_OK);
    assert_state(&few, "open files", FB_FINDING_WARN);
    assert_string_equal(few.all[find(&few, "open files")].text,
                        "200 at once; listen.connections is 199");
}

static void test_examine__folders_have_to_be_there(void **state) {
    (void)state;
    char folder[] = "/tmp/fb-machine-XXXXXX";
    char yaml[300];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(yaml, sizeof yaml, "queue: {file: '%s/none/q.db'}\nregion: {file: '%s/none/r'}\n",
                   folder, folder);
    heard found = look(yaml);
    assert_state(&found, "queue", FB_FINDING_FAIL);
    assert_state(&found, "region", FB_FINDING_FAIL);
    assert_non_null(strstr(found.all[find(&found, "queue")].text, "/none/q.db"));
    (void)snprintf(yaml, sizeof yaml, "queue: {file: '%s/q.db'}\nregion: {file: '%s/r'}\n", folder,
                   folder);
    found = look(yaml);
    // Which of them that is depends on what /tmp is: a queue wants a disk, a region memory.
    size_t queue = find(&found, "queue");
    size_t region = find(&found, "region");
    assert_true(queue < found.count && region < found.count);
    assert_true(found.all[queue].state != FB_FINDING_FAIL);
    assert_true(found.all[region].state != FB_FINDING_FAIL);
    assert_true(found.all[queue].state == FB_FINDING_WARN || found.all[region].state == FB_FINDING_WARN);
    assert_int_equal(rmdir(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examine__without_a_configuration_it_says_what_there_is),
        cmocka_unit_test(test_examine__memory_beyond_what_there_is_fails),
        cmocka_unit_test(test_examine__connections_want_files),
        cmocka_unit_test(test_examine__folders_have_to_be_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
