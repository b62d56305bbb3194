// The options beside those of classes, one row each, and what follows from what.

#include "config/settings.h"

#include "base/check.h"
#include "base/units.h"
#include "cache/class.h"
#include "config/state.h"
#include "config/tree.h"
#include "config/values.h"

#define HAS_COUNT(type, items, count) \
    _Static_assert(offsetof(type, count) == offsetof(type, items) + sizeof(void *), #count)
HAS_COUNT(fb_settings, sources, source_count);
HAS_COUNT(fb_settings, classes, class_count);
_Static_assert(offsetof(fb_source_options, name) == 0, "a named element starts with its name");

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
    {.name = "socket", .type = FB_OPTION_PATH, MEMBER(listen_socket),
     .help = "A Unix socket for Redis clients beside `resp`, open to this user and `region.group` "
             "alone; its path is relative to the folder of the configuration."},
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

static const fb_option http_table[] = {
    {.name = "prefix", .type = FB_OPTION_TEXT, MEMBER(http_prefix), .max = 255,
     .help = "The monitoring routes are served below this path as well, such as `/codette`."},
    {.name = NULL},
};

static const fb_option limits_table[] = {
    {.name = "connections", .type = FB_OPTION_COUNT, MEMBER(connections_max),
     .default_text = "10000", .min = 1, .max = 1000000,
     .help = "Clients connected at once at most."},
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
     .max = 3600 * FB_NS_PER_S, .help = "Loads that take longer than this are logged; 0: none."},
    {.name = NULL},
};

const fb_option fb_settings_table[] = {
    {.name = "listen", .type = FB_OPTION_SECTION, .inner = listen_table,
     .help = "The addresses it answers on."},
    {.name = "memory", .type = FB_OPTION_BYTES, MEMBER(memory_bytes), AT_ONCE,
     .default_text = "256MiB", .min = INT64_C(1) << 20, .max = INT64_C(1) << 40,
     .help = "The limit of the memory tier, index and overhead included."},
    {.name = "region", .type = FB_OPTION_SECTION, .inner = region_table,
     .help = "The memory tier in a file that other processes read."},
    {.name = "loops", .type = FB_OPTION_COUNT, MEMBER(loops), .default_text = "0", .max = 256,
     .help = "Event loops, each a thread; 0: one for each processor."},
    {.name = "workers", .type = FB_OPTION_COUNT, MEMBER(workers), .default_text = "0", .max = 256,
     .help = "Threads for queries and other work that blocks; 0: as many as the sources' "
             "`concurrency` in all, from 4 to 32."},
    {.name = "http", .type = FB_OPTION_SECTION, .inner = http_table, .help = "The HTTP door."},
    {.name = "limits", .type = FB_OPTION_SECTION, .inner = limits_table,
     .help = "Limits of the whole server."},
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
    {.name = NULL},
};

void fb_settings_finish(fb_config *config) {
    const fb_option *row = fb_tree_row(fb_class_options_table, FB_STR("memory_ttl"));

    for (size_t i = 0; i < config->settings.class_count; i++) {
        fb_class_options *class_ = &config->settings.classes[i];
        fb_path path = {.len = 0};
        (void)fb_path_push(&path, FB_STR("classes"));
        (void)fb_path_push(&path, fb_str_of(class_->name));
        (void)fb_path_push(&path, fb_str_of(row->name));
        if (fb_marks_get(&config->marks, fb_path_str(&path)) != NULL) {
            continue;
        }
        int result = fb_value_read(row, class_, fb_str_of(row->default_text));
        FB_ASSERT(result == FB_OK);
        if (class_->memory_ttl_ns > class_->ttl_ns) {
            class_->memory_ttl_ns = class_->ttl_ns;
        }
    }
}
