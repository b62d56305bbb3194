// load: what `make bench` asks servers with. GETs or SETs over RESP or memcached's text protocol, or
// jobs over beanstalkd's, on a Unix socket, from one thread, with so many connections, each of which
// sends `depth` requests at once and waits for their answers before it sends the next.
//
//     load resp|memcached|beanstalkd SOCKET get|set|fill|put|WORDS CONNECTIONS DEPTH KEYS REQUESTS
//
// Prints "requests elapsed_ns hits errors". Keys are drawn evenly; "fill" sets each key once. WORDS
// (RESP only) are any command, "FB.LIMIT api %k", with a key in the place of %k, and a value in that
// of %v; "put" (beanstalkd only) is a job with the value. It is the same load for every server; how it compares with the server's own cost does not matter, since
// what is reported is the server's CPU time, which the caller reads.

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1000, DEPTH_MAX = 128, VALUE_LEN = 100, WORDS_MAX = 100, ROOM = 65536 };

typedef struct connection {
    int fd;
    unsigned waiting;  // answers still to come
    size_t elements;   // RESP: of this answer, still to come
    size_t skip;       // bytes of a value that are passed over
    bool last_value;   // RESP: they are an element of the answer
    size_t line_len;
    char line[512];
} connection;

typedef struct load {
    bool memcached, beanstalkd, set, fill;
    const char *words;  // NULL: get or set
    unsigned connections, depth;
    uint64_t keys, requests, sent, done, hits, errors, random, next_key;
    connection all[CONNECTIONS_MAX];
    char out[DEPTH_MAX * 512], in[ROOM], value[VALUE_LEN + 1];
} load;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t draw_key(load *self) {
    if (self->fill) {
        return self->next_key++ % self->keys;
    }
    self->random ^= self->random << 13;
    self->random ^= self->random >> 7;
    self->random ^= self->random << 17;
    return self->random % self->keys;
}

static size_t write_words(const load *self, const char *key, char *to) {
    const char *words = self->words;
    unsigned count = 1;
    for (const char *at = words; *at != '\0'; at++) {
        count += *at == ' ';
    }
    char *begun = to;
    *to++ = '*';
    to += sprintf(to, "%u\r\n", count);
    for (const char *at = words; count > 0; count--) {
        int word_len = (int)strcspn(at, " ");
        const char *word = strncmp(at, "%k", 2) == 0 ? key : at;
        word = strncmp(at, "%v", 2) == 0 ? self->value : word;
        int len_of_it = word == at ? word_len : (int)strlen(word);
        to += sprintf(to, "$%d\r\n%.*s\r\n", len_of_it, len_of_it, word);
        at += word_len + 1;
    }
    return (size_t)(to - begun);
}

