// The load itself: one thread, one epoll, all connections.
//
// The schedule is the queue: it says when the next request is to begin, whether or not one can. As
// long as a connection has room, requests that are due go out, and their latency counts from when
// they were due; while none has, nothing is taken from the schedule, which goes on all the same, and
// what is due by then goes out late when there is room again. So what waits needs no memory, however
// long the server stands still.
//
// Connections with room stand in a circle and take turns. Requests that go to one connection in the
// same turn of the loop leave in one write.
//
// What was due at the end of the time and finds room within 100 ms still goes out, or a loop that is
// a moment late would count as a server's fault. Then nothing more is sent; what was sent is waited for,
// at most `linger_ms`.
// What was due and never sent, and what was never answered, counts with the time it had waited by
// then: less than the truth, but far more than nothing.
//
// The generator may itself be what is slow. So it measures how much later than it could have a
// request began: since it was due and there was room. What it does not see is how long an answer lay
// in the system before it came to read it; that takes a generator that is busy all the time, which
// its processor time tells.

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/bench_load.h"
#include "cli/bench_load_http.h"
#include "client/link.h"
#include "os/clock.h"
#include "wire/resp.h"

enum {
    EVENTS_MAX = 256,
    SEND_BATCH = 64,          // requests between two looks at the clock
    READ_LEN = 64 * 1024,
    LINGER_MS = 500,          // for answers, when interrupted
    GRACE_MS = 100,
    DEPTH_MAX = 8
};
static const uint64_t REPLY_MAX = UINT64_C(512) << 20;

typedef struct request {
    int64_t due_ns;
    uint8_t part;
    bool counted;
} request;

typedef struct connection {
    fb_link *link;  // NULL: lost
    bool blocked, touched, waits_for_turn;
    size_t sent;
    fb_buf out, in;
    fb_resp_reply *reply;
    request *ring;  // pipeline of them
    uint32_t first, count;
} connection;

typedef struct run {
    const fb_load_plan *plan;
    fb_load_figures *figures;
    fb_rng rng, arrivals;
    fb_zipf zipf;
    fb_load_schedule schedule;
    char *value;
    uint32_t weights;
    connection *all;
    uint32_t *turn;  // a circle of plan->connections: those with room
    uint32_t turn_first, turn_count;
    uint32_t *touched, touched_count;
    uint32_t alive;
    uint64_t under_way;
    int poll;
    int64_t begun_ns, end_ns;  // no more begin after it
    int64_t room_since_ns;
    bool filling;
    uint64_t filled;  // keys
    fb_histogram *second;
    uint64_t second_answers, second_errors;
    int64_t second_begun_ns;
    fb_load_second_fn fn;
    void *arg;
    bool failed;  // no memory
} run;

// ---- connections with room

static void line_up(run *self, uint32_t index) {
    connection *one = &self->all[index];
    if (one->link == NULL || one->waits_for_turn || one->count == self->plan->pipeline) {
        return;
    }
    if (self->turn_count == 0) {
        self->room_since_ns = fb_clock_now_ns();
    }
    one->waits_for_turn = true;
    self->turn[(self->turn_first + self->turn_count++) % self->plan->connections] = index;
}

// The next with room, or NULL.
static connection *next_in_turn(run *self) {
    while (self->turn_count > 0) {
        connection *one = &self->all[self->turn[self->turn_first]];
        self->turn_first = (self->turn_first + 1) % self->plan->connections;
        self->turn_count--;
        one->waits_for_turn = false;
        if (one->link != NULL) {
            return one;
        }
    }
    return NULL;
}

// ---- what is counted

static void count_answer(run *self, const request *what, int64_t now_ns) {
    int64_t took_ns = now_ns - what->due_ns;
    fb_histogram_record(self->second, took_ns);
    self->second_answers++;
    if (what->counted) {
        self->figures->answered++;
        self->figures->per_part[what->part]++;
        fb_histogram_record(self->figures->latency, took_ns);
    }
}

// An answer, of whichever protocol.
typedef struct outcome {
    fb_str error;   // its word; "": it is none
    bool none;      // nothing is there
    bool unasked;   // it is no answer: what the server says by itself
} outcome;

