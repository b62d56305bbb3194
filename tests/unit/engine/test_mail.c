// Mails from accepting them to what a relay that does anything says, over a real journal.

#include "mails_rig.h"

// A header's value in a message that was taken, without its line's end.
static void find_header(const fake_mail *mail, const char *name, char *value, size_t size) {
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    const char *at = strstr(mail->data, wanted);
    assert_non_null(at);
    at += strlen(wanted);
    (void)snprintf(value, size, "%.*s", (int)(strstr(at, "\r\n") - at), at);
}

static void test_mail__is_rendered_and_sent(void **state) {
    char text[256];
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    (void)mails_put(engine, "otp");
    fake_smtp_await_mails(&mails_main, 1);
    mails_until(mails_all_done(engine));
    assert_int_equal(mails_count(engine, FB_JOB_DEAD), 0);
    const fake_mail *mail = &mails_main.mails[0];
    assert_string_equal(mail->from, "no-reply@example.org>");
    assert_string_equal(mail->to, "ada@example.org>");
    assert_non_null(strstr(mail->data, "042137"));
    find_header(mail, "To", text, sizeof text);
    assert_string_equal(text, "Ada <ada@example.org>");
    find_header(mail, "Subject", text, sizeof text);
    assert_string_equal(text, "Your code for Grain");
    find_header(mail, "Message-ID", text, sizeof text);
    assert_true(fb_str_ends(fb_str_of(text), FB_STR("@example.org>")));
    fb_mail_figures figures = mails_figures(engine, "main");
    assert_int_equal(figures.sent, 1);
    assert_true(figures.up);
    mails_until(mails_logged("mail_sent id=mail."));
    fb_close(engine, 0);
    // Neither the code nor whose it is.
    assert_false(mails_logged("042137"));
    assert_false(mails_logged("ada@example.org"));
}

static void test_mail__what_cannot_be_sent_is_not_accepted(void **state) {
    static const struct {
        const char *kind, *to, *code;
        int result;
    } wrongs[] = {{"otpp", "ada@example.org", "1", FB_ENOMAIL},
                  {"otp", "ada@example.org, bob@example.org", "1", FB_EINVAL},
                  {"otp", "ada", "1", FB_EINVAL},
                  {"otp", "ada@example.org\r\nBcc: x@example.org", "1", FB_EINVAL},
                  {"otp", "ada@example.org", "1\r\n2", FB_EINVAL}};
    fb_error error;
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        error.text[0] = '\0';
        assert_result(mails_send(engine, wrongs[i].kind, wrongs[i].to, wrongs[i].code, NULL, &error),
                      wrongs[i].result);
        assert_true(strlen(error.text) > 0);
    }
    fb_mail missing = {.kind = FB_STR("otp"), .to = FB_STR("ada@example.org")};
    char id[FB_JOB_ID_SIZE];
    assert_result(fb_mail_send(engine, &missing, id, &error), FB_EINVAL);
    assert_non_null(strstr(error.text, "code"));
    missing.expires_ms = -1;
    assert_result(fb_mail_send(engine, &missing, id, &error), FB_EINVAL);
    assert_int_equal(mails_count(engine, FB_JOB_READY) + mails_count(engine, FB_JOB_SCHEDULED), 0);
    fb_close(engine, 0);
}

// The same message, headers and all, whenever it is sent.
static void test_mail__is_tried_again_as_the_same_message(void **state) {
    queues_job job;
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    mails_main.keep_all = true;
    // It is taken, and no answer comes: an otp is sent again.
    fake_smtp_answer(&mails_main, FAKE_DOT, FAKE_CLOSE, NULL, 1);
    uint64_t number = mails_put(engine, "otp");
    mails_until(mails_count(engine, FB_JOB_SCHEDULED) == 1);
    mails_job(engine, number, &job);
    assert_int_equal(job.job.attempt, 1);
    assert_true(fb_str_starts(fb_str_of(job.error), FB_STR("ambiguous: ")));
    fake_smtp_answer(&mails_main, FAKE_MAIL, FAKE_REPLY, "452 4.3.1 no room", 1);
    mails_kick(engine, FB_JOB_SCHEDULED);
    mails_until(mails_figures(engine, "main").deferred == 1 &&
                mails_count(engine, FB_JOB_SCHEDULED) == 1);
    mails_job(engine, number, &job);
    assert_string_equal(job.error, "452 4.3.1 no room");
    assert_int_equal(job.job.attempt, 2);
    mails_kick(engine, FB_JOB_SCHEDULED);
    fake_smtp_await_mails(&mails_main, 2);
    mails_until(mails_all_done(engine));
    const fake_mail *sent = mails_main.mails;
    assert_bytes(fb_str_make(sent[1].data, sent[1].len), fb_str_make(sent[0].data, sent[0].len));
    assert_int_equal(mails_figures(engine, "main").ambiguous, 1);
    assert_true(mails_logged("mail_ambiguous "));
    fb_close(engine, 0);
}

