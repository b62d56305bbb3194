// Wiring. The main thread waits for signals and looks after the rest (watchman.h): all else happens on the
// engine's loops, where the doors work.
//
// Stopping: the doors stop accepting and readyz says no; what is under way gets `drain` to end;
// then the doors close, then the engine. A second signal makes the wait zero.

#include "daemon/serve.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "base/units.h"
#include "daemon/cpu.h"
#include "daemon/descriptors.h"
#include "daemon/doors.h"
#include "daemon/guard.h"
#include "daemon/log_sink.h"
#include "daemon/machine.h"
#include "daemon/watchman.h"
#include "node/command_stats.h"
#include "node/doors.h"
#include "node/session_user.h"
#include "node/slow.h"
#include "os/clock.h"
#include "os/notify.h"

typedef struct server {
    const fb_configure *how;
    char config_path[FB_CONFIGURE_PATH_SIZE];
    fb_config *config;
    fb_node node;
    fb_daemon_doors doors;
    fb_watchman *watchman;
    char prefix[256];
    char cors[16384];
    char connect_limit[65], auth_limit[65];
    pthread_mutex_t reload_lock;
} server;

static int64_t wall_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void option(const fb_config *config, const char *path, char *text, size_t text_size) {
    if (fb_config_get(config, fb_str_of(path), text, text_size) != FB_OK) {
        text[0] = '\0';
    }
}

// "[a, b]" as the node has it: with spaces between.
static void take_list(char *text) {
    for (char *at = text; *at != '\0'; at++) {
        *at = strchr("[],'\"", *at) != NULL ? ' ' : *at;
    }
}

static int64_t duration_ms(const fb_config *config, const char *path) {
    char text[64];
    int64_t ns = 0;
    option(config, path, text, sizeof text);
    return fb_units_duration(fb_str_of(text), &ns) == FB_OK ? ns / 1000000 : 0;
}

static void set_log(const fb_config *config) {
    char level[16], format[16];
    option(config, "log.level", level, sizeof level);
    option(config, "log.format", format, sizeof format);
    fb_log_sink_set(fb_log_sink_level(level), fb_log_sink_format(format));
}

static void set_slow(fb_node *node, const fb_config *config) {
    char text[64];
    int64_t ns = 0;
    option(config, "log.slow", text, sizeof text);
    fb_slow_set(node, fb_units_duration(fb_str_of(text), &ns) == FB_OK ? ns : 0);
}

static void log_error(const char *event, const fb_error *error) {
    char text[1024];
    fb_configure_show_error(error, text, sizeof text);
    fb_log(FB_LOG_ERROR, event, "error=%s", fb_log_quote(fb_str_of(text), FB_LOG_TEXT_MAX).text);
}

// ---- reload

static void note_change(void *arg, fb_str path, bool applied) {
    (void)arg;
    fb_log(applied ? FB_LOG_INFO : FB_LOG_WARN,
           applied ? "option_changed" : "option_waits_for_restart", "option=%.*s",
           FB_STR_ARG(path));
}

// Puts a configuration and its users (NULL: those that there are stay) in force, all or nothing; they are
// freed where that fails. The engine is the last that can refuse it.
static int put_in_force(server *self, fb_config *config, fb_users *users, fb_error *error) {
    fb_door_tls_context *tls = NULL;
    int result = fb_daemon_doors_prepare(&self->doors, config, &tls, error);
    if (result == FB_OK) {
        result = fb_reload(self->node.engine, config, note_change, NULL, error);
    }
    if (result < 0) {
        fb_daemon_doors_drop(tls);
        fb_users_free(users);
        fb_config_free(config);
        return result;
    }
    fb_daemon_doors_publish(&self->doors, tls);
    if (users != NULL) {
        fb_users_put(&self->node, users);
        fb_session_end_deleted(&self->node, NULL);
    }
    (void)fb_node_config_swap(&self->node, config);
    fb_doors_read(&self->node, config);
    fb_descriptors_raise(&self->node);
    fb_config_free(self->config);
    self->config = config;
    set_log(config);
    set_slow(&self->node, config);
    return FB_OK;
}

// The users of a configuration, if they may be in force at the doors that are open.
static int read_users(const server *self, const fb_config *config, fb_users **users,
                      fb_error *error) {
    int result = fb_guard_read(config, users, error);
    if (result == FB_OK &&
        (result = fb_daemon_doors_check(&self->doors, config, *users, error)) < 0) {
        fb_users_free(*users);
        *users = NULL;
    }
    return result;
}