static void count_outcome(run *self, const request *what, const outcome *is) {
    bool get = self->plan->mix[what->part].kind == FB_LOAD_GET;
    if (is->error.len > 0) {
        self->second_errors++;
        self->figures->refused += what->counted;
        if (what->counted || self->filling) {
            fb_load_count_error(self->figures, is->error);
        }
    } else if (get && what->counted) {
        self->figures->hits += !is->none;
        self->figures->misses += is->none;
    }
}

static void give_up(run *self, const request *what, int64_t now_ns) {
    if (what->counted) {
        self->figures->unanswered++;
        fb_histogram_record(self->figures->latency, now_ns - what->due_ns);
    }
}

static void lose(run *self, connection *one, const char *why) {
    int64_t now_ns = fb_clock_now_ns();
    fb_load_count_error(self->figures, fb_str_of(why));
    self->second_errors++;
    self->figures->connections_lost++;
    self->alive--;
    fb_link_close(one->link);
    one->link = NULL;
    self->under_way -= one->count;
    for (; one->count > 0; one->count--) {
        give_up(self, &one->ring[one->first], now_ns);
        one->first = (one->first + 1) % self->plan->pipeline;
    }
}

// ---- sending

static void watch(run *self, uint32_t index, bool writing) {
    connection *one = &self->all[index];
    struct epoll_event event = {.events = EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0),
                                .data.u32 = index};
    if (epoll_ctl(self->poll, EPOLL_CTL_MOD, fb_link_fd(one->link), &event) == 0) {
        one->blocked = writing;
    } else {
        lose(self, one, "connection lost");
    }
}

static void flush(run *self, uint32_t index) {
    connection *one = &self->all[index];
    while (one->link != NULL && one->sent < one->out.len) {
        ssize_t count = fb_link_send_some(one->link, one->out.ptr + one->sent,
                                          one->out.len - one->sent);
        if (count > 0) {
            one->sent += (size_t)count;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!one->blocked) {
                watch(self, index, true);
            }
            return;
        } else if (errno != EINTR) {
            lose(self, one, "connection lost");
        }
    }
    one->out.len = one->sent = 0;
    if (one->link != NULL && one->blocked) {
        watch(self, index, false);
    }
}

static uint32_t draw_part(run *self) {
    uint64_t at = fb_rng_below(&self->rng, self->weights);
    uint32_t part = 0;
    while (at >= self->plan->mix[part].weight) {
        at -= self->plan->mix[part++].weight;
    }
    return part;
}

static uint64_t draw_key(run *self) {
    return self->plan->zipf > 0 ? fb_zipf_next(&self->zipf, &self->rng) - 1
                                : fb_rng_below(&self->rng, self->plan->keys);
}

static int put_request(run *self, const fb_load_part *part, uint64_t number, fb_buf *out) {
    char key[FB_LOAD_KEY_SIZE];
    int len = snprintf(key, sizeof key, "key:%012llu", (unsigned long long)number);
    fb_str text = fb_str_make(key, (size_t)len), name = fb_str_of(part->name);
    fb_str value = fb_str_make(self->value, self->plan->value_len);
    fb_str args[5];
    size_t count = 0;
    if (self->plan->http) {
        bool bare = part->kind == FB_LOAD_FETCH;  // its parameter is the number alone
        len = bare ? snprintf(key, sizeof key, "%llu", (unsigned long long)number) : len;
        return fb_load_http_put(self->plan, part, fb_str_make(key, (size_t)len), value, out);
    }
    switch (part->kind) {
        case FB_LOAD_GET:
            args[count++] = FB_STR("GET");
            args[count++] = text;
            break;
        case FB_LOAD_SET:
            args[count++] = FB_STR("SET");
            args[count++] = text;
            args[count++] = value;
            break;
        case FB_LOAD_FETCH:
            args[count++] = FB_STR("FB.FETCH");
            args[count++] = FB_STR("CLASS");
            args[count++] = name;
            if (part->param[0] != '\0') {
                args[count++] = fb_str_of(part->param);
                args[count++] = fb_str_make(key, (size_t)snprintf(key, sizeof key, "%llu",
                                                                  (unsigned long long)number));
            }
            break;
        case FB_LOAD_LIMIT:
            args[count++] = FB_STR("FB.LIMIT");
            args[count++] = name;
            args[count++] = text;
            break;
        case FB_LOAD_ENQUEUE:
            args[count++] = FB_STR("FB.ENQUEUE");
            args[count++] = name;
            args[count++] = value;
            break;
    }
    return fb_resp_write_command(out, args, count);
}

