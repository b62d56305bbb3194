// The mailer: opened with the engine, it has the templates, the relays and a copy of its options.
// What a reload brings are templates, which are read again; the rest waits for a restart.
//
// Templates are held while somebody renders by them, so that a reload need not wait for a mail that
// is being sent, nor a mail for a reload.

#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/mail_inside.h"
#include "os/file.h"

enum { TEMPLATE_BYTES_MAX = 1024 * 1024, FOLDER_FILES_MAX = 4096 };

void fb_mail_hex(const uint8_t *bytes, size_t count, char *text) {
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
}

// ---- templates

static int add_file(fb_kinds *kinds, const char *folder, const char *name, fb_error *error) {
    char path[4352];
    fb_buf bytes = {0};
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    fb_str file = fb_str_of(name);
    if (name[0] == '.' ||
        (!fb_str_ends(file, FB_STR(".txt")) && !fb_str_ends(file, FB_STR(".html")))) {
        return FB_OK;
    }
    int result = fb_file_read(path, TEMPLATE_BYTES_MAX, &bytes, error);
    if (result == FB_OK) {
        result = fb_kinds_add(kinds, file, fb_buf_str(&bytes), path, error);
    }
    fb_buf_release(&bytes);
    return result == FB_MISS ? FB_OK : result;  // gone meanwhile, or none of ours
}

// In the order of their names, so that of two errors it is always the same one that is told.
static int add_files(fb_kinds *kinds, const char *folder, fb_error *error) {
    struct dirent **files = NULL;
    int count = scandir(folder, &files, NULL, alphasort);
    if (count < 0) {
        return fb_error_set(error, errno == ENOMEM ? FB_ENOMEM : FB_EIO,
                            "mail.templates: cannot read %s: %s", folder, strerror(errno));
    }
    int result = FB_OK;
    for (int i = 0; i < count; i++) {
        if (result == FB_OK) {
            result = add_file(kinds, folder, files[i]->d_name, error);
        }
        free(files[i]);  // scandir() took it
    }
    free(files);
    return result;
}

static int read_templates(const char *folder, fb_kinds **out, fb_error *error) {
    fb_kinds *kinds = NULL;
    int result = fb_kinds_new(&kinds);
    if (result < 0) {
        return fb_error_set(error, result, "out of memory");
    }
    if (folder != NULL && folder[0] != '\0') {
        result = add_files(kinds, folder, error);
    }
    if (result == FB_OK) {
        result = fb_kinds_check(kinds, error);
    }
    if (result < 0) {
        fb_kinds_free(kinds);
        return result;
    }
    *out = kinds;
    return FB_OK;
}

