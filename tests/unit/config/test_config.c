// The public calls: defaults, what a file sets, paths, the environment, walking and setting again.

#include <forebay/config.h>

#include "base/buf.h"
#include "base/units.h"
#include "config/settings.h"
#include "config/tree.h"
#include "support.h"

#define EXAMPLE                                                                  \
    "listen: {resp: 127.0.0.1:0}\n"                                              \
    "sources:\n"                                                                 \
    "  catalogue: {sqlite: catalogue.db, concurrency: 2}\n"                      \
    "  scratch: {sqlite: ':memory:'}\n"                                          \
    "classes:\n"                                                                 \
    "  package:\n"                                                               \
    "    key: 'package:{name}'\n"                                                \
    "    normalise: [trim, casefold]\n"                                          \
    "    source: catalogue\n"                                                    \
    "    query: 'SELECT * FROM package WHERE name = :name'\n"                    \
    "    one: true\n"                                                            \
    "    ttl: 1h\n"                                                              \
    "    jitter: 12.5%\n"                                                        \
    "    tags: ['section:{section}', 'a \"b\"\\c', \"new\\nline\"]\n"            \
    "  search:\n"                                                                \
    "    key: 'search:{word}:{page}'\n"                                          \
    "    parameters:\n"                                                          \
    "      page: {type: integer, default: 1, min: 1, max: 1000}\n"               \
    "      word: {default: ''}\n"                                                \
    "    source: catalogue\n"                                                    \
    "    query: |\n"                                                             \
    "      SELECT name FROM package\n"                                           \
    "      WHERE description LIKE :word\n"                                       \
    "    ttl: 1m\n"                                                              \
    "    index: word\n"                                                          \
    "    warm: {query: SELECT 'a' AS word, top: 10}\n"                           \
    "    batch: {query: SELECT 2, by: word, wait: 2ms}\n"

static fb_config *read_config(const char *text, const char *file) {
    fb_config *config = NULL;
    fb_error error = {0};

    assert_ok(fb_config_new(&config));
    int result = fb_config_read(config, fb_str_of(text), file, &error);
    if (result != FB_OK) {
        fail_msg("%u:%u: %s", error.line, error.column, error.text);
    }
    return config;
}

static void assert_option(const fb_config *config, const char *path, const char *value) {
    char text[1024] = "";

    assert_result(fb_config_get(config, fb_str_of(path), text, sizeof(text)), FB_OK);
    if (strcmp(text, value) != 0) {
        fail_msg("%s is %s, not %s", path, text, value);
    }
}

// ---- defaults

static void check_default(void *arg, fb_str path, fb_str value, fb_str default_value,
                          const char *unit, bool reloadable, const char *help) {
    // What a table says is what comes out: the reference page tells no lies. (What is there from the
    // start says something of its own.)
    if (!fb_str_starts(path, FB_STR("limits.")) && !fb_str_starts(path, FB_STR("queues.")) &&
        !fb_str_starts(path, FB_STR("mail.kinds."))) {
        assert_bytes(value, default_value);
    }
    assert_true(unit[0] != '\0' && help[strlen(help) - 1] == '.');
    if (strlen(help) >= 200) {
        fail_msg("%.*s: help of %zu bytes: %s", FB_STR_ARG(path), strlen(help), help);
    }
    (*(size_t *)arg)++;
    (void)reloadable;
}

static void check_class_default(void *arg, fb_str path, fb_str value, fb_str default_value,
                                const char *unit, bool reloadable, const char *help) {
    if (!fb_str_equal(path, FB_STR("classes.c.key"))) {
        check_default(arg, path, value, default_value, unit, reloadable, help);
    }
}

static void test_config__defaults_are_what_the_tables_say(void **state) {
    fb_config *config = NULL;
    size_t count = 0, class_count = 0;

    assert_ok(fb_config_new(&config));
    assert_ok(fb_config_walk(config, check_default, &count));
    assert_ok(fb_config_set(config, FB_STR("classes.c.parameters.p"), FB_STR("{}"), NULL));
    assert_ok(fb_config_walk(config, check_class_default, &class_count));
    assert_true(count > 5 && class_count > count + 20);
    assert_ok(fb_config_set(config, FB_STR("classes.c.key"), FB_STR("c:{p}"), NULL));
    assert_ok(fb_config_check(config, NULL));

    const fb_settings *settings = fb_config_settings(config);
    assert_string_equal(settings->listen_resp, "127.0.0.1:6380");
    assert_int_equal(settings->memory_bytes, 256 << 20);
    assert_int_equal(settings->slow_ns, FB_NS_PER_S);
    assert_int_equal(settings->log_level, FB_LOG_INFO);
    const fb_class_options *class_ = settings->classes;
    assert_int_equal(class_->ttl_ns, 300 * FB_NS_PER_S);
    assert_int_equal(class_->memory_ttl_ns, 300 * FB_NS_PER_S);
    assert_int_equal(class_->negative_ttl_ns, 30 * FB_NS_PER_S);
    assert_true(class_->jitter == 0.1 && class_->early_beta == 1.0 && class_->early_budget == 0.1);
    assert_int_equal(class_->waiters_max, 1000);
    assert_int_equal(class_->batch_max, 100);
    assert_int_equal(class_->hard_timeout_ns, 10 * FB_NS_PER_S);
    assert_int_equal(class_->digest, FB_DIGEST_XXH128);
    assert_true(class_->parameters[0].min == INT64_MIN && class_->parameters[0].max == INT64_MAX);
    assert_null(class_->parameters[0].default_text);
    assert_string_equal(class_->namespace_name, "default");
    fb_config_free(config);
}

