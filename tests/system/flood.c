// flood: everything that strangers do to a port, all at once: for tests/system/test_flood.py and
// bench/bench_flood.py.
//
//     flood RESP_PORT HTTP_PORT CONNECTS RATE CROWD SEED
//
// On 127.0.0.1, from one thread. CONNECTS connections are made in all, RATE a second (0: as fast as it
// goes), half of them at each port, of which:
//   three in four go at once, by a reset, without a word or in the middle of a request;
//   the others say random bytes, or a request with some bytes changed, hear for a moment what
//   comes, and go.
// Meanwhile CROWD connections are held, each of one of these kinds, and replaced after up to two
// seconds:
//   half     says half a request, and nothing more;
//   claim    announces a command, or a body, of half a gigabyte, and sends little of it;
//   sender   says requests by the byte, one in five milliseconds;
//   reader   asks for as much as it can write, and reads a byte in five milliseconds;
//   idle     says nothing.
// Prints "connects held refused bytes_out bytes_in" and ends. It leaves by resets, or the ports of this
// machine would be used up by connections that wait for their last packets.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CROWD_MAX = 5000, GUESTS_MAX = 256, REQUEST_MAX = 4096, STEP_MS = 5, STAY_MS = 2000 };

typedef enum kind { NOISE, HALF, CLAIM, SENDER, READER, IDLE, KINDS } kind;

typedef struct guest {
    int fd;  // -1: none
    kind kind;
    bool http;
    int64_t next_ms, until_ms;
    char text[REQUEST_MAX];
    size_t len, sent;
} guest;

static uint64_t state;
static int ports[2];
static unsigned long long connects, held, refused, bytes_out, bytes_in;
static guest crowd[CROWD_MAX], guests[GUESTS_MAX];

static uint64_t draw(uint64_t bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % bound;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int dial(bool http) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)ports[http]),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger reset = {1, 0};
    int small = 4096;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        refused++;
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
        refused++;
        close(fd);
        return -1;
    }
    connects++;
    return fd;
}

// ---- what is said

static size_t write_request(bool http, char *to) {
    static const char *const RESP[] = {
        "*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n",
        "*3\r\n$3\r\nSET\r\n$5\r\nflood\r\n$4\r\nword\r\n",
        "*4\r\n$4\r\nMGET\r\n$3\r\nbig\r\n$1\r\na\r\n$1\r\nb\r\n",
        "PING\r\n",
        "*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n*1\r\n$4\r\nEXEC\r\n",
        "*5\r\n$8\r\nFB.FETCH\r\n$5\r\nCLASS\r\n$5\r\nfruit\r\n$4\r\nname\r\n$5\r\napple\r\n",
        "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
    };
    static const char *const HTTP[] = {
        "GET /v1/keys/big HTTP/1.1\r\nHost: flood\r\n\r\n",
        "PUT /v1/keys/flood HTTP/1.1\r\nHost: flood\r\nContent-Length: 4\r\n\r\nword",
        "GET /v1/stats HTTP/1.1\r\nHost: flood\r\nAccept: */*\r\n\r\n",
        "POST /v1/fetch/fruit?name=apple HTTP/1.1\r\nHost: flood\r\nContent-Length: 0\r\n\r\n",
        "GET /metrics HTTP/1.0\r\n\r\n",
        "PUT /v1/keys/flood HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nword\r\n0\r\n\r\n",
    };
    const char *text = http ? HTTP[draw(sizeof HTTP / sizeof HTTP[0])]
                            : RESP[draw(sizeof RESP / sizeof RESP[0])];
    size_t len = strlen(text);
    memcpy(to, text, len);
    return len;
}

static void write_noise(guest *one) {
    if (draw(2) == 0) {
        one->len = 1 + draw(600);
        for (size_t i = 0; i < one->len; i++) {
            one->text[i] = (char)draw(256);
        }
        return;
    }
    one->len = write_request(one->http, one->text);
    for (uint64_t i = draw(8); i > 0; i--) {
        one->text[draw(one->len)] = (char)draw(256);
    }
}

static void write_text(guest *one) {
    one->len = one->sent = 0;
    switch (one->kind) {
        case NOISE:
            write_noise(one);
            break;
        case HALF:
            one->len = write_request(one->http, one->text);
            one->len = 1 + draw(one->len - 1);
            break;
        case CLAIM:
            one->len = (size_t)snprintf(one->text, sizeof one->text, "%s",
                                        one->http ? "PUT /v1/keys/flood HTTP/1.1\r\nHost: f\r\n"
                                                    "Content-Length: 536870912\r\n\r\nabc"
                                                  : "*1000000\r\n$536870912\r\nabc");
            break;
        case SENDER:
            one->len = write_request(one->http, one->text);
            break;
        case READER:
            while (one->len < REQUEST_MAX - 400) {
                one->len += write_request(one->http, one->text + one->len);
            }
            break;
        case IDLE:
        case KINDS:
            break;
    }
}

