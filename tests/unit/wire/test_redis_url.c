// Where a Redis is, as one text.

#include "support.h"

#include "wire/redis_url.h"

// All that an URL says, on one line.
static void show_all(const fb_redis_url *url, char *text, size_t size) {
    static const char *const kinds[] = {"alone", "sentinel", "cluster"};
    size_t len = (size_t)snprintf(text, size, "%s%s", kinds[url->kind], url->tls ? " tls" : "");
    for (uint32_t i = 0; i < url->host_count; i++) {
        len += (size_t)snprintf(text + len, size - len, " %s|%u", url->hosts[i].host,
                                (unsigned)url->hosts[i].port);
    }
    const struct {
        const char *name, *value;
    } texts[] = {
        {"path", url->path},         {"user", url->user},
        {"password", url->password}, {"service", url->service},
        {"suser", url->sentinel_user}, {"spassword", url->sentinel_password},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].value[0] != '\0') {
            len += (size_t)snprintf(text + len, size - len, " %s=%s", texts[i].name,
                                    texts[i].value);
        }
    }
    (void)snprintf(text + len, size - len, " db=%u", url->db);
}

typedef struct golden {
    const char *text, *read, *shown;
} golden;

static const golden goldens[] = {
    {"redis://localhost", "alone localhost|6379 db=0", "redis://localhost:6379"},
    {"redis://localhost/", "alone localhost|6379 db=0", "redis://localhost:6379"},
    {"REDIS://Cache.Internal:7000/2", "alone Cache.Internal|7000 db=2",
     "redis://Cache.Internal:7000/2"},
    {"rediss://10.0.0.1:6380", "alone tls 10.0.0.1|6380 db=0", "rediss://10.0.0.1:6380"},
    {"valkey://a_b", "alone a_b|6379 db=0", "redis://a_b:6379"},
    {"valkeys+sentinel://a/s", "sentinel tls a|26379 service=s db=0",
     "rediss+sentinel://a:26379/s"},
    {"redis://[::1]:1", "alone ::1|1 db=0", "redis://[::1]:1"},
    {"redis://[fe80::1%25eth0]", "alone fe80::1%eth0|6379 db=0", "redis://[fe80::1%25eth0]:6379"},
    {"redis://:secret@h", "alone h|6379 password=secret db=0", "redis://h:6379"},
    {"redis://secret@h", "alone h|6379 password=secret db=0", "redis://h:6379"},
    {"redis://me:secret@h:65535/15", "alone h|65535 user=me password=secret db=15",
     "redis://h:65535/15"},
    {"redis://me:@h", "alone h|6379 user=me db=0", "redis://h:6379"},
    {"redis://:@h", "alone h|6379 db=0", "redis://h:6379"},
    {"redis://m%40e:a%2Fb%3A%25%3f@h", "alone h|6379 user=m@e password=a/b:%? db=0",
     "redis://h:6379"},
    {"redis://me:a:b@c@h", "alone h|6379 user=me password=a:b@c db=0", "redis://h:6379"},
    {"redis://h?db=3&user=u&password=p%20w", "alone h|6379 user=u password=p w db=3",
     "redis://h:6379/3"},
    {"unix:///run/redis.sock", "alone path=/run/redis.sock db=0", "unix:///run/redis.sock"},
    {"redis+unix:///run/a%20b?db=4&password=p", "alone path=/run/a b password=p db=4",
     "unix:///run/a%20b?db=4"},
    {"unix://u:p@/run/s", "alone path=/run/s user=u password=p db=0", "unix:///run/s"},
    {"redis+sentinel://a:1,b,[::2]:3/my%2Fmaster/5?sentinel_user=x&sentinel_password=y",
     "sentinel a|1 b|26379 ::2|3 service=my/master suser=x spassword=y db=5",
     "redis+sentinel://a:1,b:26379,[::2]:3/my%2Fmaster/5"},
    {"rediss+cluster://u:p@a,b:2", "cluster tls a|6379 b|2 user=u password=p db=0",
     "rediss+cluster://a:6379,b:2"},
    {"redis+cluster://a/0", "cluster a|6379 db=0", "redis+cluster://a:6379"},
};