static void begin(run *self, connection *one, const request *what, uint64_t number) {
    static const fb_load_part SET = {.kind = FB_LOAD_SET};
    uint32_t index = (uint32_t)(one - self->all);
    const fb_load_part *part = self->filling ? &SET : &self->plan->mix[what->part];
    if (put_request(self, part, number, &one->out) < 0) {
        self->failed = true;
        return;
    }
    one->ring[(one->first + one->count++) % self->plan->pipeline] = *what;
    self->under_way++;
    if (!one->touched) {
        one->touched = true;
        self->touched[self->touched_count++] = index;
    }
    line_up(self, index);
}

static void flush_touched(run *self) {
    for (uint32_t i = 0; i < self->touched_count; i++) {
        self->all[self->touched[i]].touched = false;
        flush(self, self->touched[i]);
    }
    self->touched_count = 0;
}

// When no more is sent.
static int64_t grace_ns(const run *self) {
    return self->end_ns + GRACE_MS * FB_NS_PER_MS;
}

static bool is_behind(const run *self) {
    return self->begun_ns + fb_load_due_ns(&self->schedule) < self->end_ns;
}

// All that is due and has room. Which request is which is drawn when it begins, so that what is said
// does not depend on how it went.
static void send_due(run *self) {
    int64_t now_ns = fb_clock_now_ns();
    for (unsigned batch = 1; !self->failed; batch++) {
        int64_t due_ns = self->begun_ns + fb_load_due_ns(&self->schedule);
        if (due_ns > now_ns || due_ns >= self->end_ns || now_ns >= grace_ns(self)) {
            break;
        }
        connection *one = next_in_turn(self);
        if (one == NULL) {
            break;
        }
        bool counted = due_ns - self->begun_ns >= self->plan->warmup_ns;
        request what = {due_ns, (uint8_t)draw_part(self), counted};
        if (counted) {
            int64_t could_ns = due_ns > self->room_since_ns ? due_ns : self->room_since_ns;
            self->figures->due++;
            fb_histogram_record(self->figures->late, now_ns - could_ns);
        }
        begin(self, one, &what, draw_key(self));
        fb_load_schedule_step(&self->schedule, &self->arrivals);
        if (batch % SEND_BATCH == 0) {
            flush_touched(self);
            now_ns = fb_clock_now_ns();
        }
    }
    flush_touched(self);
}

// ---- receiving

static ssize_t read_resp(connection *one, fb_str bytes, outcome *is) {
    const fb_resp_value *value;
    fb_error error;
    ssize_t len = fb_resp_reply_read(one->reply, bytes, &value, &error);
    if (len > 0) {
        bool failed = value->type == FB_RESP_ERROR;
        fb_str word = {value->text.ptr, failed ? fb_str_find(value->text, ' ') : 0};
        *is = (outcome){.error = word,
                        .none = value->type == FB_RESP_NULL,
                        .unasked = value->type == FB_RESP_PUSH};
    }
    return len;
}

static ssize_t read_http(fb_str bytes, char text[FB_LOAD_ERROR_SIZE], outcome *is) {
    fb_load_http_answer answer;
    ssize_t len = fb_load_http_read(bytes, &answer);
    if (len > 0) {
        *is = (outcome){.unasked = false};
        is->error = fb_load_http_error(&answer, text, &is->none);
    }
    return len;
}

static void take_replies(run *self, uint32_t index, int64_t now_ns) {
    connection *one = &self->all[index];
    char text[FB_LOAD_ERROR_SIZE];
    outcome is;
    size_t used = 0;
    ssize_t len = 1;
    while (used < one->in.len) {
        fb_str bytes = fb_str_make(one->in.ptr + used, one->in.len - used);
        len = self->plan->http ? read_http(bytes, text, &is) : read_resp(one, bytes, &is);
        if (len <= 0) {
            break;
        }
        used += (size_t)len;
        if (is.unasked) {
            continue;
        }
        if (one->count == 0) {
            len = FB_ESYNTAX;  // nobody asked
            break;
        }
        const request what = one->ring[one->first];
        count_outcome(self, &what, &is);
        count_answer(self, &what, now_ns);
        one->first = (one->first + 1) % self->plan->pipeline;
        one->count--;
        self->under_way--;
    }
    fb_buf_consume(&one->in, used);
    if (len < 0) {
        lose(self, one, "protocol error");
    }
    line_up(self, index);
}

