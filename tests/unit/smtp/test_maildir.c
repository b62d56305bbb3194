// Messages as files: whole or not there, and the same mail in the same place.

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "smtp/maildir.h"
#include "support.h"

static char folder[64], box[96];

static int up(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/forebay-maildir-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(box, sizeof box, "%s/box", folder);
    return 0;
}

// How many files there are, with the path of the last.
static int list(const char *part, char *path, size_t size) {
    char name[128];
    int count = 0;
    (void)snprintf(name, sizeof name, "%s/%s", box, part);
    DIR *dir = opendir(name);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(path, size, "%s/%s", name, entry->d_name);
            count++;
        }
    }
    (void)closedir(dir);
    return count;
}

static int down(void **state) {
    static const char *const parts[] = {"tmp", "new", "cur"};
    char path[512];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", box, parts[i]);
        if (access(path, F_OK) == 0) {
            while (list(parts[i], path, sizeof path) > 0) {
                (void)unlink(path);
            }
            (void)snprintf(path, sizeof path, "%s/%s", box, parts[i]);
            (void)rmdir(path);
        }
    }
    (void)unlink(box);
    (void)rmdir(box);
    return rmdir(folder);
}

static void read_file(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, size - 1, file);
    text[len] = '\0';
    (void)fclose(file);
}

static void test_maildir__is_made_and_has_the_message(void **state) {
    char path[512], text[64];
    struct stat info;
    (void)state;
    assert_ok(fb_maildir_write(box, FB_STR("a1"), FB_STR("Subject: x\r\n\r\ny\r\n"), NULL));
    assert_ok(fb_maildir_write(box, FB_STR("a2"), FB_STR("another"), NULL));
    assert_int_equal(list("new", path, sizeof path), 2);
    assert_int_equal(list("tmp", path, sizeof path), 0);
    assert_int_equal(list("cur", path, sizeof path), 0);
    (void)snprintf(path, sizeof path, "%s/new/a1", box);
    read_file(path, text, sizeof text);
    assert_string_equal(text, "Subject: x\r\n\r\ny\r\n");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(stat(box, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void test_maildir__the_same_mail_takes_its_own_place(void **state) {
    char path[512], text[64];
    (void)state;
    assert_ok(fb_maildir_write(box, FB_STR("a"), FB_STR("first, and longer"), NULL));
    // What a crash left in tmp is in nobody's way.
    (void)snprintf(path, sizeof path, "%s/tmp/a", box);
    FILE *left = fopen(path, "w");
    assert_non_null(left);
    assert_true(fputs("half of a very long messa", left) >= 0);
    (void)fclose(left);
    assert_ok(fb_maildir_write(box, FB_STR("a"), FB_STR("second"), NULL));
    assert_int_equal(list("new", path, sizeof path), 1);
    read_file(path, text, sizeof text);
    assert_string_equal(text, "second");
}

static void test_maildir__says_what_is_in_the_way(void **state) {
    fb_error error = {0};
    char path[512], expected[256];
    (void)state;
    FILE *file = fopen(box, "w");
    assert_non_null(file);
    (void)fclose(file);
    assert_result(fb_maildir_write(box, FB_STR("a"), FB_STR("x"), &error), FB_EIO);
    (void)snprintf(expected, sizeof expected, "cannot make %s/tmp: Not a directory", box);
    assert_string_equal(error.text, expected);
    assert_int_equal(unlink(box), 0);
    assert_ok(fb_maildir_write(box, FB_STR("a"), FB_STR("x"), &error));
    // A folder where the message should be.
    (void)snprintf(path, sizeof path, "%s/new/b", box);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_result(fb_maildir_write(box, FB_STR("b"), FB_STR("x"), &error), FB_EIO);
    assert_int_equal(list("tmp", expected, sizeof expected), 0);
    assert_int_equal(rmdir(path), 0);
}

#define box_test(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void) {
    const struct CMUnitTest tests[] = {
        box_test(test_maildir__is_made_and_has_the_message),
        box_test(test_maildir__the_same_mail_takes_its_own_place),
        box_test(test_maildir__says_what_is_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