static void test_mail__nobody_knows_ends_what_is_not_sent_again(void **state) {
    queues_job job;
    (void)state;
    fb_engine *engine = mails_open(2, "", "");
    fake_smtp_answer(&mails_main, FAKE_DOT, FAKE_CLOSE, NULL, 0);
    uint64_t number = mails_put(engine, "registration");
    mails_until(mails_count(engine, FB_JOB_DEAD) == 1);
    mails_job(engine, number, &job);
    assert_int_equal(job.job.end, FB_JOB_END_PERMANENT);
    assert_true(fb_str_starts(fb_str_of(job.error), FB_STR("ambiguous: ")));
    assert_int_equal(fake_smtp_mails(&mails_backup), 0);
    fb_close(engine, 0);
}

static void test_mail__refused_for_good_is_given_up(void **state) {
    queues_job job;
    fb_error error;
    (void)state;
    fb_engine *engine = mails_open(2, "", "");
    fake_smtp_answer(&mails_main, FAKE_DOT, FAKE_REPLY, "554 5.7.1 code 042137 for Ada <ADA@example.org> is spam",
                     0);
    uint64_t number = mails_put(engine, "otp");
    mails_until(mails_count(engine, FB_JOB_DEAD) == 1);
    mails_job(engine, number, &job);
    // What it repeats of the mail is not kept.
    assert_string_equal(job.error, "554 5.7.1 code *** for Ada <ADA@example.org> is spam");
    assert_int_equal(job.job.attempt, 1);
    assert_false(mails_logged("042137"));
    assert_false(mails_logged("ADA@example.org"));
    assert_true(mails_logged("mail_refused "));
    // It was the mail, not the address.
    assert_ok(mails_send(engine, "otp", "ada@example.org", "1", NULL, &error));
    fb_close(engine, 0);
}

static void test_mail__who_does_not_exist_gets_no_more_mails(void **state) {
    fb_error error;
    int64_t since_ms = 0;
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    assert_result(fb_mail_suppressed(engine, FB_STR("ada@example.org"), &since_ms, &error), FB_MISS);
    fake_smtp_answer(&mails_main, FAKE_RCPT, FAKE_REPLY, "550 5.1.1 no such user", 1);
    (void)mails_put(engine, "registration");
    mails_until(mails_count(engine, FB_JOB_DEAD) == 1);
    assert_ok(fb_mail_suppressed(engine, FB_STR("Ada@Example.org"), &since_ms, &error));
    assert_true(since_ms > 0);
    assert_result(mails_send(engine, "otp", "Ada Lovelace <ADA@example.org>", "1", NULL, &error),
                  FB_REFUSED);
    assert_ok(mails_send(engine, "otp", "bob@example.org", "1", NULL, &error));
    fb_close(engine, 0);
    // It is as durable as the jobs. A job that was there before is not sent either.
    engine = mails_open(1, "", "");
    assert_result(mails_send(engine, "otp", "ada@example.org", "1", NULL, &error), FB_REFUSED);
    mails_kick(engine, FB_JOB_DEAD);
    mails_until(mails_count(engine, FB_JOB_DEAD) == 1 && mails_all_done(engine));
    assert_ok(fb_mail_allow(engine, FB_STR("ADA@example.org"), &error));
    assert_result(fb_mail_allow(engine, FB_STR("ADA@example.org"), &error), FB_MISS);
    assert_ok(mails_send(engine, "otp", "ada@example.org", "1", NULL, &error));
    mails_until(mails_all_done(engine));
    fb_close(engine, 0);
}

