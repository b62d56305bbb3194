// One-time codes and magic links, over the cache, the limits and the queue.
//
// A code is a key of the account, a link a key of its token; what stands there is a hash, and the
// names of keys are hashes too: who reads the cache learns neither who signs in nor how. Every look
// at a code is one edit of its key, which counts the try and compares in the same step: however
// many ask at once, no more than so many are ever compared.
//
// Who is unknown costs the same: a code is drawn, stored and mailed, but the mail is of a kind of
// job that its worker throws away. The account is the same whatever the case of its letters, or
// each way to write one would have limits of its own, to one mailbox.

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/mail_inside.h"
#include "engine/otp.h"
#include "os/clock.h"

#define CODE_KEY "forebay:otp:code:"
#define LINK_KEY "forebay:otp:link:"

enum { KEY_SIZE = sizeof CODE_KEY + FB_OTP_HASH_SIZE, LINK_SIZE = 4096, MINUTES_SIZE = 24 };
_Static_assert(sizeof CODE_KEY == sizeof LINK_KEY, "one size for both");

// ---- keys

static fb_str server_key(fb_mailer *mailer) {
    const char *secret = mailer->otp.secret;
    if (secret != NULL && secret[0] != '\0') {
        return fb_str_of(secret);
    }
    if (mailer->engine->shared != NULL && !atomic_exchange(&mailer->told_of_secret, true)) {
        fb_log(FB_LOG_WARN, "otp_secret", "hint=%s",
               "\"other nodes cannot verify codes of this one: set otp.secret\"");
    }
    return fb_str_make((const char *)mailer->otp_key, sizeof mailer->otp_key);
}

static int name_code(fb_mailer *mailer, fb_str account, char *key) {
    memcpy(key, CODE_KEY, sizeof CODE_KEY);
    return fb_otp_hash(server_key(mailer), "account", account, FB_STR(""),
                       key + sizeof CODE_KEY - 1);
}

static int name_link(fb_mailer *mailer, fb_str token, char *key) {
    memcpy(key, LINK_KEY, sizeof LINK_KEY);
    return fb_otp_hash(server_key(mailer), "link", FB_STR(""), token, key + sizeof LINK_KEY - 1);
}

// ---- what is asked for

static bool is_printable(fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (byte < 0x20 || byte == 0x7f) {
            return false;
        }
    }
    return true;
}

static int check_account(fb_str account, fb_error *error) {
    if (account.len == 0 || account.len > FB_MAIL_ADDRESS_MAX || !is_printable(account)) {
        return fb_error_set(error, FB_EINVAL, "an account has 1 to %d bytes, no control characters",
                            FB_MAIL_ADDRESS_MAX);
    }
    return FB_OK;
}

static int check_request(const fb_engine *engine, const fb_otp_request *request, fb_str *to,
                         fb_error *error) {
    fb_address address;
    fb_error why = {0};
    int result = check_account(request->account, error);
    if (result < 0) {
        return result;
    }
    if (request->var_count > FB_MAIL_VARS_MAX - 4 || request->address.len > FB_LIMIT_KEY_MAX) {
        return fb_error_set(error, FB_EINVAL, "too many variables, or too long an address");
    }
    if (!fb_engine_may_wait(engine)) {
        return fb_error_set(error, FB_EINVAL, "it would wait, which on a loop only a fiber may");
    }
    *to = request->to.len > 0 ? request->to : request->account;
    if (fb_address_parse(*to, &address, &why) == FB_OK) {
        return FB_OK;
    }
    return request->to.len > 0
               ? fb_error_set(error, FB_EINVAL, "to: not a mail address: %s", why.text)
               : fb_error_set(error, FB_EINVAL, "account: not a mail address (%s); with another "
                                                "one for mails (to) it need not be one", why.text);
}

// ---- limits

typedef struct questions {
    fb_limit_question of[3];
    size_t count;
    char account[FB_MAIL_ADDRESS_MAX];
} questions;

