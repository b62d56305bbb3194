// The catalogue: whose a key is, and which globs are index tags.

#include "support.h"

#include "classes.h"

#include "base/glob.h"
#include "cache/key_pattern.h"

static fb_catalog *make(const char *const *keys, size_t count, const char *index) {
    fb_catalog *catalog = NULL;
    fb_error error = {0};
    if (catalog_try(keys, count, index, &catalog, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    return catalog;
}

#define MAKE(index, ...)                     \
    make((const char *const[]){__VA_ARGS__}, \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), index)

static const char *pattern_of(const fb_catalog *catalog, const char *key) {
    const fb_class *class_ = fb_catalog_of_key(catalog, fb_str_of(key));
    return class_->pattern != NULL ? class_->options.key : "";
}

// ---- names

static void test_catalog__finds_classes_by_name_and_number(void **state) {
    fb_catalog *catalog = MAKE(NULL, "a:{x}", "b:{x}");
    assert_int_equal(fb_catalog_count(catalog), 3);
    const fb_class *second = fb_catalog_find(catalog, FB_STR("c002"));
    assert_non_null(second);
    assert_ptr_equal(second, fb_catalog_by_id(catalog, 2));
    assert_ptr_equal(second, fb_catalog_at(catalog, 2));
    assert_null(fb_catalog_find(catalog, FB_STR("c003")));
    assert_null(fb_catalog_find(catalog, FB_STR("")));
    assert_null(fb_catalog_by_id(catalog, 3));
    assert_int_equal(fb_catalog_by_id(catalog, 0)->id, FB_CLASS_PLAIN);
    fb_catalog_free(catalog);
    fb_catalog_free(NULL);
}

static void test_catalog__two_classes_of_one_name_are_refused(void **state) {
    fb_class *classes[3] = {NULL};
    fb_catalog *catalog = NULL;
    fb_error error = {0};
    assert_ok(fb_class_new_plain(&classes[0]));
    classes[1] = class_make(&(fb_class_options){.name = TEXT("a"), .key = TEXT("a:{x}")}, 1);
    classes[2] = class_make(
        &(fb_class_options){
            .name = TEXT("a"), .key = TEXT("b:{x}"), .file = TEXT("f"), .line = 3, .column = 1},
        2);
    assert_result(fb_catalog_new(classes, 3, &catalog, &error), FB_EINVAL);
    assert_string_equal(error.text, "two classes are called a");
    assert_int_equal(error.line, 3);
}

static void test_catalog__patterns_that_differ_in_names_only_are_refused(void **state) {
    static const char *const same[][2] = {
        {"a:{x}:{y}", "a:{y}:{z}"}, {"a:{hash}", "a:{hash}"}, {"all", "all"}, {"{{:{x}", "{{:{y}"}};
    static const char *const differ[][2] = {{"a:{x}", "a:{hash}"},
                                            {"a:{x}", "a:{x}:"},
                                            {"a:{x}:{y}", "a:{x}/{y}"},
                                            {"a:{x}:{hash}", "a:{hash}:{x}"},
                                            {"all", "all:{x}"}};
    fb_catalog *catalog = NULL;
    fb_error error = {0};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        assert_result(catalog_try(same[i], 2, NULL, &catalog, &error), FB_EINVAL);
    }
    assert_result(catalog_try(same[0], 2, NULL, &catalog, &error), FB_EINVAL);
    assert_string_equal(
        error.text,
        "class c002: its key 'a:{y}:{z}' is the same as 'a:{x}:{y}' of class c001, but "
        "for the names of parameters: expected some text that differs");
    for (size_t i = 0; i < sizeof differ / sizeof differ[0]; i++) {
        assert_ok(catalog_try(differ[i], 2, NULL, &catalog, &error));
        fb_catalog_free(catalog);
    }
}

static fb_catalog *of_namespaces(const char *const *names, size_t count) {
    fb_class *classes[8] = {NULL};
    fb_catalog *catalog = NULL;
    assert_ok(fb_class_new_plain(&classes[0]));
    for (size_t i = 0; i < count; i++) {
        char name[] = {(char)('a' + i), '\0'};
        classes[i + 1] = class_make(
            &(fb_class_options){
                .name = name, .key = name, .namespace_name = (char *)(uintptr_t)names[i]},
            (uint16_t)(i + 1));
    }
    assert_ok(fb_catalog_new(classes, count + 1, &catalog, NULL));
    return catalog;
}