static void receive(run *self, uint32_t index) {
    connection *one = &self->all[index];
    if (fb_buf_reserve(&one->in, READ_LEN) < 0) {
        self->failed = true;
        return;
    }
    ssize_t count = fb_link_recv_some(one->link, one->in.ptr + one->in.len, READ_LEN);
    if (count > 0) {
        one->in.len += (size_t)count;
        take_replies(self, index, fb_clock_now_ns());
    } else if (count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        lose(self, one, "connection lost");
    }
}

// Waits no longer than until `until_ns`. Two calls: the time of epoll_wait() is in milliseconds.
static void wait_for_events(run *self, int64_t until_ns) {
    struct epoll_event events[EVENTS_MAX];
    struct pollfd ready = {self->poll, POLLIN, 0};
    int64_t wait_ns = until_ns - fb_clock_now_ns();
    wait_ns = wait_ns > 0 ? wait_ns : 0;
    struct timespec time = {(time_t)(wait_ns / FB_NS_PER_S), (long)(wait_ns % FB_NS_PER_S)};
    if (wait_ns > 0 && ppoll(&ready, 1, &time, NULL) <= 0) {
        return;
    }
    int count = epoll_wait(self->poll, events, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        uint32_t index = events[i].data.u32;
        if (self->all[index].link != NULL && (events[i].events & EPOLLOUT) != 0) {
            flush(self, index);
        }
        if (self->all[index].link != NULL && (events[i].events & ~(uint32_t)EPOLLOUT) != 0) {
            receive(self, index);
        }
    }
}

// ---- the course

