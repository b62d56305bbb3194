// The files of a region: one owner, nobody else's files, nothing replaced that is no region, and
// enough room.

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "os/group.h"
#include "os/region_file.h"
#include "support.h"

enum { HINTS_LEN = 8192, MIB = 1 << 20 };
static const uint64_t MAGIC = 0x1122334455667788, HINTS_MAGIC = 0x99aabbccddeeff00;
static char folder[64], path[96];

static int up(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/forebay-region-XXXXXX");
    bool made = mkdtemp(folder) != NULL;
    (void)snprintf(path, sizeof path, "%s/region", folder);
    return made ? 0 : -1;
}

static int down(void **state) {
    static const char *const names[] = {"region",     "region.hints",     "region.lock",
                                        "region.new", "region.hints.new", "other"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "%s/%s", folder, names[i]);
        (void)unlink(name);
    }
    return rmdir(folder);
}

static int try_open(fb_region_file **file, fb_error *error) {
    fb_region_file_options options = {
        .path = path, .magic = MAGIC, .hints_magic = HINTS_MAGIC, .hints_len = HINTS_LEN};
    return fb_region_file_open(&options, file, error);
}

static fb_region_file *open_it(void) {
    fb_region_file *file = NULL;
    fb_error error = {0};
    if (try_open(&file, &error) < 0) {
        fail_msg("%s", error.text);
    }
    return file;
}

static void refused(int result, const char *why) {
    fb_region_file *file = NULL;
    fb_error error = {0};
    assert_result(try_open(&file, &error), result);
    if (strstr(error.text, why) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error.text, why);
    }
    assert_null(file);
}

