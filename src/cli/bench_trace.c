// forebay bench trace: how often the memory tier misses on a trace, at which size.
//
// A share means so many of the trace's distinct objects, resident on average: what simulators of
// eviction policies are given, so that their figures can be compared with ours, object for object.
// What the memory tier needs for that is found by replaying (cli/replay.c) and printed.

#include "cli/bench_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/command_line.h"
#include "cli/policy.h"

// ---- what is asked

int fb_trace_shares(fb_str text, fb_trace_figures *figures) {
    figures->case_count = 0;
    while (text.len > 0) {
        size_t end = fb_str_find(text, ',');
        double share;
        if (figures->case_count == FB_TRACE_CASES_MAX ||
            fb_str_double(fb_str_make(text.ptr, end), &share) < 0 || !(share > 0 && share <= 1)) {
            return FB_ETYPE;
        }
        figures->cases[figures->case_count++] = (fb_trace_case){.share = share};
        size_t used = end < text.len ? end + 1 : end;
        if (used == text.len && end < text.len) {
            return FB_ETYPE;
        }
        text = fb_str_make(text.ptr + used, text.len - used);
    }
    return figures->case_count > 0 ? FB_OK : FB_ETYPE;
}

static uint32_t objects_of(double share, uint32_t distinct) {
    double objects = share * distinct;
    return objects < FB_TRACE_OBJECTS_MIN ? FB_TRACE_OBJECTS_MIN : (uint32_t)objects;
}

static int run_case(const fb_trace *trace, bool compare, fb_trace_case *one) {
    if (one->share > 0) {
        one->replay.room = objects_of(one->share, trace->distinct);
    }
    int result = fb_replay_run(trace, &one->replay);
    if (result != FB_OK || !compare) {
        return result;
    }
    double objects = one->share > 0 ? one->replay.room : one->replay.residents + 0.5;
    one->objects = objects >= 1 ? (uint32_t)objects : 1;
    one->compared = true;
    result =
        fb_policy_lru(trace->keys, trace->count, trace->distinct, one->objects, &one->lru_misses);
    if (result == FB_OK) {
        result = fb_policy_s3fifo(trace->keys, trace->count, trace->distinct, one->objects,
                                  &one->s3fifo_misses);
    }
    return result;
}

int fb_trace_run(const fb_trace *trace, bool compare, fb_trace_figures *figures) {
    figures->requests = trace->count;
    figures->distinct = trace->distinct;
    figures->bytes = trace->bytes;
    int result = FB_OK;
    for (size_t i = 0; result == FB_OK && i < figures->case_count; i++) {
        figures->cases[i].replay.ignore_sizes = figures->ignore_sizes;
        result = run_case(trace, compare, &figures->cases[i]);
    }
    return result;
}

// ---- telling

static const char *format_name(fb_trace_format format) {
    return format == FB_TRACE_ORACLE ? "oracleGeneral" : "text";
}

static double percent(const fb_trace_figures *figures, uint64_t misses) {
    return 100.0 * (double)misses / (double)figures->requests;
}

static int tell_case(const fb_trace_figures *figures, const fb_trace_case *one, fb_buf *out) {
    const fb_replay *replay = &one->replay;
    char share[24] = "-", memory[48];
    if (one->share > 0) {
        snprintf(share, sizeof share, "%g %%", 100 * one->share);
    }
    snprintf(memory, sizeof memory, "%.2f MiB", (double)replay->memory_bytes / (1 << 20));
    int result = fb_buf_printf(out, "%8s %14s %12.1f %9.2f %%", share, memory, replay->residents,
                               percent(figures, replay->misses));
    if (result == FB_OK && one->compared) {
        result = fb_buf_printf(out, " %9.2f %% %9.2f %%", percent(figures, one->lru_misses),
                               percent(figures, one->s3fifo_misses));
    }
    return result == FB_OK ? fb_buf_printf(out, " %10.0f\n", replay->request_ns) : result;
}

static int tell_notes(const fb_trace_figures *figures, const fb_trace_case *one, fb_buf *out) {
    const fb_replay *replay = &one->replay;
    int result = FB_OK;
    if (replay->refused > 0) {
        result = fb_buf_printf(out,
                               "at %.2f MiB %llu of the misses are of objects larger than an "
                               "eighth of it, which are never stored\n",
                               (double)replay->memory_bytes / (1 << 20),
                               (unsigned long long)replay->refused);
    }
    if (result == FB_OK && replay->index_evictions > 0) {
        result = fb_buf_printf(out, "%llu objects left for want of room in the index\n",
                               (unsigned long long)replay->index_evictions);
    }
    double off = replay->residents - replay->room;
    if (result == FB_OK && replay->room > 0 && replay->room < figures->distinct &&
        (off > 1 + replay->room * 0.01 || off < -1 - replay->room * 0.01)) {
        result = fb_buf_printf(out, "%.1f objects were resident on average where %u were meant\n",
                               replay->residents, replay->room);
    }
    return result;
}