static void test_mail__another_relay_takes_what_one_cannot(void **state) {
    (void)state;
    fb_engine *engine = mails_open(2, "", "");
    fake_smtp_answer(&mails_main, FAKE_GREETING, FAKE_REPLY, "554 5.3.2 not today", 0);
    for (int i = 0; i < 5; i++) {
        (void)mails_put(engine, "otp");
    }
    fake_smtp_await_mails(&mails_backup, 5);
    mails_until(mails_all_done(engine));
    fb_mail_figures figures = mails_figures(engine, "main");
    assert_false(figures.up);
    assert_int_equal(figures.paused, 1);
    assert_string_equal(figures.why, "554 5.3.2 not today");
    assert_true(mails_figures(engine, "backup").up);
    assert_true(mails_logged("mail_relay_paused relay=main for_ms=30000 "));
    fb_close(engine, 0);
}

typedef struct lines {
    char text[2048];
    int bad;
} lines;

static void note_line(void *arg, bool good, const char *line) {
    lines *all = arg;
    size_t len = strlen(all->text);
    (void)snprintf(all->text + len, sizeof all->text - len, "%s\n", line);
    all->bad += !good;
}

static void test_mail__waits_for_relays_without_burning_attempts(void **state) {
    queues_job job;
    fb_error error;
    lines all = {.bad = 0};
    (void)state;
    fb_engine *engine = mails_open(2, "", "");
    fake_smtp_answer(&mails_main, FAKE_GREETING, FAKE_LAST, "421 4.3.2 not today", 0);
    fake_smtp_answer(&mails_backup, FAKE_MAIL, FAKE_REPLY, "530 5.7.0 sign in first", 0);
    uint64_t number = mails_put(engine, "registration");
    mails_until(mails_count(engine, FB_JOB_SCHEDULED) == 1);
    mails_job(engine, number, &job);
    assert_int_equal(job.job.attempt, 0);
    assert_int_equal(job.job.state, FB_JOB_SCHEDULED);
    assert_string_equal(mails_figures(engine, "backup").why, "530 5.7.0 sign in first");
    // While they are paused nobody is asked.
    uint32_t greetings = fake_smtp_steps(&mails_main, FAKE_GREETING);
    mails_kick(engine, FB_JOB_SCHEDULED);
    mails_until(mails_count(engine, FB_JOB_SCHEDULED) == 1);
    assert_int_equal(fake_smtp_steps(&mails_main, FAKE_GREETING), greetings);
    // A test that goes well ends the pause.
    assert_result(fb_mail_test(engine, FB_STR("main"), note_line, &all, &error), FB_EIO);
    assert_int_equal(all.bad, 1);
    fake_smtp_calm(&mails_main);
    assert_ok(fb_mail_test(engine, FB_STR("main"), note_line, &all, &error));
    assert_true(mails_figures(engine, "main").up);
    mails_kick(engine, FB_JOB_SCHEDULED);
    fake_smtp_await_mails(&mails_main, 1);
    assert_result(fb_mail_test(engine, FB_STR("other"), note_line, &all, &error), FB_EINVAL);
    fb_close(engine, 0);
}

// After the pause one mail tries, and it ends by itself.
static void test_mail__a_pause_ends_by_itself(void **state) {
    (void)state;
    fb_engine *engine = mails_open(1, "  pause: 1s\n", "");
    fake_smtp_answer(&mails_main, FAKE_GREETING, FAKE_LAST, "421 4.3.2 not today", 2);
    (void)mails_put(engine, "registration");
    fake_smtp_await_mails(&mails_main, 1);
    mails_until(mails_all_done(engine));
    fb_mail_figures figures = mails_figures(engine, "main");
    assert_true(figures.up);
    assert_int_equal(figures.paused, 2);
    assert_string_equal(figures.why, "");
    assert_true(mails_logged("mail_relay_up relay=main"));
    assert_int_equal(mails_count(engine, FB_JOB_DEAD), 0);
    fb_close(engine, 0);
}