static void check_table(const fb_option *table) {
    for (const fb_option *row = table; row->name != NULL; row++) {
        bool is_list = row->type == FB_OPTION_FLAGS || row->type == FB_OPTION_TEXTS;
        // Lists are empty by default: fb_value_defaults() relies on it.
        assert_true(!is_list || strcmp(row->default_text, "[]") == 0);
        assert_true((row->choices != NULL) ==
                    (row->type == FB_OPTION_CHOICE || row->type == FB_OPTION_FLAGS));
        assert_true((row->inner != NULL) ==
                    (row->type == FB_OPTION_SECTION || row->type == FB_OPTION_NAMED));
        assert_true(fb_str_find(fb_str_of(row->name), '.') == strlen(row->name));
        assert_true(row->min <= row->max);
        for (const fb_option *other = table; other != row; other++) {
            assert_string_not_equal(other->name, row->name);
        }
        if (row->inner != NULL) {
            check_table(row->inner);
        }
    }
}

static void test_config__tables_are_well_formed(void **state) {
    check_table(fb_settings_table);
}

// ---- what a file sets

static void test_config__a_file_fills_the_settings(void **state) {
    fb_config *config = read_config(EXAMPLE, "etc/forebay.yaml");
    const fb_settings *settings = fb_config_settings(config);

    assert_ok(fb_config_check(config, NULL));
    assert_int_equal(settings->source_count, 2);
    assert_string_equal(settings->sources[0].name, "catalogue");
    assert_string_equal(settings->sources[0].sqlite, "etc/catalogue.db");
    assert_string_equal(settings->sources[0].file, "etc/forebay.yaml");
    assert_int_equal(settings->sources[0].line, 3);
    assert_int_equal(settings->sources[0].column, 3);
    assert_int_equal(settings->sources[0].concurrency, 2);
    assert_string_equal(settings->sources[1].sqlite, ":memory:");
    assert_int_equal(settings->class_count, 2);
    const fb_class_options *package = &settings->classes[0];
    assert_string_equal(package->name, "package");
    assert_int_equal(package->normalise, FB_NORMALISE_TRIM | FB_NORMALISE_CASEFOLD);
    assert_true(package->one && package->jitter == 0.125);
    assert_int_equal(package->ttl_ns, 3600 * FB_NS_PER_S);
    assert_int_equal(package->memory_ttl_ns, 300 * FB_NS_PER_S);
    assert_int_equal(package->tag_count, 3);
    assert_string_equal(package->tags[2], "new\nline");
    assert_int_equal(package->line, 6);
    assert_int_equal(package->query_line, 10);
    assert_int_equal(package->query_column, 12);
    const fb_class_options *search = &settings->classes[1];
    assert_int_equal(search->parameter_count, 2);
    assert_int_equal(search->parameters[0].type, FB_PARAM_INTEGER);
    assert_int_equal(search->parameters[0].max, 1000);
    assert_string_equal(search->parameters[1].default_text, "");
    assert_string_equal(search->query,
                        "SELECT name FROM package\nWHERE description LIKE :word\n");
    assert_int_equal(search->query_line, 21);
    assert_int_equal(search->warm_query_line, 26);
    assert_int_equal(search->warm_query_column, 19);
    assert_int_equal(search->batch_query_line, 27);
    assert_int_equal(search->memory_ttl_ns, 60 * FB_NS_PER_S);
    assert_int_equal(search->index_count, 1);
    fb_config_free(config);
}

static void test_config__a_byte_order_mark_is_no_content(void **state) {
    (void)state;
    fb_config *config = read_config("\xef\xbb\xbf" "memory: 8MiB\n", NULL);
    assert_option(config, "memory", "8MiB");
    fb_config_free(config);
    config = read_config("\xef\xbb\xbf", NULL);
    fb_config_free(config);
}

static void test_config__paths_are_relative_to_their_file(void **state) {
    static const struct {
        const char *file, *path, *expected;
    } cases[] = {
        {"/etc/forebay/a.yaml", "b.db", "/etc/forebay/b.db"},
        {"etc/a.yaml", "../b.db", "etc/../b.db"},
        {"a.yaml", "b.db", "b.db"},
        {NULL, "b.db", "b.db"},
        {"etc/a.yaml", "/var/b.db", "/var/b.db"},
        {"etc/a.yaml", ":memory:", ":memory:"},
        {"etc/a.yaml", "file:b.db?mode=ro", "file:b.db?mode=ro"},
        {"etc/a.yaml", "b/c:d.db", "etc/b/c:d.db"},
        {"/a.yaml", "b.db", "/b.db"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text), "sources: {s: {sqlite: '%s'}}", cases[i].path);
        fb_config *config = read_config(text, cases[i].file);
        assert_option(config, "sources.s.sqlite", cases[i].expected);
        fb_config_free(config);
    }
}