static size_t write_request(load *self, char *to) {
    char key[32];
    int key_len = snprintf(key, sizeof key, "key:%016llu", (unsigned long long)draw_key(self));
    int len;
    if (self->words != NULL) {
        return write_words(self, key, to);
    }
    if (self->beanstalkd) {
        return (size_t)sprintf(to, "put 5 0 60 %d\r\n%s\r\n", VALUE_LEN, self->value);
    }
    if (self->memcached) {
        len = self->set ? sprintf(to, "set %s 0 0 %d\r\n%s\r\n", key, VALUE_LEN, self->value)
                        : sprintf(to, "get %s\r\n", key);
    } else {
        len = self->set ? sprintf(to, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", key_len, key,
                                  VALUE_LEN, self->value)
                        : sprintf(to, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", key_len, key);
    }
    return (size_t)len;
}

static void send_some(load *self, connection *one) {
    size_t len = 0;
    while (one->waiting < self->depth && self->sent < self->requests) {
        len += write_request(self, self->out + len);
        one->waiting++;
        self->sent++;
    }
    for (size_t at = 0; at < len;) {
        ssize_t wrote = write(one->fd, self->out + at, len - at);
        if (wrote <= 0) {
            die("write");
        }
        at += (size_t)wrote;
    }
}

static void answered(load *self, connection *one) {
    one->waiting--;
    self->done++;
}

// An answer is one element, and one that begins an array as many more as that has.
static void see_element(load *self, connection *one) {
    if (--one->elements == 0) {
        answered(self, one);
    }
}

static void see_line_resp(load *self, connection *one) {
    char kind = one->line[0];
    long len = kind == '$' || kind == '*' ? strtol(one->line + 1, NULL, 10) : -1;
    one->elements += one->elements == 0;
    self->errors += kind == '-';
    if (kind == '*' && len > 0) {
        one->elements += (size_t)len;
    }
    if (kind == '$' && len >= 0) {
        self->hits++;
        one->skip = (size_t)len + 2;
        one->last_value = true;
        return;
    }
    see_element(self, one);
}

static void see_line_memcached(load *self, connection *one) {
    if (strncmp(one->line, "VALUE ", 6) == 0) {
        self->hits++;
        one->skip = strtoul(strrchr(one->line, ' '), NULL, 10) + 2;
        one->last_value = false;
        return;
    }
    self->errors += strcmp(one->line, "END") != 0 && strcmp(one->line, "STORED") != 0;
    answered(self, one);
}

static void see_line_beanstalkd(load *self, connection *one) {
    self->errors += strncmp(one->line, "INSERTED ", 9) != 0;
    answered(self, one);
}

static void see_line(load *self, connection *one) {
    if (self->beanstalkd) {
        see_line_beanstalkd(self, one);
    } else if (self->memcached) {
        see_line_memcached(self, one);
    } else {
        see_line_resp(self, one);
    }
}

static void see(load *self, connection *one, const char *bytes, size_t len) {
    for (size_t i = 0; i < len;) {
        if (one->skip > 0) {
            size_t step = one->skip < len - i ? one->skip : len - i;
            one->skip -= step;
            i += step;
            if (one->skip == 0 && one->last_value) {
                self->memcached ? answered(self, one) : see_element(self, one);
            }
            continue;
        }
        char byte = bytes[i++];
        if (byte != '\n') {
            if (one->line_len < sizeof one->line - 1) {
                one->line[one->line_len++] = byte;
            }
            continue;
        }
        one->line[one->line_len > 0 ? one->line_len - 1 : 0] = '\0';
        one->line_len = 0;
        see_line(self, one);
    }
}

static void connect_all(load *self, const char *path, int poll) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    for (unsigned i = 0; i < self->connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        self->all[i].fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(self->all[i].fd, (struct sockaddr *)&address, sizeof address) != 0 ||
            epoll_ctl(poll, EPOLL_CTL_ADD, self->all[i].fd, &event) != 0) {
            die(path);
        }
    }
}

static void run(load *self, int poll) {
    struct epoll_event events[64];
    for (unsigned i = 0; i < self->connections; i++) {
        send_some(self, &self->all[i]);
    }
    while (self->done < self->requests) {
        int count = epoll_wait(poll, events, 64, 10000);
        if (count == 0 || (count < 0 && errno != EINTR)) {
            fputs("load: no answer for ten seconds\n", stderr);
            exit(1);
        }
        for (int i = 0; i < count; i++) {
            connection *one = &self->all[events[i].data.u32];
            ssize_t got = read(one->fd, self->in, sizeof self->in);
            if (got <= 0) {
                die("read");
            }
            see(self, one, self->in, (size_t)got);
            if (one->waiting == 0) {
                send_some(self, one);
            }
        }
    }
}

int main(int argc, char **argv) {
    static load self = {.random = 88172645463325252u};
    struct timespec begun, ended;
    if (argc != 8) {
        fputs("usage: load resp|memcached|beanstalkd SOCKET get|set|fill|put|WORDS CONNECTIONS "
              "DEPTH KEYS REQUESTS\n",
              stderr);
        return 2;
    }
    self.memcached = strcmp(argv[1], "memcached") == 0;
    self.beanstalkd = strcmp(argv[1], "beanstalkd") == 0;
    self.fill = strcmp(argv[3], "fill") == 0;
    self.set = self.fill || strcmp(argv[3], "set") == 0;
    self.words = self.set || self.beanstalkd || strcmp(argv[3], "get") == 0 ? NULL : argv[3];
    self.connections = (unsigned)strtoul(argv[4], NULL, 10);
    self.depth = (unsigned)strtoul(argv[5], NULL, 10);
    self.keys = strtoull(argv[6], NULL, 10);
    self.requests = strtoull(argv[7], NULL, 10);
    if (self.connections < 1 || self.connections > CONNECTIONS_MAX || self.depth < 1 ||
        self.depth > DEPTH_MAX || self.keys < 1 ||
        (self.words != NULL && strlen(self.words) > WORDS_MAX)) {
        fputs("load: at most 1000 connections, 128 requests at once, 100 bytes of words\n", stderr);
        return 2;
    }
    memset(self.value, 'v', VALUE_LEN);
    int poll = epoll_create1(EPOLL_CLOEXEC);
    connect_all(&self, argv[2], poll);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    run(&self, poll);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%llu %lld %llu %llu\n", (unsigned long long)self.done,
           (long long)(ended.tv_sec - begun.tv_sec) * 1000000000 + ended.tv_nsec - begun.tv_nsec,
           (unsigned long long)self.hits, (unsigned long long)self.errors);
    return 0;
}
