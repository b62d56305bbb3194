// What cannot be read says nothing: a container may hide any of these files, and that is no fault of
// whoever runs in it.

#include "daemon/machine.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/str.h"
#include "base/units.h"

enum { FILES_SPARE = 64, BACKLOG_MIN = 512, TEXT_SIZE = 160 };
static const uint64_t QUEUE_ROOM_MIN = 256ull << 20;
static const long TMPFS = 0x01021994;

typedef struct examiner {
    const fb_config *config;
    fb_finding_fn fn;
    void *arg;
} examiner;

#define SAY(self, name_, state_, change_, ...)                                             \
    fb_finding_say((self)->fn, (self)->arg,                                                \
                   &(fb_finding){.area = "machine", .name = (name_), .state = (state_),    \
                                 .change = (change_)},                                     \
                   __VA_ARGS__)

static bool read_line(const char *path, char text[TEXT_SIZE]) {
    FILE *file = fopen(path, "re");
    bool got = file != NULL && fgets(text, TEXT_SIZE, file) != NULL;
    if (file != NULL) {
        (void)fclose(file);
    }
    if (got) {
        text[strcspn(text, "\n")] = '\0';
    }
    return got;
}

static void option(const examiner *self, const char *path, char *text, size_t text_size) {
    if (self->config == NULL ||
        fb_config_get(self->config, fb_str_of(path), text, text_size) != FB_OK) {
        text[0] = '\0';
    }
}

static uint64_t bytes_option(const examiner *self, const char *path) {
    char text[64];
    uint64_t bytes = 0;
    option(self, path, text, sizeof text);
    return fb_units_bytes(fb_str_of(text), &bytes) == FB_OK ? bytes : 0;
}

static const char *show(uint64_t bytes, char text[48]) {
    return fb_units_about_bytes(bytes, text, 48);  // nobody compares bytes of a machine
}

// ---- open files, the backlog

static void look_at_files(const examiner *self) {
    struct rlimit limit;
    char text[32];
    int64_t wanted = 0;
    option(self, "listen.connections", text, sizeof text);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    (void)!fb_str_int(fb_str_of(text), &wanted);
    bool enough = limit.rlim_cur == RLIM_INFINITY ||
                  (int64_t)limit.rlim_cur >= wanted + FILES_SPARE;
    SAY(self, "open files", enough ? FB_FINDING_OK : FB_FINDING_WARN,
        enough ? "" : "LimitNOFILE= in the unit, or ulimit -n", "%lld at once; listen.connections is "
        "%lld", limit.rlim_cur == RLIM_INFINITY ? -1LL : (long long)limit.rlim_cur,
        (long long)wanted);
}

static void look_at_backlog(const examiner *self) {
    char text[TEXT_SIZE];
    if (read_line("/proc/sys/net/core/somaxconn", text)) {
        long most = strtol(text, NULL, 10);
        SAY(self, "backlog", most >= BACKLOG_MIN ? FB_FINDING_OK : FB_FINDING_WARN,
            most >= BACKLOG_MIN ? "" : "sysctl net.core.somaxconn=1024",
            "%ld connections may wait to be accepted", most);
    }
}

// ---- memory

