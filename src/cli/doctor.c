// forebay doctor: how everything stands that a server depends on. A running server is asked (FB.DOCTOR);
// where none runs, that is said, and what can be found out without one is: whether the configuration is
// right, with its queries and certificates, whether Redis and the mail relays answer, and the machine.

#include "cli/command_line.h"

#include <forebay/forebay.h>

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/rows.h"
#include "client/link.h"
#include "daemon/configure.h"
#include "daemon/machine.h"
#include "node/finding.h"
#include "node/reply.h"
#include "wire/redis_url.h"

enum { WIDTH_MAX = 40 };

static fb_finding_state state_of(fb_str word) {
    return fb_str_equal(word, FB_STR("fail"))   ? FB_FINDING_FAIL
           : fb_str_equal(word, FB_STR("warn")) ? FB_FINDING_WARN
                                                : FB_FINDING_OK;
}

// ---- for people

static void print_finding(const char *state, fb_str area, fb_str name, fb_str text, fb_str change) {
    char label[2 * WIDTH_MAX];
    (void)snprintf(label, sizeof label, "%.*s: %.*s", FB_STR_ARG(area), FB_STR_ARG(name));
    printf("  %-4s  %-26s  %.*s\n", state, label, FB_STR_ARG(text));
    if (change.len > 0) {
        printf("  %-4s  %-26s  → %.*s\n", "", "", FB_STR_ARG(change));
    }
}

static void print_findings(const fb_resp_value *list) {
    for (size_t i = 0; i < list->child_count; i++) {
        const fb_resp_value *one = &list->children[i];
        print_finding(fb_finding_state_name(state_of(fb_rows_text(one, "state"))),
                      fb_rows_text(one, "area"), fb_rows_text(one, "name"),
                      fb_rows_text(one, "text"), fb_rows_text(one, "change"));
    }
}

static void print_advice(const fb_resp_value *list) {
    puts("\nRecommendations");
    for (size_t i = 0; i < list->child_count; i++) {
        const fb_resp_value *one = &list->children[i];
        fb_str change = fb_rows_text(one, "change");
        printf("  %-4.*s  %.*s: %.*s\n", FB_STR_ARG(fb_rows_text(one, "level")),
               FB_STR_ARG(fb_rows_text(one, "about")), FB_STR_ARG(fb_rows_text(one, "figure")));
        printf("        %.*s\n", FB_STR_ARG(fb_rows_text(one, "reason")));
        if (change.len > 0) {
            printf("        → %.*s\n", FB_STR_ARG(change));
        }
    }
}

static int report(const fb_line *line, const fb_resp_value *reply) {
    if (line->json) {
        int status = fb_cli_print(line, reply);
        if (status != FB_EXIT_OK) {
            return status;
        }
    } else {
        char text[FB_ROWS_TEXT_SIZE];
        char server[FB_CLI_SERVER_SIZE];
        const fb_resp_value *findings = fb_rows_member(reply, "findings");
        const fb_resp_value *advice = fb_rows_member(reply, "advice");
        printf("forebay %.*s at %s, process %lld, up %s\n\n",
               FB_STR_ARG(fb_rows_text(reply, "version")), fb_cli_server(line, server),
               (long long)fb_rows_number(reply, "process"),
               fb_rows_duration(fb_rows_number(reply, "uptime_ms"), text));
        if (findings != NULL) {
            print_findings(findings);
        }
        if (advice != NULL) {
            print_advice(advice);
        }
    }
    return state_of(fb_rows_text(reply, "state")) == FB_FINDING_FAIL ? FB_EXIT_NOT_FOUND
                                                                     : FB_EXIT_OK;
}

// ---- without a server

typedef struct alone {
    const fb_line *line;
    fb_finding_state worst;
    fb_buf out;  // JSON: each finding's object behind a comma
} alone;

static void take(void *arg, const fb_finding *finding) {
    alone *self = arg;
    self->worst = finding->state > self->worst ? finding->state : self->worst;
    if (!self->line->json) {
        print_finding(fb_finding_state_name(finding->state), fb_str_of(finding->area),
                      fb_str_of(finding->name), fb_str_of(finding->text),
                      fb_str_of(finding->change));
        return;
    }
    const char *parts[] = {"area",         finding->area, "name",          finding->name,
                           "state",        fb_finding_state_name(finding->state),
                           "text",         finding->text, "change",        finding->change};
    fb_reply reply;
    if (self->out.len > 0) {
        (void)!fb_buf_byte(&self->out, ',');
    }
    fb_reply_init(&reply, FB_ENCODING_JSON, &self->out);
    fb_reply_map(&reply, sizeof parts / sizeof parts[0] / 2);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        fb_reply_text(&reply, parts[i]);
    }
}