static int make_plan(const char *folder, fb_mail_plan **out, fb_error *error) {
    fb_mail_plan *plan = fb_mem_zero(1, sizeof *plan);
    if (plan == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = read_templates(folder, &plan->kinds, error);
    if (result < 0) {
        fb_mem_free(plan);
        return result;
    }
    atomic_init(&plan->holds, 1);
    *out = plan;
    return FB_OK;
}

fb_mail_plan *fb_mailer_hold(fb_mailer *mailer) {
    pthread_mutex_lock(&mailer->lock);
    fb_mail_plan *plan = mailer->plan;
    atomic_fetch_add(&plan->holds, 1);
    pthread_mutex_unlock(&mailer->lock);
    return plan;
}

void fb_mailer_let_go(fb_mail_plan *plan) {
    if (plan != NULL && atomic_fetch_sub(&plan->holds, 1) == 1) {
        fb_kinds_free(plan->kinds);
        fb_mem_free(plan);
    }
}

// ---- options

static int copy_options(fb_mailer *mailer, const fb_settings *settings) {
    fb_mail_options *mail = &mailer->options;
    if (fb_option_copy(fb_mail_options_table, sizeof *mail, &settings->mail, mail) < 0) {
        memset(mail, 0, sizeof *mail);
        return FB_ENOMEM;
    }
    int result = FB_OK;
    if (fb_option_copy(fb_otp_options_table, sizeof mailer->otp, &settings->otp, &mailer->otp) <
        0) {
        memset(&mailer->otp, 0, sizeof mailer->otp);
        result = FB_ENOMEM;
    }
    return result;
}

static void release_options(fb_mailer *mailer) {
    fb_mail_options *mail = &mailer->options;
    if (mailer->otp.secret != NULL) {
        explicit_bzero(mailer->otp.secret, strlen(mailer->otp.secret));
    }
    fb_option_release(fb_mail_options_table, mail);
    fb_option_release(fb_otp_options_table, &mailer->otp);
}

const fb_mail_kind_options *fb_mailer_kind(const fb_mailer *mailer, fb_str kind) {
    static const fb_mail_kind_options usual = {.priority = FB_JOB_PRIORITY_UNSET};
    for (size_t i = 0; i < mailer->options.kind_count; i++) {
        if (fb_str_equal(fb_str_of(mailer->options.kinds[i].name), kind)) {
            return &mailer->options.kinds[i];
        }
    }
    return &usual;
}

static int find_names(fb_mailer *mailer, fb_error *error) {
    fb_address from;
    const char *hello = mailer->options.hello;
    if (hello != NULL && hello[0] != '\0') {
        (void)snprintf(mailer->hello, sizeof mailer->hello, "%s", hello);
    } else if (gethostname(mailer->hello, sizeof mailer->hello - 1) != 0 ||
               mailer->hello[0] == '\0') {
        (void)snprintf(mailer->hello, sizeof mailer->hello, "localhost");
    }
    int result = fb_address_parse(fb_str_of(mailer->options.from), &from, error);
    if (result < 0) {
        return result;
    }
    (void)snprintf(mailer->domain, sizeof mailer->domain, "%.*s", FB_STR_ARG(from.domain));
    return FB_OK;
}

// ---- ways

static int add_relay(fb_mailer *mailer, const fb_mail_relay_options *options, fb_error *error) {
    fb_error why = {0};
    fb_mail_way *way = &mailer->ways[mailer->way_count];
    int result = fb_mail_way_init(way, options->name);
    if (result < 0) {
        return fb_error_set(error, result, "out of memory");
    }
    mailer->way_count++;  // also a half-made one is released
    way->limit = options->limit != NULL ? options->limit : "";
    result = fb_relay_new(options, mailer->hello, &way->relay, &why);
    if (result < 0) {
        fb_error_set(error, result, "mail.relays.%s: %s", options->name, why.text);
        fb_error_place(error, options->file, options->line, options->column);
    }
    return result;
}

static int add_ways(fb_mailer *mailer, const fb_settings *settings, fb_error *error) {
    const fb_mail_options *mail = &mailer->options;
    mailer->ways = fb_mem_zero(mail->relay_count + 1, sizeof *mailer->ways);
    int result = mailer->ways != NULL ? FB_OK : FB_ENOMEM;
    for (size_t i = 0; i < mail->relay_count && result == FB_OK; i++) {
        result = add_relay(mailer, &mail->relays[i], error);
        if (result < 0 && settings->mail.relays[i].file != NULL) {
            fb_error_place(error, settings->mail.relays[i].file, mail->relays[i].line,
                           mail->relays[i].column);
        }
    }
    if (result == FB_OK && mail->relay_count == 0) {
        result = fb_mail_way_init(&mailer->ways[0], "maildir");
        if (result == FB_OK) {
            mailer->ways[0].limit = "";
            mailer->way_count = 1;
        }
    }
    return result == FB_ENOMEM ? fb_error_set(error, result, "out of memory") : result;
}

void fb_mailer_tell_of_maildir(fb_mailer *mailer) {
    if (mailer->options.relay_count == 0 && !atomic_exchange(&mailer->told_of_maildir, true)) {
        fb_log(FB_LOG_WARN, "mail_no_relay", "maildir=%s hint=%s",
               fb_log_quote(fb_str_of(mailer->options.maildir), 300).text,
               "\"mails are written there, and not sent: set mail.relays or SMTP_URL\"");
    }
}

// ---- the mailer

// What is set for a kind is of a kind that there is: else a mistyped name would go unnoticed.
static int check_kinds(const fb_settings *settings, const fb_kinds *kinds, fb_error *error) {
    for (size_t i = 0; i < settings->mail.kind_count; i++) {
        const fb_mail_kind_options *kind = &settings->mail.kinds[i];

        if (fb_kinds_find(kinds, fb_str_of(kind->name)) == FB_KINDS_MAX) {
            fb_error_set(error, FB_ENOMAIL,
                         "mail.kinds.%s: there is no such kind: no %s.txt in mail.templates",
                         kind->name, kind->name);
            fb_error_place(error, kind->file, kind->line, kind->column);
            return FB_ENOMAIL;
        }
    }
    return FB_OK;
}

static int open_parts(fb_mailer *mailer, const fb_settings *settings, fb_error *error) {
    int result = copy_options(mailer, settings);
    if (result < 0) {
        return fb_error_set(error, result, "out of memory");
    }
    // From the system: a daemon that sends nothing has no use for OpenSSL's generator, which takes
    // 2 MiB with all that it loads.
    if (getrandom(mailer->otp_key, sizeof mailer->otp_key, 0) != (ssize_t)sizeof mailer->otp_key) {
        return fb_error_set(error, FB_EIO, "there are no random numbers to be had");
    }
    result = find_names(mailer, error);
    if (result == FB_OK) {
        result = make_plan(mailer->options.templates, &mailer->plan, error);
    }
    if (result == FB_OK) {
        result = check_kinds(settings, mailer->plan->kinds, error);
    }
    return result == FB_OK ? add_ways(mailer, settings, error) : result;
}

int fb_mailer_open(fb_engine *engine, const fb_settings *settings, fb_error *error) {
    fb_mailer *mailer = fb_mem_zero(1, sizeof *mailer);
    if (mailer == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    mailer->engine = engine;
    pthread_mutex_init(&mailer->lock, NULL);
    engine->mailer = mailer;
    return open_parts(mailer, settings, error);
}

void fb_mailer_free(fb_mailer *mailer) {
    if (mailer == NULL) {
        return;
    }
    for (size_t i = 0; i < mailer->way_count; i++) {
        fb_mail_way_release(&mailer->ways[i]);
    }
    fb_mem_free(mailer->ways);
    fb_mailer_let_go(mailer->plan);
    release_options(mailer);
    OPENSSL_cleanse(mailer->otp_key, sizeof mailer->otp_key);
    pthread_mutex_destroy(&mailer->lock);
    fb_mem_free(mailer);
}

int fb_mailer_check(const fb_settings *settings, fb_error *error) {
    fb_mailer *mailer = fb_mem_zero(1, sizeof *mailer);
    if (mailer == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    pthread_mutex_init(&mailer->lock, NULL);
    int result = open_parts(mailer, settings, error);
    fb_mailer_free(mailer);
    return result;
}

// Relays and names stay as they were at the start.
int fb_mailer_prepare(fb_mailer *mailer, const fb_settings *settings, fb_mail_plan **plan,
                      fb_error *error) {
    (void)settings;
    *plan = NULL;
    return make_plan(mailer->options.templates, plan, error);
}

void fb_mailer_publish(fb_mailer *mailer, fb_mail_plan *plan) {
    pthread_mutex_lock(&mailer->lock);
    fb_mail_plan *old = mailer->plan;
    mailer->plan = plan;
    pthread_mutex_unlock(&mailer->lock);
    fb_mailer_let_go(old);
}

void fb_mailer_drop(fb_mail_plan *plan) {
    fb_mailer_let_go(plan);
}

void fb_mailer_stop(fb_mailer *mailer) {
    atomic_store(&mailer->stop, true);
}
