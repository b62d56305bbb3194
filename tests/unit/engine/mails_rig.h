// mails_rig.h -- an engine with a journal, mail servers that do as they are told, and everything that
// was logged.

#ifndef FB_TESTS_MAILS_RIG_H
#define FB_TESTS_MAILS_RIG_H

#include <sys/stat.h>

#include "fake_smtp.h"
#include "queues_rig.h"

enum { MAILS_PATIENCE_S = 240, MAILS_LOG_SIZE = 1 << 20 };

#define mails_until(condition)                                     \
    do {                                                           \
        for (int turns = 0; !(condition); turns++) {               \
            static const struct timespec moment = {0, 2000000};    \
            if (turns > MAILS_PATIENCE_S * 500) {                  \
                fail_msg("it did not come about: %s", #condition); \
            }                                                      \
            (void)nanosleep(&moment, NULL);                        \
        }                                                          \
    } while (0)

// ---- what is logged

static pthread_mutex_t mails_log_lock = PTHREAD_MUTEX_INITIALIZER;
static char mails_log_text[MAILS_LOG_SIZE];
static size_t mails_log_len;

static inline void mails_log(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg, (void)level;
    pthread_mutex_lock(&mails_log_lock);
    if (mails_log_len + strlen(event) + strlen(fields) + 4 < MAILS_LOG_SIZE) {
        mails_log_len += (size_t)snprintf(mails_log_text + mails_log_len,
                                          MAILS_LOG_SIZE - mails_log_len, "%s %s\n", event, fields);
    }
    pthread_mutex_unlock(&mails_log_lock);
}

static inline bool mails_logged(const char *part) {
    pthread_mutex_lock(&mails_log_lock);
    bool found = strstr(mails_log_text, part) != NULL;
    pthread_mutex_unlock(&mails_log_lock);
    return found;
}

// ---- the stage

static fake_smtp mails_main, mails_backup;

static inline int mails_group_up(void **state) {
    fb_hooks hooks = {.log = mails_log};
    (void)state;
    fb_hooks_set(&hooks);
    return 0;
}

static inline int mails_up(void **state) {
    memset(&mails_main, 0, sizeof mails_main);
    memset(&mails_backup, 0, sizeof mails_backup);
    fake_smtp_start(&mails_main, false);
    fake_smtp_start(&mails_backup, false);
    pthread_mutex_lock(&mails_log_lock);
    mails_log_len = 0;
    mails_log_text[0] = '\0';
    pthread_mutex_unlock(&mails_log_lock);
    return queues_up(state);
}

static inline void mails_clear(const char *name) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", rig_folder, name);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char file[1024];
        (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        (void)unlink(file);
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    (void)rmdir(path);
}

static inline int mails_down(void **state) {
    static const char *const folders[] = {"box/tmp", "box/new", "box/cur", "box", "templates"};
    fake_smtp_stop(&mails_main);
    fake_smtp_stop(&mails_backup);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        mails_clear(folders[i]);
    }
    return queues_down(state);
}

#define mails_test(name) cmocka_unit_test_setup_teardown(name, mails_up, mails_down)

// `more` stands within `mail`, `others` beside it. relays: 0 … 2.
static inline fb_engine *mails_open(int relays, const char *more, const char *others) {
    char text[3500], both[1024] = "";
    static const char one[] =
        "    %s: {url: \"smtp://localhost:%d\", tls: \"off\", timeout: 240s, connect_timeout: 240s%s}\n";
    const char *limit = strstr(others, "only_one") != NULL ? ", limit: only_one" : "";
    size_t len = 0;
    if (relays > 0) {
        len = (size_t)snprintf(both, sizeof both, "  relays:\n");
        len += (size_t)snprintf(both + len, sizeof both - len, one, "main", mails_main.port, limit);
    }
    if (relays > 1) {
        (void)snprintf(both + len, sizeof both - len, one, "backup", mails_backup.port, "");
    }
    (void)snprintf(text, sizeof text,
                   "%s\nmail:\n  from: \"Grain <no-reply@example.org>\"\n  product: Grain\n"
                   "  maildir: box\n%s%s\n",
                   others, more, both);
    return queues_open(text);
}

// ---- mails

static inline int mails_send(fb_engine *engine, const char *kind, const char *to, const char *code,
                             uint64_t *number, fb_error *error) {
    char id[FB_JOB_ID_SIZE] = "";
    fb_str queue;
    fb_mail_var vars[] = {{FB_STR("code"), fb_str_of(code)}, {FB_STR("link"), FB_STR("https://e.org/x")},
                          {FB_STR("name"), FB_STR("Ada")}};
    fb_mail mail = {.kind = fb_str_of(kind), .to = fb_str_of(to), .vars = vars, .var_count = 3};
    int result = fb_mail_send(engine, &mail, id, error);
    if (result == FB_OK && number != NULL) {
        assert_ok(fb_job_id_parse(fb_str_of(id), &queue, number));
        assert_str(queue, "mail");
    }
    return result;
}

static inline uint64_t mails_put(fb_engine *engine, const char *kind) {
    uint64_t number = 0;
    fb_error error = {0};
    if (mails_send(engine, kind, "Ada <ada@example.org>", "042137", &number, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    return number;
}

static inline uint64_t mails_count(fb_engine *engine, fb_job_state state) {
    return queues_count(engine, "mail", state);
}

static inline bool mails_all_done(fb_engine *engine) {
    fb_queue_look look = queues_look(engine, "mail");
    return look.counts[FB_JOB_READY] + look.counts[FB_JOB_LEASED] + look.counts[FB_JOB_SCHEDULED] == 0;
}

// The job: its state, attempts and words.
static inline void mails_job(fb_engine *engine, uint64_t number, queues_job *job) {
    fb_job_claim claim = {number, 0};
    fb_queue_call call = {.verb = FB_QUEUE_GET, .queue = FB_STR("mail"), .claims = &claim,
                          .item_count = 1};
    queues_answer *answer = calloc(1, sizeof *answer);
    assert_non_null(answer);
    assert_ok(queues_ask(engine, &call, answer));
    assert_int_equal(answer->job_count, 1);
    *job = answer->jobs[0];
    free(answer);
}

static inline void mails_kick(fb_engine *engine, fb_job_state state) {
    queues_answer *answer = calloc(1, sizeof *answer);
    fb_queue_call call = {.verb = FB_QUEUE_KICK, .queue = FB_STR("mail"), .state = state, .count = 1000};
    assert_non_null(answer);
    assert_ok(queues_ask(engine, &call, answer));
    free(answer);
}

typedef struct mails_found {
    const char *relay;
    fb_mail_figures figures;
    bool found;
} mails_found;

static inline void mails_find(void *arg, const fb_mail_figures *figures) {
    mails_found *one = arg;
    if (strcmp(figures->relay, one->relay) == 0) {
        one->figures = *figures;
        one->found = true;
    }
}

static inline fb_mail_figures mails_figures(fb_engine *engine, const char *relay) {
    mails_found one = {.relay = relay};
    assert_ok(fb_mail_figures_read(engine, mails_find, &one));
    assert_true(one.found);
    return one.figures;
}

#endif
