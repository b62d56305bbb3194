// getrusage() tells of the process, and of the thread that asks, which is one of the loops here. Of the main
// thread only the kernel's file of it tells, in ticks of the clock.

#include "daemon/cpu.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int64_t microseconds(struct timeval time) {
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

// "1234 (forebay) S 1 …": the name may have anything in it, the last ')' ends it.
static void read_main_thread(fb_cpu_times *times) {
    enum { LINE_SIZE = 1024 };
    char path[64], line[LINE_SIZE];
    unsigned long long user = 0, system = 0;
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)getpid());
    FILE *file = fopen(path, "re");
    size_t len = file != NULL ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file != NULL) {
        (void)fclose(file);
    }
    line[len] = '\0';
    const char *behind = strrchr(line, ')');
    long ticks = sysconf(_SC_CLK_TCK);
    if (ticks > 0 && behind != NULL &&
        sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
               &system) == 2) {
        times->main_user_us = (int64_t)(user * 1000000 / (unsigned long)ticks);
        times->main_system_us = (int64_t)(system * 1000000 / (unsigned long)ticks);
    }
}

void fb_cpu_read(fb_cpu_times *times) {
    struct rusage own, children;
    *times = (fb_cpu_times){0};
    if (getrusage(RUSAGE_SELF, &own) == 0) {
        times->user_us = microseconds(own.ru_utime);
        times->system_us = microseconds(own.ru_stime);
    }
    if (getrusage(RUSAGE_CHILDREN, &children) == 0) {
        times->children_user_us = microseconds(children.ru_utime);
        times->children_system_us = microseconds(children.ru_stime);
    }
    read_main_thread(times);
}