static void test_mail__limits_hold_back_and_burn_nothing(void **state) {
    queues_job job;
    (void)state;
    fb_engine *engine = mails_open(1, "  domain_limit: once\n", "limits: {once: {limit: 1, window: 1h}}\n");
    (void)mails_put(engine, "registration");
    fake_smtp_await_mails(&mails_main, 1);
    uint64_t number = mails_put(engine, "registration");
    mails_until(mails_count(engine, FB_JOB_SCHEDULED) == 1);
    mails_job(engine, number, &job);
    assert_int_equal(job.job.attempt, 0);
    assert_true(job.job.due_ms > job.job.enqueued_ms + 3000 * 1000);
    assert_int_equal(mails_figures(engine, "main").limited, 1);
    fb_error error;
    assert_ok(mails_send(engine, "otp", "ada@other.example.org", "1", NULL, &error));
    fake_smtp_await_mails(&mails_main, 2);
    fb_close(engine, 0);
}

static void test_mail__a_relay_at_its_limit_is_passed_over(void **state) {
    (void)state;
    fb_engine *engine = mails_open(2, "", "limits: {only_one: {limit: 1, window: 1h}}\n");
    (void)mails_put(engine, "registration");
    fake_smtp_await_mails(&mails_main, 1);
    (void)mails_put(engine, "registration");
    fake_smtp_await_mails(&mails_backup, 1);
    mails_until(mails_all_done(engine));
    assert_int_equal(mails_figures(engine, "main").limited, 1);
    fb_close(engine, 0);
}

// What is charged for a relay that was down is given back.
static void test_mail__what_was_not_sent_is_not_charged(void **state) {
    fb_verdict verdict;
    fb_limit_question question = {.rule = FB_STR("some"), .key = FB_STR("example.org"), .cost = 1};
    (void)state;
    fb_engine *engine = mails_open(1, "  domain_limit: some\n", "limits: {some: {limit: 10, window: 1h}}\n");
    fake_smtp_answer(&mails_main, FAKE_GREETING, FAKE_LAST, "421 4.3.2 not today", 0);
    (void)mails_put(engine, "registration");
    mails_until(mails_count(engine, FB_JOB_SCHEDULED) == 1);
    assert_ok(fb_limit_check(engine, &question, 1, FB_LIMIT_PEEK, &verdict, NULL));
    assert_int_equal(verdict.remaining, 10);
    fb_close(engine, 0);
}

static void test_mail__without_a_relay_there_is_a_maildir(void **state) {
    char path[256], text[4096] = "";
    struct stat info;
    lines all = {.bad = 0};
    fb_error error;
    (void)state;
    fb_engine *engine = mails_open(0, "", "");
    assert_false(mails_logged("mail_no_relay "));
    for (int i = 0; i < 3; i++) {
        (void)mails_put(engine, "otp");
    }
    mails_until(mails_figures(engine, "maildir").sent == 3);
    (void)snprintf(path, sizeof path, "%s/box/new", rig_folder);
    DIR *folder = opendir(path);
    int count = 0;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char file[600];
        (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.') {
            FILE *one = fopen(file, "r");
            assert_non_null(one);
            size_t len = fread(text, 1, sizeof text - 1, one);
            text[len] = '\0';
            (void)fclose(one);
            assert_non_null(strstr(text, "042137"));
            assert_int_equal(stat(file, &info), 0);
            assert_int_equal(info.st_mode & 0777, 0600);
            count++;
        }
    }
    (void)closedir(folder);
    assert_int_equal(count, 3);
    assert_true(mails_logged("mail_no_relay "));
    assert_ok(fb_mail_test(engine, FB_STR(""), note_line, &all, &error));
    assert_non_null(strstr(all.text, "there is no relay"));
    fb_close(engine, 0);
}

// ---- stopping

static void test_mail__a_stop_hands_back_what_is_not_beyond_the_dot(void **state) {
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    fake_smtp_answer(&mails_main, FAKE_DATA, FAKE_SILENT, NULL, 1);
    uint64_t number = mails_put(engine, "registration");
    fake_smtp_await_step(&mails_main, FAKE_DATA, 1);
    fb_close(engine, 0);
    engine = mails_open(1, "", "");
    fake_smtp_await_mails(&mails_main, 1);
    mails_until(mails_all_done(engine));
    assert_int_equal(mails_count(engine, FB_JOB_DEAD), 0);
    (void)number;
    fb_close(engine, 0);
}