static void test_catalog__namespaces_keep_their_numbers(void **state) {
    fb_catalog *first = of_namespaces((const char *const[]){"x", "default", "y", "x"}, 4);
    assert_int_equal(fb_catalog_at(first, 2)->namespace_id, 0);
    assert_int_equal(fb_catalog_at(first, 1)->namespace_id, fb_catalog_at(first, 4)->namespace_id);
    uint16_t x = fb_catalog_at(first, 1)->namespace_id, y = fb_catalog_at(first, 3)->namespace_id;
    assert_true(x != y && x != 0 && y != 0);
    // x is gone, z is new: it must not begin with what was said of x.
    fb_catalog *second = of_namespaces((const char *const[]){"z", "y"}, 2);
    fb_catalog_succeed(second, first);
    assert_int_equal(fb_catalog_at(second, 2)->namespace_id, y);
    uint16_t z = fb_catalog_at(second, 1)->namespace_id;
    assert_true(z != x && z != y && z != 0);
    fb_catalog_free(first);
    fb_catalog_free(second);
}

// ---- whose a key is

static void test_catalog__the_most_specific_pattern_owns_a_key(void **state) {
    fb_catalog *catalog = MAKE(NULL, "item:{id}", "item:{id}:{part}", "item:{id}:price",
                               "items:{hash}", "items:{kind}", "item:top", "{a}/{b}", "i{x}|{y}");
    assert_string_equal(pattern_of(catalog, "item:7"), "item:{id}");
    assert_string_equal(pattern_of(catalog, "item:"), "item:{id}");
    assert_string_equal(pattern_of(catalog, "item:top"), "item:top");
    assert_string_equal(pattern_of(catalog, "item:7:x"), "item:{id}:{part}");
    assert_string_equal(pattern_of(catalog, "item:7:price"), "item:{id}:price");
    assert_string_equal(pattern_of(catalog, "item:7:price:x"), "item:{id}:{part}");
    assert_string_equal(pattern_of(catalog, "items:0123456789abcdef0123456789abcdef"),
                        "items:{hash}");
    assert_string_equal(pattern_of(catalog, "items:0123456789abcdef0123456789abcde"),
                        "items:{kind}");
    assert_string_equal(pattern_of(catalog, "item"), "");
    assert_string_equal(pattern_of(catalog, "item|"), "i{x}|{y}");
    assert_string_equal(pattern_of(catalog, "item:a|b"), "item:{id}");
    assert_string_equal(pattern_of(catalog, "ite/x"), "{a}/{b}");
    assert_string_equal(pattern_of(catalog, "/"), "{a}/{b}");
    assert_string_equal(pattern_of(catalog, "zzz"), "");
    assert_string_equal(pattern_of(catalog, ""), "");
    fb_catalog_free(catalog);
    catalog = make(NULL, 0, NULL);
    assert_string_equal(pattern_of(catalog, "x"), "");
    fb_catalog_free(catalog);
}

static void test_catalog__no_class_binds_to_a_key_of_another(void **state) {
    fb_catalog *catalog = MAKE(NULL, "item:{id}", "item:{id}:{part}", "other:{id}");
    fb_buf scratch = {0};
    fb_bound bound;
    fb_error error = {0};
    const fb_class *item = fb_catalog_find(catalog, FB_STR("c001"));
    assert_ok(fb_class_bind(item, PARAMS(PARAM("id", "7")), &scratch, &bound, &error));
    assert_result(fb_class_bind(item, PARAMS(PARAM("id", "7:x")), &scratch, &bound, &error),
                  FB_EINVAL);
    assert_string_equal(error.text,
                        "class c001: the key 'item:7:x' belongs to class c002, whose "
                        "pattern is 'item:{id}:{part}'");
    assert_result(fb_class_unbind(item, FB_STR("item:7:x"), &scratch, &bound), FB_MISS);
    const fb_class *part = fb_catalog_find(catalog, FB_STR("c002"));
    assert_ok(fb_class_bind(part, PARAMS(PARAM("id", "7:x"), PARAM("part", "y:z")), &scratch,
                            &bound, &error));
    assert_str(bound.key, "item:7%3Ax:y:z");
    fb_buf_release(&scratch);
    fb_catalog_free(catalog);
}

// ---- against a list that is searched from end to end

static const char *const pieces[] = {"a", "b", ":", "a:", "::", "{x}", "{y}", "{hash}", ":"};

// Patterns over few texts, so that many overlap. Those that are refused are left out.
static void random_pattern(fb_rng *rng, char *text, size_t text_size) {
    size_t count = 1 + (size_t)fb_rng_below(rng, 5);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        (void)strncat(text, pieces[fb_rng_below(rng, sizeof pieces / sizeof pieces[0])],
                      text_size - strlen(text) - 1);
    }
}

