// The kernel lists listening sockets with their inode in /proc/net/tcp and tcp6; whose descriptor
// that inode is stands in /proc/<pid>/fd, as far as this user may look.

#include "os/port_owner.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTENING = 0x0A };

static unsigned long find_inode(const char *table, uint16_t port) {
    unsigned long found = 0;
    char line[512];
    FILE *file = fopen(table, "re");
    while (file != NULL && found == 0 && fgets(line, sizeof line, file) != NULL) {
        unsigned local_port, state;
        unsigned long inode;
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu",
                   &local_port, &state, &inode) == 3 &&
            local_port == port && state == LISTENING) {
            found = inode;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

static int holds(const char *pid, const char *wanted) {
    char path[300], link[64];
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *folder = opendir(path);
    int found = 0;
    for (struct dirent *entry = folder ? readdir(folder) : NULL; entry != NULL && !found;
         entry = readdir(folder)) {
        char fd[600];
        snprintf(fd, sizeof fd, "%s/%s", path, entry->d_name);
        ssize_t len = readlink(fd, link, sizeof link - 1);
        link[len > 0 ? len : 0] = '\0';
        found = strcmp(link, wanted) == 0;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return found;
}

static void name_process(const char *pid, char *text, size_t text_size) {
    char path[300], name[64] = "a process";
    snprintf(path, sizeof path, "/proc/%s/comm", pid);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fgets(name, sizeof name, file) != NULL) {
            name[strcspn(name, "\n")] = '\0';
        }
        fclose(file);
    }
    snprintf(text, text_size, "%s (process %s)", name, pid);
}

void fb_port_owner(uint16_t port, char *text, size_t text_size) {
    char wanted[64];
    text[0] = '\0';
    unsigned long inode = find_inode("/proc/net/tcp", port);
    inode = inode != 0 ? inode : find_inode("/proc/net/tcp6", port);
    if (inode == 0) {
        return;
    }
    snprintf(text, text_size, "another user's process");
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    DIR *folder = opendir("/proc");
    for (struct dirent *entry = folder ? readdir(folder) : NULL; entry != NULL;
         entry = readdir(folder)) {
        if (isdigit((unsigned char)entry->d_name[0]) && holds(entry->d_name, wanted)) {
            name_process(entry->d_name, text, text_size);
            break;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}