// Whatever its worker is doing: taking jobs, sending, handing back.
static void test_mail__closes_whenever_it_is_told_to(void **state) {
    (void)state;
    for (int round = 0; round < 30; round++) {
        fb_engine *engine = mails_open(1, "", "");
        for (int i = 0; i < round % 12; i++) {
            (void)mails_put(engine, "registration");
        }
        fb_close(engine, 0);
    }
    fb_engine *engine = mails_open(1, "", "");
    mails_until(mails_all_done(engine));
    assert_int_equal(mails_count(engine, FB_JOB_DEAD), 0);
    fb_close(engine, 0);
}

// ---- templates

static void write_template(const char *name, const char *text) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/templates", rig_folder);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof path, "%s/templates/%s", rig_folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    (void)fclose(file);
}

static void note_text(void *arg, fb_str message) {
    (void)snprintf(arg, 4096, "%.*s", FB_STR_ARG(message));
}

static void note_kind(void *arg, const char *kind, const char *file, uint32_t priority) {
    size_t len = strlen(arg);
    (void)snprintf((char *)arg + len, 1024 - len, "%s %s %u\n", kind,
                   strcmp(file, "built in") == 0 ? file : "file", priority);
}

static void test_mail__templates_are_read_again_with_a_reload(void **state) {
    char text[4096] = "", kinds[1024] = "";
    fb_error error;
    fb_mail_var name = {FB_STR("name"), FB_STR("Ada")};
    fb_mail mail = {.kind = FB_STR("hello"), .to = FB_STR("ada@example.org"), .vars = &name, .var_count = 1};
    (void)state;
    write_template("hello.txt", "Subject: Hello\n\nfirst {{name}}\n");
    write_template("README", "is not one");
    const char *more = "  templates: templates\n  kinds: {hello: {priority: 7}}\n";
    fb_engine *engine = mails_open(0, more, "");
    assert_ok(fb_mail_preview(engine, &mail, note_text, text, &error));
    assert_non_null(strstr(text, "first Ada"));
    assert_ok(fb_mail_kinds(engine, note_kind, kinds));
    assert_string_equal(kinds, "approved built in 6\nhello file 7\nmagic_link built in 0\n"
                               "otp built in 0\nregistration built in 3\n");
    char yaml[1024];
    (void)snprintf(yaml, sizeof yaml,
                   QUEUES_YAML "\nmail:\n  from: \"Grain <no-reply@example.org>\"\n  product: Grain\n"
                               "  maildir: box\n%s\n", more);
    write_template("hello.txt", "Subject: Hello\n\nsecond {{name}}\n");
    assert_ok(rig_reload(engine, yaml, &error));
    assert_ok(fb_mail_preview(engine, &mail, note_text, text, &error));
    assert_non_null(strstr(text, "second Ada"));
    // One that is wrong changes nothing.
    write_template("hello.txt", "Subject: Hello\n\n{{#name}}third {{name}\n");
    assert_result(rig_reload(engine, yaml, &error), FB_ESYNTAX);
    assert_non_null(strstr(error.file, "templates/hello.txt"));
    assert_int_equal(error.line, 3);
    assert_ok(fb_mail_preview(engine, &mail, note_text, text, &error));
    assert_non_null(strstr(text, "second Ada"));
    fb_close(engine, 0);
}

static void test_mail__templates_that_are_wrong_are_found_at_the_start(void **state) {
    fb_error error = {0};
    fb_engine *engine = NULL;
    (void)state;
    write_template("otp.txt", "Subject: x\n\n{{code\n");
    fb_config *config = rig_config("memory: 4MiB\nmail: {templates: templates}\n");
    assert_result(fb_check(config, &error), FB_ESYNTAX);
    assert_non_null(strstr(error.file, "templates/otp.txt"));
    assert_result(fb_open(config, &engine, &error), FB_ESYNTAX);
    assert_null(engine);
    fb_config_free(config);
    config = rig_config("memory: 4MiB\nmail: {templates: nowhere}\n");
    assert_result(fb_check(config, &error), FB_EIO);
    fb_config_free(config);
}

