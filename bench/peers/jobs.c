// jobs: a worker that does nothing, for `make bench`: it reserves and acknowledges jobs as fast as the
// server gives them, from one thread and one connection, in batches.
//
//     jobs resp|beanstalkd SOCKET COUNT BATCH
//
// Prints "jobs elapsed_ns". RESP: FB.RESERVE default COUNT batch, then FB.ACK with RESERVE batch, which
// acknowledges and takes the next ones. beanstalkd has no batches: as many "reserve" at once, then as
// many "delete".

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_MAX = 1000, ROOM = 1 << 20, WORD_MAX = 96 };

typedef struct worker {
    int fd;
    size_t at, len;
    char in[ROOM];
    char out[ROOM];
    size_t out_len;
    char ids[BATCH_MAX][WORD_MAX], tokens[BATCH_MAX][WORD_MAX];
    unsigned count;  // of them
} worker;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void flush_out(worker *self) {
    for (size_t at = 0; at < self->out_len;) {
        ssize_t wrote = write(self->fd, self->out + at, self->out_len - at);
        if (wrote <= 0) {
            die("write");
        }
        at += (size_t)wrote;
    }
    self->out_len = 0;
}

static void more(worker *self) {
    if (self->at == self->len) {
        self->at = self->len = 0;
    }
    if (self->len == ROOM) {
        fputs("jobs: an answer is too long\n", stderr);
        exit(1);
    }
    ssize_t got = read(self->fd, self->in + self->len, ROOM - self->len);
    if (got <= 0) {
        die("read");
    }
    self->len += (size_t)got;
}

// A line without its end, good until the next.
static const char *line(worker *self) {
    char *end;
    while ((end = memchr(self->in + self->at, '\n', self->len - self->at)) == NULL) {
        if (self->at > 0) {
            memmove(self->in, self->in + self->at, self->len - self->at);
            self->len -= self->at;
            self->at = 0;
        }
        more(self);
    }
    const char *begin = self->in + self->at;
    end[-1] = '\0';
    self->at = (size_t)(end + 1 - self->in);
    return begin;
}

static void skip(worker *self, size_t len) {
    while (len > 0) {
        if (self->at == self->len) {
            more(self);
        }
        size_t step = self->len - self->at < len ? self->len - self->at : len;
        self->at += step;
        len -= step;
    }
}

static void word(worker *self, const char *text) {
    self->out_len += (size_t)sprintf(self->out + self->out_len, "$%zu\r\n%s\r\n", strlen(text), text);
}

// A string or a number into `to`; an array: how many elements follow, else -1.
static long element(worker *self, char *to) {
    const char *begin = line(self);
    if (begin[0] == '-') {
        fprintf(stderr, "jobs: %s\n", begin);
        exit(1);
    }
    if (begin[0] == '*') {
        return strtol(begin + 1, NULL, 10);
    }
    if (begin[0] != '$') {
        snprintf(to, WORD_MAX, "%s", begin + 1);
        return -1;
    }
    size_t len = strtoul(begin + 1, NULL, 10);
    if (len >= WORD_MAX) {
        skip(self, len + 2);
        return -1;
    }
    snprintf(to, WORD_MAX, "%s", line(self));
    return -1;
}

// [id, token, attempt, kind, payload] each.
static void take_jobs(worker *self) {
    char other[WORD_MAX];
    long count = element(self, other);
    self->count = 0;
    for (long i = 0; i < count; i++) {
        long parts = element(self, other);
        (void)element(self, self->ids[i]);
        (void)element(self, self->tokens[i]);
        for (long k = 2; k < parts; k++) {
            (void)element(self, other);
        }
        self->count++;
    }
}

static void work_resp(worker *self, unsigned long count, unsigned batch) {
    char number[16], other[WORD_MAX];
    snprintf(number, sizeof number, "%u", batch);
    self->out_len = (size_t)sprintf(self->out, "*4\r\n");
    word(self, "FB.RESERVE"), word(self, "default"), word(self, "COUNT"), word(self, number);
    flush_out(self);
    take_jobs(self);
    for (unsigned long done = 0; done < count;) {
        if (self->count == 0) {
            fputs("jobs: the queue is empty too early\n", stderr);
            exit(1);
        }
        done += self->count;
        bool last = done >= count;
        self->out_len = (size_t)sprintf(self->out, "*%u\r\n", 2 + 2 * self->count + (last ? 0 : 2));
        word(self, "FB.ACK"), word(self, "default");
        for (unsigned i = 0; i < self->count; i++) {
            word(self, self->ids[i]), word(self, self->tokens[i]);
        }
        if (!last) {
            word(self, "RESERVE"), word(self, number);
        }
        flush_out(self);
        if (last) {
            (void)element(self, other);
            return;
        }
        (void)element(self, other);  // [acknowledged, jobs]
        (void)element(self, other);
        take_jobs(self);
    }
}

static void work_beanstalkd(worker *self, unsigned long count, unsigned batch) {
    for (unsigned long done = 0; done < count; done += batch) {
        self->out_len = 0;
        for (unsigned i = 0; i < batch; i++) {
            self->out_len += (size_t)sprintf(self->out + self->out_len, "reserve\r\n");
        }
        flush_out(self);
        for (unsigned i = 0; i < batch; i++) {
            unsigned long long id;
            size_t len;
            if (sscanf(line(self), "RESERVED %llu %zu", &id, &len) != 2) {
                die("reserve");
            }
            skip(self, len + 2);
            self->out_len += (size_t)sprintf(self->out + self->out_len, "delete %llu\r\n", id);
        }
        flush_out(self);
        for (unsigned i = 0; i < batch; i++) {
            if (strcmp(line(self), "DELETED") != 0) {
                die("delete");
            }
        }
    }
}

int main(int argc, char **argv) {
    static worker self;
    struct timespec begun, ended;
    unsigned batch = argc == 5 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
    if (batch < 1 || batch > BATCH_MAX) {
        fputs("usage: jobs resp|beanstalkd SOCKET COUNT BATCH (at most 1000)\n", stderr);
        return 2;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[2]);
    self.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(self.fd, (struct sockaddr *)&address, sizeof address) != 0) {
        die(argv[2]);
    }
    unsigned long count = strtoul(argv[3], NULL, 10);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    if (strcmp(argv[1], "beanstalkd") == 0) {
        work_beanstalkd(&self, count, batch);
    } else {
        work_resp(&self, count, batch);
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%lu %lld\n", count,
           (long long)(ended.tv_sec - begun.tv_sec) * 1000000000 + ended.tv_nsec - begun.tv_nsec);
    return 0;
}
