// A start with a region goes in an order that never leaves readers with something that is neither
// the old region nor the new one:
//
//     lock FILE.lock           or another daemon has it: no start
//     keep, and FILE is there: attach it for reading, so that classes get their old numbers
//                              (the plan is made here)
//                              adopt it in place: its readers go on as soon as it beats again
//     else, or if that is      make FILE.new whole; retire the old one, whose readers turn away;
//     refused:                 rename FILE.new over FILE, where they find it
//
// A stop retires the region, so that nobody reads what nobody keeps up. It stays, to be adopted,
// only if the settings say so: it is memory, and without a daemon there is no use for it.
//
// What is kept was true when the daemon ended. What was written to the database since then nobody
// here knows; the lifetimes of the entries bound that.

#include "engine/region.h"

#include <stddef.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/hints.h"
#include "os/clock.h"
#include "os/region_file.h"
#include "store/region.h"

// Beside the limit and the room for the classes and stamps: headers, and pages that are not full.
static const uint64_t ROOM_BESIDE = UINT64_C(1) << 20;

struct fb_region_home {
    fb_region_file *file;
    uint64_t boot, needed;
    bool keep;
    bool live;        // the cache is in it
    fb_store *found;  // what was there, attached for its classes
    fb_outside classes;
    bool has_classes;
    fb_hints *hints;  // a copy
    fb_hints_seen *seen;
    bool told;  // that the hints were cut short
};

static void log_not_kept(const fb_region_home *home, const fb_error *error) {
    fb_log(FB_LOG_WARN, "region_not_kept", "file=%s why=%s",
           fb_log_quote(fb_str_of(fb_region_file_path(home->file)), FB_LOG_KEY_MAX).text,
           fb_log_quote(fb_str_of(error->text), FB_LOG_TEXT_MAX).text);
}

// Refusals are told when it comes to keeping it.
static void look_at_classes(fb_region_home *home) {
    uint64_t bytes = 0;
    if (fb_store_attach(fb_region_file_found(home->file), FB_OUTSIDE_FORMAT, home->boot,
                        &home->found, NULL) == FB_OK) {
        const void *room = fb_store_app(home->found, &bytes);
        home->has_classes = fb_outside_view(room, bytes, &home->classes) == FB_OK;
    }
}

