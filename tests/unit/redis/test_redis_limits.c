// Limits over a real server: the claims.

#include "limits_claims.h"

static int start(void **state) {
    (void)state;
    limits_server = test_redis_new("save \"\"");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_redis_free(limits_server);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {LIMITS_CLAIMS};
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    return cmocka_run_group_tests(tests, start, stop);
}