static void test_redis_url__goldens(void **state) {
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
        fb_redis_url url;
        fb_error error = {0};
        char text[2048];
        assert_ok(fb_redis_url_read(fb_str_of(goldens[i].text), &url, &error));
        show_all(&url, text, sizeof text);
        assert_string_equal(text, goldens[i].read);
        assert_ptr_equal(fb_redis_url_show(&url, text, sizeof text), text);
        assert_string_equal(text, goldens[i].shown);
    }
}

typedef struct refused {
    const char *text;
    uint32_t column;
    const char *why;
} refused;

#define SCHEMES "begins with redis://"
#define PORT "port is a number from 1 to 65535"
static const refused refusals[] = {
    {"", 1, SCHEMES},
    {"localhost", 1, SCHEMES},
    {"localhost:6379", 1, SCHEMES},
    {"http://h", 1, SCHEMES},
    {"redis:/h", 1, SCHEMES},
    {"redisss://h", 1, SCHEMES},
    {"valkey", 1, SCHEMES},
    {"redis+redis+redis+redis+redis://h", 1, SCHEMES},
    {"redis://", 9, "host is missing"},
    {"redis://:6379", 9, "host is missing"},
    {"redis://u:p@", 13, "host is missing"},
    {"redis://h:", 10, PORT},
    {"redis://h:0", 10, PORT},
    {"redis://h:65536", 10, PORT},
    {"redis://h:6379x", 10, PORT},
    {"redis://h\tx", 10, "letters, digits"},
    {"redis://h%41", 10, "letters, digits"},
    {"redis://[::1", 9, "closing bracket"},
    {"redis://[::1]x", 14, PORT},
    {"redis://[1:2]", 10, "IPv6"},
    {"redis://[::g]", 12, "IPv6"},
    {"redis://[::1%2Ex]", 10, "IPv6"},
    {"redis://a,b", 10, "redis+sentinel://"},
    {"redis://h/x", 11, "database"},
    {"redis://h/-1", 11, "database"},
    {"redis://h/2147483648", 11, "database"},
    {"redis://h/1/2", 11, "database"},
    {"redis://h/1?db=1", 16, "twice"},
    {"redis://u:p@h?user=u", 20, "twice"},
    {"redis://h?password=a&password=b", 31, "twice"},
    {"redis://h?timeout=3", 11, "parameters are db, user and password"},
    {"redis://h?sentinel_user=a", 11, "parameters are db, user and password"},
    {"redis+sentinel://h/s?x=a", 22, "sentinel_password"},
    {"redis://h?db", 11, "name=value"},
    {"redis://h#1", 10, "'#'"},
    {"redis://u:%4@h", 11, "hexadecimal"},
    {"redis://u:%zz@h", 11, "hexadecimal"},
    {"redis://u:%00@h", 11, "NUL"},
    {"redis://u:a b@h", 12, "blank"},
    {"unix://run/s", 8, "begins with '/'"},
    {"unix://", 8, "path of the socket is missing"},
    {"unix:///", 8, "path of the socket is missing"},
    {"redis+sentinel://h", 19, "service is missing"},
    {"redis+sentinel://h/", 20, "service is missing"},
    {"redis+sentinel://h//1", 20, "service is missing"},
    {"redis+cluster://a,,b", 19, "host is missing"},
    {"redis+cluster://a,", 19, "host is missing"},
    {"redis+cluster://a/1", 19, "database 0"},
    {"redis+cluster://a?db=1", 22, "database 0"},
};

