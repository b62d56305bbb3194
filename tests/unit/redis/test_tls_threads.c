// Connections of several loops that shake hands at once, with certificates that they share: for the
// thread sanitizer above all.

#include "redis_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "redis/tls.h"
#include "support.h"

enum { THREADS = 4, ROUNDS = 50 };

typedef struct hand {
    pthread_t thread;
    pthread_barrier_t *all;
    const fb_redis_tls *tls;
    int port;
    bool shaken;
    fb_error error;
} hand;

static int dial(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void *shake(void *arg) {
    hand *one = arg;
    fb_tls_session *session = NULL;
    int fd = dial(one->port);
    bool made = fd >= 0 && fb_tls_session_new(one->tls, fd, "127.0.0.1", &session) == FB_OK;
    pthread_barrier_wait(one->all);
    one->shaken = made && fb_tls_shake_hands(session, &one->error) == 1;
    fb_tls_session_free(session);
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

static void test_tls_threads__shake_hands_at_once(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new_with(
        &(test_redis_options){.tls = true, .config = "tls-auth-clients yes"});
    pthread_barrier_t all;
    assert_int_equal(pthread_barrier_init(&all, NULL, THREADS), 0);
    for (int round = 0; round < ROUNDS; round++) {
        fb_redis_tls_options options = {.ca_file = server->cert_file,
                                        .cert_file = server->cert_file,
                                        .key_file = server->key_file};
        fb_redis_tls *tls = NULL;
        fb_error error = {0};
        hand hands[THREADS];
        assert_ok(fb_redis_tls_new(&options, &tls, &error));
        for (int i = 0; i < THREADS; i++) {
            hands[i] = (hand){.all = &all, .tls = tls, .port = server->tls_port};
            assert_int_equal(pthread_create(&hands[i].thread, NULL, shake, &hands[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(hands[i].thread, NULL);
            assert_string_equal(hands[i].error.text, "");
            assert_true(hands[i].shaken);
        }
        fb_redis_tls_free(tls);
    }
    pthread_barrier_destroy(&all);
    test_redis_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls_threads__shake_hands_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