static uint64_t memory_of_machine(void) {
    long pages = sysconf(_SC_PHYS_PAGES);
    long size = sysconf(_SC_PAGE_SIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

// Of the group that this process is in, where there is a bound; 0: there is none.
static uint64_t memory_of_group(void) {
    char text[TEXT_SIZE];
    if (!read_line("/sys/fs/cgroup/memory.max", text) &&
        !read_line("/sys/fs/cgroup/memory/memory.limit_in_bytes", text)) {
        return 0;
    }
    unsigned long long bytes = strtoull(text, NULL, 10);
    return bytes > 0 && bytes < (1ull << 60) ? bytes : 0;
}

static void look_at_memory(const examiner *self) {
    char has[48];
    char wants[48];
    uint64_t wanted = bytes_option(self, "memory");
    uint64_t group = memory_of_group();
    uint64_t room = memory_of_machine();
    bool by_group = group > 0 && group < room;
    room = by_group ? group : room;
    // A tenth for everything that is not the memory tier.
    bool enough = room == 0 || wanted <= room - room / 10;
    SAY(self, "memory", enough ? FB_FINDING_OK : FB_FINDING_FAIL,
        enough ? "" : "a smaller memory, or the process is killed when it fills", "%s %s; `memory` is %s",
        show(room, has), by_group ? "for its control group" : "in all",
        fb_units_show_bytes(wanted, wants, sizeof wants));
}

static void look_at_overcommit(const examiner *self) {
    char text[TEXT_SIZE];
    if (read_line("/proc/sys/vm/overcommit_memory", text)) {
        bool strict = text[0] == '2';
        SAY(self, "overcommit", strict ? FB_FINDING_WARN : FB_FINDING_OK,
            strict ? "sysctl vm.overcommit_memory=0, or the whole of `memory` is taken at once" : "",
            "vm.overcommit_memory is %s", text);
    }
}

// ---- places

// What is left of the file system of the folder that `path` lies in, and whether it is memory.
static bool look_at_place(const char *path, uint64_t *free_bytes, bool *in_memory) {
    char folder[PATH_MAX];
    struct statvfs room;
    struct statfs kind;
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        (void)snprintf(folder, sizeof folder, ".");
    } else {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    if (statvfs(folder, &room) != 0 || statfs(folder, &kind) != 0) {
        return false;
    }
    *free_bytes = (uint64_t)room.f_bavail * (uint64_t)room.f_frsize;
    *in_memory = (long)kind.f_type == TMPFS;
    return true;
}

static void look_at_region(const examiner *self) {
    char path[PATH_MAX];
    char text[48];
    uint64_t room = 0;
    bool in_memory = false;
    option(self, "region.file", path, sizeof path);
    if (path[0] == '\0') {
        return;
    }
    if (!look_at_place(path, &room, &in_memory)) {
        SAY(self, "region", FB_FINDING_FAIL, "make that folder, or name another (region.file)",
            "%s: %s", path, strerror(errno));
        return;
    }
    SAY(self, "region", in_memory ? FB_FINDING_OK : FB_FINDING_WARN,
        in_memory ? "" : "a file under /dev/shm: on a disk every change is written back to it",
        "%s is %s, %s free", path, in_memory ? "in memory (tmpfs)" : "on a disk",
        show(room, text));
}

static void look_at_queue(const examiner *self) {
    char path[PATH_MAX];
    char text[48];
    uint64_t room = 0;
    bool in_memory = false;
    option(self, "queue.file", path, sizeof path);
    if (path[0] == '\0') {
        return;
    }
    if (!look_at_place(path, &room, &in_memory)) {
        SAY(self, "queue", FB_FINDING_FAIL, "make that folder, or name another (queue.file)",
            "%s: %s", path, strerror(errno));
        return;
    }
    bool fine = !in_memory && room >= QUEUE_ROOM_MIN;
    SAY(self, "queue", fine ? FB_FINDING_OK : FB_FINDING_WARN,
        in_memory ? "a file on a disk: jobs there are gone with the machine's power"
        : fine    ? ""
                  : "make room: no job is accepted on a full disk",
        "%s is %s, %s free", path, in_memory ? "in memory (tmpfs)" : "on a disk",
        show(room, text));
}

// ---- the clock

static void look_at_clock(const examiner *self) {
    static const char PATH[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    char text[TEXT_SIZE];
    if (read_line(PATH, text)) {
        bool slow = strcmp(text, "hpet") == 0 || strcmp(text, "acpi_pm") == 0 ||
                    strcmp(text, "jiffies") == 0;
        SAY(self, "clock", slow ? FB_FINDING_WARN : FB_FINDING_OK,
            slow ? "clocksource=tsc on the kernel's command line, if the processors allow" : "",
            "%s: reading the time %s system call", text, slow ? "is a" : "needs no");
    }
}

static void look_at_time(const examiner *self) {
    struct timex state = {0};
    int result = adjtimex(&state);
    if (result >= 0) {
        bool synchronised = result != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
        SAY(self, "time of day", synchronised ? FB_FINDING_OK : FB_FINDING_WARN,
            synchronised ? "" : "run chrony or systemd-timesyncd, where nothing else sets the clock",
            "%s", synchronised ? "kept by a time service" : "nothing in this system keeps it right");
    }
}

void fb_machine_examine(const fb_config *config, fb_finding_fn fn, void *arg) {
    examiner self = {.config = config, .fn = fn, .arg = arg};
    look_at_files(&self);
    look_at_backlog(&self);
    look_at_memory(&self);
    look_at_overcommit(&self);
    look_at_region(&self);
    look_at_queue(&self);
    look_at_clock(&self);
    look_at_time(&self);
}
