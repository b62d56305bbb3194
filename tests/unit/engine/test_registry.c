// The load-once registry.

#include "engine_rig.h"

#include <forebay/registry.h>

static atomic_int made, dropped;

static int make(void *arg, fb_str name, void **object) {
    gate *one = arg;
    (void)name;
    int attempt = atomic_fetch_add(&made, 1);
    *object = one;
    return attempt == 0 ? FB_ESOURCE : FB_OK;
}

static void drop(void *object) {
    (void)object;
    atomic_fetch_add(&dropped, 1);
}

typedef struct getter {
    fb_registry *registry;
    gate *at;
    pthread_t thread;
    void *object;
    int result;
} getter;

static void *get_object(void *arg) {
    getter *one = arg;
    one->result =
        fb_registry_get(one->registry, FB_STR("model"), make, one->at, drop, &one->object);
    return NULL;
}

static void test_registry__makes_once_after_a_failure_and_drops_once(void **state) {
    (void)state;
    enum { COUNT = 16 };
    gate at;
    getter getters[COUNT];
    fb_registry *registry = NULL;
    void *object = NULL;
    gate_init(&at, true);
    atomic_store(&made, 0);
    atomic_store(&dropped, 0);
    assert_ok(fb_registry_new(&registry));
    assert_result(fb_registry_get(registry, FB_STR("model"), make, &at, drop, &object), FB_ESOURCE);
    assert_null(object);
    for (int i = 0; i < COUNT; i++) {
        getters[i] = (getter){.registry = registry, .at = &at};
        assert_int_equal(pthread_create(&getters[i].thread, NULL, get_object, &getters[i]), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        pthread_join(getters[i].thread, NULL);
        assert_ok(getters[i].result);
        assert_ptr_equal(getters[i].object, &at);
    }
    assert_int_equal(atomic_load(&made), 2);
    assert_result(fb_registry_forget(registry, FB_STR("other")), FB_MISS);
    assert_ok(fb_registry_forget(registry, FB_STR("model")));
    assert_int_equal(atomic_load(&dropped), 1);
    assert_ok(fb_registry_get(registry, FB_STR("model"), make, &at, drop, &object));
    fb_registry_free(registry);
    assert_int_equal(atomic_load(&dropped), 2);
}

// A maker that stops at the gate, and one that forgets while it makes.
static int make_slowly(void *arg, fb_str name, void **object) {
    (void)name;
    gate_pass(arg);
    *object = arg;
    return FB_OK;
}

typedef struct slow {
    fb_registry *registry;
    gate *at;
    pthread_t thread;
    int result;
} slow;

static void *get_slowly(void *arg) {
    slow *one = arg;
    void *object;
    one->result = fb_registry_get(one->registry, FB_STR("m"), make_slowly, one->at, drop, &object);
    return NULL;
}

static void *forget(void *arg) {
    slow *one = arg;
    one->result = fb_registry_forget(one->registry, FB_STR("m"));
    return NULL;
}

static void test_registry__forgets_what_is_being_made_when_it_is_there(void **state) {
    (void)state;
    enum { COUNT = 4 };
    gate at;
    slow getters[COUNT], forgetter;
    gate_init(&at, false);
    atomic_store(&dropped, 0);
    fb_registry *registry = NULL;
    assert_ok(fb_registry_new(&registry));
    for (int i = 0; i < COUNT; i++) {
        getters[i] = (slow){.registry = registry, .at = &at};
        assert_int_equal(pthread_create(&getters[i].thread, NULL, get_slowly, &getters[i]), 0);
    }
    gate_await(&at, 1);
    forgetter = (slow){.registry = registry};
    assert_int_equal(pthread_create(&forgetter.thread, NULL, forget, &forgetter), 0);
    gate_open(&at);
    for (int i = 0; i < COUNT; i++) {
        pthread_join(getters[i].thread, NULL);
        assert_ok(getters[i].result);
    }
    pthread_join(forgetter.thread, NULL);
    assert_ok(forgetter.result);
    assert_true(atomic_load(&dropped) >= 1);
    fb_registry_free(registry);
    assert_int_equal(atomic_load(&at.loads), atomic_load(&dropped));
}

static int make_itself(void *arg, fb_str name, void **object) {
    fb_registry *registry = arg;
    void *same;
    assert_result(fb_registry_get(registry, name, make_itself, arg, NULL, &same), FB_EINVAL);
    assert_result(fb_registry_forget(registry, name), FB_MISS);
    *object = NULL;
    return FB_OK;
}

static void test_registry__a_maker_cannot_wait_for_itself(void **state) {
    (void)state;
    fb_registry *registry = NULL;
    void *object = registry;
    assert_ok(fb_registry_new(&registry));
    assert_ok(fb_registry_get(registry, FB_STR("m"), make_itself, registry, NULL, &object));
    assert_null(object);
    fb_registry_free(registry);
}

static int refuse(void *arg, fb_str name, void **object) {
    (void)arg, (void)name;
    *object = &dropped;  // not to be believed
    return 7;
}

static int use_registry(void *arg) {
    (void)arg;
    fb_registry *registry = NULL;
    void *object;
    int result = fb_registry_new(&registry);
    if (result == FB_OK) {
        gate at;
        gate_init(&at, true);
        result = fb_registry_get(registry, FB_STR("m"), make_slowly, &at, drop, &object);
    }
    fb_registry_free(registry);
    return result;
}

static void test_registry__survives_lack_of_memory_and_odd_makers(void **state) {
    (void)state;
    fb_registry *registry = NULL;
    void *object;
    assert_true(test_memory_sweep(use_registry, NULL) >= 3);
    assert_ok(fb_registry_new(&registry));
    assert_result(fb_registry_get(registry, FB_STR("m"), refuse, NULL, drop, &object), FB_EINVAL);
    assert_null(object);
    fb_registry_free(registry);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry__makes_once_after_a_failure_and_drops_once),
        cmocka_unit_test(test_registry__forgets_what_is_being_made_when_it_is_there),
        cmocka_unit_test(test_registry__a_maker_cannot_wait_for_itself),
        cmocka_unit_test(test_registry__survives_lack_of_memory_and_odd_makers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
