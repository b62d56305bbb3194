// Wiring. The main thread does nothing but wait for signals: everything else happens on the
// engine's loops, where the doors work.
//
// Stopping: the doors stop accepting and readyz says no; what is under way gets `drain` to end;
// then the doors close, then the engine. A second signal makes the wait zero.

#include "daemon/serve.h"

#include <errno.h>
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
#include "daemon/log_sink.h"
#include "door/http.h"
#include "door/resp.h"
#include "os/clock.h"
#include "os/group.h"
#include "os/port_owner.h"

typedef struct server {
    const fb_configure *how;
    char config_path[FB_CONFIGURE_PATH_SIZE];
    fb_config *config;
    fb_node node;
    fb_resp_door *resp, *own;  // `own`: at listen.socket
    fb_http *http;
    char prefix[256], http_address[300];
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

static void log_error(const char *event, const fb_error *error) {
    char text[1024];
    fb_configure_show_error(error, text, sizeof text);
    fb_log(FB_LOG_ERROR, event, "error=%s", fb_log_quote(fb_str_of(text), FB_LOG_TEXT_MAX).text);
}

// ---- doors

// "127.0.0.1:6380" → 6380; 0 where there is none.
static uint16_t port_of(const char *address) {
    const char *colon = strrchr(address, ':');
    return colon != NULL ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

static void log_address_error(const char *door, const char *address, const fb_error *error) {
    char owner[128];
    fb_port_owner(port_of(address), owner, sizeof owner);
    if (owner[0] != '\0') {
        fb_log(FB_LOG_ERROR, "address_taken",
               "door=%s address=%s by=%s hint=\"choose another: --set listen.%s=127.0.0.1:PORT, or "
               "FOREBAY_LISTEN_%s, or listen: in the configuration\"",
               door, address, fb_log_quote(fb_str_of(owner), FB_LOG_TEXT_MAX).text, door,
               strcmp(door, "resp") == 0 ? "RESP" : "HTTP");
    } else {
        fb_log(FB_LOG_ERROR, "cannot_listen", "door=%s address=%s error=%s", door, address,
               fb_log_quote(fb_str_of(error->text), FB_LOG_TEXT_MAX).text);
    }
}

static int open_own(server *self) {
    char path[4096], group[256];
    uint32_t number;
    fb_error error;
    int result = fb_config_get(self->config, FB_STR("listen.socket"), path, sizeof path);
    option(self->config, "region.group", group, sizeof group);
    if (result == FB_OK && path[0] == '\0') {
        return FB_SERVE_OK;
    }
    if (result < 0) {
        path[0] = '\0';  // one that does not fit here fits no socket
        (void)fb_error_set(&error, result, "listen.socket: %s", fb_result_text(result));
    } else {
        result = fb_group_find(group, &number, &error);
    }
    if (result == FB_OK) {
        result = fb_resp_open_own(&self->node, path, number, &self->own, &error);
    }
    if (result < 0) {
        fb_log(FB_LOG_ERROR, "cannot_listen", "door=socket address=%s error=%s",
               fb_log_quote(fb_str_of(path), FB_LOG_KEY_MAX).text,
               fb_log_quote(fb_str_of(error.text), FB_LOG_TEXT_MAX).text);
    }
    return result < 0 ? FB_SERVE_ADDRESS : FB_SERVE_OK;
}

static int open_doors(server *self) {
    char address[300];
    fb_error error;
    option(self->config, "listen.resp", address, sizeof address);
    if (strcmp(address, "off") != 0) {
        if (fb_resp_open(&self->node, fb_str_of(address), &self->resp, &error) < 0) {
            log_address_error("resp", address, &error);
            return FB_SERVE_ADDRESS;
        }
        self->node.resp_address = fb_resp_address(self->resp);
    }
    option(self->config, "listen.http", address, sizeof address);
    if (strcmp(address, "off") != 0) {
        if (fb_http_open(&self->node, address, &self->http, &error) < 0) {
            log_address_error("http", address, &error);
            return FB_SERVE_ADDRESS;
        }
        fb_http_address(self->http, self->http_address, sizeof self->http_address);
    }
    return open_own(self);
}

// ---- reload

static void note_change(void *arg, fb_str path, bool applied) {
    (void)arg;
    fb_log(applied ? FB_LOG_INFO : FB_LOG_WARN,
           applied ? "option_changed" : "option_waits_for_restart", "option=%.*s",
           FB_STR_ARG(path));
}

static int reload(void *arg, fb_error *error) {
    server *self = arg;
    fb_config *config = NULL;
    pthread_mutex_lock(&self->reload_lock);
    int result = fb_configure_read(self->how, &config, NULL, 0, error);
    if (result == FB_OK) {
        result = fb_reload(self->node.engine, config, note_change, NULL, error);
    }
    if (result < 0) {
        log_error("reload_refused", error);
        fb_config_free(config);
    } else {
        (void)fb_node_config_swap(&self->node, config);
        fb_config_free(self->config);
        self->config = config;
        set_log(config);
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

static int next_signal(const sigset_t *set) {
    int number;
    do {
        number = sigwaitinfo(set, NULL);
    } while (number < 0 && errno == EINTR);
    return number;
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
    char connections[32];
    option(self->config, "limits.connections", connections, sizeof connections);
    option(self->config, "http.prefix", self->prefix, sizeof self->prefix);
    self->node.config = self->config;
    self->node.http_prefix = self->prefix;
    self->node.resp_address = "";
    self->node.http_address = self->http_address;
    self->node.wall_us = wall_us;
    self->node.reload = reload;
    self->node.reload_arg = self;
    self->node.connections_max = (uint32_t)strtoul(connections, NULL, 10);
    self->node.process_id = (uint32_t)getpid();
    make_run_id(self->node.run_id);
    return open_doors(self);
}

static void warn_of_redis(const fb_configure *how) {
    const char *name = fb_configure_redis(how);
    if (name != NULL) {
        fb_log(FB_LOG_WARN, "redis_unused",
               "variable=%s hint=\"this version has no shared tier: it works in memory alone\"",
               name);
    }
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

// Until nothing is under way, the time is over, or another signal comes.
static void drain(server *self, const sigset_t *set) {
    enum { TURN_MS = 10 };
    static const struct timespec TURN = {0, TURN_MS * 1000000};
    int64_t until_ns = fb_clock_now_ns() + duration_ms(self->config, "drain") * 1000000;
    while (fb_clock_now_ns() < until_ns) {
        bool answered = self->resp == NULL || fb_resp_drain(self->resp, TURN_MS) == FB_OK;
        answered = (self->own == NULL || fb_resp_drain(self->own, TURN_MS) == FB_OK) && answered;
        answered = (self->http == NULL || fb_http_drain(self->http, TURN_MS) == FB_OK) && answered;
        if (answered && !is_busy(self)) {
            return;
        }
        int number = sigtimedwait(set, NULL, &TURN);
        if (number == SIGTERM || number == SIGINT) {
            return;
        }
    }
}

static void stop(server *self, const sigset_t *set) {
    atomic_store(&self->node.draining, true);
    if (self->resp != NULL) {
        fb_resp_stop_accepting(self->resp);
    }
    if (self->own != NULL) {
        fb_resp_stop_accepting(self->own);
    }
    if (self->http != NULL) {
        fb_http_stop(self->http);
    }
    if (set != NULL) {
        drain(self, set);
    }
    fb_resp_close(self->own);
    fb_resp_close(self->resp);
    fb_http_close(self->http);
    fb_close(self->node.engine, 0);
    fb_config_free(self->config);
    pthread_mutex_destroy(&self->reload_lock);
}

int fb_serve(const fb_configure *how) {
    server self = {.how = how, .reload_lock = PTHREAD_MUTEX_INITIALIZER};
    static const fb_hooks hooks = {.log = fb_log_sink};
    sigset_t set;
    fb_hooks_set(&hooks);
    block_signals(&set);
    warn_of_redis(how);
    int status = start(&self);
    if (status != FB_SERVE_OK) {
        stop(&self, NULL);
        return status;
    }
    fb_log(FB_LOG_INFO, "ready", "version=%s resp=%s http=%s config=%s process=%u", fb_version(),
           self.resp != NULL ? fb_resp_address(self.resp) : "off",
           self.http != NULL ? self.http_address : "off",
           fb_log_quote(fb_str_of(self.config_path), FB_LOG_TEXT_MAX).text, self.node.process_id);
    int number;
    while ((number = next_signal(&set)) == SIGHUP) {
        fb_error error;
        (void)!reload(&self, &error);  // it has been logged; the old configuration stays
    }
    fb_log(FB_LOG_INFO, "stopping", "signal=%s", number == SIGINT ? "SIGINT" : "SIGTERM");
    stop(&self, &set);
    fb_log(FB_LOG_INFO, "stopped", "process=%u", (unsigned)getpid());
    return FB_SERVE_OK;
}