// What clients change of the configuration is changed in a copy, which then is put in force as one
// that was read is. (It does not outlast that: a reload begins with the files again.)
static int configure(void *arg, const fb_param *changes, size_t count, size_t *wrong,
                     fb_error *error) {
    server *self = arg;
    fb_config *config = NULL;
    fb_users *users = NULL;
    bool of_users = false;  // else what ACL SETUSER did stays
    *wrong = count;
    pthread_mutex_lock(&self->reload_lock);
    int result = fb_config_copy(self->config, &config);
    if (result < 0) {
        result = fb_error_set(error, result, "out of memory");
    }
    for (size_t i = 0; i < count && result == FB_OK; i++) {
        result = fb_config_set(config, changes[i].name, changes[i].value, error);
        *wrong = result < 0 ? i : count;
        of_users = of_users || fb_str_equal(changes[i].name, FB_STR("password")) ||
                   fb_str_starts(changes[i].name, FB_STR("users."));
    }
    if (result == FB_OK && of_users) {
        result = read_users(self, config, &users, error);
    }
    if (result < 0) {
        fb_config_free(config);
    } else {
        result = put_in_force(self, config, users, error);
    }
    pthread_mutex_unlock(&self->reload_lock);
    return result;
}

static int reload(void *arg, fb_error *error) {
    server *self = arg;
    fb_config *config = NULL;
    fb_users *users = NULL;
    pthread_mutex_lock(&self->reload_lock);
    int result = fb_configure_read(self->how, &config, NULL, 0, error);
    if (result == FB_OK && (result = read_users(self, config, &users, error)) < 0) {
        fb_config_free(config);
    }
    if (result == FB_OK) {
        result = put_in_force(self, config, users, error);
    }
    if (result < 0) {
        log_error("reload_refused", error);
    } else {
        fb_log(FB_LOG_INFO, "reloaded", "file=%s",
               fb_log_quote(fb_str_of(self->config_path), FB_LOG_TEXT_MAX).text);
    }
    pthread_mutex_unlock(&self->reload_lock);
    return result;
}

// ---- signals

static void block_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);  // a file that may not be as large is an error, which has words
}

// ---- starting and stopping

static void make_run_id(char *run_id) {
    unsigned char bytes[20] = {0};
    ssize_t got = getrandom(bytes, sizeof bytes, 0);
    (void)got;  // a run id of zeros names this run as well
    for (size_t i = 0; i < sizeof bytes; i++) {
        snprintf(run_id + 2 * i, 3, "%02x", bytes[i]);
    }
}

static int start(server *self) {
    fb_error error = {0};
    if (fb_configure_read(self->how, &self->config, self->config_path, sizeof self->config_path,
                          &error) < 0) {
        log_error("configuration_refused", &error);
        return FB_SERVE_CONFIG;
    }
    set_log(self->config);
    int result = fb_open(self->config, &self->node.engine, &error);
    if (result == FB_ENOMEM || result == FB_EIO || result == FB_EDENIED) {
        log_error("cannot_start", &error);  // it is the machine, not the configuration
        return FB_SERVE_FAILED;
    } else if (result < 0) {
        log_error("configuration_refused", &error);
        return FB_SERVE_CONFIG;
    }
    fb_users *users = NULL;
    if (fb_guard_read(self->config, &users, &error) < 0) {
        log_error("configuration_refused", &error);
        return FB_SERVE_CONFIG;
    }
    fb_users_put(&self->node, users);
    option(self->config, "http.prefix", self->prefix, sizeof self->prefix);
    option(self->config, "http.cors", self->cors, sizeof self->cors);
    take_list(self->cors);
    option(self->config, "listen.connect_limit", self->connect_limit, sizeof self->connect_limit);
    option(self->config, "listen.auth_limit", self->auth_limit, sizeof self->auth_limit);
    fb_shared_info shared;
    fb_shared_info_read(self->node.engine, &shared);
    self->node.waits = shared.state != FB_SHARED_NONE;
    self->node.config = self->config;
    self->node.http_prefix = self->prefix;
    self->node.http_cors = self->cors;
    self->node.connect_limit = self->connect_limit;
    self->node.auth_limit = self->auth_limit;
    self->node.resp_address = "";
    self->node.http_address = "";
    self->node.wall_us = wall_us;
    self->node.now_ns = fb_clock_now_ns;
    self->node.cpu = fb_cpu_read;
    set_slow(&self->node, self->config);
    self->node.examine = fb_machine_examine;
    self->node.reload = reload;
    self->node.reload_arg = self;
    self->node.configure = configure;
    fb_doors_read(&self->node, self->config);
    fb_descriptors_raise(&self->node);
    self->node.process_id = (uint32_t)getpid();
    make_run_id(self->node.run_id);
    if (fb_command_stats_new(&self->node.command_stats) < 0 ||
        fb_watchman_new(&self->node, &self->watchman) < 0) {
        (void)fb_error_set(&error, FB_ENOMEM, "out of memory");
        log_error("cannot_start", &error);
        return FB_SERVE_FAILED;
    }
    return fb_daemon_doors_open(&self->doors, &self->node, self->config);
}