static void make_questions(const fb_otp_request *request, questions *all) {
    all->count = 0;
    for (size_t i = 0; i < request->account.len; i++) {
        char byte = request->account.ptr[i];
        all->account[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
    }
    fb_str account = {all->account, request->account.len};
    all->of[all->count++] =
        (fb_limit_question){.rule = FB_STR("otp_resend"), .key = account, .cost = 1};
    all->of[all->count++] =
        (fb_limit_question){.rule = FB_STR("otp_account"), .key = account, .cost = 1};
    if (request->address.len > 0) {
        all->of[all->count++] = (fb_limit_question){
            .rule = FB_STR("otp_address"), .key = request->address, .cost = 1};
    }
}

// Rules that are switched off are not asked.
static void keep_rules_that_are(fb_engine *engine, questions *all) {
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        fb_verdict verdict;
        int result = fb_limit_check(engine, &all->of[i], 1, FB_LIMIT_PEEK | FB_LIMIT_LOCAL,
                                    &verdict, NULL);
        if (result != FB_ENOLIMIT) {
            all->of[kept++] = all->of[i];
        }
    }
    all->count = kept;
}

static int64_t longest_wait_ms(const fb_verdict *verdicts, size_t count) {
    int64_t wait_us = 1;
    for (size_t i = 0; i < count; i++) {
        wait_us = verdicts[i].denied && verdicts[i].retry_us > wait_us ? verdicts[i].retry_us
                                                                       : wait_us;
    }
    return (wait_us + 999) / 1000;
}

// FB_OK; FB_LIMITED with *retry_ms; errors of fb_limit_check().
static int ask_limits(fb_engine *engine, const fb_otp_request *request, int64_t *retry_ms,
                      fb_error *error) {
    questions all;
    fb_verdict verdicts[3];
    make_questions(request, &all);
    int result = fb_limit_check(engine, all.of, all.count, 0, verdicts, error);
    if (result == FB_ENOLIMIT) {
        keep_rules_that_are(engine, &all);
        result = all.count == 0 ? FB_OK
                                : fb_limit_check(engine, all.of, all.count, 0, verdicts, error);
    }
    *retry_ms = result == FB_LIMITED ? longest_wait_ms(verdicts, all.count) : 0;
    return result;
}

// ---- issuing

typedef struct placing {
    fb_str text;
    int64_t expires_ms;
} placing;

static int place(void *arg, fb_edit *edit) {
    const placing *one = arg;
    edit->action = FB_EDIT_PUT;
    edit->data = one->text;
    edit->expires_ms = one->expires_ms;
    return FB_OK;
}

static int store(fb_engine *engine, const char *key, const fb_otp_record *record, int64_t ttl_ms) {
    char text[FB_OTP_RECORD_SIZE];
    placing one = {.text = fb_otp_record_write(record, text),
                   .expires_ms = fb_clock_wall_ms() + ttl_ms};
    return fb_edit_key(engine, fb_str_of(key), place, &one);
}

static int issue_code(fb_mailer *mailer, fb_str account, int64_t ttl_ms, char *code) {
    char key[KEY_SIZE];
    fb_otp_record record = {.account = account};
    int result = fb_otp_draw_code(code);
    if (result == FB_OK) {
        result = name_code(mailer, account, key);
    }
    if (result == FB_OK) {
        result = fb_otp_hash(server_key(mailer), "code", account, fb_str_of(code), record.hash);
    }
    return result == FB_OK ? store(mailer->engine, key, &record, ttl_ms) : result;
}

static int issue_link(fb_mailer *mailer, fb_str account, int64_t ttl_ms, char *token) {
    char key[KEY_SIZE];
    fb_otp_record record = {.account = account};
    int result = fb_otp_draw_token(token);
    if (result == FB_OK) {
        result = name_link(mailer, fb_str_of(token), key);
    }
    return result == FB_OK ? store(mailer->engine, key, &record, ttl_ms) : result;
}

static void make_link(const fb_mailer *mailer, const char *token, char *link) {
    static const char place_of[] = "{token}";
    const char *url = mailer->otp.link_url;
    const char *at = strstr(url, place_of);
    if (at == NULL) {  // nothing says where: at the end
        (void)snprintf(link, LINK_SIZE, "%s%s", url, token);
        return;
    }
    (void)snprintf(link, LINK_SIZE, "%.*s%s%s", (int)(at - url), url, token,
                   at + sizeof place_of - 1);
}

static bool is_ours(fb_str name) {
    return fb_str_equal(name, FB_STR("code")) || fb_str_equal(name, FB_STR("link")) ||
           fb_str_equal(name, FB_STR("minutes")) || fb_str_equal(name, FB_STR("account"));
}