static fb_str random_key(fb_rng *rng, char *text) {
    size_t len = 0, count = (size_t)fb_rng_below(rng, 8);
    for (size_t i = 0; i < count; i++) {
        if (fb_rng_below(rng, 12) == 0) {
            memset(text + len, 'a', 32);
            len += 32;
        } else {
            text[len++] = "ab:::c"[fb_rng_below(rng, 6)];
        }
    }
    return fb_str_make(text, len);
}

enum { RANDOM_CLASSES = 12 };

static fb_catalog *random_catalog(fb_rng *rng, const char *index) {
    char texts[RANDOM_CLASSES][32];
    const char *keys[RANDOM_CLASSES];
    size_t count = 0;
    while (count < RANDOM_CLASSES && fb_rng_below(rng, 20) != 0) {
        fb_key_pattern *made = NULL;
        random_pattern(rng, texts[count], sizeof texts[count]);
        keys[count] = texts[count];
        bool fine = fb_key_pattern_new(fb_str_of(texts[count]), &made, NULL) == FB_OK;
        for (size_t i = 0; fine && i < count; i++) {
            fb_key_pattern *other = NULL;
            assert_ok(fb_key_pattern_new(fb_str_of(texts[i]), &other, NULL));
            fine = fb_key_pattern_compare(made, other) != 0;
            fb_key_pattern_free(other);
        }
        fb_key_pattern_free(made);
        count += fine ? 1 : 0;
    }
    return make(keys, count, index);
}

static const fb_class *owner_by_list(const fb_catalog *catalog, fb_str key) {
    const fb_class *best = fb_catalog_at(catalog, 0);
    for (size_t i = 1; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        if (fb_class_owns(class_, key) &&
            (best->pattern == NULL || fb_key_pattern_compare(class_->pattern, best->pattern) < 0)) {
            best = class_;
        }
    }
    return best;
}

static void test_catalog__random_keys_belong_to_whom_a_list_says(void **state) {
    fb_rng rng = test_rng();
    for (int round = 0; round < 400; round++) {
        fb_catalog *catalog = random_catalog(&rng, NULL);
        for (int i = 0; i < 300; i++) {
            char text[300];
            fb_str key = random_key(&rng, text);
            assert_ptr_equal(fb_catalog_of_key(catalog, key), owner_by_list(catalog, key));
        }
        fb_catalog_free(catalog);
    }
}

static void test_catalog__random_classes_never_share_a_key(void **state) {
    fb_rng rng = test_rng();
    fb_buf scratch = {0};
    for (int round = 0; round < 400; round++) {
        fb_catalog *catalog = random_catalog(&rng, NULL);
        for (int i = 0; i < 200 && fb_catalog_count(catalog) > 1; i++) {
            size_t which = 1 + (size_t)fb_rng_below(&rng, fb_catalog_count(catalog) - 1);
            const fb_class *class_ = fb_catalog_at(catalog, which);
            fb_param params[2];
            char texts[2][300];
            for (size_t j = 0; j < class_->param_count; j++) {
                params[j] = (fb_param){class_->params[j].name, random_key(&rng, texts[j])};
            }
            fb_bound bound;
            int result = fb_class_bind(class_, params, class_->param_count, &scratch, &bound, NULL);
            if (result == FB_OK) {
                assert_ptr_equal(fb_catalog_of_key(catalog, bound.key), class_);
            } else {
                assert_result(result, FB_EINVAL);
                assert_true(class_->contested);
            }
        }
        fb_catalog_free(catalog);
    }
    fb_buf_release(&scratch);
}

// ---- index tags

static bool has_tag(const fb_catalog *catalog, fb_str key, fb_str tag) {
    fb_buf scratch = {0};
    fb_loaded loaded;
    bool found = false;
    fb_loaded_init(&loaded);
    assert_ok(fb_class_key_tags(fb_catalog_of_key(catalog, key), key, &scratch, &loaded));
    for (size_t i = 0; i < loaded.tag_count; i++) {
        found = found || fb_str_equal(fb_loaded_tag_at(&loaded, i), tag);
    }
    fb_loaded_release(&loaded);
    fb_buf_release(&scratch);
    return found;
}

