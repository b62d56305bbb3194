// Mails by a configuration alone: for tools that look at how a mail would be, or whether the relays
// work, beside a server that runs or before there is one. What these two calls need of an engine is
// its mailer and who is in it; so that is all that this engine has: no loop, no store, no worker.

#include "base/error.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/mail.h"

static int open_alone(fb_engine *engine, const fb_config *config, fb_error *error) {
    int result = fb_config_check(config, error);
    pthread_mutex_init(&engine->idle_lock, NULL);
    pthread_cond_init(&engine->idle, NULL);
    return result == FB_OK ? fb_mailer_open(engine, fb_config_settings(config), error) : result;
}

static void close_alone(fb_engine *engine) {
    fb_mailer_free(engine->mailer);
    pthread_cond_destroy(&engine->idle);
    pthread_mutex_destroy(&engine->idle_lock);
    fb_mem_free(engine);
}

static fb_engine *new_alone(fb_error *error) {
    fb_engine *engine = fb_mem_zero(1, sizeof *engine);
    if (engine == NULL) {
        (void)fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    return engine;
}

int fb_mail_preview_alone(const fb_config *config, const fb_mail *mail, fb_mail_text_fn fn,
                          void *arg, fb_error *error) {
    fb_engine *engine = new_alone(error);
    if (engine == NULL) {
        return FB_ENOMEM;
    }
    int result = open_alone(engine, config, error);
    if (result == FB_OK) {
        result = fb_mail_preview(engine, mail, fn, arg, error);
    }
    close_alone(engine);
    return result;
}

int fb_mail_test_alone(const fb_config *config, fb_str relay, fb_mail_line_fn fn, void *arg,
                       fb_error *error) {
    fb_engine *engine = new_alone(error);
    if (engine == NULL) {
        return FB_ENOMEM;
    }
    int result = open_alone(engine, config, error);
    if (result == FB_OK) {
        result = fb_mail_test(engine, relay, fn, arg, error);
    }
    close_alone(engine);
    return result;
}