static void test_mail__what_is_set_for_no_kind_is_found_at_the_start(void **state) {
    fb_error error = {0};
    (void)state;
    fb_config *config = rig_config("memory: 4MiB\nmail:\n  kinds:\n    hallo: {priority: 1}\n");
    assert_result(fb_check(config, &error), FB_ENOMAIL);
    assert_non_null(strstr(error.text, "mail.kinds.hallo"));
    assert_int_equal(error.line, 4);
    fb_config_free(config);
}

static void count_text(void *arg, fb_str message) {
    assert_true(message.len > 0);
    ++*(int *)arg;
}

static int preview(void *arg) {
    int texts = 0;
    fb_error error = {0};
    fb_mail_var code = {FB_STR("code"), FB_STR("1")};
    fb_mail mail = {.kind = FB_STR("otp"), .to = FB_STR("ada@example.org"), .vars = &code,
                    .var_count = 1};
    int result = fb_mail_preview_alone(arg, &mail, count_text, &texts, &error);
    assert_int_equal(texts, result == FB_OK);
    return result;
}

static void test_mail__is_opened_wholly_or_not_at_all(void **state) {
    (void)state;
    write_template("hello.txt", "Subject: Hello\n\n{{name}}\n");
    fb_config *config = rig_config(
        "mail: {templates: templates, reply_to: x@example.org, kinds: {hello: {priority: 1}},\n"
        " relays: {a: {url: 'smtp://u:p@localhost:1'}, b: {url: 'smtps://localhost', user: u}}}\n");
    assert_ok(preview(config));  // what is made once for the process exists
    assert_true(test_memory_sweep(preview, config) > 20);
    fb_config_free(config);
}

// ---- many

static void test_mail__a_job_made_by_hand_is_sent_too(void **state) {
    char first[256];
    queues_job job;
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    (void)queues_put(engine, "mail", "{\"kind\":\"otp\",\"to\":\"ada@example.org\",\"vars\":{\"code\":\"77\"}}");
    fake_smtp_await_mails(&mails_main, 1);
    find_header(&mails_main.mails[0], "Message-ID", first, sizeof first);
    assert_true(fb_str_starts(fb_str_of(first), FB_STR("<mail.")));
    uint64_t number = queues_put(engine, "mail", "nonsense");
    mails_until(mails_count(engine, FB_JOB_DEAD) == 1);
    mails_job(engine, number, &job);
    assert_int_equal(job.job.end, FB_JOB_END_PERMANENT);
    fb_close(engine, 0);
}

static void test_mail__one_for_each_unique_key(void **state) {
    char id[2][FB_JOB_ID_SIZE];
    fb_error error;
    fb_mail_var code = {FB_STR("code"), FB_STR("1")};
    fb_mail mail = {.kind = FB_STR("otp"), .to = FB_STR("ada@example.org"), .vars = &code,
                    .var_count = 1, .unique = FB_STR("u"), .delay_ms = 3600 * 1000};
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    assert_ok(fb_mail_send(engine, &mail, id[0], &error));
    assert_result(fb_mail_send(engine, &mail, id[1], &error), FB_REFUSED);
    assert_string_equal(id[0], id[1]);
    fb_close(engine, 0);
}

static void test_mail__what_is_late_is_not_sent(void **state) {
    char id[FB_JOB_ID_SIZE];
    fb_error error;
    fb_mail_var code = {FB_STR("code"), FB_STR("1")};
    fb_mail mail = {.kind = FB_STR("otp"), .to = FB_STR("ada@example.org"), .vars = &code,
                    .var_count = 1, .expires_ms = 1, .delay_ms = 50};
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    assert_ok(fb_mail_send(engine, &mail, id, &error));
    mails_until(mails_count(engine, FB_JOB_DEAD) == 1);
    assert_int_equal(fake_smtp_steps(&mails_main, FAKE_GREETING), 0);
    fb_close(engine, 0);
}