int fb_trace_text(const fb_trace_figures *figures, fb_buf *out) {
    bool compared = figures->case_count > 0 && figures->cases[0].compared;
    int result = fb_buf_printf(out, "%s (%s): %zu requests for %u distinct objects", figures->file,
                               format_name(figures->format), figures->requests, figures->distinct);
    if (result == FB_OK && figures->bytes > 0) {
        char bytes[48];
        snprintf(bytes, sizeof bytes, "%.1f MiB", (double)figures->bytes / (1 << 20));
        result =
            fb_buf_printf(out, " of %s%s", bytes, figures->ignore_sizes ? " (sizes ignored)" : "");
    }
    if (result == FB_OK) {
        result =
            fb_buf_printf(out, "\n\n%8s %14s %12s %11s%s %10s\n", "share", "memory", "resident",
                          "miss ratio", compared ? "         LRU     S3-FIFO" : "", "ns/request");
    }
    for (size_t i = 0; result == FB_OK && i < figures->case_count; i++) {
        result = tell_case(figures, &figures->cases[i], out);
    }
    for (size_t i = 0; result == FB_OK && i < figures->case_count; i++) {
        result = tell_notes(figures, &figures->cases[i], out);
    }
    return result;
}

static int json_string(const char *text, fb_buf *out) {
    int result = fb_buf_byte(out, '"');
    for (; result == FB_OK && *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            result = fb_buf_printf(out, "\\u%04x", byte);
        } else {
            result = fb_buf_byte(out, (char)byte);
        }
    }
    return result == FB_OK ? fb_buf_byte(out, '"') : result;
}

static int json_case(const fb_trace_figures *figures, const fb_trace_case *one, fb_buf *out) {
    const fb_replay *replay = &one->replay;
    int result = fb_buf_printf(
        out,
        "{\"share\":%.17g,\"objects\":%u,\"memory_bytes\":%llu,\"residents\":%.2f,"
        "\"residents_max\":%llu,\"size_scale\":%.6g,\"misses\":%llu,\"miss_ratio\":%.8f,"
        "\"refused\":%llu,\"index_evictions\":%llu,\"request_ns\":%.1f",
        one->share, replay->room, (unsigned long long)replay->memory_bytes, replay->residents,
        (unsigned long long)replay->residents_max, replay->scale,
        (unsigned long long)replay->misses, percent(figures, replay->misses) / 100,
        (unsigned long long)replay->refused, (unsigned long long)replay->index_evictions,
        replay->request_ns);
    if (result == FB_OK && one->compared) {
        result = fb_buf_printf(
            out, ",\"compared_objects\":%u,\"lru_miss_ratio\":%.8f,\"s3fifo_miss_ratio\":%.8f",
            one->objects, percent(figures, one->lru_misses) / 100,
            percent(figures, one->s3fifo_misses) / 100);
    }
    return result == FB_OK ? fb_buf_byte(out, '}') : result;
}

int fb_trace_json(const fb_trace_figures *figures, fb_buf *out) {
    int result = fb_buf_append(out, FB_STR("{\"file\":"));
    if (result == FB_OK) {
        result = json_string(figures->file, out);
    }
    if (result == FB_OK) {
        result = fb_buf_printf(out,
                               ",\"format\":\"%s\",\"requests\":%zu,\"distinct\":%u,"
                               "\"bytes\":%llu,\"ignore_sizes\":%s,\"runs\":[",
                               format_name(figures->format), figures->requests, figures->distinct,
                               (unsigned long long)figures->bytes,
                               figures->ignore_sizes ? "true" : "false");
    }
    for (size_t i = 0; result == FB_OK && i < figures->case_count; i++) {
        result = i > 0 ? fb_buf_byte(out, ',') : FB_OK;
        if (result == FB_OK) {
            result = json_case(figures, &figures->cases[i], out);
        }
    }
    return result == FB_OK ? fb_buf_append(out, FB_STR("]}\n")) : result;
}

// ---- the subcommand

