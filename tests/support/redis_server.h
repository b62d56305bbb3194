// redis_server.h -- real redis-server processes for tests: alone, behind Sentinel, as a Cluster.
//
// Each server has a loopback port that was free and a temporary folder of its own. Ports are taken
// from below those that the kernel gives to outgoing connections, so that a server that was killed
// finds its port again. A server ends with the test program, however that ends (PR_SET_PDEATHSIG),
// and its folder too where the program leaves by exit(). Only processes started here are ended.
//
// Threads: start servers on the main thread: a server dies with the thread that started it.
// Where there is no redis-server, SKIP_WITHOUT_REDIS() skips the test. FB_REDIS_SERVER in the
// environment names another program, such as valkey-server.

#ifndef FB_TESTS_REDIS_SERVER_H
#define FB_TESTS_REDIS_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "support.h"
#include "wire/resp.h"

enum {
    TEST_REDIS_ANSWER_MAX = 65536,
    TEST_REDIS_PATIENCE_MS = 60000,
    TEST_REDIS_PORT_MIN = 11000,
    TEST_REDIS_PORT_COUNT = 21000,
    // How long a node of a Cluster, or a master behind Sentinel, may be silent: who was only kept
    // waiting by a busy machine is not replaced, unless a test wants it.
    TEST_REDIS_CALM_MS = 600000
};

typedef struct test_redis_options {
    const char *config;    // lines of redis.conf, "appendonly yes\nmaxmemory 10mb\n"
    const char *password;  // requirepass
    bool tls;              // also listens with TLS: tls_port, cert_file, key_file
    bool unix_socket;      // also listens at socket_path
    bool cluster;
    bool sentinel;
    bool silent;  // is not waited for: a server whose answers the test wants to see early
} test_redis_options;

typedef struct test_redis {
    pid_t pid;  // 0: it does not run
    int port, tls_port, bus_port;
    bool sentinel, silent;
    char folder[64], config_path[96], socket_path[96], log_path[96];
    char cert_file[96], key_file[96];  // self-signed for localhost and 127.0.0.1: its own CA
    char password[64];
    char answer[TEST_REDIS_ANSWER_MAX];
    struct test_redis *next;
} test_redis;

static inline const char *test_redis_program(void) {
    const char *program = getenv("FB_REDIS_SERVER");
    return program != NULL && *program != '\0' ? program : "redis-server";
}

static inline bool test_redis_present(void) {
    static int present = -1;
    if (present < 0) {
        char command[512];
        snprintf(command, sizeof command, "'%s' --version >/dev/null 2>&1", test_redis_program());
        present = system(command) == 0;
        if (!present) {
            print_message("skipped: no %s here\n", test_redis_program());
        }
    }
    return present != 0;
}

#define SKIP_WITHOUT_REDIS()         \
    do {                             \
        if (!test_redis_present()) { \
            skip();                  \
        }                            \
    } while (0)

static inline int64_t test_redis_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void test_redis_pause(void) {
    struct timespec moment = {0, 5000000};
    (void)nanosleep(&moment, NULL);
}

// ---- ports and folders

static inline bool test_redis_port_is_free(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool is_free = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd);
    return is_free;
}

// Makes the port this program's until it ends: another test program that asks gets none that is only
// just away. A name without a file, which goes with its socket. False: it is another's.
static inline bool test_redis_reserve(int port) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int len = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "forebay-test-port-%d", port);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    if (bind(fd, (struct sockaddr *)&name, size) != 0) {
        (void)close(fd);
        return false;
    }
    return true;
}

// A port that is free now. By chance, not in order: several test programs look at the same time.
static inline int test_redis_free_port(void) {
    for (int tries = 0; tries < 1000; tries++) {
        uint32_t chance = 0;
        assert_int_equal(getrandom(&chance, sizeof chance, 0), sizeof chance);
        int port = TEST_REDIS_PORT_MIN + (int)(chance % TEST_REDIS_PORT_COUNT);
        if (test_redis_port_is_free(port) && test_redis_reserve(port)) {
            return port;
        }
    }
    fail_msg("no free port");
    return 0;
}

static inline int test_redis_remove(const char *path, const struct stat *info, int kind,
                                    struct FTW *place) {
    (void)info, (void)kind, (void)place;
    return remove(path);
}