static bool is_busy(const server *self) {
    fb_stats stats;
    if (fb_stats_read(self->node.engine, &stats) < 0) {
        return false;
    }
    bool busy = stats.loads_running + stats.loads_waiting > 0;
    fb_stats_release(&stats);
    return busy;
}

// Until nothing is under way at the doors, the time is over, or another signal comes. What is left of the
// time is the workers'.
static int64_t drain(server *self, const sigset_t *set) {
    enum { TURN_MS = 10 };
    static const struct timespec TURN = {0, TURN_MS * 1000000};
    pthread_mutex_lock(&self->reload_lock);  // a client may change it until the doors are closed
    int64_t drain_ms = duration_ms(self->config, "drain");
    pthread_mutex_unlock(&self->reload_lock);
    int64_t until_ns = fb_clock_now_ns() + drain_ms * 1000000;
    int64_t now_ns;
    while ((now_ns = fb_clock_now_ns()) < until_ns) {
        bool answered = fb_daemon_doors_drain(&self->doors, TURN_MS);
        if (answered && !is_busy(self)) {
            return (until_ns - now_ns) / 1000000;
        }
        int number = sigtimedwait(set, NULL, &TURN);
        if (number == SIGTERM || number == SIGINT) {
            break;
        }
    }
    return 0;
}

static void stop(server *self, const sigset_t *set) {
    atomic_store(&self->node.draining, true);
    fb_daemon_doors_stop(&self->doors);
    int64_t left_ms = set != NULL ? drain(self, set) : 0;
    fb_daemon_doors_close(&self->doors);
    fb_close(self->node.engine, left_ms);
    fb_watchman_free(self->watchman);
    fb_command_stats_free(self->node.command_stats);
    fb_users_free(self->node.users);
    fb_config_free(self->config);
    pthread_mutex_destroy(&self->reload_lock);
}

// What clients who do not read let grow in our memory goes back to the system when they have gone:
// blocks of this size and more are mappings of their own. Left alone, glibc raises that bound to the
// largest block it has seen freed, up to 32 MiB, and keeps what is below: after a flood of slow
// readers 500 MB were ours that nobody used; with this, 30.
static void keep_little(void) {
    enum { LARGE = 512 * 1024 };
    (void)mallopt(M_MMAP_THRESHOLD, LARGE);
    (void)mallopt(M_TRIM_THRESHOLD, LARGE);
}

int fb_serve(const fb_configure *how) {
    server self = {.how = how, .reload_lock = PTHREAD_MUTEX_INITIALIZER};
    static const fb_hooks hooks = {.log = fb_log_sink};
    sigset_t set;
    keep_little();
    fb_hooks_set(&hooks);
    fb_notify_open();
    block_signals(&set);
    int status = start(&self);
    if (status != FB_SERVE_OK) {
        stop(&self, NULL);
        return status;
    }
    if (self.doors.tls != NULL) {
        fb_log(FB_LOG_INFO, "tls_ready", "resp_tls=%s http_tls=%s",
               fb_daemon_doors_resp_tls(&self.doors), fb_daemon_doors_http_tls(&self.doors));
    }
    fb_log(FB_LOG_INFO, "ready", "version=%s resp=%s http=%s config=%s process=%u", fb_version(),
           fb_daemon_doors_resp(&self.doors), fb_daemon_doors_http(&self.doors),
           fb_log_quote(fb_str_of(self.config_path), FB_LOG_TEXT_MAX).text, self.node.process_id);
    fb_notify("READY=1\nSTATUS=serving");
    int number;
    while ((number = fb_watchman_wait(self.watchman, &set)) == SIGHUP) {
        fb_error error;
        fb_notify_reloading();
        (void)!reload(&self, &error);  // it has been logged; the old configuration stays
        fb_notify("READY=1");
    }
    fb_notify("STOPPING=1\nSTATUS=stopping");
    fb_log(FB_LOG_INFO, "stopping", "signal=%s", number == SIGINT ? "SIGINT" : "SIGTERM");
    stop(&self, &set);
    fb_log(FB_LOG_INFO, "stopped", "process=%u", (unsigned)getpid());
    return FB_SERVE_OK;
}