// The file, mapped; empty: it has been said what went wrong.
static fb_str map_file(const fb_line *line, const char *name) {
    struct stat about;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) < 0) {
        fb_cli_complain(line, "%s: %s", name, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return (fb_str){0};
    }
    const char *bytes = MAP_FAILED;
    if (!S_ISREG(about.st_mode) || about.st_size == 0) {
        fb_cli_complain(
            line, "%s: %s", name,
            S_ISREG(about.st_mode) ? "there is no request in it" : "a trace must be a file");
    } else {
        bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED) {
            fb_cli_complain(line, "%s: %s", name, strerror(errno));
        }
    }
    close(fd);
    return bytes == MAP_FAILED ? fb_str_make(NULL, 0) : fb_str_make(bytes, (size_t)about.st_size);
}

static bool read_options(const fb_line *line, fb_trace_figures *figures) {
    const char *format = line->format != NULL ? line->format : "";
    if (strcmp(format, "text") == 0) {
        figures->format = FB_TRACE_TEXT;
    } else if (strcmp(format, "oracleGeneral") == 0) {
        figures->format = FB_TRACE_ORACLE;
    } else if (format[0] != '\0') {
        fb_cli_complain(line, "--format %s: expected text or oracleGeneral", format);
        return false;
    }
    figures->ignore_sizes = line->ignore_sizes;
    if (line->memory != NULL && line->share != NULL) {
        fb_cli_complain(line, "--memory or --share, not both");
        return false;
    }
    if (line->memory != NULL) {
        uint64_t bytes;
        if (fb_units_bytes(fb_str_of(line->memory), &bytes) < 0 || bytes < (1 << 20)) {
            fb_cli_complain(line, "--memory %s: expected a size of at least 1MiB", line->memory);
            return false;
        }
        figures->case_count = 1;
        figures->cases[0].replay.limit_bytes = bytes;
        return true;
    }
    const char *share = line->share != NULL ? line->share : "0.001,0.01,0.1";
    if (fb_trace_shares(fb_str_of(share), figures) < 0) {
        fb_cli_complain(line, "--share %s: expected parts of all distinct objects, as 0.001,0.1",
                        share);
        return false;
    }
    return true;
}

static int complain_of_trace(const fb_line *line, const fb_trace_figures *figures,
                             const fb_error *error) {
    if (error->line > 0) {
        fb_cli_complain(line, "%s: %s %u: %s", figures->file,
                        figures->format == FB_TRACE_ORACLE ? "record" : "line", error->line,
                        error->text);
    } else {
        fb_cli_complain(line, "%s: %s", figures->file, error->text);
    }
    return error->code == FB_ENOMEM ? FB_EXIT_REFUSED : FB_EXIT_USAGE;
}

static int replay_and_print(const fb_line *line, const fb_trace *trace, fb_trace_figures *figures) {
    fb_buf out = {0};
    int result = fb_trace_run(trace, line->compare, figures);
    if (result == FB_OK) {
        result = line->json ? fb_trace_json(figures, &out) : fb_trace_text(figures, &out);
    }
    if (result == FB_OK) {
        fwrite(out.ptr, 1, out.len, stdout);
    } else {
        fb_cli_complain(line, "%s",
                        result == FB_ENOMEM ? "out of memory" : "so much memory cannot be had");
    }
    fb_buf_release(&out);
    return result == FB_OK ? FB_EXIT_OK : FB_EXIT_REFUSED;
}

int fb_cli_bench_trace(const fb_line *line) {
    static fb_trace_figures figures;
    fb_trace trace;
    fb_error error = {0};
    if (line->word_count != 2) {
        fb_cli_complain(line, "usage: forebay bench trace FILE");
        return FB_EXIT_USAGE;
    }
    figures = (fb_trace_figures){.file = line->words[1]};
    if (!read_options(line, &figures)) {
        return FB_EXIT_USAGE;
    }
    fb_str bytes = map_file(line, figures.file);
    if (bytes.len == 0) {
        return FB_EXIT_USAGE;
    }
    if (figures.format == FB_TRACE_DETECT) {
        figures.format = fb_trace_detect(figures.file, bytes);
    }
    int result = fb_trace_parse(bytes, figures.format, &trace, &error);
    munmap((void *)(uintptr_t)bytes.ptr, bytes.len);
    int status = result == FB_OK ? replay_and_print(line, &trace, &figures)
                                 : complain_of_trace(line, &figures, &error);
    fb_trace_release(&trace);
    return status;
}