static void test_catalog__a_glob_up_to_an_indexed_parameter_is_a_tag(void **state) {
    fb_catalog *catalog = MAKE("user_id", "recommendations:{user_id}:{hash}",
                               "list:{kind}::{user_id}::x", "plain:{id}");
    static const char *const none[] = {"",
                                       "*",
                                       "recommendations:*",
                                       "recommendations:42",
                                       "recommendations:42:",
                                       "recommendations:42*",
                                       "recommendations:4?:*",
                                       "recommendations:[4]:*",
                                       "recommendations:42:a*",
                                       "recommendations:42:**",
                                       "recommendations:\\42:*",
                                       "plain:42:*",
                                       "list:a::42:*",
                                       "list:a::*",
                                       "other:42:*"};
    fb_buf tag = {0};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_result(fb_catalog_index_tag(catalog, fb_str_of(none[i]), &tag), FB_MISS);
    }
    assert_ok(fb_catalog_index_tag(catalog, FB_STR("recommendations:42:*"), &tag));
    assert_true(has_tag(catalog, FB_STR("recommendations:42:0123456789abcdef0123456789abcdef"),
                        fb_buf_str(&tag)));
    // Keys that somebody SET there by hand are no less under the glob.
    assert_true(has_tag(catalog, FB_STR("recommendations:42:mine"), fb_buf_str(&tag)));
    assert_true(has_tag(catalog, FB_STR("recommendations:42:"), fb_buf_str(&tag)));
    assert_false(has_tag(catalog, FB_STR("recommendations:42"), fb_buf_str(&tag)));
    assert_false(has_tag(catalog, FB_STR("recommendations:421:x"), fb_buf_str(&tag)));
    assert_ok(fb_catalog_index_tag(catalog, FB_STR("list:a::42::*"), &tag));
    assert_true(has_tag(catalog, FB_STR("list:a::42::x"), fb_buf_str(&tag)));
    assert_false(has_tag(catalog, FB_STR("list:b::42::x"), fb_buf_str(&tag)));
    // No caller's tag is one of these.
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    assert_result(fb_loaded_tag(&loaded, fb_buf_str(&tag)), FB_EINVAL);
    fb_loaded_release(&loaded);
    fb_buf_release(&tag);
    fb_catalog_free(catalog);
}

static void test_catalog__a_load_has_the_index_tags_of_its_key(void **state) {
    fb_catalog *catalog = MAKE("u", "r:{u}:{x}", "r:{u}:top");
    fb_buf scratch = {0}, tag = {0};
    fb_bound bound;
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    const fb_class *class_ = fb_catalog_find(catalog, FB_STR("c002"));
    assert_ok(fb_class_bind(class_, PARAMS(PARAM("u", "4:2")), &scratch, &bound, NULL));
    assert_ok(fb_class_param_tags(class_, &bound, &loaded));
    assert_ok(fb_catalog_index_tag(catalog, FB_STR("r:4%3A2:*"), &tag));
    assert_int_equal(loaded.tag_count, 1);
    assert_bytes(fb_loaded_tag_at(&loaded, 0), fb_buf_str(&tag));
    fb_loaded_release(&loaded);
    fb_buf_release(&tag);
    fb_buf_release(&scratch);
    fb_catalog_free(catalog);
}

// Index tags come from every class that shares a key's beginning: with them, too, its entries must
// not have more tags than an entry may have, or no load of the class would ever be kept.
static void test_catalog__too_many_tags_of_one_key_are_refused(void **state) {
    char names[FB_TAGS_MAX][2] = {{0}};
    char *tags[FB_TAGS_MAX];
    for (size_t i = 0; i < FB_TAGS_MAX; i++) {
        tags[i] = names[i];
        names[i][0] = (char)('a' + i);
    }
    char *by_x = TEXT("x");
    for (size_t count = FB_TAGS_MAX - 1; count <= FB_TAGS_MAX; count++) {
        fb_class *classes[3] = {NULL};
        fb_catalog *catalog = NULL;
        fb_error error = {0};
        assert_ok(fb_class_new_plain(&classes[0]));
        classes[1] = class_make(&(fb_class_options){.name = TEXT("one"),
                                                    .key = TEXT("a:{x}:{y}"),
                                                    .tags = tags,
                                                    .tag_count = count,
                                                    .file = TEXT("f"),
                                                    .line = 5,
                                                    .column = 3},
                                1);
        classes[2] = class_make(
            &(fb_class_options){
                .name = TEXT("two"), .key = TEXT("a:{x}:z:{y}"), .index = &by_x, .index_count = 1},
            2);
        int result = fb_catalog_new(classes, 3, &catalog, &error);
        if (count == FB_TAGS_MAX) {
            assert_result(result, FB_EINVAL);
            assert_string_equal(error.text,
                                "class one: an entry may have 16 tags, but it has 16 and the "
                                "indexes of keys that begin like its own could add 1");
            assert_int_equal(error.line, 5);
        } else {
            assert_ok(result);
        }
        fb_catalog_free(catalog);
    }
}