static int mail_it(fb_mailer *mailer, const fb_otp_request *request, fb_str to, fb_str secret,
                   fb_error *error) {
    char minutes[MINUTES_SIZE];
    fb_mail_var vars[FB_MAIL_VARS_MAX];
    size_t count = 0;
    bool code = request->form == FB_OTP_CODE;
    int64_t ttl_ns = code ? mailer->otp.code_ttl_ns : mailer->otp.link_ttl_ns;
    (void)snprintf(minutes, sizeof minutes, "%lld",
                   (long long)((ttl_ns + 60 * FB_NS_PER_S - 1) / (60 * FB_NS_PER_S)));
    vars[count++] = (fb_mail_var){code ? FB_STR("code") : FB_STR("link"), secret};
    vars[count++] = (fb_mail_var){FB_STR("minutes"), fb_str_of(minutes)};
    vars[count++] = (fb_mail_var){FB_STR("account"), request->account};
    for (size_t i = 0; i < request->var_count; i++) {
        if (!is_ours(request->vars[i].name)) {
            vars[count++] = request->vars[i];
        }
    }
    fb_mail mail = {.kind = code ? FB_STR("otp") : FB_STR("magic_link"),
                    .to = to,
                    .vars = vars,
                    .var_count = count,
                    .expires_ms = ttl_ns / FB_NS_PER_MS};
    fb_mail_manner manner = {.discard = !request->known, .silent = true};
    return fb_mailer_accept_wait(mailer, &mail, manner, NULL, error);
}

// Draws, stores, mails.
static int issue(fb_mailer *mailer, const fb_otp_request *request, fb_str to, fb_error *error) {
    char code[FB_OTP_CODE_SIZE], token[FB_OTP_TOKEN_SIZE], link[LINK_SIZE];
    bool is_code = request->form == FB_OTP_CODE;
    int64_t ttl_ms = (is_code ? mailer->otp.code_ttl_ns : mailer->otp.link_ttl_ns) / FB_NS_PER_MS;
    int result = is_code ? issue_code(mailer, request->account, ttl_ms, code)
                         : issue_link(mailer, request->account, ttl_ms, token);
    if (result < 0) {
        return fb_error_set(error, result, "the code cannot be stored: %s", fb_result_text(result));
    }
    if (!is_code) {
        make_link(mailer, token, link);
    }
    result = mail_it(mailer, request, to, fb_str_of(is_code ? code : link), error);
    OPENSSL_cleanse(code, sizeof code);
    OPENSSL_cleanse(token, sizeof token);
    OPENSSL_cleanse(link, sizeof link);
    return result;
}

static bool is_of_the_call(int result) {
    return result == FB_EINVAL || result == FB_ENOMAIL || result == FB_ENOMEM ||
           result == FB_ECLOSED || result == FB_ETOOBIG;
}

int fb_otp_issue(fb_engine *engine, const fb_otp_request *request, fb_otp_fn fn, void *arg,
                 fb_error *error) {
    fb_engine_ours(engine);
    fb_mailer *mailer = engine->mailer;
    fb_error why = {0};
    fb_str to;
    fb_otp_answer answer = {.result = FB_OK};
    int result = check_request(engine, request, &to, error);
    if (result < 0) {
        return result;
    }
    result = ask_limits(engine, request, &answer.retry_ms, &why);
    if (result == FB_OK) {
        result = issue(mailer, request, to, &why);
    }
    if (is_of_the_call(result)) {
        return fb_error_set(error, result == FB_ETOOBIG ? FB_EINVAL : result, "%s", why.text);
    }
    answer.result = result < 0 ? FB_EIO : result;
    answer.error = why.text;
    if (result == FB_OK) {
        int64_t ttl_ns = request->form == FB_OTP_CODE ? mailer->otp.code_ttl_ns
                                                      : mailer->otp.link_ttl_ns;
        answer.expires_ms = ttl_ns / FB_NS_PER_MS;
    }
    fn(arg, &answer);
    return FB_OK;
}

// ---- verifying

typedef struct trial {
    const char *hash;        // of what is shown; of a link NULL
    uint32_t tries_max;
    fb_otp_answer *answer;
    char text[FB_OTP_RECORD_SIZE];
} trial;

static void take_account(fb_otp_answer *answer, fb_str account) {
    memcpy(answer->account, account.ptr, account.len);
    answer->account[account.len] = '\0';
}