static void write_file(const char *name, const void *bytes, size_t len, mode_t mode) {
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static mode_t mode_of(const char *name) {
    struct stat info;
    assert_int_equal(stat(name, &info), 0);
    return info.st_mode & 07777;
}

static void make_region(fb_region_file *file) {
    int fd = -1;
    fb_error error = {0};
    assert_ok(fb_region_file_make(file, MIB, &fd, &error));
    assert_int_equal(write(fd, &MAGIC, sizeof MAGIC), sizeof MAGIC);
    assert_ok(fb_region_file_publish(file, &error));
}

static void test_region_file__is_made_whole_and_found_again(void **state) {
    fb_error error = {0};
    int fd = -1;
    fb_region_file *file = open_it();
    assert_string_equal(fb_region_file_path(file), path);
    assert_int_equal(fb_region_file_found(file), -1);
    assert_ok(fb_region_file_make(file, MIB, &fd, &error));
    assert_int_equal(access(path, F_OK), -1);  // not before it is whole
    assert_int_equal(write(fd, &MAGIC, sizeof MAGIC), sizeof MAGIC);
    assert_ok(fb_region_file_publish(file, &error));
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(mode_of(fb_region_file_hints_path(file)), 0600);
    fb_region_file_close(file, false);
    file = open_it();
    assert_true(fb_region_file_found(file) >= 0);
    assert_ok(fb_region_file_keep(file, &error));
    fb_region_file_close(file, true);
    assert_int_equal(access(path, F_OK), -1);
    char hints[128];
    (void)snprintf(hints, sizeof hints, "%s.hints", path);
    assert_int_equal(access(hints, F_OK), -1);
}

static void test_region_file__has_one_owner(void **state) {
    char text[32];
    fb_region_file *file = open_it();
    (void)snprintf(text, sizeof text, "process %ld", (long)getpid());
    refused(FB_EIO, text);
    fb_region_file_close(file, false);
    fb_region_file_close(open_it(), false);
}

// A lock of somebody who was killed is nobody's.
static void test_region_file__a_dead_owner_is_none(void **state) {
    pid_t child = fork();
    if (child == 0) {
        fb_region_file *file = NULL;
        fb_error error;
        _exit(try_open(&file, &error) == FB_OK ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fb_region_file_close(open_it(), false);
}

static void test_region_file__nothing_else_is_replaced(void **state) {
    static const char text[] = "Dear diary, today I did nothing at all.";
    write_file(path, text, sizeof text, 0600);
    refused(FB_EDENIED, "something else");
    write_file(path, &MAGIC, 3, 0600);
    refused(FB_EDENIED, "something else");
    write_file(path, "", 0, 0600);
    fb_region_file *file = open_it();  // an empty file is nobody's loss
    make_region(file);
    fb_region_file_close(file, false);
}

static const char *beside(const char *ending) {
    static char name[128];
    (void)snprintf(name, sizeof name, "%s%s", path, ending);
    return name;
}

static void test_region_file__nothing_else_beside_it_is_replaced(void **state) {
    static const char *const endings[] = {".lock", ".new", ".hints", ".hints.new"};
    static const char text[] = "Dear diary, today I did nothing at all.";
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char found[sizeof text] = "";
        write_file(beside(endings[i]), text, sizeof text, 0600);
        refused(FB_EDENIED, "something else");
        int fd = open(beside(endings[i]), O_RDONLY);
        assert_int_equal(read(fd, found, sizeof found), sizeof text);
        assert_string_equal(found, text);
        (void)close(fd);
        (void)unlink(beside(endings[i]));
    }
    fb_region_file *file = open_it();
    make_region(file);
    fb_region_file_close(file, false);
    // Hints beside a region are its readers', who may write anything there.
    write_file(beside(".hints"), text, sizeof text, 0600);
    fb_region_file_close(open_it(), false);
}

// They may be as large as a region.
static void test_region_file__what_a_killed_start_left_goes(void **state) {
    static const uint64_t nothing[2] = {0};
    fb_error error = {0};
    fb_region_file *file = open_it();
    make_region(file);
    fb_region_file_close(file, false);
    write_file(beside(".new"), &MAGIC, sizeof MAGIC, 0600);
    write_file(beside(".hints.new"), nothing, sizeof nothing, 0600);
    file = open_it();
    assert_ok(fb_region_file_keep(file, &error));
    assert_int_equal(access(beside(".new"), F_OK), -1);
    assert_int_equal(access(beside(".hints.new"), F_OK), -1);
    fb_region_file_close(file, true);
}

static void test_region_file__links_and_strange_files_are_refused(void **state) {
    char other[128];
    (void)snprintf(other, sizeof other, "%s/other", folder);
    write_file(other, &MAGIC, sizeof MAGIC, 0600);
    assert_int_equal(symlink(other, path), 0);
    refused(FB_EDENIED, "symbolic link");
    (void)unlink(path);
    assert_int_equal(link(other, path), 0);
    refused(FB_EDENIED, "second name");
    (void)unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused(FB_EDENIED, "no plain file");
    (void)unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    refused(FB_EIO, "directory");
    assert_int_equal(rmdir(path), 0);
    char lock[128];
    (void)snprintf(lock, sizeof lock, "%s.lock", path);
    (void)unlink(lock);
    assert_int_equal(symlink(other, lock), 0);
    refused(FB_EDENIED, "symbolic link");
}

static void test_region_file__what_others_may_write_is_refused(void **state) {
    write_file(path, &MAGIC, sizeof MAGIC, 0620);
    refused(FB_EDENIED, "others may write");
    write_file(path, &MAGIC, sizeof MAGIC, 0602);
    refused(FB_EDENIED, "others may write");
    write_file(path, &MAGIC, sizeof MAGIC, 0644);
    fb_error error;
    fb_region_file *file = open_it();
    assert_ok(fb_region_file_keep(file, &error));
    assert_int_equal(mode_of(path), 0600);  // nor read it, unless the options say so
    fb_region_file_close(file, false);
}

static void test_region_file__of_another_user_is_refused(void **state) {
    if (geteuid() != 0) {
        skip();
    }
    write_file(path, &MAGIC, sizeof MAGIC, 0600);
    assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
    refused(FB_EDENIED, "another user");
}

static void test_region_file__a_group_may_read_it(void **state) {
    const struct group *own = getgrgid(getegid());
    fb_region_file *file = NULL;
    fb_error error = {0};
    if (own == NULL) {
        skip();
    }
    fb_region_file_options options = {
        .path = path, .group = own->gr_name, .magic = MAGIC, .hints_len = HINTS_LEN};
    assert_ok(fb_region_file_open(&options, &file, &error));
    make_region(file);
    assert_int_equal(mode_of(path), 0640);
    assert_int_equal(mode_of(fb_region_file_hints_path(file)), 0660);
    fb_region_file_close(file, true);
    options.group = "no-such-group-here";
    assert_result(fb_region_file_open(&options, &file, &error), FB_EINVAL);
    assert_non_null(strstr(error.text, "no-such-group-here"));
    uint32_t group = 0;
    assert_ok(fb_group_find("", &group, &error));
    assert_true(group == FB_GROUP_NONE);
}

static void test_region_file__wrong_names_are_told(void **state) {
    static const char *const wrong[] = {"/tmp/", "/no/such/folder/region", "..", "."};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fb_region_file_options options = {.path = wrong[i], .hints_len = HINTS_LEN};
        fb_region_file *file = NULL;
        fb_error error = {0};
        assert_true(fb_region_file_open(&options, &file, &error) < 0);
        assert_true(error.text[0] != '\0');
    }
}

static void test_region_file__hints_are_taken_once(void **state) {
    fb_region_file *file = open_it();
    uint64_t words[HINTS_LEN / 8];
    make_region(file);
    assert_ok(fb_region_file_take_hints(file, words, 64, 4096));
    assert_true(words[0] == HINTS_MAGIC);
    int fd = open(fb_region_file_hints_path(file), O_RDWR);
    uint64_t one = 7;
    assert_int_equal(pwrite(fd, &one, 8, 64), 8);
    assert_int_equal(pwrite(fd, &one, 8, 4096), 8);
    assert_ok(fb_region_file_take_hints(file, words, 64, 4096));
    assert_int_equal(words[8], 7);
    assert_int_equal(words[512], 7);
    assert_ok(fb_region_file_take_hints(file, words, 64, 4096));
    assert_int_equal(words[8], 0);  // taken
    assert_int_equal(words[512], 7);
    // A reader that cuts them short harms itself.
    assert_int_equal(ftruncate(fd, 10), 0);
    assert_result(fb_region_file_take_hints(file, words, 64, 4096), FB_MISS);
    assert_ok(fb_region_file_take_hints(file, words, 64, 4096));
    (void)close(fd);
    fb_region_file_close(file, true);
}

// Those who have the hints mapped go on writing where they are read.
static void test_region_file__hints_stay_with_a_region_that_is_kept(void **state) {
    fb_error error = {0};
    struct stat before, after;
    fb_region_file *file = open_it();
    make_region(file);
    assert_int_equal(stat(fb_region_file_hints_path(file), &before), 0);
    fb_region_file_close(file, false);
    file = open_it();
    assert_ok(fb_region_file_keep(file, &error));
    assert_int_equal(stat(fb_region_file_hints_path(file), &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_int_equal(truncate(fb_region_file_hints_path(file), 5), 0);
    assert_ok(fb_region_file_keep(file, &error));  // of no use: a new one
    assert_int_equal(stat(fb_region_file_hints_path(file), &after), 0);
    assert_int_equal(after.st_size, HINTS_LEN);
    fb_region_file_close(file, true);
}

// In a mount namespace of its own: returns 0 (as expected), 1 (not), 2 (may not mount).
static int without_room(void) {
    fb_region_file *file = NULL;
    fb_error error = {0};
    int fd = -1;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=2m") != 0) {
        return 2;
    }
    if (try_open(&file, &error) != FB_OK ||
        fb_region_file_make(file, 5 * MIB, &fd, &error) != FB_EIO ||
        strstr(error.text, "1MiB are free there and 5MiB are needed") == NULL ||
        strstr(error.text, "--shm-size") == NULL) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    fb_region_file_close(file, false);
    return access(path, F_OK) == 0 ? 1 : 0;
}

static void test_region_file__too_little_room_is_told_with_numbers(void **state) {
    pid_t child = fork();
    if (child == 0) {
        _exit(without_room());
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_region_file__knows_the_boot(void **state) {
    char one[64], two[64];
    fb_str first, second;
    assert_ok(fb_region_file_boot(one, &first));
    assert_ok(fb_region_file_boot(two, &second));
    assert_true(first.len > 30);
    assert_bytes(first, second);
}

#define region_test(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void) {
    const struct CMUnitTest tests[] = {
        region_test(test_region_file__is_made_whole_and_found_again),
        region_test(test_region_file__has_one_owner),
        region_test(test_region_file__a_dead_owner_is_none),
        region_test(test_region_file__nothing_else_is_replaced),
        region_test(test_region_file__nothing_else_beside_it_is_replaced),
        region_test(test_region_file__what_a_killed_start_left_goes),
        region_test(test_region_file__links_and_strange_files_are_refused),
        region_test(test_region_file__what_others_may_write_is_refused),
        region_test(test_region_file__of_another_user_is_refused),
        region_test(test_region_file__a_group_may_read_it),
        region_test(test_region_file__wrong_names_are_told),
        region_test(test_region_file__hints_are_taken_once),
        region_test(test_region_file__hints_stay_with_a_region_that_is_kept),
        region_test(test_region_file__too_little_room_is_told_with_numbers),
        region_test(test_region_file__knows_the_boot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