static inline void test_redis_write(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

// ---- asking

static inline int test_redis_dial(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {5, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static inline void test_redis_show(const fb_resp_value *value, char *text, size_t *len) {
    size_t room = TEST_REDIS_ANSWER_MAX - *len;
    int add = 0;
    switch (value->type) {
        case FB_RESP_NULL: add = snprintf(text + *len, room, "(nil)"); break;
        case FB_RESP_INTEGER:
            add = snprintf(text + *len, room, "%lld", (long long)value->integer);
            break;
        case FB_RESP_ERROR:
            add = snprintf(text + *len, room, "-%.*s", FB_STR_ARG(value->text));
            break;
        default: add = snprintf(text + *len, room, "%.*s", FB_STR_ARG(value->text)); break;
    }
    *len += (size_t)add < room ? (size_t)add : room - 1;
    for (size_t i = 0; i < value->child_count; i++) {
        if (i > 0 && *len + 1 < TEST_REDIS_ANSWER_MAX) {
            text[(*len)++] = ' ';
            text[*len] = '\0';
        }
        test_redis_show(&value->children[i], text, len);
    }
}

// One answer from `fd` into answer; false where none came.
static inline bool test_redis_hear(int fd, char *answer) {
    fb_resp_reply *reply = NULL;
    fb_buf in = {0};
    ssize_t used = 0;
    answer[0] = '\0';
    assert_ok(fb_resp_reply_new(16, 1 << 26, &reply));
    while (used == 0) {
        const fb_resp_value *value = NULL;
        char bytes[16384];
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0) {
            break;
        }
        assert_ok(fb_buf_append(&in, fb_str_make(bytes, (size_t)got)));
        used = fb_resp_reply_read(reply, fb_buf_str(&in), &value, NULL);
        if (used > 0) {
            size_t len = 0;
            test_redis_show(value, answer, &len);
        }
    }
    fb_buf_release(&in);
    fb_resp_reply_free(reply);
    return used > 0;
}

static inline bool test_redis_exchange(int fd, char *words, char *answer) {
    fb_str args[256];
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word != NULL && count < 256;
         word = strtok_r(NULL, " ", &rest)) {
        args[count++] = fb_str_of(word);
    }
    fb_buf out = {0};
    assert_ok(fb_resp_write_command(&out, args, count));
    bool sent = send(fd, out.ptr, out.len, MSG_NOSIGNAL) == (ssize_t)out.len;
    fb_buf_release(&out);
    return sent && test_redis_hear(fd, answer);
}

// Sends one command (words separated by blanks) on a connection of its own and returns the answer
// as text, good until the next: an array's elements are separated by blanks, an error begins with
// '-', null is "(nil)". "" where the server cannot be reached or does not answer within 5 s.
FB_PRINTF(2, 3)
static inline const char *test_redis_ask(test_redis *server, const char *format, ...) {
    char words[4096], login[96];
    va_list list;
    va_start(list, format);
    vsnprintf(words, sizeof words, format, list);
    va_end(list);
    server->answer[0] = '\0';
    int fd = test_redis_dial(server->port);
    if (fd < 0) {
        return server->answer;
    }
    snprintf(login, sizeof login, "AUTH %s", server->password);
    if (server->password[0] == '\0' || test_redis_exchange(fd, login, server->answer)) {
        (void)test_redis_exchange(fd, words, server->answer);
    }
    (void)close(fd);
    return server->answer;
}

// Asks until the answer contains `part`; fails the test after 30 s.
static inline void test_redis_await(test_redis *server, const char *command, const char *part) {
    int64_t end_ms = test_redis_now_ms() + TEST_REDIS_PATIENCE_MS;
    while (strstr(test_redis_ask(server, "%s", command), part) == NULL) {
        if (test_redis_now_ms() > end_ms) {
            fail_msg("%s at port %d: \"%.200s\" and no \"%s\"", command, server->port,
                     server->answer, part);
        }
        test_redis_pause();
    }
}

// What follows `name` in an answer ("role:"), up to the end of its line, into text.
static inline const char *test_redis_field(test_redis *server, const char *command,
                                           const char *name, char *text, size_t text_size) {
    const char *place = strstr(test_redis_ask(server, "%s", command), name);
    text[0] = '\0';
    if (place != NULL) {
        place += strlen(name);
        snprintf(text, text_size, "%.*s", (int)strcspn(place, "\r\n"), place);
    }
    return text;
}

// ---- one server

static inline test_redis **test_redis_all(void) {
    static test_redis *all;
    return &all;
}

// Ends it at once, as kill -9 does; its folder stays.
static inline void test_redis_kill(test_redis *server) {
    if (server->pid > 0) {
        (void)kill(server->pid, SIGKILL);
        (void)waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

// Hangs: connections stay, nothing is answered.
static inline void test_redis_stop(test_redis *server) {
    assert_int_equal(kill(server->pid, SIGSTOP), 0);
}

static inline void test_redis_continue(test_redis *server) {
    assert_int_equal(kill(server->pid, SIGCONT), 0);
}

static inline void test_redis_child(const test_redis *server, pid_t parent) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int log = open(server->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (getppid() != parent || log < 0 || chdir(server->folder) != 0) {
        _exit(127);
    }
    (void)dup2(log, STDOUT_FILENO);
    (void)dup2(log, STDERR_FILENO);
    (void)close_range(3, ~0U, 0);
    execlp(test_redis_program(), test_redis_program(), server->config_path,
           server->sentinel ? "--sentinel" : (char *)NULL, (char *)NULL);
    _exit(127);
}

// Starts it (again, on the same port, with what its folder holds); not waited for.
static inline void test_redis_spawn(test_redis *server) {
    pid_t parent = getpid();
    assert_int_equal(server->pid, 0);
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        test_redis_child(server, parent);
    }
}

// Whether it answers now, be it with an error that it wants a password.
static inline bool test_redis_answers(test_redis *server) {
    const char *answer = test_redis_ask(server, "PING");
    return answer[0] != '\0' && strncmp(answer, "-LOADING", 8) != 0;
}

static inline bool test_redis_wait(test_redis *server) {
    int64_t end_ms = test_redis_now_ms() + TEST_REDIS_PATIENCE_MS;
    while (!test_redis_answers(server)) {
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            server->pid = 0;
            return false;
        }
        if (test_redis_now_ms() > end_ms) {
            return false;
        }
        test_redis_pause();
    }
    return true;
}

static inline void test_redis_fail_start(const test_redis *server) {
    char text[2048] = "";
    FILE *log = fopen(server->log_path, "re");
    if (log != NULL) {
        text[fread(text, 1, sizeof text - 1, log)] = '\0';
        (void)fclose(log);
    }
    fail_msg("the server at port %d does not answer: %s", server->port, text);
}

// Starts it again and waits until it answers.
static inline void test_redis_start(test_redis *server) {
    test_redis_spawn(server);
    if (!server->silent && !test_redis_wait(server)) {
        test_redis_fail_start(server);
    }
}

static inline void test_redis_free(test_redis *server) {
    if (server == NULL) {
        return;
    }
    test_redis_kill(server);
    test_redis **place = test_redis_all();
    while (*place != server && *place != NULL) {
        place = &(*place)->next;
    }
    if (*place != NULL) {
        *place = server->next;
    }
    (void)nftw(server->folder, test_redis_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(server);
}

// At exit: what a failed test left running.
static inline void test_redis_free_all(void) {
    while (*test_redis_all() != NULL) {
        test_redis_free(*test_redis_all());
    }
}

static inline void test_redis_certify(test_redis *server) {
    char command[1024];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 "
             "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
             "-keyout '%s' -out '%s' 2>>'%s'",
             server->key_file, server->cert_file, server->log_path);
    assert_int_equal(system(command), 0);
}

static inline void test_redis_configure(const test_redis *server,
                                        const test_redis_options *options) {
    FILE *file = fopen(server->config_path, "we");
    assert_non_null(file);
    fprintf(file, "port %d\nbind 127.0.0.1\ndir %s\nprotected-mode no\n", server->port,
            server->folder);
    if (!options->sentinel) {
        fprintf(file, "save \"\"\nenable-debug-command yes\nrepl-diskless-sync-delay 0\n"
                      "repl-ping-replica-period 1\n");
    }
    if (options->password != NULL) {
        fprintf(file, "requirepass %s\nmasterauth %s\n", options->password, options->password);
    }
    if (options->tls) {
        fprintf(file, "tls-port %d\ntls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\n",
                server->tls_port, server->cert_file, server->key_file, server->cert_file);
        if (options->config == NULL || strstr(options->config, "tls-auth-clients") == NULL) {
            fprintf(file, "tls-auth-clients optional\n");
        }
    }
    if (options->unix_socket) {
        fprintf(file, "unixsocket %s\n", server->socket_path);
    }
    if (options->cluster) {
        fprintf(file, "cluster-enabled yes\ncluster-port %d\ncluster-node-timeout %d\n"
                      "cluster-replica-validity-factor 0\n",
                server->bus_port, TEST_REDIS_CALM_MS);
    }
    if (options->config != NULL) {
        fprintf(file, "%s\n", options->config);
    }
    assert_int_equal(fclose(file), 0);
}

static inline void test_redis_choose_ports(test_redis *server, const test_redis_options *options) {
    server->port = test_redis_free_port();
    do {
        server->tls_port = options->tls ? test_redis_free_port() : 0;
    } while (server->tls_port == server->port);
    do {
        server->bus_port = options->cluster ? test_redis_free_port() : 0;
    } while (server->bus_port == server->port);
}

// Its folder, ports and configuration, without a process: for what is away at first.
static inline test_redis *test_redis_prepare(const test_redis_options *options) {
    static bool at_exit;
    test_redis *server = calloc(1, sizeof *server);
    assert_non_null(server);
    if (!at_exit) {
        at_exit = true;
        (void)atexit(test_redis_free_all);
    }
    snprintf(server->folder, sizeof server->folder, "/tmp/forebay-redis-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    server->next = *test_redis_all();
    *test_redis_all() = server;
    snprintf(server->config_path, sizeof server->config_path, "%s/redis.conf", server->folder);
    snprintf(server->socket_path, sizeof server->socket_path, "%s/socket", server->folder);
    snprintf(server->log_path, sizeof server->log_path, "%s/log", server->folder);
    snprintf(server->cert_file, sizeof server->cert_file, "%s/cert.pem", server->folder);
    snprintf(server->key_file, sizeof server->key_file, "%s/key.pem", server->folder);
    snprintf(server->password, sizeof server->password, "%s",
             options->password != NULL ? options->password : "");
    server->sentinel = options->sentinel;
    server->silent = options->silent;
    if (options->tls) {
        test_redis_certify(server);
    }
    test_redis_choose_ports(server, options);
    test_redis_configure(server, options);
    return server;
}

// Starts a server and waits until it answers. Where somebody else took its port meanwhile, it tries
// another.
static inline test_redis *test_redis_new_with(const test_redis_options *options) {
    test_redis *server = test_redis_prepare(options);
    for (int tries = 0; tries < 5; tries++) {
        test_redis_spawn(server);
        if (options->silent || test_redis_wait(server)) {
            return server;
        }
        if (server->pid > 0) {
            break;
        }
        test_redis_choose_ports(server, options);
        test_redis_configure(server, options);
    }
    test_redis_fail_start(server);
    return NULL;
}

// The same with lines of redis.conf alone (NULL: none).
static inline test_redis *test_redis_new(const char *config) {
    test_redis_options options = {.config = config};
    return test_redis_new_with(&options);
}

// ---- three Sentinels, a master, replicas

enum { TEST_SENTINELS = 3, TEST_REPLICAS_MAX = 2 };

typedef struct test_sentinels {
    test_redis *servers[1 + TEST_REPLICAS_MAX];  // the first is the master at the start
    size_t server_count;
    test_redis *sentinels[TEST_SENTINELS];
} test_sentinels;

static inline void test_sentinels_free(test_sentinels *group) {
    if (group != NULL) {
        for (size_t i = 0; i < TEST_SENTINELS; i++) {
            test_redis_free(group->sentinels[i]);
        }
        for (size_t i = 0; i < group->server_count; i++) {
            test_redis_free(group->servers[i]);
        }
        free(group);
    }
}

static inline test_redis *test_sentinel_new(int master_port, bool quick) {
    char config[512];
    snprintf(config, sizeof config,
             "sentinel monitor mymaster 127.0.0.1 %d %d\n"
             "sentinel down-after-milliseconds mymaster %d\n"
             "sentinel failover-timeout mymaster 2000\n",
             master_port, quick ? 1 : 2, TEST_REDIS_CALM_MS);
    test_redis_options options = {.config = config, .sentinel = true};
    test_redis *sentinel = test_redis_new_with(&options);
    // Its periods, which are seconds, made short: a test need not wait for them. Where the server
    // does not know one of them, all goes slower, that is all.
    (void)test_redis_ask(sentinel, "SENTINEL DEBUG INFO-PERIOD 100 PUBLISH-PERIOD 100 PING-PERIOD "
                                   "100 ASK-PERIOD 100 MIN-LINK-RECONNECT-PERIOD 100 "
                                   "TILT-PERIOD 1000");
    return sentinel;
}

// Whether a master that is gone is replaced, within two seconds or three. One of them is quicker to
// act than the rest, which vote for it: where all act at once nobody wins, and they try again only
// seconds later.
static inline void test_sentinels_elect(test_sentinels *group, bool elect) {
    for (int i = 0; i < TEST_SENTINELS; i++) {
        char command[96];
        snprintf(command, sizeof command, "SENTINEL SET mymaster down-after-milliseconds %d",
                 elect ? (i == 0 ? 400 : 3000) : TEST_REDIS_CALM_MS);
        test_redis_await(group->sentinels[i], command, "OK");
    }
}

// The service is "mymaster". A master that is gone stays so until the test lets them elect another.
static inline test_sentinels *test_sentinels_new(size_t replicas) {
    char text[128];
    test_sentinels *group = calloc(1, sizeof *group);
    assert_non_null(group);
    assert_true(replicas <= TEST_REPLICAS_MAX);
    group->servers[group->server_count++] = test_redis_new(NULL);
    for (size_t i = 0; i < replicas; i++) {
        snprintf(text, sizeof text, "replicaof 127.0.0.1 %d\n", group->servers[0]->port);
        group->servers[group->server_count++] = test_redis_new(text);
    }
    for (size_t i = 0; i < TEST_SENTINELS; i++) {
        group->sentinels[i] = test_sentinel_new(group->servers[0]->port, i == 0);
    }
    for (size_t i = 1; i < group->server_count; i++) {
        test_redis_await(group->servers[i], "INFO replication", "master_link_status:up");
    }
    snprintf(text, sizeof text, "slaves=%zu,sentinels=%d", replicas, TEST_SENTINELS);
    for (size_t i = 0; i < TEST_SENTINELS; i++) {
        test_redis_await(group->sentinels[i], "INFO sentinel", text);
        test_redis_await(group->sentinels[i], "INFO sentinel", "status=ok");
        // Now that they know each other: four times this is how long they suffer a replica that
        // calls itself a master, as one does that another of them is just promoting (which takes a
        // second).
        (void)test_redis_ask(group->sentinels[i], "SENTINEL DEBUG PUBLISH-PERIOD 400");
    }
    return group;
}

// Which of the servers the first Sentinel that answers calls the master, or NULL.
static inline test_redis *test_sentinels_master(test_sentinels *group) {
    for (size_t i = 0; i < TEST_SENTINELS; i++) {
        const char *answer =
            test_redis_ask(group->sentinels[i], "SENTINEL GET-MASTER-ADDR-BY-NAME mymaster");
        const char *port = strrchr(answer, ' ');
        for (size_t j = 0; port != NULL && j < group->server_count; j++) {
            if (atoi(port + 1) == group->servers[j]->port) {
                return group->servers[j];
            }
        }
    }
    return NULL;
}

// ---- a Cluster of three masters and three replicas

enum { TEST_CLUSTER_MASTERS = 3, TEST_CLUSTER_SERVERS = 6 };

typedef struct test_cluster {
    test_redis *servers[TEST_CLUSTER_SERVERS];  // masters at the start, then a replica of each
    char ids[TEST_CLUSTER_SERVERS][48];
} test_cluster;

static inline void test_cluster_free(test_cluster *cluster) {
    if (cluster != NULL) {
        for (size_t i = 0; i < TEST_CLUSTER_SERVERS; i++) {
            test_redis_free(cluster->servers[i]);
        }
        free(cluster);
    }
}

// Waits until every server that runs knows every other, covers all slots, and has its master.
static inline void test_cluster_await_whole(test_cluster *cluster) {
    for (size_t i = 0; i < TEST_CLUSTER_SERVERS; i++) {
        char role[16];
        test_redis *server = cluster->servers[i];
        if (server->pid == 0) {
            continue;
        }
        test_redis_await(server, "CLUSTER INFO", "cluster_state:ok");
        test_redis_await(server, "CLUSTER INFO", "cluster_slots_ok:16384");
        if (strcmp(test_redis_field(server, "INFO replication", "role:", role, sizeof role),
                   "slave") == 0) {
            test_redis_await(server, "INFO replication", "master_link_status:up");
        }
    }
}

static inline void test_cluster_suffers(test_cluster *cluster, int silence_ms) {
    char command[96];
    snprintf(command, sizeof command, "CONFIG SET cluster-node-timeout %d", silence_ms);
    for (size_t i = 0; i < TEST_CLUSTER_SERVERS; i++) {
        if (cluster->servers[i]->pid != 0) {
            test_redis_await(cluster->servers[i], command, "OK");
        }
    }
}

// Whether one of them calls another one failed.
static inline bool test_cluster_blames(test_cluster *cluster) {
    bool blames = false;
    for (size_t i = 0; i < TEST_CLUSTER_SERVERS; i++) {
        blames = blames || strstr(test_redis_ask(cluster->servers[i], "CLUSTER NODES"), ",fail");
    }
    return blames;
}

// From now on a master that is gone is replaced by its replica, within two seconds or three. Those
// that run now know; who is started later does not.
static inline void test_cluster_elect(test_cluster *cluster) {
    test_cluster_suffers(cluster, 500);
}

// Nobody is replaced any more. All run; waits until they are whole. A failure that is still believed
// then would be believed for twice the time that they now suffer.
static inline void test_cluster_calm(test_cluster *cluster) {
    int64_t end_ms = test_redis_now_ms() + TEST_REDIS_PATIENCE_MS;
    do {
        assert_true(test_redis_now_ms() < end_ms);
        test_cluster_suffers(cluster, 500);
        test_cluster_await_whole(cluster);
        test_cluster_suffers(cluster, TEST_REDIS_CALM_MS);
    } while (test_cluster_blames(cluster));
}

// Slots are spread as `redis-cli --cluster create` does: 0-5460, 5461-10922, 10923-16383. A master
// that is gone stays so until the test lets them elect another.
static inline test_cluster *test_cluster_new(const char *config) {
    static const int ends[TEST_CLUSTER_MASTERS + 1] = {0, 5461, 10923, 16384};
    test_redis_options options = {.config = config, .cluster = true};
    test_cluster *cluster = calloc(1, sizeof *cluster);
    assert_non_null(cluster);
    test_redis **servers = cluster->servers;
    for (int i = 0; i < TEST_CLUSTER_SERVERS; i++) {
        servers[i] = test_redis_new_with(&options);
        snprintf(cluster->ids[i], sizeof cluster->ids[i], "%s",
                 test_redis_ask(servers[i], "CLUSTER MYID"));
        (void)test_redis_ask(servers[i], "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
        if (i < TEST_CLUSTER_MASTERS) {
            (void)test_redis_ask(servers[i], "CLUSTER ADDSLOTSRANGE %d %d", ends[i],
                                 ends[i + 1] - 1);
        }
        for (int j = 0; j < i; j++) {
            (void)test_redis_ask(servers[i], "CLUSTER MEET 127.0.0.1 %d %d", servers[j]->port,
                                 servers[j]->bus_port);
        }
    }
    for (int i = 0; i < TEST_CLUSTER_SERVERS; i++) {
        test_redis_await(servers[i], "CLUSTER INFO", "cluster_known_nodes:6");
    }
    for (int i = TEST_CLUSTER_MASTERS; i < TEST_CLUSTER_SERVERS; i++) {
        char command[96];
        snprintf(command, sizeof command, "CLUSTER REPLICATE %s",
                 cluster->ids[i - TEST_CLUSTER_MASTERS]);
        test_redis_await(servers[i], command, "OK");
    }
    test_cluster_await_whole(cluster);
    return cluster;
}

// The server that owns a slot, as that server says itself, or NULL.
static inline test_redis *test_cluster_owner(test_cluster *cluster, unsigned slot) {
    for (size_t i = 0; i < TEST_CLUSTER_SERVERS; i++) {
        unsigned first = 0, last = 0;
        const char *line = cluster->servers[i]->pid == 0
                               ? NULL
                               : strstr(test_redis_ask(cluster->servers[i], "CLUSTER NODES"),
                                        "myself,master");
        // "… myself,master - 0 0 1 connected 0-5460 7000 …": the slots are from the sixth on.
        for (int blanks = 0; line != NULL && *line != '\0' && *line != '\n'; line++) {
            blanks += *line == ' ';
            if (*line != ' ' || blanks < 6 || line[1] == '[') {
                continue;
            }
            int got = sscanf(line + 1, "%u-%u", &first, &last);
            if (slot == first || (got == 2 && slot > first && slot <= last)) {
                return cluster->servers[i];
            }
        }
    }
    return NULL;
}

#endif