// May be called several times for one question, each with what is there then.
static int try_code(void *arg, fb_edit *edit) {
    static const char nothing[FB_OTP_HASH_SIZE] = "";
    trial *one = arg;
    fb_otp_record record = {.tries = 0};
    bool there = edit->found && fb_otp_record_read(edit->value.data, &record) == FB_OK &&
                 record.hash[0] != '\0';
    one->answer->attempts_left = 0;
    if (FB_RULE(otp_tries) && there && record.tries >= one->tries_max) {
        int64_t left_ms = edit->expires_ms - fb_clock_wall_ms();
        one->answer->retry_ms = left_ms > 1 ? left_ms : 1;
        return FB_LIMITED;
    }
    bool right = CRYPTO_memcmp(one->hash, there ? record.hash : nothing, FB_OTP_HASH_SIZE) == 0;
    if (!there) {
        return FB_MISS;
    }
    if (right) {
        take_account(one->answer, record.account);
        edit->action = FB_RULE(otp_once) ? FB_EDIT_DELETE : FB_EDIT_KEEP;
        return FB_OK;
    }
    record.tries++;
    one->answer->attempts_left = one->tries_max - record.tries;
    edit->action = FB_EDIT_PUT;
    edit->data = fb_otp_record_write(&record, one->text);
    return FB_MISS;
}

static int try_link(void *arg, fb_edit *edit) {
    trial *one = arg;
    fb_otp_record record;
    if (!edit->found || fb_otp_record_read(edit->value.data, &record) != FB_OK) {
        return FB_MISS;
    }
    take_account(one->answer, record.account);
    edit->action = FB_EDIT_DELETE;
    return FB_OK;
}

// What is longer than any secret is none; it is tried all the same, as the empty one.
static fb_str bounded(fb_str secret) {
    return secret.len <= FB_OTP_SECRET_MAX ? secret : FB_STR("");
}

static int verify_code(fb_mailer *mailer, fb_str account, fb_str secret, fb_otp_answer *answer) {
    char key[KEY_SIZE], hash[FB_OTP_HASH_SIZE];
    trial one = {.hash = hash, .tries_max = mailer->otp.attempts, .answer = answer};
    int result = name_code(mailer, account, key);
    if (result == FB_OK) {
        result = fb_otp_hash(server_key(mailer), "code", account, bounded(secret), hash);
    }
    return result == FB_OK ? fb_edit_key(mailer->engine, fb_str_of(key), try_code, &one) : result;
}

static int verify_link(fb_mailer *mailer, fb_str token, fb_otp_answer *answer) {
    char key[KEY_SIZE];
    trial one = {.answer = answer};
    int result = name_link(mailer, bounded(token), key);
    return result == FB_OK ? fb_edit_key(mailer->engine, fb_str_of(key), try_link, &one) : result;
}

int fb_otp_verify(fb_engine *engine, fb_otp_form form, fb_str account, fb_str secret, fb_otp_fn fn,
                  void *arg, fb_error *error) {
    fb_engine_ours(engine);
    fb_otp_answer answer = {.error = ""};
    int result = form == FB_OTP_CODE ? check_account(account, error) : FB_OK;
    if (result < 0) {
        return result;
    }
    if (!fb_engine_may_wait(engine)) {
        return fb_error_set(error, FB_EINVAL, "it would wait, which on a loop only a fiber may");
    }
    result = form == FB_OTP_CODE ? verify_code(engine->mailer, account, secret, &answer)
                                 : verify_link(engine->mailer, secret, &answer);
    if (result == FB_ENOMEM || result == FB_ECLOSED) {
        return fb_error_set(error, result, "%s", fb_result_text(result));
    }
    answer.result = result < 0 ? FB_EIO : result;
    if (result < 0) {
        answer.error = fb_result_text(result);
    }
    fn(arg, &answer);
    return FB_OK;
}

static int look_at_link(void *arg, fb_edit *edit) {
    fb_otp_record record;
    (void)arg;
    return edit->found && fb_otp_record_read(edit->value.data, &record) == FB_OK ? FB_OK : FB_MISS;
}

int fb_otp_peek(fb_engine *engine, fb_str token, fb_error *error) {
    fb_engine_ours(engine);
    char key[KEY_SIZE];
    if (!fb_engine_may_wait(engine)) {
        return fb_error_set(error, FB_EINVAL, "it would wait, which on a loop only a fiber may");
    }
    int result = name_link(engine->mailer, bounded(token), key);
    result = result == FB_OK ? fb_edit_key(engine, fb_str_of(key), look_at_link, NULL) : result;
    return result < 0 ? fb_error_set(error, result, "%s", fb_result_text(result)) : result;
}