static bool say(guest *one, size_t most) {
    size_t len = one->len - one->sent < most ? one->len - one->sent : most;
    if (len == 0) {
        return true;
    }
    ssize_t count = send(one->fd, one->text + one->sent, len, MSG_NOSIGNAL);
    if (count > 0) {
        one->sent += (size_t)count;
        bytes_out += (unsigned long long)count;
    }
    return count > 0 || errno == EAGAIN || errno == EWOULDBLOCK;
}

static bool hear(guest *one, size_t most) {
    char bytes[16384];
    ssize_t count = recv(one->fd, bytes, most, 0);
    bytes_in += count > 0 ? (unsigned long long)count : 0;
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOTCONN));
}

// ---- guests

static void leave(guest *one) {
    if (one->fd >= 0) {
        close(one->fd);
    }
    one->fd = -1;
}

static void come(guest *one, kind what, int64_t now) {
    one->kind = what;
    one->http = draw(2) == 0;
    one->fd = dial(one->http);
    one->next_ms = now;
    one->until_ms = now + (what == NOISE ? 1 + (int64_t)draw(20) : (int64_t)draw(STAY_MS));
    write_text(one);
}

// Its next step. A reader asks again and again; a sender whose request is done begins another one.
static void step(guest *one, int64_t now) {
    if (one->fd < 0 || now < one->next_ms) {
        return;
    }
    bool by_bytes = one->kind == SENDER || one->kind == READER;
    bool there = now < one->until_ms && say(one, one->kind == SENDER ? 1 : REQUEST_MAX) &&
                 hear(one, one->kind == READER ? 1 : 16384);
    if (!there) {
        leave(one);
    } else if (by_bytes && one->sent == one->len) {
        write_text(one);
    }
    one->next_ms = now + STEP_MS;
}

// One that goes at once, or a guest for a moment.
static void visit(int64_t now) {
    guest *one = &guests[draw(GUESTS_MAX)];
    if (draw(4) == 0) {
        leave(one);
        come(one, NOISE, now);
        step(one, now);
        return;
    }
    guest brief;
    come(&brief, draw(2) == 0 ? IDLE : HALF, now);
    if (brief.fd >= 0) {
        (void)say(&brief, REQUEST_MAX);
    }
    leave(&brief);
}

static void care_for_crowd(size_t count, int64_t now) {
    for (size_t i = 0; i < count; i++) {
        if (crowd[i].fd < 0) {
            come(&crowd[i], (kind)(HALF + draw(KINDS - HALF)), now);
            held += crowd[i].fd >= 0;
        }
        step(&crowd[i], now);
    }
    for (size_t i = 0; i < GUESTS_MAX; i++) {
        step(&guests[i], now);
    }
}

static void run(unsigned long long wanted, unsigned long long rate, size_t crowd_count) {
    int64_t begun = now_ms(), cared = 0;
    unsigned long long visits = 0;
    while (visits < wanted) {
        int64_t now = now_ms();
        if (now != cared) {
            cared = now;
            care_for_crowd(crowd_count, now);
        }
        if (rate > 0 && visits >= rate * (unsigned long long)(now - begun) / 1000) {
            struct timespec moment = {0, 200000};
            (void)nanosleep(&moment, NULL);
            continue;
        }
        visit(now);
        visits++;
    }
}

int main(int argc, char **argv) {
    struct rlimit limit;
    if (argc != 7) {
        fputs("usage: flood RESP_PORT HTTP_PORT CONNECTS RATE CROWD SEED\n", stderr);
        return 2;
    }
    ports[0] = atoi(argv[1]);
    ports[1] = atoi(argv[2]);
    size_t count = strtoul(argv[5], NULL, 10);
    count = count < CROWD_MAX ? count : CROWD_MAX;
    state = strtoull(argv[6], NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    for (size_t i = 0; i < CROWD_MAX; i++) {
        crowd[i].fd = -1;
    }
    for (size_t i = 0; i < GUESTS_MAX; i++) {
        guests[i].fd = -1;
    }
    run(strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10), count);
    for (size_t i = 0; i < CROWD_MAX; i++) {
        leave(&crowd[i]);
    }
    for (size_t i = 0; i < GUESTS_MAX; i++) {
        leave(&guests[i]);
    }
    printf("%llu %llu %llu %llu %llu\n", connects, held, refused, bytes_out, bytes_in);
    return 0;
}