static void test_config__files_add_to_each_other(void **state) {
    fb_config *config = read_config(EXAMPLE, "etc/forebay.yaml");

    assert_ok(fb_config_read(config, FB_STR("classes: {package: {ttl: 2h}, other: {key: o}}"),
                             "more.yaml", NULL));
    assert_option(config, "classes.package.ttl", "2h");
    assert_option(config, "classes.package.key", "package:{name}");
    assert_option(config, "classes.other.ttl", "5m");
    assert_int_equal(fb_config_settings(config)->class_count, 3);
    assert_string_equal(fb_config_settings(config)->classes[0].file, "more.yaml");
    fb_config_free(config);
}

// ---- the shared tier

static void apply(fb_config *config, const char *const *environment) {
    fb_error error = {0};

    int result = fb_config_environment(config, environment, &error);
    if (result != FB_OK) {
        fail_msg("%s", error.text);
    }
}

static void test_config__redis_is_found_by_the_usual_variables(void **state) {
    const char *const url[] = {"REDIS_HOST=b", "REDIS_PORT=tcp://10.0.0.7:6379",
                               "REDIS_URL=redis://a:1/3", NULL};
    const char *const parts[] = {"REDIS_HOST=b", "REDIS_PORT=7000", "REDIS_DB=4",
                                 "REDIS_USER=me", "REDIS_PASSWORD=pw", "REDIS_URL=", NULL};
    const char *const own[] = {"FOREBAY_REDIS_URL=redis://c", "REDIS_URL=redis://a",
                               "REDIS_HOST=b", NULL};
    const char *option = NULL;
    fb_redis_url where;
    fb_config *config = read_config("redis: {host: file, max_lag: 1s}", "f.yaml");

    apply(config, url);
    assert_ok(fb_config_check(config, NULL));
    assert_option(config, "redis.url", "redis://a:1/3");
    assert_option(config, "redis.host", "");
    assert_option(config, "redis.port", "6379");
    apply(config, parts);
    assert_option(config, "redis.url", "");
    assert_option(config, "redis.host", "b");
    assert_ok(fb_settings_redis_url(&fb_config_settings(config)->redis, &where, &option, NULL));
    assert_string_equal(where.hosts[0].host, "b");
    assert_int_equal(where.hosts[0].port, 7000);
    assert_int_equal(where.db, 4);
    assert_string_equal(where.user, "me");
    assert_string_equal(where.password, "pw");
    fb_config_free(config);

    config = read_config("redis: {url: 'redis://a', db: 5}", "f.yaml");
    assert_ok(fb_settings_redis_url(&fb_config_settings(config)->redis, &where, &option, NULL));
    assert_int_equal(where.db, 5);
    fb_config_free(config);

    config = read_config("", "f.yaml");
    assert_result(fb_settings_redis_url(&fb_config_settings(config)->redis, &where, &option, NULL),
                  FB_MISS);
    apply(config, own);
    assert_option(config, "redis.url", "redis://c");
    assert_ok(fb_config_check(config, NULL));
    fb_config_free(config);
}

static void test_config__a_wrong_usual_variable_is_named(void **state) {
    const char *const wrong[] = {"REDIS_DB=main", NULL};
    fb_config *config = read_config("", "f.yaml");
    fb_error error = {0};

    assert_result(fb_config_environment(config, wrong, &error), FB_EINVAL);
    assert_non_null(strstr(error.text, "REDIS_DB: expected a whole number"));
    fb_config_free(config);
}

static void find_secret(void *arg, fb_str path, fb_str value, fb_str default_value,
                        const char *unit, bool reloadable, const char *help) {
    (void)path, (void)default_value, (void)unit, (void)reloadable, (void)help;
    if (value.len > 0 && memmem(value.ptr, value.len, "geheim", 6) != NULL) {
        *(bool *)arg = true;
    }
}

static void test_config__passwords_are_never_shown(void **state) {
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"redis://cache:6379/2", "redis://cache:6379/2"},
        {"redis://me:geheim@cache:6379/2", "redis://***@cache:6379/2"},
        {"rediss://geheim@cache", "rediss://***@cache"},
        {"redis://:ge@geheim@cache", "redis://***@cache"},
        {"unix:///run/r.sock?db=1&password=geheim", "unix://***"},
        {"geheim", "***"},
        {"", ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fb_config *config = read_config("redis: {password: geheim}", "f.yaml");
        fb_error error = {0};
        const char *secret = NULL;
        bool seen = false;
        assert_ok(fb_config_set(config, FB_STR("redis.url"), fb_str_of(cases[i].url), &error));
        assert_option(config, "redis.password", "***");
        assert_option(config, "redis.url", cases[i].shown);
        assert_ok(fb_config_walk(config, find_secret, &seen));
        assert_false(seen);
        int result = fb_config_check(config, &error);
        assert_true(result == FB_OK || strstr(error.text, "geheim") == NULL);
        assert_ok(fb_config_secret(config, FB_STR("redis.password"), &secret));
        assert_string_equal(secret, "geheim");
        assert_result(fb_config_secret(config, FB_STR("redis.host"), &secret), FB_MISS);
        fb_config_free(config);
    }
}