#define SAY(self, area_, name_, state_, change_, ...)                                      \
    fb_finding_say(take, (self),                                                           \
                   &(fb_finding){.area = (area_), .name = (name_), .state = (state_),      \
                                 .change = (change_)},                                     \
                   __VA_ARGS__)

// Links are made for forebay's own servers, and say so behind what went wrong.
static const char *plain(char *text) {
    const char *const hints[] = {"; is forebay running", " (forebay://"};
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        char *hint = strstr(text, hints[i]);
        if (hint != NULL) {
            *hint = '\0';
        }
    }
    return text;
}

// The password is not for this process to see (fb_config_get()), so one that wants it answers as well
// as can be said from here. Nor is that of --password for any server but our own.
static void ask_redis_at(alone *self, const fb_address *to) {
    fb_link *link = NULL;
    fb_error error;
    int result = fb_link_connect(to, self->line->timeout_ms, &link, &error);
    fb_link_close(link);
    bool wants_password = result == FB_EDENIED && strstr(error.text, "NOAUTH") != NULL;
    if (result == FB_OK || wants_password) {
        SAY(self, "redis", "connection", FB_FINDING_OK, "", "%s answers%s%s", to->name,
            to->tls ? " by TLS" : "", wants_password ? ", and wants a password" : "");
    } else {
        bool named = strstr(error.text, to->name) != NULL;
        SAY(self, "redis", "connection", FB_FINDING_FAIL,
            "start it, or set redis.url right; a server would use memory alone meanwhile",
            "%s%s%s", named ? "" : to->name, named ? "" : ": ", plain(error.text));
    }
}

static bool get(const fb_config *config, const char *path, char *text, size_t text_size) {
    if (fb_config_get(config, fb_str_of(path), text, text_size) == FB_OK) {
        return true;
    }
    text[0] = '\0';
    return false;
}

static void ask_redis_host(alone *self, const fb_config *config, const fb_redis_host *host, bool tls) {
    fb_address to = {.tls = tls};
    char verify[16];
    (void)snprintf(to.host, sizeof to.host, "%s", host->host);
    (void)snprintf(to.port, sizeof to.port, "%u", (unsigned)host->port);
    (void)snprintf(to.name, sizeof to.name, strchr(to.host, ':') != NULL ? "[%s]:%s" : "%s:%s",
                   to.host, to.port);
    if (tls && !(get(config, "redis.tls.ca", to.tls_ca, sizeof to.tls_ca) &&
                 get(config, "redis.tls.cert", to.tls_cert, sizeof to.tls_cert) &&
                 get(config, "redis.tls.key", to.tls_key, sizeof to.tls_key) &&
                 get(config, "redis.tls.verify", verify, sizeof verify))) {
        SAY(self, "redis", "connection", FB_FINDING_WARN, "shorter paths of redis.tls",
            "%s, by TLS: not tried from here", to.name);
        return;
    }
    to.tls_insecure = tls && strcmp(verify, "false") == 0;
    ask_redis_at(self, &to);
}

static void ask_redis_path(alone *self, const char *path) {
    fb_address to = {0};
    size_t len = strlen(path);
    if (len >= sizeof to.path) {
        SAY(self, "redis", "connection", FB_FINDING_FAIL, "a shorter path",
            "%s is too long for a Unix socket", path);
        return;
    }
    memcpy(to.path, path, len);
    (void)snprintf(to.name, sizeof to.name, "unix:%s", to.path);
    ask_redis_at(self, &to);
}