static int connect_one(run *self, uint32_t index, fb_error *error) {
    connection *one = &self->all[index];
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    int result = (self->plan->http ? fb_link_reach : fb_link_connect)(
        &self->plan->address, self->plan->timeout_ms, &one->link, error);
    if (result < 0) {
        return result;
    }
    if (epoll_ctl(self->poll, EPOLL_CTL_ADD, fb_link_fd(one->link), &event) < 0) {
        return fb_error_set(error, FB_EIO, "%s", strerror(errno));
    }
    one->ring = fb_mem_zero(self->plan->pipeline, sizeof *one->ring);
    if (one->ring == NULL || fb_resp_reply_new(DEPTH_MAX, REPLY_MAX, &one->reply) < 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    self->alive++;
    line_up(self, index);
    return FB_OK;
}

// Every key once, as fast as the answers come. Its time does not count.
static bool fill(run *self, const volatile int *stop) {
    int64_t until_ns = fb_clock_now_ns() + self->plan->timeout_ms * FB_NS_PER_MS;
    uint64_t before = 0;
    self->filling = true;
    while ((self->filled < self->plan->keys || self->under_way > 0) && !*stop && !self->failed) {
        int64_t now_ns = fb_clock_now_ns();
        connection *one = NULL;
        while (self->filled < self->plan->keys && (one = next_in_turn(self)) != NULL) {
            begin(self, one, &(request){now_ns, 0, false}, self->filled);
            self->filled++;
        }
        flush_touched(self);
        if (self->second_answers > before) {
            before = self->second_answers;
            until_ns = now_ns + self->plan->timeout_ms * FB_NS_PER_MS;
        }
        if (now_ns >= until_ns || self->alive == 0) {
            return false;
        }
        wait_for_events(self, until_ns);
    }
    self->filling = false;
    return self->second_errors == 0;
}

static void tell_second(run *self, int64_t now_ns) {
    int64_t took_ns = now_ns - self->second_begun_ns;
    int64_t due_ns = self->begun_ns + fb_load_due_ns(&self->schedule);
    fb_load_second second = {
        .at_ns = now_ns - self->begun_ns,
        .warming = now_ns - self->begun_ns <= self->plan->warmup_ns,
        .rate = took_ns > 0 ? (double)self->second_answers * 1e9 / (double)took_ns : 0,
        .behind_ms = now_ns > due_ns && due_ns < self->end_ns ? (double)(now_ns - due_ns) / 1e6 : 0,
        .errors = self->second_errors,
        .latency = self->second,
    };
    if (self->fn != NULL) {
        self->fn(self->arg, &second);
    }
    fb_histogram_reset(self->second);
    self->second_answers = self->second_errors = 0;
    self->second_begun_ns = now_ns;
}

static int64_t earliest(int64_t a_ns, int64_t b_ns) {
    return a_ns < b_ns ? a_ns : b_ns;
}

static bool is_over(const run *self, int64_t now_ns, int64_t linger_ns) {
    bool sent = !is_behind(self) || now_ns >= grace_ns(self);
    return (self->under_way == 0 && sent) || now_ns >= self->end_ns + linger_ns;
}

static void go(run *self, const volatile int *stop) {
    int64_t linger_ns = self->plan->linger_ms * FB_NS_PER_MS;
    while (!self->failed && self->alive > 0) {
        int64_t now_ns = fb_clock_now_ns();
        if (*stop && !self->figures->interrupted) {
            self->figures->interrupted = true;
            self->end_ns = earliest(self->end_ns, now_ns);
            linger_ns = earliest(linger_ns, LINGER_MS * FB_NS_PER_MS);
        }
        if (now_ns >= self->end_ns && is_over(self, now_ns, linger_ns)) {
            return;
        }
        if (now_ns >= self->second_begun_ns + FB_NS_PER_S) {
            tell_second(self, now_ns);
        }
        send_due(self);
        int64_t until_ns = earliest(self->second_begun_ns + FB_NS_PER_S,
                                    now_ns < self->end_ns      ? self->end_ns
                                    : now_ns < grace_ns(self) ? grace_ns(self)
                                                               : self->end_ns + linger_ns);
        if (self->turn_count > 0 && now_ns < self->end_ns) {
            until_ns =
                earliest(until_ns, self->begun_ns + fb_load_due_ns(&self->schedule));
        }
        wait_for_events(self, until_ns);
    }
    self->end_ns = earliest(self->end_ns, fb_clock_now_ns());
}

// What was due before the end and has no answer.
static void count_rest(run *self) {
    int64_t now_ns = fb_clock_now_ns();
    for (uint32_t i = 0; i < self->plan->connections; i++) {
        connection *one = &self->all[i];
        for (; one->count > 0; one->count--) {
            give_up(self, &one->ring[one->first], now_ns);
            one->first = (one->first + 1) % self->plan->pipeline;
        }
    }
    int64_t due_ns = self->begun_ns + fb_load_due_ns(&self->schedule);
    while (due_ns < self->end_ns) {
        if (due_ns - self->begun_ns >= self->plan->warmup_ns) {
            self->figures->due++;
            self->figures->unsent++;
            fb_histogram_record(self->figures->latency, now_ns - due_ns);
        }
        fb_load_schedule_step(&self->schedule, &self->arrivals);
        due_ns = self->begun_ns + fb_load_due_ns(&self->schedule);
    }
    int64_t elapsed_ns = self->end_ns - self->begun_ns - self->plan->warmup_ns;
    self->figures->elapsed_ns = elapsed_ns > 0 ? elapsed_ns : 0;
}

static int64_t cpu_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * FB_NS_PER_S + now.tv_nsec;
}

static int prepare(run *self) {
    const fb_load_plan *plan = self->plan;
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyz012345";
    fb_rng_init(&self->rng, plan->seed);
    fb_rng_init(&self->arrivals, plan->seed + 1);
    if (plan->zipf > 0) {
        fb_zipf_init(&self->zipf, plan->keys, plan->zipf);
    }
    for (uint32_t i = 0; i < plan->mix_count; i++) {
        self->weights += plan->mix[i].weight;
    }
    self->value = fb_mem_new(plan->value_len + 1);
    self->all = fb_mem_zero(plan->connections, sizeof *self->all);
    self->turn = fb_mem_zero(plan->connections, sizeof *self->turn);
    self->touched = fb_mem_zero(plan->connections, sizeof *self->touched);
    if (self->value == NULL || self->all == NULL || self->turn == NULL || self->touched == NULL) {
        return FB_ENOMEM;
    }
    for (uint32_t i = 0; i < plan->value_len; i++) {
        self->value[i] = LETTERS[fb_rng_below(&self->rng, sizeof LETTERS - 1)];
    }
    return fb_histogram_new(&self->second);
}