static void test_config__a_password_that_is_refused_is_not_shown(void **state) {
    char text[400];
    fb_config *config = read_config("", "f.yaml");
    fb_error error = {0};

    memset(text, 'x', 300);
    memcpy(text, "geheim", 6);
    assert_result(fb_config_set(config, FB_STR("redis.password"), fb_str_make(text, 300), &error),
                  FB_ERANGE);
    assert_null(strstr(error.text, "geheim"));
    fb_config_free(config);
}

// ---- limits

static const fb_limit_options *limit_of(const fb_config *config, const char *name) {
    const fb_settings *settings = fb_config_settings(config);

    for (size_t i = 0; i < settings->limit_count; i++) {
        if (strcmp(settings->limits[i].name, name) == 0) {
            return &settings->limits[i];
        }
    }
    return NULL;
}

static void test_config__limits_are_there_from_the_start(void **state) {
    static const char *const names[] = {"generation", "api", "improvement", "auth",
                                        "otp_resend", "otp_account", "otp_address"};
    fb_config *config = read_config("", "f.yaml");
    const fb_settings *settings = fb_config_settings(config);

    assert_ok(fb_config_check(config, NULL));
    assert_int_equal(settings->limit_count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_string_equal(settings->limits[i].name, names[i]);
        assert_true(settings->limits[i].enabled);
    }
    assert_option(config, "limits.generation.limit", "10");
    assert_option(config, "limits.generation.window", "1m");
    assert_option(config, "limits.generation.tiers.premium.limit", "100");
    assert_option(config, "limits.generation.tiers.premium.window", "");
    assert_option(config, "limits.generation.burst", "");
    assert_option(config, "limits.api.limit", "100");
    assert_option(config, "limits.improvement.window", "1h");
    assert_option(config, "limits.auth.charge_denied", "true");
    assert_option(config, "limits.auth.per", "address");
    fb_config_free(config);
}

static void test_config__queues_are_there_from_the_start(void **state) {
    fb_config *config = read_config("queues:\n"
                                    "  mail: {concurrency: 9}\n"
                                    "  reports: {priority: 2}\n",
                                    "f.yaml");
    const fb_settings *settings = fb_config_settings(config);

    (void)state;
    assert_ok(fb_config_check(config, NULL));
    assert_int_equal(settings->queue_count, 3);
    assert_string_equal(settings->queues[0].name, "default");
    assert_string_equal(settings->queues[1].name, "mail");
    assert_int_equal(settings->queues[1].worker, FB_QUEUE_WORKER_MAIL);
    assert_int_equal(settings->queues[1].concurrency, 9);
    assert_string_equal(settings->queues[2].name, "reports");
    assert_int_equal(settings->queues[2].line, 3);
    assert_option(config, "queue.store", "auto");
    assert_option(config, "queue.file", "forebay-queue.db");
    assert_option(config, "mail.kinds.otp.expires", "10m");
    assert_option(config, "otp.attempts", "5");
    assert_true(fb_settings_is_set(config, FB_STR("queues.mail.concurrency")));
    assert_false(fb_settings_is_set(config, FB_STR("queues.default")));
    assert_false(fb_settings_is_set(config, FB_STR("mail.kinds.otp")));
    fb_config_free(config);
}

// Sections that are structs of their own are set, shown and copied as others are.
static void test_config__mails_are_set_by_variables(void **state) {
    const char *const environment[] = {"SMTP_URL=smtp://me:secret@mail.example.org",
                                       "FOREBAY_MAIL_FROM=us@example.org",
                                       "FOREBAY_MAIL_KINDS_OTP_PRIORITY=4",
                                       "FOREBAY_QUEUE_DURABILITY=process", NULL};
    const char *const both[] = {"FOREBAY_MAIL_RELAYS_MAIN_URL=smtp://ours.example.org",
                                "SMTP_URL=smtp://theirs.example.org", NULL};
    fb_config *config = read_config("mail: {relays: {spare: {url: \"smtp://b.example.org\"}}}\n",
                                    "f.yaml");
    fb_config *copy = NULL;

    (void)state;
    apply(config, environment);
    assert_ok(fb_config_check(config, NULL));
    const fb_mail_options *mail = &fb_config_settings(config)->mail;
    assert_int_equal(mail->relay_count, 2);
    assert_string_equal(mail->relays[1].name, "main");
    assert_string_equal(mail->relays[1].url, "smtp://me:secret@mail.example.org");
    assert_string_equal(mail->from, "us@example.org");
    assert_option(config, "mail.relays.main.url", "smtp://***@mail.example.org");
    assert_option(config, "mail.kinds.otp.priority", "4");
    assert_option(config, "queue.durability", "process");
    apply(config, both);
    assert_string_equal(fb_config_settings(config)->mail.relays[1].url,
                        "smtp://ours.example.org");
    assert_ok(fb_config_copy(config, &copy));
    fb_config_free(config);
    assert_string_equal(fb_config_settings(copy)->mail.relays[0].url, "smtp://b.example.org");
    assert_string_equal(fb_config_settings(copy)->mail.relays[0].file, "f.yaml");
    fb_config_free(copy);
}

