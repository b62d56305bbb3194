// The options beside those of classes, one row each, and what follows from what.

#include "config/settings.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/class.h"
#include "config/read.h"
#include "config/state.h"
#include "config/tree.h"
#include "config/values.h"

#define HAS_COUNT(type, items, count) \
    _Static_assert(offsetof(type, count) == offsetof(type, items) + sizeof(void *), #count)
HAS_COUNT(fb_settings, sources, source_count);
HAS_COUNT(fb_settings, classes, class_count);
HAS_COUNT(fb_settings, limits, limit_count);
HAS_COUNT(fb_settings, queues, queue_count);
HAS_COUNT(fb_settings, schedules, schedule_count);
HAS_COUNT(fb_settings, users, user_count);
_Static_assert(offsetof(fb_source_options, name) == 0, "a named element starts with its name");

enum { USERS_MAX = 10000, LIMITS_MAX = 1000, QUEUES_MAX = 1000, SCHEDULES_MAX = 1000 };

#define MEMBER(member) .offset = offsetof(fb_source_options, member)

// One of the first rows, and only one, says what kind of source it is; today there is one kind.
const fb_option fb_source_options_table[] = {
    {.name = "sqlite", .type = FB_OPTION_PATH, MEMBER(sqlite), .required = true,
     .help = "The database file, relative to the folder of the configuration."},
    {.name = "concurrency", .type = FB_OPTION_COUNT, MEMBER(concurrency), .default_text = "4",
     .min = 1, .max = 256, .help = "Queries that run at once."},
    {.name = "queue", .type = FB_OPTION_COUNT, MEMBER(queue), .default_text = "1024",
     .max = 1000000, .help = "Queries that may wait for that."},
    {.name = NULL},
};

#undef MEMBER
#define MEMBER(member) .offset = offsetof(fb_settings, member)
#define AT_ONCE .reloadable = true

static const fb_option listen_table[] = {
    {.name = "resp", .type = FB_OPTION_ADDRESS, MEMBER(listen_resp),
     .default_text = "127.0.0.1:6380",
     .help = "Where Redis clients connect: host:port, [IPv6]:port, unix:/path, or off."},
    {.name = "http", .type = FB_OPTION_ADDRESS, MEMBER(listen_http),
     .default_text = "127.0.0.1:8080",
     .help = "Where HTTP clients connect: host:port, [IPv6]:port, unix:/path, or off."},
    {.name = "resp_tls", .type = FB_OPTION_ADDRESS, MEMBER(listen_resp_tls),
     .default_text = "off",
     .help = "Where Redis clients connect with TLS, as for `resp`; needs `tls.cert` and `tls.key`."},
    {.name = "http_tls", .type = FB_OPTION_ADDRESS, MEMBER(listen_http_tls),
     .default_text = "off",
     .help = "Where HTTP clients connect with TLS, as for `http`; needs `tls.cert` and `tls.key`."},
    {.name = "socket", .type = FB_OPTION_PATH, MEMBER(listen_socket),
     .help = "A Unix socket for Redis clients beside `resp`, open to this user and `region.group` "
             "alone; its path is relative to the folder of the configuration."},
    {.name = "insecure", .type = FB_OPTION_BOOL, MEMBER(insecure), .default_text = "false",
     .help = "Whether `resp` and `http` may be addresses that other hosts reach though the user "
             "`default` needs no password (`serve --insecure`)."},
    {.name = "connections", .type = FB_OPTION_COUNT, MEMBER(connections_max), AT_ONCE,
     .default_text = "10000", .min = 1, .max = 1000000,
     .help = "Clients connected at once at most (Redis: `maxclients`)."},
    {.name = "loop_clients", .type = FB_OPTION_COUNT, MEMBER(loop_clients), AT_ONCE,
     .default_text = "64", .max = 1000000,
     .help = "So many Redis clients share the first event loop before the second gets any, and so on, "
             "which spares processor time; 0: all loops get as many, faster for a few that ask a lot."},
    {.name = "idle", .type = FB_OPTION_DURATION, MEMBER(idle_ns), AT_ONCE, .default_text = "0",
     .max = 365 * 24 * 3600 * FB_NS_PER_S,
     .help = "A Redis client that says nothing for so long is closed; 0: never (`timeout`)."},
    {.name = "keepalive", .type = FB_OPTION_DURATION, MEMBER(keepalive_ns), AT_ONCE,
     .default_text = "5m", .max = 32767 * FB_NS_PER_S,
     .help = "After so much silence the system asks whether a Redis client is still there; 0: it "
             "does not (`tcp-keepalive`)."},
    {.name = "query", .type = FB_OPTION_BYTES, MEMBER(query_max), AT_ONCE,
     .default_text = "1GiB", .min = 1 << 20, .max = INT64_C(1) << 40,
     .help = "The largest command of a Redis client (`client-query-buffer-limit`)."},
    {.name = "bulk", .type = FB_OPTION_BYTES, MEMBER(bulk_max), AT_ONCE,
     .default_text = "512MiB", .min = 1 << 20, .max = INT64_C(512) << 20,
     .help = "The largest argument of a command (`proto-max-bulk-len`)."},
    {.name = "output_hard", .type = FB_OPTION_BYTES, MEMBER(output_hard), AT_ONCE,
     .default_text = "1GiB", .max = INT64_C(1) << 40,
     .help = "A Redis client for which more than this waits to be sent is closed; 0: no limit but "
             "that of one reply, 1GiB (`client-output-buffer-limit`)."},
    {.name = "output_soft", .type = FB_OPTION_BYTES, MEMBER(output_soft), AT_ONCE,
     .default_text = "64MiB", .max = INT64_C(1) << 40,
     .help = "So is one for which more than this has been waiting for `output_time`; 0: no limit."},
    {.name = "output_time", .type = FB_OPTION_DURATION, MEMBER(output_time_ns), AT_ONCE,
     .default_text = "1m", .max = 24 * 3600 * FB_NS_PER_S,
     .help = "See `output_soft`."},
    {.name = "tracking_keys", .type = FB_OPTION_COUNT, MEMBER(tracking_keys_max), AT_ONCE,
     .default_text = "1000000", .max = 1000000000,
     .help = "How many keys are remembered for clients with near caches (CLIENT TRACKING); beyond "
             "that keys are given up, and whoever has read them is told; 0: no bound "
             "(`tracking-table-max-keys`)."},
    {.name = "connect_limit", .type = FB_OPTION_TEXT, MEMBER(connect_limit), .max = 64,
     .help = "The rule of `limits` that each new connection is asked of, its key the client's "
             "address; unless set: none."},
    {.name = "auth_limit", .type = FB_OPTION_TEXT, MEMBER(auth_limit), .default_text = "auth",
     .max = 64,
     .help = "The rule of `limits` that each attempt to sign in is asked of, its key the client's "
             "address; empty, or where that rule is switched off: none."},
    {.name = NULL},
};

// Of the doors; that of the connection to Redis follows below.
static const fb_option door_tls_table[] = {
    {.name = "cert", .type = FB_OPTION_PATH, MEMBER(tls_cert), AT_ONCE,
     .help = "The server's certificate and those between it and its authority, in PEM; read again "
             "with each reload, also where only its content is another."},
    {.name = "key", .type = FB_OPTION_PATH, MEMBER(tls_key), AT_ONCE,
     .help = "Its private key, in PEM, without a passphrase."},
    {.name = "ca", .type = FB_OPTION_PATH, MEMBER(tls_ca), AT_ONCE,
     .help = "Certificates of the authorities that clients' certificates are checked by; unless "
             "set: the system's."},
    {.name = "client_auth", .type = FB_OPTION_CHOICE, MEMBER(tls_client_auth), AT_ONCE,
     .choices = "off|optional|required", .default_text = "off",
     .help = "Whether clients have to show a certificate; optional: one that is shown is checked."},
    {.name = "min_version", .type = FB_OPTION_CHOICE, MEMBER(tls_min_version), AT_ONCE,
     .choices = "1.2|1.3", .default_text = "1.2",
     .help = "The oldest version of TLS that is spoken."},
    {.name = NULL},
};

static const fb_option region_table[] = {
    {.name = "file", .type = FB_OPTION_PATH, MEMBER(region_file),
     .help = "The memory tier lies in this file, such as `/dev/shm/forebay`, where other processes "
             "of the host read it; unless set: in private memory."},
    {.name = "group", .type = FB_OPTION_TEXT, MEMBER(region_group), .max = 255,
     .help = "The members of this group may read it too, and use `listen.socket`; unless set: the "
             "user of the server alone."},
    {.name = "keep", .type = FB_OPTION_BOOL, MEMBER(region_keep), .default_text = "false",
     .help = "A start goes on with what is in the file (`serve --keep-memory`)."},
    {.name = NULL},
};

static const fb_option tls_table[] = {
    {.name = "ca", .type = FB_OPTION_PATH, MEMBER(redis.tls_ca),
     .help = "Certificates of the authorities that the server's is checked by; unless set: the "
             "system's."},
    {.name = "cert", .type = FB_OPTION_PATH, MEMBER(redis.tls_cert),
     .help = "The certificate to show to the server; with `redis.tls.key`."},
    {.name = "key", .type = FB_OPTION_PATH, MEMBER(redis.tls_key), .help = "Its private key."},
    {.name = "verify", .type = FB_OPTION_BOOL, MEMBER(redis.tls_verify), .default_text = "true",
     .help = "Whether the server's certificate is checked."},
    {.name = NULL},
};

static const fb_option redis_table[] = {
    {.name = "url", .type = FB_OPTION_TEXT, MEMBER(redis.url), .max = 8191,
     .secret = FB_OPTION_SECRET_URL,
     .help = "A Redis or Valkey that all nodes share: `redis://`, `rediss://` (TLS), `unix://`, "
             "`redis+sentinel://`, `redis+cluster://`; unless this or `redis.host` is set: none. "
             "Also `REDIS_URL`."},
    {.name = "host", .type = FB_OPTION_TEXT, MEMBER(redis.host), .max = 255,
     .help = "Its host, instead of a URL. Also `REDIS_HOST`."},
    {.name = "port", .type = FB_OPTION_COUNT, MEMBER(redis.port), .default_text = "6379",
     .min = 1, .max = 65535, .help = "Beside `redis.host`. Also `REDIS_PORT`."},
    {.name = "db", .type = FB_OPTION_COUNT, MEMBER(redis.db), .default_text = "0", .max = 65535,
     .help = "The number of the database, beside `redis.host`, or a URL that names none. Also "
             "`REDIS_DB`."},
    {.name = "user", .type = FB_OPTION_TEXT, MEMBER(redis.user), .max = 255,
     .help = "Beside `redis.host`, or instead of the one in the URL. Also `REDIS_USER`."},
    {.name = "password", .type = FB_OPTION_TEXT, MEMBER(redis.password), .max = 255,
     .secret = FB_OPTION_SECRET,
     .help = "Beside `redis.host`, or instead of the one in the URL. Never shown. Also "
             "`REDIS_PASSWORD`."},
    {.name = "cluster", .type = FB_OPTION_CHOICE, MEMBER(redis.cluster),
     .choices = "auto|yes|no", .default_text = "auto",
     .help = "Whether it is a Redis Cluster; auto: as the server says."},
    {.name = "tls", .type = FB_OPTION_SECTION, .inner = tls_table,
     .help = "Of a URL with `rediss`."},
    {.name = "namespace", .type = FB_OPTION_TEXT, MEMBER(redis.name_space),
     .default_text = "forebay", .min = 1, .max = 64,
     .help = "What the names of all keys in it begin with, so that several deployments can share "
             "one: letters, digits, `_`, `-` and `.`."},
    {.name = "partitions", .type = FB_OPTION_COUNT, MEMBER(redis.partitions),
     .default_text = "64", .min = 1, .max = 256,
     .help = "Into how many parts the keys are divided; the same on all nodes."},
    {.name = "pool", .type = FB_OPTION_COUNT, MEMBER(redis.pool), .default_text = "10", .min = 1,
     .max = 1000,
     .help = "Connections beside the pipelined one of each loop: for what takes its time."},
    {.name = "log_length", .type = FB_OPTION_COUNT, MEMBER(redis.log_max),
     .default_text = "10000", .min = 100, .max = 10000000,
     .help = "Changes that the log of a part remembers at least: a node that missed more drops that "
             "part."},
    {.name = "connect_timeout", .type = FB_OPTION_DURATION, MEMBER(redis.connect_timeout_ns),
     .default_text = "2s", .min = FB_NS_PER_MS, .max = 3600 * FB_NS_PER_S,
     .help = "How long connecting may take."},
    {.name = "soft_timeout", .type = FB_OPTION_DURATION, MEMBER(redis.soft_timeout_ns),
     .default_text = "5ms", .max = 3600 * FB_NS_PER_S,
     .help = "How long it is waited for when something stale is at hand."},
    {.name = "hard_timeout", .type = FB_OPTION_DURATION, MEMBER(redis.hard_timeout_ns),
     .default_text = "50ms", .min = FB_NS_PER_MS, .max = 3600 * FB_NS_PER_S,
     .help = "How long it is waited for at most; then memory and source do without it."},
    {.name = "max_lag", .type = FB_OPTION_DURATION, MEMBER(redis.max_lag_ns),
     .default_text = "2s", .min = 100 * FB_NS_PER_MS, .max = 3600 * FB_NS_PER_S,
     .help = "A node that has not been in step with the others for so long says that it is "
             "degraded: the bound on how old an answer can be."},
    {.name = "max_outage", .type = FB_OPTION_DURATION, MEMBER(redis.max_outage_ns),
     .default_text = "10m", .min = FB_NS_PER_S, .max = INT64_C(30) * 24 * 3600 * FB_NS_PER_S,
     .help = "Changes made while it is away are told to it later; after so long everything in it is "
             "dropped instead."},
    {.name = "outbox", .type = FB_OPTION_COUNT, MEMBER(redis.outbox_max),
     .default_text = "100000", .min = 1, .max = 10000000,
     .help = "So many such changes are remembered by each loop."},
    {.name = NULL},
};

static const fb_option http_table[] = {
    {.name = "prefix", .type = FB_OPTION_TEXT, MEMBER(http_prefix), .max = 255,
     .help = "The monitoring routes are served below this path as well, such as `/codette`."},
    {.name = "cors", .type = FB_OPTION_TEXTS, MEMBER(http_cors), .default_text = "[]",
     .max = 64,
     .help = "Origins whose pages may read answers, such as `https://app.example`, or `*`; none unless set."},
    {.name = "idle", .type = FB_OPTION_DURATION, MEMBER(http_idle_ns), AT_ONCE,
     .default_text = "1m", .min = FB_NS_PER_MS, .max = 24 * 3600 * FB_NS_PER_S,
     .help = "A connection on which nothing is asked for so long is closed."},
    {.name = "timeout", .type = FB_OPTION_DURATION, MEMBER(http_timeout_ns), AT_ONCE,
     .default_text = "10s", .min = FB_NS_PER_MS, .max = 24 * 3600 * FB_NS_PER_S,
     .help = "How long a request may take to come in (408), and an answer to be taken; each 32 KiB "
             "that get through add a second."},
    {.name = "max_header", .type = FB_OPTION_BYTES, MEMBER(http_header_max), AT_ONCE,
     .default_text = "64KiB", .min = 1 << 10, .max = INT64_C(16) << 20,
     .help = "The longest request line with its headers (431); this and `max_body` hold for "
             "connections made from then on."},
    {.name = "max_body", .type = FB_OPTION_BYTES, MEMBER(http_body_max), AT_ONCE,
     .default_text = "64MiB", .min = 1 << 10, .max = INT64_C(1) << 30,
     .help = "The largest body of a request (413)."},
    {.name = "max_bodies", .type = FB_OPTION_BYTES, MEMBER(http_bodies_max), AT_ONCE,
     .default_text = "256MiB", .min = 1 << 10, .max = INT64_C(1) << 40,
     .help = "What all requests that are not answered yet may hold together; beyond it those that "
             "send bodies are refused (503)."},
    {.name = NULL},
};

static const fb_option log_table[] = {
    {.name = "level", .type = FB_OPTION_CHOICE, MEMBER(log_level), AT_ONCE,
     .choices = "debug|info|warn|error", .default_text = "info",
     .help = "The least important event that is logged."},
    {.name = "format", .type = FB_OPTION_CHOICE, MEMBER(log_format), AT_ONCE,
     .choices = "auto|text|json", .default_text = "auto",
     .help = "How events are written; auto: text on a terminal, else JSON."},
    {.name = "slow", .type = FB_OPTION_DURATION, MEMBER(slow_ns), AT_ONCE, .default_text = "1s",
     .max = 3600 * FB_NS_PER_S,
     .help = "Loads, commands and requests that take longer than this are logged; 0: none."},
    {.name = NULL},
};

const fb_option fb_settings_table[] = {
    {.name = "listen", .type = FB_OPTION_SECTION, .inner = listen_table,
     .help = "The addresses it answers on."},
    {.name = "tls", .type = FB_OPTION_SECTION, .inner = door_tls_table,
     .help = "Certificates of the addresses that speak TLS: `listen.resp_tls`, `listen.http_tls`."},
    {.name = "password", .type = FB_OPTION_TEXT, MEMBER(password), AT_ONCE, .max = 4096,
     .secret = FB_OPTION_SECRET,
     .help = "The password of the user `default`, which is who connects without a name: all doors ask "
             "for it then. Never shown. Also `FOREBAY_PASSWORD`."},
    {.name = "users", .type = FB_OPTION_NAMED, MEMBER(users), AT_ONCE, .max = USERS_MAX,
     .inner = fb_user_options_table, .inner_size = sizeof(fb_user_options),
     .place_offset = offsetof(fb_user_options, line),
     .file_offset = offsetof(fb_user_options, file),
     .help = "Who may do what, on all doors: users by name. `default` is there from the start, and "
             "may do anything unless it is declared."},
    {.name = "memory", .type = FB_OPTION_BYTES, MEMBER(memory_bytes), AT_ONCE,
     .default_text = "256MiB", .min = INT64_C(1) << 20, .max = INT64_C(1) << 40,
     .help = "The limit of the memory tier, index and overhead included."},
    {.name = "region", .type = FB_OPTION_SECTION, .inner = region_table,
     .help = "The memory tier in a file that other processes read."},
    {.name = "redis", .type = FB_OPTION_SECTION, .inner = redis_table,
     .help = "The shared tier: a Redis or Valkey between memory and the sources, coherent over all "
             "nodes."},
    {.name = "loops", .type = FB_OPTION_COUNT, MEMBER(loops), .default_text = "0", .max = 256,
     .help = "Event loops, each a thread; 0: one for each processor."},
    {.name = "workers", .type = FB_OPTION_COUNT, MEMBER(workers), .default_text = "0", .max = 256,
     .help = "Threads for queries and other work that blocks; 0: as many as the sources' "
             "`concurrency` in all, from 4 to 32."},
    {.name = "http", .type = FB_OPTION_SECTION, .inner = http_table, .help = "The HTTP door."},
    {.name = "drain", .type = FB_OPTION_DURATION, MEMBER(drain_ns), AT_ONCE,
     .default_text = "10s", .max = 3600 * FB_NS_PER_S,
     .help = "How long a stop waits for what is under way."},
    {.name = "log", .type = FB_OPTION_SECTION, .inner = log_table, .help = "What is logged."},
    {.name = "sources", .type = FB_OPTION_NAMED, MEMBER(sources), .max = 256,
     .inner = fb_source_options_table, .inner_size = sizeof(fb_source_options),
     .place_offset = offsetof(fb_source_options, line),
     .file_offset = offsetof(fb_source_options, file),
     .help = "Where values come from, by name."},
    {.name = "classes", .type = FB_OPTION_NAMED, MEMBER(classes), AT_ONCE,
     .max = FB_CLASS_MAX - 1, .inner = fb_class_options_table,
     .inner_size = sizeof(fb_class_options), .place_offset = offsetof(fb_class_options, line),
     .file_offset = offsetof(fb_class_options, file),
     .help = "What is cached, and how: key classes by name."},
    {.name = "limits", .type = FB_OPTION_NAMED, MEMBER(limits), AT_ONCE, .max = LIMITS_MAX,
     .inner = fb_limit_options_table, .inner_size = sizeof(fb_limit_options),
     .place_offset = offsetof(fb_limit_options, line),
     .file_offset = offsetof(fb_limit_options, file),
     .help = "Who may do what how often: rules by name. `generation`, `api`, `improvement` and "
             "`auth` are there from the start, and of one-time codes `otp_resend`, `otp_account` "
             "and `otp_address`."},
    {.name = "queue", .type = FB_OPTION_SECTION, .offset = offsetof(fb_settings, queue),
     .inner = fb_queue_store_options_table, .help = "Where the jobs of queues are kept."},
    {.name = "queues", .type = FB_OPTION_NAMED, MEMBER(queues), AT_ONCE, .max = QUEUES_MAX,
     .inner = fb_queue_options_table, .inner_size = sizeof(fb_queue_options),
     .place_offset = offsetof(fb_queue_options, line),
     .file_offset = offsetof(fb_queue_options, file),
     .help = "Queues by name. `default` and `mail` are there from the start."},
    {.name = "schedules", .type = FB_OPTION_NAMED, MEMBER(schedules), AT_ONCE,
     .max = SCHEDULES_MAX, .inner = fb_schedule_options_table,
     .inner_size = sizeof(fb_schedule_options),
     .place_offset = offsetof(fb_schedule_options, line),
     .file_offset = offsetof(fb_schedule_options, file),
     .help = "Jobs that begin by the clock, once over all nodes, by name."},
    {.name = "mail", .type = FB_OPTION_SECTION, .offset = offsetof(fb_settings, mail),
     .inner = fb_mail_options_table, .help = "Sending mails."},
    {.name = "otp", .type = FB_OPTION_SECTION, .offset = offsetof(fb_settings, otp),
     .inner = fb_otp_options_table, .help = "One-time codes and magic links."},
    {.name = NULL},
};

// ---- what is there from the start

// They are read as a file is, but no option of them counts as set.
static int add_builtin(fb_config *config, const char *kind, const char *name, const char *text) {
    fb_arena arena = {0};
    fb_reading reading = {.config = config, .arena = &arena};
    fb_path path = {.len = 0};
    (void)fb_path_push(&path, fb_str_of(kind));
    (void)fb_path_push(&path, fb_str_of(name));
    int result = fb_read_path(&reading, fb_path_str(&path), fb_str_of(text));
    FB_ASSERT(result == FB_OK || result == FB_ENOMEM);
    fb_arena_release(&arena);
    return result;
}

int fb_settings_add_builtins(fb_config *config) {
    int result = FB_OK;

    for (const fb_limit_builtin *one = fb_limit_builtins; one->name != NULL && result == FB_OK;
         one++) {
        result = add_builtin(config, "limits", one->name, one->text);
    }
    for (const fb_queue_builtin *one = fb_queue_builtins; one->name != NULL && result == FB_OK;
         one++) {
        result = add_builtin(config, "queues", one->name, one->text);
    }
    for (const fb_mail_kind_builtin *one = fb_mail_kind_builtins;
         one->name != NULL && result == FB_OK; one++) {
        result = add_builtin(config, "mail.kinds", one->name, one->text);
    }
    fb_option_marks_release(&config->marks);
    return result;
}

bool fb_settings_is_set(const fb_config *config, fb_str path) {
    return fb_option_marks_get(&config->marks, path) != NULL;
}

// ---- what was elsewhere

const char *fb_settings_moved(fb_str path) {
    return fb_str_equal(path, FB_STR("limits.connections")) ? "listen.connections" : NULL;
}

void fb_settings_finish(fb_config *config) {
    const fb_option *row = fb_tree_row(fb_class_options_table, FB_STR("memory_ttl"));

    for (size_t i = 0; i < config->settings.class_count; i++) {
        fb_class_options *class_ = &config->settings.classes[i];
        fb_path path = {.len = 0};
        (void)fb_path_push(&path, FB_STR("classes"));
        (void)fb_path_push(&path, fb_str_of(class_->name));
        (void)fb_path_push(&path, fb_str_of(row->name));
        if (fb_option_marks_get(&config->marks, fb_path_str(&path)) != NULL) {
            continue;
        }
        int result = fb_value_read(row, class_, fb_str_of(row->default_text));
        FB_ASSERT(result == FB_OK);
        if (class_->memory_ttl_ns > class_->ttl_ns) {
            class_->memory_ttl_ns = class_->ttl_ns;
        }
    }
}