typedef struct sender {
    fb_engine *engine;
    pthread_t thread;
} sender;

static void *send_some(void *arg) {
    sender *self = arg;
    for (int i = 0; i < 25; i++) {
        (void)mails_put(self->engine, "registration");
    }
    return NULL;
}

static void test_mail__many_at_once_arrive_once_each(void **state) {
    sender senders[4];
    (void)state;
    fb_engine *engine = mails_open(2, "", "");
    for (int i = 0; i < 4; i++) {
        senders[i].engine = engine;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_some, &senders[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    fake_smtp_await_mails(&mails_main, 100);
    mails_until(mails_all_done(engine));
    assert_int_equal(fake_smtp_mails(&mails_main), 100);
    assert_int_equal(fake_smtp_mails(&mails_backup), 0);
    assert_true(fake_smtp_steps(&mails_main, FAKE_GREETING) <= 4);
    fb_close(engine, 0);
}

// ---- on a loop

typedef struct later {
    fb_engine *engine;
    atomic_int result;
    atomic_bool called;
} later;

static void take_later(void *arg, int result, const char *id, const char *error) {
    later *one = arg;
    (void)error;
    assert_true(result != FB_OK || strncmp(id, "mail.", 5) == 0);
    atomic_store(&one->result, result);
    atomic_store(&one->called, true);
}

static void send_on_loop(void *arg) {
    later *one = arg;
    fb_error error;
    char id[FB_JOB_ID_SIZE];
    fb_mail_var code = {FB_STR("code"), FB_STR("1")};
    fb_mail mail = {.kind = FB_STR("otp"), .to = FB_STR("ada@example.org"), .vars = &code, .var_count = 1};
    // Who would wait is told so.
    assert_result(fb_mail_send(one->engine, &mail, id, &error), FB_EINVAL);
    assert_ok(fb_mail_send_start(one->engine, &mail, take_later, one, &error));
}

static void test_mail__is_accepted_on_a_loop_without_waiting(void **state) {
    (void)state;
    later one = {.called = false};
    one.engine = mails_open(1, "", "");
    assert_ok(fb_loop_post(one.engine, 1, send_on_loop, &one));
    mails_until(atomic_load(&one.called));
    assert_int_equal(atomic_load(&one.result), FB_OK);
    fake_smtp_await_mails(&mails_main, 1);
    fb_close(one.engine, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        mails_test(test_mail__is_rendered_and_sent),
        mails_test(test_mail__what_cannot_be_sent_is_not_accepted),
        mails_test(test_mail__is_tried_again_as_the_same_message),
        mails_test(test_mail__nobody_knows_ends_what_is_not_sent_again),
        mails_test(test_mail__refused_for_good_is_given_up),
        mails_test(test_mail__who_does_not_exist_gets_no_more_mails),
        mails_test(test_mail__another_relay_takes_what_one_cannot),
        mails_test(test_mail__waits_for_relays_without_burning_attempts),
        mails_test(test_mail__a_pause_ends_by_itself),
        mails_test(test_mail__limits_hold_back_and_burn_nothing),
        mails_test(test_mail__a_relay_at_its_limit_is_passed_over),
        mails_test(test_mail__what_was_not_sent_is_not_charged),
        mails_test(test_mail__without_a_relay_there_is_a_maildir),
        mails_test(test_mail__a_stop_hands_back_what_is_not_beyond_the_dot),
        mails_test(test_mail__closes_whenever_it_is_told_to),
        mails_test(test_mail__templates_are_read_again_with_a_reload),
        mails_test(test_mail__templates_that_are_wrong_are_found_at_the_start),
        mails_test(test_mail__what_is_set_for_no_kind_is_found_at_the_start),
        mails_test(test_mail__is_opened_wholly_or_not_at_all),
        mails_test(test_mail__a_job_made_by_hand_is_sent_too),
        mails_test(test_mail__one_for_each_unique_key),
        mails_test(test_mail__what_is_late_is_not_sent),
        mails_test(test_mail__many_at_once_arrive_once_each),
        mails_test(test_mail__is_accepted_on_a_loop_without_waiting),
    };
    return cmocka_run_group_tests(tests, mails_group_up, NULL);
}
