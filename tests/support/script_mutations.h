// script_mutations.h -- rules of the scripts in src/redis/lua, taken out one at a time: each has a
// claim that fails without it.
//
// A claim that fails ends its test, so each runs in a process of its own, which has the mutated text
// and connections of its own to one server. Include it after the test's other headers.

#ifndef FB_TESTS_SCRIPT_MUTATIONS_H
#define FB_TESTS_SCRIPT_MUTATIONS_H

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "redis/scripts.h"
#include "support.h"

typedef struct script_mutation {
    const char *rule;
    fb_script_name script;
    const char *from, *to;  // the first `from` of its text becomes `to`
    struct CMUnitTest claim;
} script_mutation;

static inline const char *script_place(const script_mutation *one) {
    const char *at = strstr(fb_scripts[one->script].text.ptr, one->from);
    if (at == NULL) {
        fail_msg("%s: its script has no \"%s\"", one->rule, one->from);
    }
    return at;
}

// The text, and the hash to it.
static inline void script_mutate(const script_mutation *one) {
    static char text[32768], sha1[41];
    fb_script *script = &fb_scripts[one->script];
    const char *at = script_place(one);
    unsigned char sha[EVP_MAX_MD_SIZE];
    int len = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - script->text.ptr),
                       script->text.ptr, one->to, at + strlen(one->from));
    assert_in_range(len, 1, sizeof text - 1);
    script->text = fb_str_make(text, (size_t)len);
    assert_int_equal(EVP_Digest(text, (size_t)len, sha, NULL, EVP_sha1(), NULL), 1);
    for (size_t i = 0; i < 20; i++) {
        (void)snprintf(sha1 + 2 * i, 3, "%02x", sha[i]);
    }
    script->sha1 = sha1;
}

// Whether the claim fails, in a process of its own.
static inline bool script_claim_fails(const script_mutation *one, bool mutated) {
    (void)script_place(one);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct CMUnitTest tests[] = {one->claim};
        int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        if (mutated) {
            script_mutate(one);
        }
        _exit(cmocka_run_group_tests(tests, NULL, NULL) != 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

// Whether the claim was tried as it is already, for another rule.
static inline bool script_claim_is_known(const script_mutation *all, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (all[i].claim.test_func == all[index].claim.test_func) {
            return true;
        }
    }
    return false;
}

// Each claim holds, and fails without the rules that name it.
static inline void script_mutations_try(const script_mutation *all, size_t count) {
    size_t unseen = 0;
    for (size_t i = 0; i < count; i++) {
        if (!script_claim_is_known(all, i) && script_claim_fails(&all[i], false)) {
            fail_msg("%s: its claim fails as it is", all[i].rule);
        }
        if (!script_claim_fails(&all[i], true)) {
            print_error("nothing was seen of it without \"%s\"\n", all[i].rule);
            unseen++;
        }
    }
    assert_int_equal(unseen, 0);
}

#endif