static void release(run *self) {
    for (uint32_t i = 0; self->all != NULL && i < self->plan->connections; i++) {
        connection *one = &self->all[i];
        fb_link_close(one->link);
        fb_buf_release(&one->out);
        fb_buf_release(&one->in);
        fb_resp_reply_free(one->reply);
        fb_mem_free(one->ring);
    }
    if (self->poll >= 0) {
        (void)close(self->poll);
    }
    fb_histogram_free(self->second);
    fb_mem_free(self->value);
    fb_mem_free(self->all);
    fb_mem_free(self->turn);
    fb_mem_free(self->touched);
}

static int measure(run *self, const volatile int *stop, fb_error *error) {
    if (self->plan->fill && !fill(self, stop) && !*stop) {
        return fb_error_set(error, FB_EIO, "the keys could not be set%s%s",
                            self->figures->error_count > 0 ? ": " : "",
                            self->figures->error_count > 0 ? self->figures->errors[0].name : "");
    }
    self->second_answers = self->second_errors = 0;
    fb_histogram_reset(self->second);
    int64_t cpu_ns = cpu_now_ns();
    self->begun_ns = self->second_begun_ns = self->room_since_ns = fb_clock_now_ns();
    self->end_ns = self->begun_ns + self->plan->warmup_ns + self->plan->duration_ns;
    fb_load_schedule_init(&self->schedule, self->plan->rate, self->plan->even, &self->arrivals);
    go(self, stop);
    self->figures->cpu_ns = cpu_now_ns() - cpu_ns;
    self->figures->wall_ns = fb_clock_now_ns() - self->begun_ns;
    count_rest(self);
    return self->failed ? fb_error_set(error, FB_ENOMEM, "out of memory") : FB_OK;
}

int fb_load_run(const fb_load_plan *plan, const volatile int *stop, fb_load_second_fn fn, void *arg,
                fb_load_figures *figures, fb_error *error) {
    run self = {.plan = plan, .figures = figures, .fn = fn, .arg = arg};
    // Or each wait would end up to 50 us late.
    (void)prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
    self.poll = epoll_create1(EPOLL_CLOEXEC);
    int result = self.poll < 0 ? fb_error_set(error, FB_EIO, "%s", strerror(errno)) : FB_OK;
    if (result == FB_OK && prepare(&self) < 0) {
        result = fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    for (uint32_t i = 0; result == FB_OK && i < plan->connections && !*stop; i++) {
        result = connect_one(&self, i, error);
    }
    if (result == FB_OK) {
        result = measure(&self, stop, error);
    }
    release(&self);
    return result;
}

// ---- the schedule

static double gap_ns(const fb_load_schedule *schedule, fb_rng *rng) {
    return schedule->even ? schedule->gap_ns : -log(fb_rng_unit(rng)) * schedule->gap_ns;
}

void fb_load_schedule_init(fb_load_schedule *schedule, double rate, bool even, fb_rng *rng) {
    *schedule = (fb_load_schedule){.gap_ns = 1e9 / rate, .even = even};
    schedule->next_ns = even ? 0 : gap_ns(schedule, rng);
}

void fb_load_schedule_step(fb_load_schedule *schedule, fb_rng *rng) {
    schedule->next_ns += gap_ns(schedule, rng);
}

// ---- figures

int fb_load_figures_init(fb_load_figures *figures) {
    *figures = (fb_load_figures){0};
    int result = fb_histogram_new(&figures->latency);
    if (result == FB_OK) {
        result = fb_histogram_new(&figures->late);
    }
    if (result < 0) {
        fb_load_figures_release(figures);
    }
    return result;
}

void fb_load_figures_release(fb_load_figures *figures) {
    fb_histogram_free(figures->latency);
    fb_histogram_free(figures->late);
    *figures = (fb_load_figures){0};
}

// With no row left the last one takes the rest.
void fb_load_count_error(fb_load_figures *figures, fb_str name) {
    char text[FB_LOAD_ERROR_SIZE];
    uint32_t i = 0;
    (void)snprintf(text, sizeof text, "%.*s", FB_STR_ARG(name));
    while (i < figures->error_count && strcmp(figures->errors[i].name, text) != 0) {
        i++;
    }
    if (i == FB_LOAD_ERRORS_MAX) {
        i = FB_LOAD_ERRORS_MAX - 1;
        (void)snprintf(figures->errors[i].name, FB_LOAD_ERROR_SIZE, "others");
    } else if (i == figures->error_count) {
        figures->error_count++;
        memcpy(figures->errors[i].name, text, sizeof text);
    }
    figures->errors[i].count++;
}