static void test_config__a_limit_is_changed_option_by_option(void **state) {
    const char *const environment[] = {"FOREBAY_LIMITS_GENERATION_LIMIT=12",
                                       "FOREBAY_LIMITS_GENERATION_TIERS_PREMIUM_LIMIT=120", NULL};
    fb_config *config = read_config("limits:\n"
                                    "  generation: {window: 2m}\n"
                                    "  improvement: {enabled: false}\n"
                                    "  mine: {limit: 3, window: 1s, exempt: 'ops:*'}\n",
                                    "f.yaml");

    apply(config, environment);
    assert_ok(fb_config_set(config, FB_STR("limits.api.shadow"), FB_STR("true"), NULL));
    assert_ok(fb_config_check(config, NULL));
    assert_option(config, "limits.generation.limit", "12");
    assert_option(config, "limits.generation.window", "2m");
    assert_option(config, "limits.generation.message", "generations");
    assert_option(config, "limits.generation.tiers.premium.limit", "120");
    assert_true(limit_of(config, "api")->shadow);
    assert_false(limit_of(config, "improvement")->enabled);
    assert_int_equal(limit_of(config, "mine")->line, 4);
    assert_string_equal(limit_of(config, "mine")->file, "f.yaml");
    assert_string_equal(limit_of(config, "mine")->exempt[0], "ops:*");
    assert_int_equal(fb_config_settings(config)->limit_count, 8);
    fb_config_free(config);
}

static void test_config__the_limit_of_connections_says_where_it_went(void **state) {
    const char *const old[] = {"FOREBAY_LIMITS_CONNECTIONS=100", NULL};
    const char *const now[] = {"FOREBAY_LISTEN_CONNECTIONS=100", NULL};
    fb_config *config = read_config("", "f.yaml");
    fb_error error = {0};

    assert_result(fb_config_environment(config, old, &error), FB_EINVAL);
    assert_string_equal(error.text,
                        "FOREBAY_LIMITS_CONNECTIONS: this option is listen.connections now");
    assert_result(fb_config_set(config, FB_STR("limits.connections"), FB_STR("100"), &error),
                  FB_EINVAL);
    assert_string_equal(error.text, "limits.connections: this option is listen.connections now");
    apply(config, now);
    assert_option(config, "listen.connections", "100");
    assert_ok(fb_config_set(config, FB_STR("limits.connections"),
                            FB_STR("{limit: 5, window: 1s}"), NULL));
    assert_option(config, "limits.connections.limit", "5");
    fb_config_free(config);
}

// ---- get, set, walk

static void test_config__set_takes_text_as_it_is(void **state) {
    fb_config *config = read_config(EXAMPLE, "etc/forebay.yaml");

    assert_ok(fb_config_set(config, FB_STR("classes.package.key"), FB_STR("{name}: #1"), NULL));
    assert_option(config, "classes.package.key", "{name}: #1");
    assert_ok(fb_config_set(config, FB_STR("classes.package.tags"), FB_STR("a:{b}"), NULL));
    assert_option(config, "classes.package.tags", "[\"a:{b}\"]");
    assert_ok(fb_config_set(config, FB_STR("classes.package.tags"), FB_STR("[]"), NULL));
    assert_option(config, "classes.package.tags", "[]");
    assert_ok(fb_config_set(config, FB_STR("listen.resp"), FB_STR("[::1]:6380"), NULL));
    assert_option(config, "listen.resp", "[::1]:6380");
    assert_ok(fb_config_set(config, FB_STR("listen"), FB_STR("{resp: off, http: off}"), NULL));
    assert_option(config, "listen.http", "off");
    assert_ok(fb_config_set(config, FB_STR("sources.new.sqlite"), FB_STR("new.db"), NULL));
    assert_option(config, "sources.new.sqlite", "new.db");
    assert_option(config, "sources.new.queue", "1024");
    fb_config_free(config);
}

static void test_config__set_refuses_by_path(void **state) {
    static const struct {
        const char *path, *value, *says;
    } cases[] = {
        {"memory", "much", "memory: expected a size such as 64MiB or 2GiB, found \"much\""},
        {"memroy", "1GiB", "memroy: no such option; did you mean \"memory\"?"},
        {"classes.package.tll", "1h", "classes.package.tll: no such option; did you mean \"ttl\"?"},
        {"classes.package", "1h",
         "classes.package: expected a map of options, found \"1h\""},
        {"classes.a-b.ttl", "1h",
         "classes: expected a name of at most 64 letters, digits and \"_\", found \"a-b\""},
        {"memory.size", "1", "memory: expected a size such as 64MiB or 2GiB, found a map"},
        {"", "1", "expected the path of an option, such as \"memory\""},
        {"classes.package.tags", "",
         "classes.package.tags: expected a list of texts, found nothing"},
        {"classes.package.tags", "[a",
         "classes.package.tags: YAML: did not find expected ',' or ']' while parsing a flow "
         "sequence that began on line 1"},
    };
    fb_config *config = read_config(EXAMPLE, "etc/forebay.yaml");

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fb_error error = {0};
        int result = fb_config_set(config, fb_str_of(cases[i].path), fb_str_of(cases[i].value),
                                   &error);
        assert_true(result < 0);
        assert_string_equal(error.text, cases[i].says);
        assert_string_equal(error.file, "");
        assert_int_equal(error.line, 0);
    }
    fb_config_free(config);
}