static int open_parts(fb_region_home *home, const fb_settings *settings, fb_error *error) {
    fb_region_file_options options = {.path = settings->region_file,
                                      .group = settings->region_group,
                                      .magic = FB_REGION_MAGIC,
                                      .hints_magic = FB_HINTS_MAGIC,
                                      .hints_len = sizeof(fb_hints)};
    char text[64];
    fb_str boot;
    home->keep = settings->region_keep;
    home->needed = settings->memory_bytes + fb_outside_bytes(0) + sizeof(fb_hints) + ROOM_BESIDE;
    home->hints = fb_mem_zero(1, sizeof *home->hints);
    home->seen = fb_mem_zero(1, sizeof *home->seen);
    if (home->hints == NULL || home->seen == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    if (fb_region_file_boot(text, &boot) < 0) {
        return fb_error_set(error, FB_EIO, "cannot read the machine's boot id");
    }
    home->boot = fb_outside_boot(boot);
    int result = fb_region_file_open(&options, &home->file, error);
    if (result == FB_OK && home->keep && fb_region_file_found(home->file) >= 0) {
        look_at_classes(home);
    }
    return result;
}

int fb_region_home_open(const fb_settings *settings, fb_region_home **out, fb_error *error) {
    *out = NULL;
    if (settings->region_file == NULL || settings->region_file[0] == '\0') {
        return FB_OK;
    }
    fb_region_home *home = fb_mem_zero(1, sizeof *home);
    if (home == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = open_parts(home, settings, error);
    if (result < 0) {
        fb_region_home_close(home, NULL);
        return result;
    }
    *out = home;
    return FB_OK;
}

const fb_outside *fb_region_home_classes(const fb_region_home *home) {
    return home != NULL && home->has_classes ? &home->classes : NULL;
}

// ---- the cache in it

static void let_go_of_found(fb_region_home *home) {
    home->has_classes = false;
    fb_store_free(home->found);
    home->found = NULL;
}

static int make_cache(fb_cache_options *options, fb_cache_region *region, fb_cache **cache) {
    options->region = region;
    int result = fb_cache_new(options, cache);
    options->region = NULL;
    if (result == FB_OK) {
        options->catalog = NULL;  // the cache's now
    }
    return result;
}

// FB_OK; FB_MISS: it cannot be kept, which has been told.
static int adopt(fb_region_home *home, fb_cache_options *options, fb_cache **cache,
                 fb_error *error) {
    fb_cache_region region = {
        .fd = fb_region_file_found(home->file), .boot = home->boot, .keep = true, .error = error};
    if (region.fd < 0) {
        return FB_MISS;
    }
    int result = fb_region_file_keep(home->file, error);
    if (result < 0) {
        return result;
    }
    result = make_cache(options, &region, cache);
    if (result == FB_EINVAL) {
        log_not_kept(home, error);
        return FB_MISS;
    }
    if (result < 0) {
        return fb_error_set(error, result, "cannot keep the region %s: %s",
                            fb_region_file_path(home->file), fb_result_text(result));
    }
    fb_log(FB_LOG_INFO, "region_kept", "file=%s entries=%llu removed=%llu shards_dropped=%u",
           fb_log_quote(fb_str_of(fb_region_file_path(home->file)), FB_LOG_KEY_MAX).text,
           (unsigned long long)region.entries, (unsigned long long)region.removed,
           region.shards_dropped);
    return FB_OK;
}

static const char *why_not_made(int result) {
    switch (result) {
        case FB_EIO:
            return "its file system cannot hold it (/dev/shm can)";
        case FB_ENOMEM:
            return "more than this process may have (ulimit -f, ulimit -v), or out of memory";
        default:
            return fb_result_text(result);
    }
}

static int make(fb_region_home *home, fb_cache_options *options, fb_cache **cache,
                fb_error *error) {
    fb_cache_region region = {.boot = home->boot, .error = error};
    int result = fb_region_file_make(home->file, home->needed, &region.fd, error);
    if (result < 0) {
        return result;
    }
    result = make_cache(options, &region, cache);
    if (result < 0) {
        char text[48];
        return fb_error_set(error, result, "cannot make a region of %s in %s: %s",
                            fb_units_show_bytes(options->memory_bytes, text, sizeof text),
                            fb_region_file_path(home->file), why_not_made(result));
    }
    return FB_OK;
}

// Those who read it turn away as soon as they look, and find the new one. Of another format nothing
// is known but that it does not beat.
static void retire_found(const fb_region_home *home) {
    int fd = fb_region_file_found(home->file);
    fb_region header;
    const uint32_t yes = 1;
    if (fd >= 0 && pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
        header.magic == FB_REGION_MAGIC && header.format == FB_REGION_FORMAT) {
        ssize_t put = pwrite(fd, &yes, sizeof yes, offsetof(fb_region, retired));
        (void)put;  // then they notice that it does not beat
    }
}

static int replace(fb_region_home *home, fb_cache_options *options, fb_cache **cache,
                   fb_error *error) {
    int result = make(home, options, cache, error);
    if (result < 0) {
        return result;
    }
    fb_store_beat(fb_cache_store(*cache), fb_clock_now_ns());
    retire_found(home);
    result = fb_region_file_publish(home->file, error);
    if (result == FB_OK) {
        fb_log(FB_LOG_INFO, "region_made", "file=%s bytes=%llu",
               fb_log_quote(fb_str_of(fb_region_file_path(home->file)), FB_LOG_KEY_MAX).text,
               (unsigned long long)options->memory_bytes);
    }
    return result;
}

static void warn_of_disk(const fb_region_home *home) {
    if (!fb_region_file_in_memory(home->file)) {
        fb_log(FB_LOG_WARN, "region_on_disk", "file=%s hint=%s",
               fb_log_quote(fb_str_of(fb_region_file_path(home->file)), FB_LOG_KEY_MAX).text,
               fb_log_quote(FB_STR("all that is cached is written to it; /dev/shm lives in memory"),
                            FB_LOG_TEXT_MAX)
                   .text);
    }
}

int fb_region_home_cache(fb_region_home *home, fb_cache_options *options, fb_cache **cache,
                         fb_error *error) {
    options->now_ns = fb_clock_now_ns();
    let_go_of_found(home);
    int result = home->keep ? adopt(home, options, cache, error) : FB_MISS;
    if (result == FB_MISS) {
        result = replace(home, options, cache, error);
    }
    if (result < 0) {
        fb_cache_free(*cache);
        *cache = NULL;
        return result;
    }
    home->live = true;
    warn_of_disk(home);
    if (fb_region_file_take_hints(home->file, home->hints, 0, 0) == FB_OK) {
        fb_hints_take(home->hints, home->seen, true, *cache);
    }
    fb_store_beat(fb_cache_store(*cache), fb_clock_now_ns());
    return FB_OK;
}

// ---- while it runs

static void take_hints(fb_region_home *home, fb_cache *cache) {
    const size_t from = offsetof(fb_hints, keys), to = from + sizeof home->hints->keys;
    if (fb_region_file_take_hints(home->file, home->hints, from, to) == FB_OK) {
        fb_hints_take(home->hints, home->seen, false, cache);
    } else if (!home->told) {
        home->told = true;
        fb_log(FB_LOG_WARN, "region_hints_cut", "file=%s",
               fb_log_quote(fb_str_of(fb_region_file_hints_path(home->file)), FB_LOG_KEY_MAX).text);
    }
}

void fb_region_home_upkeep(fb_region_home *home, fb_cache *cache, int64_t now_ns) {
    fb_store_beat(fb_cache_store(cache), now_ns);
    take_hints(home, cache);
}

void fb_region_home_close(fb_region_home *home, fb_cache *cache) {
    if (home == NULL) {
        return;
    }
    if (home->live) {
        fb_store_retire(fb_cache_store(cache));
    }
    fb_store_free(home->found);
    fb_region_file_close(home->file, home->live && !home->keep);
    fb_mem_free(home->hints);
    fb_mem_free(home->seen);
    fb_mem_free(home);
}

const char *fb_region_home_path(const fb_region_home *home) {
    return fb_region_file_path(home->file);
}

const char *fb_region_home_hints_path(const fb_region_home *home) {
    return fb_region_file_hints_path(home->file);
}