static void ask_redis(alone *self, const fb_config *config) {
    static char text[8192];
    static fb_redis_url url;
    if (!get(config, "redis.url", text, sizeof text) || text[0] == '\0') {
        fb_redis_host host;
        int64_t port = FB_REDIS_PORT;
        (void)!get(config, "redis.host", host.host, sizeof host.host);
        (void)!get(config, "redis.port", text, sizeof text);
        (void)!fb_str_int(fb_str_of(text), &port);
        host.port = (uint16_t)port;
        if (host.host[0] != '\0') {
            ask_redis_host(self, config, &host, false);
        } else {
            SAY(self, "redis", "connection", FB_FINDING_OK, "", "none is configured (redis.url)");
        }
        return;
    }
    if (fb_redis_url_read(fb_str_of(text), &url, NULL) != FB_OK) {
        SAY(self, "redis", "connection", FB_FINDING_WARN, "", "not tried from here");
    } else if (url.path[0] != '\0') {
        ask_redis_path(self, url.path);
    }
    for (uint32_t i = 0; i < url.host_count; i++) {
        ask_redis_host(self, config, &url.hosts[i], url.tls);
    }
}

typedef struct relay_talk {
    alone *self;
    bool failed;
    char last[200];
} relay_talk;

static void hear_relay(void *arg, bool good, const char *text) {
    relay_talk *talk = arg;
    talk->failed = talk->failed || !good;
    if (!good || talk->last[0] == '\0') {
        (void)snprintf(talk->last, sizeof talk->last, "%s", text);
    }
}

static void ask_relays(alone *self, const fb_config *config) {
    relay_talk talk = {.self = self};
    fb_error error = {0};
    int result = fb_mail_test_alone(config, FB_STR(""), hear_relay, &talk, &error);
    if (talk.last[0] == '\0') {
        return;  // there are none
    }
    SAY(self, "mail", "relays", result < 0 || talk.failed ? FB_FINDING_FAIL : FB_FINDING_OK,
        talk.failed ? "forebay mail test says more" : "", "%s", talk.last);
}

static void look(alone *self, const char *why) {
    char file[FB_CONFIGURE_PATH_SIZE] = "";
    char text[1024];
    fb_error error = {0};
    fb_config *config = NULL;
    fb_configure how = {.path = self->line->config,
                        .settings = self->line->sets,
                        .setting_count = self->line->set_count};
    SAY(self, "server", "running", FB_FINDING_FAIL,
        "start it (forebay serve), or say where it is (--url)", "no: %s", why);
    int result = fb_configure_read(&how, &config, file, sizeof file, &error);
    result = result == FB_OK ? fb_check(config, &error) : result;
    if (result < 0) {
        fb_configure_show_error(&error, text, sizeof text);
        SAY(self, "configuration", "valid", FB_FINDING_FAIL, "forebay check", "%s", text);
    } else {
        SAY(self, "configuration", "valid", FB_FINDING_OK, "",
            "%s, with its queries and certificates", file[0] != '\0' ? file : "(defaults)");
        ask_redis(self, config);
        ask_relays(self, config);
    }
    fb_machine_examine(config, take, self);
    fb_config_free(config);
}

static int look_alone(const fb_line *line, const char *why) {
    alone self = {.line = line};
    char server[FB_CLI_SERVER_SIZE];
    if (!line->json) {
        printf("No forebay runs at %s; this is what can be seen without it.\n\n",
               fb_cli_server(line, server));
    }
    look(&self, why);
    if (line->json) {
        printf("{\"running\":false,\"state\":\"%s\",\"findings\":[",
               fb_finding_state_name(self.worst));
        fwrite(self.out.ptr, 1, self.out.len, stdout);
        puts("]}");
    }
    fb_buf_release(&self.out);
    return FB_EXIT_CONNECTION;
}

int fb_cli_doctor(const fb_line *line) {
    fb_link *link = NULL;
    const fb_resp_value *reply = NULL;
    fb_str verb = FB_STR("FB.DOCTOR");
    fb_error error;
    int result = fb_link_open(line->url, line->timeout_ms, &link, &error);
    result = result == FB_OK ? fb_link_call(link, &verb, 1, &reply, &error) : result;
    int status;
    if (result == FB_EIO) {
        status = look_alone(line, error.text);
    } else if (result < 0) {
        fb_cli_complain(line, "%s", error.text);
        status = result == FB_EINVAL ? FB_EXIT_USAGE : FB_EXIT_CONNECTION;
    } else if (reply->type == FB_RESP_ERROR) {
        fb_cli_complain(line, "%.*s", FB_STR_ARG(reply->text));
        status = FB_EXIT_REFUSED;
    } else {
        status = report(line, reply);
    }
    fb_link_close(link);
    return status;
}