static void test_config__get_knows_what_is_there(void **state) {
    fb_config *config = read_config(EXAMPLE, "etc/forebay.yaml");
    char text[8];

    assert_result(fb_config_get(config, FB_STR("nothing"), text, sizeof(text)), FB_MISS);
    assert_result(fb_config_get(config, FB_STR("listen"), text, sizeof(text)), FB_MISS);
    assert_result(fb_config_get(config, FB_STR("classes.package"), text, sizeof(text)), FB_MISS);
    assert_result(fb_config_get(config, FB_STR("classes.none.ttl"), text, sizeof(text)), FB_MISS);
    assert_result(fb_config_get(config, FB_STR("memory.x"), text, sizeof(text)), FB_MISS);
    assert_result(fb_config_get(config, FB_STR(""), text, sizeof(text)), FB_MISS);
    assert_result(fb_config_get(config, FB_STR("memory"), text, sizeof(text)), FB_OK);
    assert_result(fb_config_get(config, FB_STR("listen.resp"), text, sizeof(text)), FB_ETOOBIG);
    assert_option(config, "classes.package.batch.query", "");
    fb_config_free(config);
}

typedef struct copying {
    fb_config *to;
    fb_buf text;
} copying;

static void write_option(void *arg, fb_str path, fb_str value, fb_str default_value,
                         const char *unit, bool reloadable, const char *help) {
    copying *c = arg;
    fb_error error;

    (void)default_value, (void)unit, (void)reloadable, (void)help;
    assert_ok(fb_buf_printf(&c->text, "%.*s=%.*s\n", FB_STR_ARG(path), FB_STR_ARG(value)));
    if (c->to != NULL && value.ptr != NULL && fb_config_set(c->to, path, value, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
}

static void test_config__what_walk_tells_set_takes(void **state) {
    fb_config *config = read_config(EXAMPLE, "etc/forebay.yaml");
    copying there = {0}, back = {0};

    assert_ok(fb_config_new(&there.to));
    assert_ok(fb_config_walk(config, write_option, &there));
    assert_ok(fb_config_walk(there.to, write_option, &back));
    assert_bytes(fb_buf_str(&back.text), fb_buf_str(&there.text));
    assert_ok(fb_config_check(there.to, NULL));
    fb_buf_release(&there.text);
    fb_buf_release(&back.text);
    fb_config_free(there.to);
    fb_config_free(config);
}

static void test_config__a_copy_is_its_own(void **state) {
    fb_config *config = read_config(EXAMPLE, "etc/forebay.yaml"), *copy = NULL;
    copying one = {0}, other = {0};
    fb_error error;

    assert_ok(fb_config_copy(config, &copy));
    assert_ok(fb_config_walk(config, write_option, &one));
    fb_config_free(config);
    assert_ok(fb_config_walk(copy, write_option, &other));
    assert_bytes(fb_buf_str(&one.text), fb_buf_str(&other.text));
    // Places go with it.
    assert_ok(fb_config_set(copy, FB_STR("classes.package.key"), FB_STR("search:{a}:{b}"), NULL));
    assert_result(fb_config_check(copy, &error), FB_ECONFLICT);
    assert_int_equal(error.line, 16);
    assert_string_equal(error.file, "etc/forebay.yaml");
    fb_buf_release(&one.text);
    fb_buf_release(&other.text);
    fb_config_free(copy);
}

static void test_config__a_class_has_options_of_its_own_too(void **state) {
    fb_config *config = read_config(EXAMPLE, "etc/forebay.yaml");
    fb_class_options search;

    assert_ok(fb_class_options_copy(&fb_config_settings(config)->classes[1], &search));
    fb_config_free(config);
    assert_string_equal(search.name, "search");
    assert_string_equal(search.file, "etc/forebay.yaml");
    assert_string_equal(search.parameters[1].name, "word");
    assert_string_equal(search.parameters[1].default_text, "");
    assert_string_equal(search.index[0], "word");
    assert_int_equal(search.query_line, 21);
    fb_class_options_release(&search);
    assert_null(search.name);
    assert_int_equal(search.parameter_count, 0);
}

static void test_config__memory_ttl_follows_a_shorter_ttl_until_it_is_set(void **state) {
    fb_config *config = read_config("classes: {c: {key: c}}", NULL);
    fb_error error;

    assert_ok(fb_config_set(config, FB_STR("classes.c.ttl"), FB_STR("10s"), NULL));
    assert_option(config, "classes.c.memory_ttl", "10s");
    assert_ok(fb_config_set(config, FB_STR("classes.c.ttl"), FB_STR("10h"), NULL));
    assert_option(config, "classes.c.memory_ttl", "5m");
    assert_ok(fb_config_set(config, FB_STR("classes.c.memory_ttl"), FB_STR("1h"), NULL));
    assert_ok(fb_config_set(config, FB_STR("classes.c.ttl"), FB_STR("10s"), NULL));
    assert_option(config, "classes.c.memory_ttl", "1h");
    assert_result(fb_config_check(config, &error), FB_ECONFLICT);
    fb_config_free(config);
}

static void test_config__the_doors_cannot_share_an_address_but_any_free_port(void **state) {
    fb_config *config = read_config("listen: {resp: '127.0.0.1:7000', http: '127.0.0.1:7000'}", NULL);

    assert_result(fb_config_check(config, NULL), FB_ECONFLICT);
    assert_ok(fb_config_set(config, FB_STR("listen.http"), FB_STR("127.0.0.1:7001"), NULL));
    assert_ok(fb_config_check(config, NULL));
    assert_ok(fb_config_set(config, FB_STR("listen"),
                            FB_STR("{resp: '127.0.0.1:0', http: '127.0.0.1:0'}"), NULL));
    assert_ok(fb_config_check(config, NULL));
    assert_ok(fb_config_set(config, FB_STR("listen"), FB_STR("{resp: 'unix:/a:0', http: 'unix:/a:0'}"),
                            NULL));
    assert_result(fb_config_check(config, NULL), FB_ECONFLICT);
    fb_config_free(config);
}

// ---- the environment

static void test_config__the_environment_sets_options(void **state) {
    static const char *const environment[] = {
        "PATH=/bin", "FOREBAY_MEMORY=64MiB", "FOREBAY_LISTEN_RESP=[::1]:7000",
        "FOREBAY_CLASSES_PACKAGE_TTL=2h", "FOREBAY_CLASSES_PACKAGE_BATCH_QUERY=SELECT = 'x'",
        "FOREBAY_CLASSES_SEARCH_PARAMETERS_PAGE_MAX=7", "FOREBAY_SOURCES_CATALOGUE_SQLITE=x.db",
        "FOREBAY_CLASSES_PACKAGE_NORMALISE=[collapse]", "FOREBAY_LOG_LEVEL=", "FOREBAY_CONFIG=x",
        "FOREBAY_URL=http://localhost", "FOREBAYX=1", "REDIS_URL=redis://localhost",
        "FOREBAY_LOOPS", NULL,
    };
    fb_config *config = read_config(EXAMPLE, "etc/forebay.yaml");

    assert_ok(fb_config_environment(config, environment, NULL));
    assert_option(config, "memory", "64MiB");
    assert_option(config, "listen.resp", "[::1]:7000");
    assert_option(config, "classes.package.ttl", "2h");
    assert_option(config, "classes.package.batch.query", "SELECT = 'x'");
    assert_option(config, "classes.search.parameters.page.max", "7");
    assert_option(config, "classes.package.normalise", "[collapse]");
    assert_option(config, "sources.catalogue.sqlite", "x.db");
    assert_option(config, "log.level", "info");
    fb_config_free(config);
}

static void test_config__the_environment_is_refused_by_name(void **state) {
    static const struct {
        const char *variable, *says;
    } cases[] = {
        {"FOREBAY_MEMROY=1GiB",
         "FOREBAY_MEMROY: names no option; did you mean FOREBAY_MEMORY?"},
        {"FOREBAY_TELEPHONE=1", "FOREBAY_TELEPHONE: names no option"},
        {"FOREBAY_=1", "FOREBAY_: names no option"},
        {"FOREBAY_LISTEN={}", "FOREBAY_LISTEN: names no option"},
        {"FOREBAY_MEMORY=x",
         "FOREBAY_MEMORY: expected a size such as 64MiB or 2GiB, found \"x\""},
        {"FOREBAY_CLASSES_A_TLL=1h",
         "FOREBAY_CLASSES_A_TLL: names no option; did you mean FOREBAY_CLASSES_A_TTL?"},
        {"FOREBAY_CLASSES_NONE_TTL=1h",
         "FOREBAY_CLASSES_NONE_TTL: names no option; did you mean FOREBAY_CLASSES_A_TTL?"},
        {"FOREBAY_CLASSES_A_STALE_TTL=1h",
         "FOREBAY_CLASSES_A_STALE_TTL: could mean classes.a.stale_ttl or classes.a_stale.ttl"},
        {"FOREBAY_CLASSES_A_TAGS=[a",
         "FOREBAY_CLASSES_A_TAGS: YAML: did not find expected ',' or ']' while parsing a flow "
         "sequence that began on line 1"},
    };
    fb_config *config = read_config("classes: {a: {key: a}, a_stale: {key: b}}", NULL);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const environment[] = {"FOREBAY_LOOPS=3", cases[i].variable, NULL};
        fb_error error = {0};
        assert_true(fb_config_environment(config, environment, &error) < 0);
        assert_string_equal(error.text, cases[i].says);
        assert_option(config, "loops", "0");
    }
    fb_config_free(config);
}

// ---- memory

static int everything(void *arg) {
    static const char *const environment[] = {"FOREBAY_MEMORY=1GiB",
                                              "FOREBAY_CLASSES_SEARCH_TAGS=[a, b]", NULL};
    fb_config *config = NULL, *copy = NULL;
    char text[64];
    size_t count = 0;
    fb_error error = {0};

    int result = fb_config_new(&config);
    if (result == FB_OK) {
        result = fb_config_read(config, FB_STR(EXAMPLE), "etc/forebay.yaml", &error);
        assert_true(result == FB_OK || (error.code == FB_ENOMEM && result == FB_ENOMEM));
    }
    if (result == FB_OK) {
        result = fb_config_environment(config, environment, &error);
        assert_true(result == FB_OK ||
                    fb_config_settings(config)->memory_bytes == UINT64_C(256) << 20);
    }
    if (result == FB_OK) {
        result = fb_config_set(config, FB_STR("classes.new.key"), FB_STR("new"), NULL);
        assert_int_equal(fb_config_settings(config)->class_count, result == FB_OK ? 3 : 2);
    }
    if (result == FB_OK) {
        result = fb_config_copy(config, &copy);
    }
    if (result == FB_OK) {
        fb_class_options class_;
        result = fb_class_options_copy(&fb_config_settings(copy)->classes[1], &class_);
        fb_class_options_release(&class_);
    }
    if (result == FB_OK) {
        result = fb_config_get(copy, FB_STR("classes.package.tags"), text, sizeof(text));
    }
    if (result == FB_OK) {
        result = fb_config_walk(copy, (fb_config_fn)arg, &count);
    }
    if (result == FB_OK) {
        result = fb_config_check(copy, NULL);
    }
    fb_config_free(copy);
    fb_config_free(config);
    return result;
}

static void count_option(void *arg, fb_str path, fb_str value, fb_str default_value,
                         const char *unit, bool reloadable, const char *help) {
    (void)path, (void)value, (void)default_value, (void)unit, (void)reloadable, (void)help;
    (*(size_t *)arg)++;
}

static void test_config__no_memory_is_reported_and_changes_nothing(void **state) {
    assert_true(test_memory_sweep(everything, (void *)count_option) > 100);
}

// ---- random

// Programs of random calls, right and wrong: whatever came before, what walk tells makes the same
// configuration again.
static void test_config__any_sequence_of_calls_round_trips(void **state) {
    static const char *const paths[] = {
        "memory", "listen.http", "classes.a.ttl", "classes.a.memory_ttl", "classes.b.tags",
        "classes.b.normalise", "classes.a.jitter", "classes.a.parameters.p.default",
        "sources.s.sqlite", "classes.b.key", "classes", "log", "classes.a.nothing",
    };
    static const char *const values[] = {
        "1GiB", "off", "1h30m", "1ms", "[\"a\\x01\", 'b: c']", "[trim, collapse]", "33.3%",
        "{a: {ttl: 3s}}", "", "a#b: {c}", "{level: warn}", "0.123456789", "\xc3\xa4", "trim",
    };
    fb_rng rng = test_rng();
    fb_config *config = NULL;
    size_t done = 0;

    assert_ok(fb_config_new(&config));
    for (int step = 0; step < 3000; step++) {
        const char *path = paths[fb_rng_below(&rng, sizeof(paths) / sizeof(paths[0]))];
        const char *value = values[fb_rng_below(&rng, sizeof(values) / sizeof(values[0]))];
        done += fb_config_set(config, fb_str_of(path), fb_str_of(value), NULL) == FB_OK;
        if (step % 100 == 0) {
            copying there = {0}, back = {0};
            assert_ok(fb_config_new(&there.to));
            assert_ok(fb_config_walk(config, write_option, &there));
            assert_ok(fb_config_walk(there.to, write_option, &back));
            assert_bytes(fb_buf_str(&back.text), fb_buf_str(&there.text));
            fb_buf_release(&there.text);
            fb_buf_release(&back.text);
            fb_config_free(there.to);
        }
    }
    assert_true(done > 300);
    fb_config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config__defaults_are_what_the_tables_say),
        cmocka_unit_test(test_config__tables_are_well_formed),
        cmocka_unit_test(test_config__a_file_fills_the_settings),
        cmocka_unit_test(test_config__a_byte_order_mark_is_no_content),
        cmocka_unit_test(test_config__paths_are_relative_to_their_file),
        cmocka_unit_test(test_config__files_add_to_each_other),
        cmocka_unit_test(test_config__redis_is_found_by_the_usual_variables),
        cmocka_unit_test(test_config__a_wrong_usual_variable_is_named),
        cmocka_unit_test(test_config__passwords_are_never_shown),
        cmocka_unit_test(test_config__a_password_that_is_refused_is_not_shown),
        cmocka_unit_test(test_config__limits_are_there_from_the_start),
        cmocka_unit_test(test_config__queues_are_there_from_the_start),
        cmocka_unit_test(test_config__mails_are_set_by_variables),
        cmocka_unit_test(test_config__a_limit_is_changed_option_by_option),
        cmocka_unit_test(test_config__the_limit_of_connections_says_where_it_went),
        cmocka_unit_test(test_config__set_takes_text_as_it_is),
        cmocka_unit_test(test_config__set_refuses_by_path),
        cmocka_unit_test(test_config__get_knows_what_is_there),
        cmocka_unit_test(test_config__what_walk_tells_set_takes),
        cmocka_unit_test(test_config__a_copy_is_its_own),
        cmocka_unit_test(test_config__a_class_has_options_of_its_own_too),
        cmocka_unit_test(test_config__memory_ttl_follows_a_shorter_ttl_until_it_is_set),
        cmocka_unit_test(test_config__the_environment_sets_options),
        cmocka_unit_test(test_config__the_doors_cannot_share_an_address_but_any_free_port),
        cmocka_unit_test(test_config__the_environment_is_refused_by_name),
        cmocka_unit_test(test_config__no_memory_is_reported_and_changes_nothing),
        cmocka_unit_test(test_config__any_sequence_of_calls_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