static void test_redis_url__says_what_is_wrong_and_where(void **state) {
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        fb_redis_url url;
        fb_error error = {0};
        char column[32];
        assert_result(fb_redis_url_read(fb_str_of(refusals[i].text), &url, &error), FB_EINVAL);
        snprintf(column, sizeof column, "column %u: ", refusals[i].column);
        if (strncmp(error.text, column, strlen(column)) != 0 ||
            strstr(error.text, refusals[i].why) == NULL ||
            error.column != refusals[i].column) {
            fail_msg("%s: %s", refusals[i].text, error.text);
        }
    }
}

static void test_redis_url__an_error_shows_nothing_of_a_password(void **state) {
    static const char *const urls[] = {
        "redis://me:Geh/eim@host",     "redis://me:Geh?eim@host",    "redis://me:Geh#eim@host",
        "redis://Geh/eim@host",        "redis://:6379/eim@host",     "redis://h?Geh=eim",
        "redis://me:Geheim%@host",     "redis://me:Geh eim@host",    "Geheim://host",
        "redis://me:Geh/1?eim@host:x", "redis+sentinel://Geh/eim@h", "unix://me:Geh/eim@/run/%",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        fb_redis_url url;
        fb_error error = {0};
        if (fb_redis_url_read(fb_str_of(urls[i]), &url, &error) != FB_OK) {
            assert_null(strstr(error.text, "Geh"));
            assert_null(strstr(error.text, "eim"));
            if (strncmp(urls[i], "redis", 5) == 0 && strstr(urls[i], "Geh/") != NULL) {
                assert_non_null(strstr(error.text, "%2F"));
            }
        }
    }
}

static void test_redis_url__bounds(void **state) {
    char text[4096];
    char name[300];
    fb_redis_url url;
    fb_error error = {0};
    memset(name, 'a', sizeof name);
    name[255] = '\0';
    snprintf(text, sizeof text, "redis://%s:%s@%s", name, name, name);
    assert_ok(fb_redis_url_read(fb_str_of(text), &url, &error));
    assert_int_equal(strlen(url.password), 255);
    name[255] = 'a';
    name[256] = '\0';
    snprintf(text, sizeof text, "redis://%s", name);
    assert_result(fb_redis_url_read(fb_str_of(text), &url, &error), FB_EINVAL);
    snprintf(text, sizeof text, "redis://:%s@h", name);
    assert_result(fb_redis_url_read(fb_str_of(text), &url, &error), FB_EINVAL);
    snprintf(text, sizeof text, "unix:///%.106s", name);
    assert_ok(fb_redis_url_read(fb_str_of(text), &url, &error));
    snprintf(text, sizeof text, "unix:///%.107s", name);
    assert_result(fb_redis_url_read(fb_str_of(text), &url, &error), FB_EINVAL);
    size_t len = (size_t)snprintf(text, sizeof text, "redis+cluster://a");
    for (int i = 1; i < FB_REDIS_HOSTS_MAX; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, ",h%d", i);
    }
    assert_ok(fb_redis_url_read(fb_str_of(text), &url, &error));
    assert_int_equal(url.host_count, 32);
    snprintf(text + len, sizeof text - len, ",b");
    assert_result(fb_redis_url_read(fb_str_of(text), &url, &error), FB_EINVAL);
}

static void test_redis_url__is_shown_cut_where_there_is_no_room(void **state) {
    fb_redis_url url;
    char text[64];
    assert_ok(fb_redis_url_read(FB_STR("redis://u:p@host:1234/5"), &url, NULL));
    for (size_t size = 1; size < sizeof text; size++) {
        memset(text, 'x', sizeof text);
        fb_redis_url_show(&url, text, size);
        assert_int_equal(strlen(text), size <= 19 ? size - 1 : 19);
        assert_memory_equal(text, "redis://host:1234/5", strlen(text));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_url__goldens),
        cmocka_unit_test(test_redis_url__says_what_is_wrong_and_where),
        cmocka_unit_test(test_redis_url__an_error_shows_nothing_of_a_password),
        cmocka_unit_test(test_redis_url__bounds),
        cmocka_unit_test(test_redis_url__is_shown_cut_where_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