static void test_catalog__a_long_value_has_an_index_tag_too(void **state) {
    fb_catalog *catalog = MAKE("u", "r:{u}:{x}");
    char glob[400];
    fb_buf tag = {0}, other = {0};
    for (size_t len = 120; len < 130; len++) {
        memset(glob, 'x', sizeof glob);
        memcpy(glob, "r:", 2);
        memcpy(glob + len, ":*", 2);
        fb_str key = fb_str_make(glob, len + 1);
        assert_ok(fb_catalog_index_tag(catalog, fb_str_make(glob, len + 2), &tag));
        assert_true(tag.len <= FB_TAG_LEN_MAX);
        assert_true(has_tag(catalog, key, fb_buf_str(&tag)));
        glob[len - 1] = 'y';
        assert_ok(fb_catalog_index_tag(catalog, fb_str_make(glob, len + 2), &other));
        assert_false(fb_str_equal(fb_buf_str(&tag), fb_buf_str(&other)));
    }
    fb_buf_release(&other);
    fb_buf_release(&tag);
    fb_catalog_free(catalog);
}

static void test_catalog__a_new_index_serves_no_glob_after_a_reload(void **state) {
    fb_catalog *first = MAKE("u", "r:{u}:{x}"), *second = MAKE("u", "r:{u}:{y}", "s:{u}:{x}");
    fb_catalog *third = MAKE("u", "s:{u}:{x}", "r:{u}:{x}");
    fb_buf tag = {0};
    fb_catalog_succeed(second, first);
    assert_ok(fb_catalog_index_tag(second, FB_STR("r:1:*"), &tag));
    assert_result(fb_catalog_index_tag(second, FB_STR("s:1:*"), &tag), FB_MISS);
    fb_catalog_succeed(third, second);
    assert_ok(fb_catalog_index_tag(third, FB_STR("r:1:*"), &tag));
    assert_result(fb_catalog_index_tag(third, FB_STR("s:1:*"), &tag), FB_MISS);
    fb_buf_release(&tag);
    fb_catalog_free(first);
    fb_catalog_free(second);
    fb_catalog_free(third);
}

// The promise itself: whatever glob is a tag, the keys it matches are those that have the tag.
static void test_catalog__random_globs_and_their_tags_are_one_set(void **state) {
    fb_rng rng = test_rng();
    fb_buf tag = {0};
    size_t tags = 0, members = 0;
    for (int round = 0; round < 600; round++) {
        fb_catalog *catalog = random_catalog(&rng, fb_rng_below(&rng, 2) == 0 ? "x" : "y");
        for (int i = 0; i < 60; i++) {
            char text[300];
            fb_str glob = random_key(&rng, text);
            text[glob.len++] = '*';
            if (fb_catalog_index_tag(catalog, glob, &tag) != FB_OK) {
                continue;
            }
            tags++;
            for (int j = 0; j < 60; j++) {
                char other[600];
                fb_str key = random_key(&rng, other + 300);
                if (j % 2 == 0) {  // one that begins so
                    memcpy(other + 300 - (glob.len - 1), glob.ptr, glob.len - 1);
                    key = fb_str_make(other + 300 - (glob.len - 1), key.len + glob.len - 1);
                }
                bool under = fb_glob_match(glob, key);
                members += under ? 1 : 0;
                assert_int_equal(has_tag(catalog, key, fb_buf_str(&tag)), under);
            }
        }
        fb_catalog_free(catalog);
    }
    assert_true(tags > 100 && members > 1000);
    fb_buf_release(&tag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_catalog__finds_classes_by_name_and_number),
        cmocka_unit_test(test_catalog__two_classes_of_one_name_are_refused),
        cmocka_unit_test(test_catalog__patterns_that_differ_in_names_only_are_refused),
        cmocka_unit_test(test_catalog__namespaces_keep_their_numbers),
        cmocka_unit_test(test_catalog__the_most_specific_pattern_owns_a_key),
        cmocka_unit_test(test_catalog__no_class_binds_to_a_key_of_another),
        cmocka_unit_test(test_catalog__random_keys_belong_to_whom_a_list_says),
        cmocka_unit_test(test_catalog__random_classes_never_share_a_key),
        cmocka_unit_test(test_catalog__a_glob_up_to_an_indexed_parameter_is_a_tag),
        cmocka_unit_test(test_catalog__a_load_has_the_index_tags_of_its_key),
        cmocka_unit_test(test_catalog__too_many_tags_of_one_key_are_refused),
        cmocka_unit_test(test_catalog__a_long_value_has_an_index_tag_too),
        cmocka_unit_test(test_catalog__a_new_index_serves_no_glob_after_a_reload),
        cmocka_unit_test(test_catalog__random_globs_and_their_tags_are_one_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
