// Classes: what a key is for given parameters, back again, and what is refused in what words.

#include "support.h"

#include "classes.h"

#include "base/hash.h"
#include "base/map.h"

// ---- helpers

typedef struct fixture {
    fb_class *class_;
    fb_buf scratch;
    fb_bound bound;
    fb_error error;
} fixture;

static fixture with(fb_class_options options) {
    if (options.name == NULL) {
        options.name = TEXT("thing");
    }
    return (fixture){.class_ = class_make(&options, 1)};
}

static void done(fixture *f) {
    fb_class_free(f->class_);
    fb_buf_release(&f->scratch);
}

static int bind(fixture *f, const fb_param *params, size_t count) {
    f->error = (fb_error){0};
    return fb_class_bind(f->class_, params, count, &f->scratch, &f->bound, &f->error);
}

#define assert_key(f, key_text, ...)               \
    do {                                           \
        assert_ok(bind((f), PARAMS(__VA_ARGS__))); \
        assert_str((f)->bound.key, key_text);      \
    } while (0)

#define assert_refused(f, error_text, ...)                        \
    do {                                                          \
        assert_result(bind((f), PARAMS(__VA_ARGS__)), FB_EINVAL); \
        assert_string_equal((f)->error.text, error_text);         \
    } while (0)

static void class_refused(const fb_class_options *options, const fb_str *names, size_t count,
                          const char *text) {
    fb_class *class_ = NULL;
    fb_error error = {0};
    assert_result(fb_class_new(options, 1, names, count, &class_, &error), FB_EINVAL);
    assert_string_equal(error.text, text);
    assert_int_equal(error.code, FB_EINVAL);
}

#define KEY_REFUSED(key_text, text) \
    class_refused(&(fb_class_options){.name = TEXT("thing"), .key = TEXT(key_text)}, NULL, 0, text)

// ---- keys

static void test_class__key_is_the_pattern_filled_in(void **state) {
    fixture f = with((fb_class_options){.key = TEXT("search:{word}:{page}")});
    assert_key(&f, "search:sqlite:2", PARAM("word", "sqlite"), PARAM("page", "2"));
    assert_key(&f, "search:sqlite:2", PARAM("page", "2"), PARAM("word", "sqlite"));
    assert_int_equal(f.bound.param_count, 2);
    assert_str(f.bound.params[0].name, "word");
    assert_str(f.bound.params[0].value, "sqlite");
    assert_key(&f, "search::", PARAM("word", ""), PARAM("page", ""));
    done(&f);
    f = with((fb_class_options){.key = TEXT("stats:all")});
    assert_ok(bind(&f, NULL, 0));
    assert_str(f.bound.key, "stats:all");
    done(&f);
    f = with((fb_class_options){.key = TEXT("{{{id}}}:x")});
    assert_key(&f, "{7}:x", PARAM("id", "7"));
    done(&f);
}

static void test_class__separators_inside_values_are_encoded(void **state) {
    fixture f = with((fb_class_options){.key = TEXT("search:{word}:{page}")});
    assert_key(&f, "search:a%3Ab:c:d", PARAM("word", "a:b"), PARAM("page", "c:d"));
    assert_key(&f, "search:50%25:%", PARAM("word", "50%"), PARAM("page", "%"));
    assert_key(&f, "search:%253A:%3A", PARAM("word", "%3A"), PARAM("page", "%3A"));
    // What was bound is the value itself.
    assert_str(f.bound.params[0].value, "%3A");
    done(&f);
}

static void test_class__text_is_normalised_as_told(void **state) {
    fixture f = with((fb_class_options){.key = TEXT("p:{name}"),
                                        .normalise = FB_NORMALISE_TRIM | FB_NORMALISE_CASEFOLD});
    assert_key(&f, "p:sqlite  x", PARAM("name", " \tSQLite  X\n"));
    assert_str(f.bound.params[0].value, "sqlite  x");
    assert_key(&f, "p:größe", PARAM("name", "GRÖßE"));
    assert_key(&f, "p:", PARAM("name", "  "));
    done(&f);
    f = with((fb_class_options){.key = TEXT("p:{name}"), .normalise = FB_NORMALISE_COLLAPSE});
    assert_key(&f, "p: a B c ", PARAM("name", " \n a\tB   c  "));
    done(&f);
    f = with((fb_class_options){.key = TEXT("p:{name}")});
    assert_key(&f, "p: A  b ", PARAM("name", " A  b "));
    done(&f);
}

static void test_class__integers_have_one_form(void **state) {
    fb_param_options page = class_integer("page", -5, 1000);
    fixture f = with(
        (fb_class_options){.key = TEXT("p:{page}"), .parameters = &page, .parameter_count = 1});
    assert_key(&f, "p:7", PARAM("page", "007"));
    assert_key(&f, "p:7", PARAM("page", " +7\t"));
    assert_key(&f, "p:0", PARAM("page", "-0"));
    assert_key(&f, "p:-5", PARAM("page", "-5"));
    assert_refused(&f, "class thing: parameter page is 'abc', expected an integer from -5 to 1000",
                   PARAM("page", "abc"));
    assert_refused(&f, "class thing: parameter page is '1001', expected an integer from -5 to 1000",
                   PARAM("page", "1001"));
    assert_result(bind(&f, PARAMS(PARAM("page", ""))), FB_EINVAL);
    assert_result(bind(&f, PARAMS(PARAM("page", "-"))), FB_EINVAL);
    assert_result(bind(&f, PARAMS(PARAM("page", "1 2"))), FB_EINVAL);
    assert_result(bind(&f, PARAMS(PARAM("page", "7.0"))), FB_EINVAL);
    done(&f);
    page = class_integer("page", INT64_MIN, INT64_MAX);
    f = with(
        (fb_class_options){.key = TEXT("p:{page}"), .parameters = &page, .parameter_count = 1});
    assert_key(&f, "p:-9223372036854775808", PARAM("page", "-09223372036854775808"));
    assert_key(&f, "p:9223372036854775807", PARAM("page", "9223372036854775807"));
    assert_refused(&f,
                   "class thing: parameter page is '9223372036854775808', expected an integer of "
                   "64 bits",
                   PARAM("page", "9223372036854775808"));
    done(&f);
}

static void test_class__numbers_have_one_form(void **state) {
    static const char *const same[][2] = {
        {"1.50", "1.5"},
        {"5e2", "500"},
        {"-0", "0"},
        {"0e999", "0"},
        {"+.5", "0.5"},
        {"5.", "5"},
        {"0.0000001", "1e-7"},
        {"0.000001", "0.000001"},
        {"123e-5", "0.00123"},
        {"1e21", "1e21"},
        {"100000000000000000000", "100000000000000000000"},
        {"12345678901234567890123", "1.2345678901234567890123e22"},
        {"-1.20E+3", "-1200"},
        {" 7 ", "7"},
        {"00012.500", "12.5"},
        {"0.1000000000000000000000000001", "0.1000000000000000000000000001"},
        {"1e307", "1e307"},
        {"10e-308", "1e-307"}};
    static const char *const wrong[] = {"",    ".",    "-",     "e5",     "1e",
                                        "1e+", "0x10", "nan",   "inf",    "1.2.3",
                                        "1,5", "1 2",  "1e308", "1e-309", "1e99999999999999999999"};
    fb_param_options rate = {.name = TEXT("x"), .type = FB_PARAM_NUMBER};
    fixture f =
        with((fb_class_options){.key = TEXT("{x}:n"), .parameters = &rate, .parameter_count = 1});
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        fb_param param = {FB_STR("x"), fb_str_of(same[i][0])};
        assert_ok(bind(&f, &param, 1));
        assert_str(f.bound.params[0].value, same[i][1]);
        double before, after;
        param.value = fb_str_trim(param.value);
        if (fb_str_double(param.value, &before) == FB_OK) {
            assert_ok(fb_str_double(f.bound.params[0].value, &after));
            assert_true(before == after);
        }
        param.value = fb_str_of(same[i][1]);
        assert_ok(bind(&f, &param, 1));
        assert_str(f.bound.params[0].value, same[i][1]);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fb_param param = {FB_STR("x"), fb_str_of(wrong[i])};
        assert_result(bind(&f, &param, 1), FB_EINVAL);
    }
    assert_refused(&f, "class thing: parameter x is 'many', expected a number of at most 64 digits",
                   PARAM("x", "many"));
    done(&f);
}

static void test_class__missing_unknown_and_double_parameters_are_named(void **state) {
    fb_param_options page = class_integer("page", 1, INT64_MAX);
    page.default_text = TEXT("01");
    fixture f = with((fb_class_options){.name = TEXT("package"),
                                        .key = TEXT("package:{name}:{page}"),
                                        .parameters = &page,
                                        .parameter_count = 1});
    assert_key(&f, "package:x:1", PARAM("name", "x"));
    assert_str(f.bound.params[1].value, "1");
    assert_refused(&f, "class package needs the parameter 'name'", PARAM("page", "2"));
    assert_refused(&f, "class package has no parameter 'nam'; did you mean 'name'?",
                   PARAM("nam", "x"));
    assert_refused(&f, "class package has no parameter 'colour'; it has name, page",
                   PARAM("name", "x"), PARAM("colour", "red"));
    assert_refused(&f, "class package: parameter name is given twice", PARAM("name", "x"),
                   PARAM("name", "x"));
    assert_refused(&f, "class package: parameter page is '0', expected an integer of at least 1",
                   PARAM("name", "x"), PARAM("page", "0"));
    assert_refused(&f, "class package has no parameter 'a??b'; it has name, page",
                   PARAM("a\r\nb", ""));
    done(&f);
}

static void test_class__too_long_a_key_is_refused(void **state) {
    fixture f = with((fb_class_options){.key = TEXT("k:{v}:{w}")});
    static char big[FB_KEY_LEN_MAX + 1];
    memset(big, ':', sizeof big);
    fb_param params[] = {{FB_STR("v"), {"x", 1}}, {FB_STR("w"), {big, FB_KEY_LEN_MAX - 4}}};
    assert_ok(bind(&f, params, 2));
    assert_int_equal(f.bound.key.len, FB_KEY_LEN_MAX);
    params[1].value.len++;
    assert_result(bind(&f, params, 2), FB_EINVAL);
    assert_string_equal(f.error.text,
                        "class thing: the key would have 65536 bytes, at most 65535 are allowed");
    // Encoding makes it longer than it looks.
    params[0].value = fb_str_make(big, FB_KEY_LEN_MAX / 2);
    params[1].value = FB_STR("");
    assert_result(bind(&f, params, 2), FB_EINVAL);
    done(&f);
}

// ---- {hash}

static void hex_of(fb_str bytes, char text[33]) {
    uint8_t hash[16];
    fb_hash128(bytes, hash);
    for (int i = 0; i < 16; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", hash[i]);
    }
}

static void test_class__hash_covers_what_the_key_does_not_name(void **state) {
    fb_param_options page = class_integer("page", 1, 100);
    page.default_text = TEXT("1");
    fb_class_options options = {.name = TEXT("api"),
                                .key = TEXT("api:{user}:{hash}"),
                                .query = TEXT("…"),
                                .normalise = FB_NORMALISE_TRIM,
                                .parameters = &page,
                                .parameter_count = 1};
    fb_str names[] = {FB_STR("query"), FB_STR("page"), FB_STR("user")};
    fixture f = {0};
    assert_ok(fb_class_new(&options, 1, names, 3, &f.class_, &f.error));
    char hex[33], key[64];
    hex_of(FB_STR("4:page1:25:query6:sqlite"), hex);
    (void)snprintf(key, sizeof key, "api:7:%s", hex);
    assert_key(&f, key, PARAM("query", " sqlite "), PARAM("page", "02"), PARAM("user", "7"));
    assert_int_equal(f.bound.param_count, 3);
    assert_str(f.bound.params[0].name, "user");
    assert_str(f.bound.params[1].name, "page");
    assert_str(f.bound.params[2].name, "query");
    hex_of(FB_STR("4:page1:15:query6:sqlite"), hex);
    (void)snprintf(key, sizeof key, "api:7:%s", hex);
    assert_key(&f, key, PARAM("query", "sqlite"), PARAM("user", "7"));
    assert_refused(&f, "class api has no parameter 'pag'; did you mean 'page'?", PARAM("pag", "1"));
    done(&f);
}

static void test_class__md5_of_one_text_is_that_texts_md5(void **state) {
    fb_param_options one = {.name = TEXT("text")};
    fixture f = with((fb_class_options){.key = TEXT("embedding:{hash}"),
                                        .digest = FB_DIGEST_MD5,
                                        .parameters = &one,
                                        .parameter_count = 1});
    assert_key(&f, "embedding:5d41402abc4b2a76b9719d911017c592", PARAM("text", "hello"));
    assert_key(&f, "embedding:d41d8cd98f00b204e9800998ecf8427e", PARAM("text", ""));
    done(&f);
    // Two are told apart by name and length.
    fb_param_options two[] = {{.name = TEXT("a")}, {.name = TEXT("b")}};
    f = with((fb_class_options){
        .key = TEXT("{hash}"), .digest = FB_DIGEST_MD5, .parameters = two, .parameter_count = 2});
    // md5("1:a1:x1:b0:")
    assert_key(&f, "a7df835a92079a4a57ee3cae3cc461b3", PARAM("a", "x"), PARAM("b", ""));
    done(&f);
}

static void test_class__open_class_takes_any_parameters(void **state) {
    fixture f = with((fb_class_options){.key = TEXT("call:{function}:{hash}")});
    char hex[33], key[64];
    hex_of(FB_STR("1:a1:12:aa0:1:z1:9"), hex);
    (void)snprintf(key, sizeof key, "call:f:%s", hex);
    assert_key(&f, key, PARAM("z", "9"), PARAM("a", "1"), PARAM("function", "f"), PARAM("aa", ""));
    assert_int_equal(f.bound.param_count, 4);
    assert_str(f.bound.params[1].name, "a");
    assert_str(f.bound.params[3].value, "9");
    hex_of(FB_STR(""), hex);
    (void)snprintf(key, sizeof key, "call:f:%s", hex);
    assert_key(&f, key, PARAM("function", "f"));
    assert_refused(&f, "class thing: parameter a is given twice", PARAM("function", "f"),
                   PARAM("a", "1"), PARAM("b", "2"), PARAM("a", "1"));
    assert_refused(&f, "class thing needs the parameter 'function'", PARAM("a", "1"));
    fb_param many[FB_CLASS_PARAMS_MAX + 1];
    char names[FB_CLASS_PARAMS_MAX + 1][8];
    for (int i = 0; i <= FB_CLASS_PARAMS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "p%d", i);
        many[i] = (fb_param){fb_str_of(names[i]), FB_STR("v")};
    }
    assert_result(bind(&f, many, FB_CLASS_PARAMS_MAX + 1), FB_EINVAL);
    assert_string_equal(f.error.text, "class thing: more than 32 parameters");
    done(&f);
}

// ---- no two sets of values give one key

enum { SETS_MAX = 4096 };

typedef struct seen {
    char key[256];
    size_t key_len;
} seen;

static seen seen_keys[SETS_MAX];

// All strings over the alphabet of at most two bytes; the n-th.
static fb_str nth_text(size_t n, const char *alphabet, char text[2]) {
    size_t letters = strlen(alphabet);
    if (n == 0) {
        return fb_str_make(text, 0);
    }
    if (n <= letters) {
        text[0] = alphabet[n - 1];
        return fb_str_make(text, 1);
    }
    text[0] = alphabet[(n - 1 - letters) / letters];
    text[1] = alphabet[(n - 1 - letters) % letters];
    return fb_str_make(text, 2);
}

static void check_distinct(const char *key, const char *alphabet) {
    fixture f = with((fb_class_options){.key = (char *)(uintptr_t)key});
    size_t letters = strlen(alphabet), texts = 1 + letters + letters * letters, count = 0;
    fb_map map = {0};
    fb_buf back = {0};
    for (size_t i = 0; i < texts; i++) {
        for (size_t j = 0; j < texts; j++) {
            char a[2], b[2];
            fb_param params[] = {{FB_STR("a"), nth_text(i, alphabet, a)},
                                 {FB_STR("b"), nth_text(j, alphabet, b)}};
            assert_ok(bind(&f, params, 2));
            seen *it = &seen_keys[count++];
            assert_true(count < SETS_MAX && f.bound.key.len < sizeof it->key);
            it->key_len = f.bound.key.len;
            memcpy(it->key, f.bound.key.ptr, it->key_len);
            fb_str stored = fb_str_make(it->key, it->key_len);
            if (fb_map_get(&map, stored) != NULL) {
                fail_msg("%s: two sets of values give \"%.*s\"", key, FB_STR_ARG(stored));
            }
            assert_ok(fb_map_put(&map, stored, it));
            assert_true(fb_class_owns(f.class_, stored));
            if (strstr(key, "{hash}") == NULL) {
                fb_bound bound;
                assert_ok(fb_class_unbind(f.class_, stored, &back, &bound));
                for (size_t k = 0; k < 2; k++) {
                    size_t from = fb_str_equal(bound.params[k].name, params[0].name) ? 0 : 1;
                    assert_bytes(bound.params[k].value, params[from].value);
                }
            }
        }
    }
    fb_buf_release(&back);
    fb_map_release(&map);
    done(&f);
}

static void test_class__different_values_never_give_one_key(void **state) {
    static const char *const patterns[] = {
        "{a}:{b}",  "x{a}::{b}",   "{a}:{b}:",   "{b}:x:{a}x",     "{a}x{b}g",
        "{a}\n{b}", "{a}::{hash}", "{hash}:{b}", "{a}/{b}/{hash}", "p{hash}"};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        check_distinct(patterns[i], ":%xA3");
        check_distinct(patterns[i], ":%x25");
        check_distinct(patterns[i], "g/\n%");
    }
}

static fb_str random_text(fb_rng *rng, char *text, size_t size) {
    static const char alphabet[] = ":::%%%%255A3aAbB \t\n-/\xc3\x84\xff\0";
    size_t len = (size_t)fb_rng_below(rng, size);
    for (size_t i = 0; i < len; i++) {
        text[i] = alphabet[fb_rng_below(rng, sizeof alphabet - 1)];
    }
    return fb_str_make(text, len);
}

static bool same_params(const fb_bound *a, const fb_bound *b) {
    for (size_t i = 0; i < a->param_count; i++) {
        if (!fb_str_equal(a->params[i].value, b->params[i].value)) {
            return false;
        }
    }
    return true;
}

static void test_class__random_keys_differ_as_their_values_do(void **state) {
    static const char *const patterns[] = {"s:{a}:{b}", "{a}-{b}/{c}", "x:{a}:{hash}"};
    fb_rng rng = test_rng();
    for (int round = 0; round < 20000; round++) {
        const char *key = patterns[fb_rng_below(&rng, 3)];
        fb_param_options all[] = {{.name = TEXT("a")}, {.name = TEXT("b")}, {.name = TEXT("c")}};
        fb_class_options options = {.name = TEXT("r"),
                                    .key = (char *)(uintptr_t)key,
                                    .normalise = (uint32_t)fb_rng_below(&rng, 8)};
        if (strstr(key, "hash") != NULL) {
            options.parameters = all;
            options.parameter_count = 3;
        }
        fb_class *class_ = class_make(&options, 1);
        char texts[2][3][6];
        fb_buf scratch[2] = {{0}, {0}};
        fb_bound bound[2];
        for (int i = 0; i < 2; i++) {
            fb_param params[3];
            for (size_t j = 0; j < class_->param_count; j++) {
                params[j] = (fb_param){class_->params[j].name,
                                       random_text(&rng, texts[i][j], sizeof texts[i][j])};
            }
            assert_ok(
                fb_class_bind(class_, params, class_->param_count, &scratch[i], &bound[i], NULL));
        }
        assert_int_equal(fb_str_equal(bound[0].key, bound[1].key),
                         same_params(&bound[0], &bound[1]));
        // A key's own parameters give it again.
        fb_buf again = {0};
        fb_bound twice;
        assert_ok(
            fb_class_bind(class_, bound[0].params, bound[0].param_count, &again, &twice, NULL));
        assert_bytes(twice.key, bound[0].key);
        fb_buf_release(&again);
        fb_buf_release(&scratch[0]);
        fb_buf_release(&scratch[1]);
        fb_class_free(class_);
    }
}

// ---- back

static void test_class__unbind_gives_only_what_binding_made(void **state) {
    fb_param_options page = class_integer("page", 1, 9);
    fixture f = with((fb_class_options){.key = TEXT("s:{word}:{page}"),
                                        .normalise = FB_NORMALISE_CASEFOLD,
                                        .parameters = &page,
                                        .parameter_count = 1});
    fb_bound bound;
    assert_ok(fb_class_unbind(f.class_, FB_STR("s:a%3Ab:2"), &f.scratch, &bound));
    assert_str(bound.params[0].value, "a:b");
    assert_str(bound.params[1].value, "2");
    assert_str(bound.key, "s:a%3Ab:2");
    assert_ok(fb_class_unbind(f.class_, FB_STR("s:größe:2"), &f.scratch, &bound));
    assert_str(bound.params[0].value, "größe");
    static const char *const others[] = {"s:A:2", "s:GRÖSSE:2", "s:a:02", "s:a:0",
                                         "s:a:x", "s:a%3ab:2",  "s:a%:2", "s:a%61:2",
                                         "s:a",   "t:a:2",      "",       "s:a%3"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_result(fb_class_unbind(f.class_, fb_str_of(others[i]), &f.scratch, &bound), FB_MISS);
    }
    // It is of the class all the same where its shape is.
    assert_true(fb_class_owns(f.class_, FB_STR("s:A:x")));
    assert_false(fb_class_owns(f.class_, FB_STR("s:A")));
    done(&f);
    f = with((fb_class_options){.key = TEXT("h:{hash}")});
    assert_true(fb_class_owns(f.class_, FB_STR("h:0123456789abcdef0123456789abcdef")));
    assert_false(fb_class_owns(f.class_, FB_STR("h:0123456789abcdef0123456789abcdeF")));
    assert_false(fb_class_owns(f.class_, FB_STR("h:0123456789abcdef0123456789abcdef0")));
    assert_result(
        fb_class_unbind(f.class_, FB_STR("h:0123456789abcdef0123456789abcdef"), &f.scratch, &bound),
        FB_MISS);
    done(&f);
}

static void test_class__plain_class_has_no_parameters(void **state) {
    fixture f = {0};
    assert_ok(fb_class_new_plain(&f.class_));
    assert_int_equal(f.class_->id, FB_CLASS_PLAIN);
    assert_false(fb_class_owns(f.class_, FB_STR("x")));
    assert_result(bind(&f, NULL, 0), FB_EINVAL);
    assert_result(fb_class_unbind(f.class_, FB_STR("x"), &f.scratch, &f.bound), FB_MISS);
    done(&f);
    fb_class_free(NULL);
}

// ---- what is refused when a class is made

static void test_class__malformed_patterns_are_refused(void **state) {
    KEY_REFUSED("a:{b",
                "class thing: its key 'a:{b': '{' at byte 3 has no '}'; '{{' stands for a "
                "brace");
    KEY_REFUSED("a}:{b}",
                "class thing: its key 'a}:{b}': '}' at byte 2 has no '{'; '}}' stands for "
                "a brace");
    KEY_REFUSED("a:{}",
                "class thing: its key 'a:{}': '{}' at byte 3 is no name: expected letters, "
                "digits and '_', 64 at most");
    KEY_REFUSED("a:{b}{c}",
                "class thing: its key 'a:{b}{c}': '{b}' and '{c}' stand side by side: "
                "expected text between them, as ':'");
    KEY_REFUSED("a:{b}:{b}", "class thing: its key 'a:{b}:{b}': '{b}' stands there twice");
    KEY_REFUSED("a:{b}2",
                "class thing: its key 'a:{b}2': the text behind '{b}' begins with '2': "
                "expected no '%', digit or A to F there, which stand for encoded bytes of "
                "the value");
    KEY_REFUSED("{b}",
                "class thing: its key '{b}': '{b}' would take every key there is: expected some "
                "text of its own, as 'package:{b}'");
    KEY_REFUSED("", "class thing: its key '': it is empty: expected a pattern as 'package:{name}'");
}

static void test_class__parameters_must_fit_key_and_query(void **state) {
    fb_class_options options = {.name = TEXT("search"),
                                .key = TEXT("search:{word}"),
                                .query = TEXT("…"),
                                .file = TEXT("f.yaml"),
                                .line = 7,
                                .column = 3};
    fb_str names[] = {FB_STR("word"), FB_STR("page")};
    class_refused(
        &options, names, 2,
        "class search: the query uses :page, but the key 'search:{word}' does not tell its "
        "values apart: expected {page} or {hash} in it");
    fb_class *class_ = NULL;
    fb_error error;
    assert_result(fb_class_new(&options, 1, names, 2, &class_, &error), FB_EINVAL);
    assert_string_equal(error.file, "f.yaml");
    assert_int_equal(error.line, 7);
    assert_int_equal(error.column, 3);
    fb_param_options wrod = {.name = TEXT("wrod")};
    options.parameters = &wrod;
    options.parameter_count = 1;
    class_refused(&options, names, 1,
                  "class search: it declares the parameter 'wrod', which neither its key nor its "
                  "query uses; did you mean 'word'?");
    options.parameters = NULL;
    options.parameter_count = 0;
    options.key = TEXT("search:{word}:{hash}");
    class_refused(&options, names, 1,
                  "class search: {hash} in the key 'search:{word}:{hash}' covers nothing: every "
                  "parameter stands in the key by itself");
    fb_param_options page = {.name = TEXT("word"),
                             .type = FB_PARAM_INTEGER,
                             .default_text = TEXT("x"),
                             .min = 1,
                             .max = 9};
    options.parameters = &page;
    options.parameter_count = 1;
    class_refused(&options, names, 2,
                  "class search: the default of parameter 'word' is 'x': expected an integer");
    page.default_text = TEXT("10");
    class_refused(&options, names, 2,
                  "class search: the default of parameter 'word' is '10': expected a value within "
                  "its range");
    page.max = 0;
    class_refused(&options, names, 2,
                  "class search: parameter 'word' has no values: its min is above its max");
}

static void test_class__mistakes_are_at_the_place_of_their_option(void **state) {
    char *tags[] = {TEXT("a:{b")}, *index[] = {TEXT("wrod")};
    char long_tag[FB_TAG_LEN_MAX + 2] = {0}, *long_tags[] = {long_tag};
    const fb_class_options base = {.name = TEXT("search"), .key = TEXT("search:{word}"),
                                   .file = TEXT("f.yaml"), .line = 7, .column = 3, .key_line = 8,
                                   .key_column = 10, .tags_line = 9, .tags_column = 11,
                                   .index_line = 10, .index_column = 12};
    memset(long_tag, 't', FB_TAG_LEN_MAX + 1);
    fb_class_options key = base, tag = base, indexed = base, too_long = base, unplaced = base;
    key.key = TEXT("search:{word");
    tag.tags = tags;
    tag.tag_count = 1;
    indexed.index = index;
    indexed.index_count = 1;
    too_long.tags = long_tags;
    too_long.tag_count = 1;
    unplaced.key = key.key;
    unplaced.key_line = 0;
    const struct {
        const fb_class_options *options;
        uint32_t line, column;
    } rows[] = {{&key, 8, 10}, {&tag, 9, 11}, {&too_long, 9, 11}, {&indexed, 10, 12},
                {&unplaced, 7, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fb_class *class_ = NULL;
        fb_error error;
        assert_result(fb_class_new(rows[i].options, 1, NULL, 0, &class_, &error), FB_EINVAL);
        assert_string_equal(error.file, "f.yaml");
        assert_int_equal(error.line, rows[i].line);
        assert_int_equal(error.column, rows[i].column);
    }
    long_tag[FB_TAG_LEN_MAX] = '\0';
    fb_class *class_ = NULL;
    assert_ok(fb_class_new(&too_long, 1, NULL, 0, &class_, NULL));
    fb_class_free(class_);
}

static void test_class__index_tags_and_batch_name_parameters(void **state) {
    char *by[] = {TEXT("wrod")};
    fb_class_options options = {
        .name = TEXT("search"), .key = TEXT("search:{word}:{page}"), .index = by, .index_count = 1};
    class_refused(&options, NULL, 0,
                  "class search: it is indexed by 'wrod', which does not stand in the key "
                  "'search:{word}:{page}'; did you mean 'word'?");
    by[0] = TEXT("page");
    class_refused(&options, NULL, 0,
                  "class search: it cannot be indexed by 'page', which ends the key "
                  "'search:{word}:{page}': one value is one key, to be invalidated as that");
    options.index_count = 0;
    options.batch_by = TEXT("id");
    class_refused(&options, NULL, 0,
                  "class search: its batches are made by 'id', which is no parameter; it has word, "
                  "page");
    options.batch_by = NULL;
    char *tags[] = {TEXT("a:{b")};
    options.tags = tags;
    options.tag_count = 1;
    class_refused(
        &options, NULL, 0,
        "class search: the tag 'a:{b': '{' at byte 3 has no '}'; '{{' stands for a brace");
}

// ---- tags

typedef struct row {
    const char *const *fields;  // name, value (NULL: none), name, value, …, NULL
} row;

static int field_of(void *arg, fb_str name, fb_str *text) {
    const row *from = arg;
    for (size_t i = 0; from->fields[i] != NULL; i += 2) {
        if (fb_str_equal(fb_str_of(from->fields[i]), name)) {
            *text = fb_str_of(from->fields[i + 1]);
            return from->fields[i + 1] != NULL ? FB_OK : FB_MISS;
        }
    }
    return FB_MISS;
}

static void assert_tags(const fb_loaded *loaded, size_t count, const char *const *tags) {
    assert_int_equal(loaded->tag_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_str(fb_loaded_tag_at(loaded, i), tags[i]);
    }
}

static void test_class__tags_come_from_parameters_then_the_row(void **state) {
    char *tags[] = {TEXT("all"), TEXT("name:{name}"), TEXT("section:{section}"),
                    TEXT("{section}/{name}"), TEXT("{{{maintainer}}}")};
    fixture f = with((fb_class_options){.key = TEXT("p:{name}"), .tags = tags, .tag_count = 5});
    static const char *const fields[] = {"name",       "of the row", "section", "libs",
                                         "maintainer", NULL,         NULL};
    static const char *const others[] = {"section", "admin", "maintainer", "x", NULL};
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    assert_key(&f, "p:sqlite", PARAM("name", "sqlite"));
    assert_ok(fb_class_param_tags(f.class_, &f.bound, &loaded));
    assert_tags(&loaded, 2, (const char *const[]){"all", "name:sqlite"});
    assert_ok(fb_class_row_tags(f.class_, &f.bound, field_of, &(row){fields}, &loaded));
    assert_ok(fb_class_row_tags(f.class_, &f.bound, field_of, &(row){fields}, &loaded));
    assert_tags(&loaded, 4,
                (const char *const[]){"all", "name:sqlite", "section:libs", "libs/sqlite"});
    assert_ok(fb_class_row_tags(f.class_, &f.bound, field_of, &(row){others}, &loaded));
    assert_int_equal(loaded.tag_count, 7);
    assert_str(fb_loaded_tag_at(&loaded, 6), "{x}");
    fb_loaded_release(&loaded);
    done(&f);
}

static void test_class__too_many_or_too_long_tags_fail_the_load(void **state) {
    char *tags[] = {TEXT("n:{n}")};
    fixture f = with(
        (fb_class_options){.name = TEXT("c"), .key = TEXT("p:x"), .tags = tags, .tag_count = 1});
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    assert_ok(bind(&f, NULL, 0));
    char text[200] = "";
    const char *fields[] = {"n", text, NULL};
    for (int i = 0; i < FB_TAGS_MAX; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        assert_ok(fb_class_row_tags(f.class_, &f.bound, field_of, &(row){fields}, &loaded));
    }
    // One that is there already is no more.
    assert_ok(fb_class_row_tags(f.class_, &f.bound, field_of, &(row){fields}, &loaded));
    (void)snprintf(text, sizeof text, "more");
    assert_result(fb_class_row_tags(f.class_, &f.bound, field_of, &(row){fields}, &loaded),
                  FB_EINVAL);
    assert_string_equal(loaded.error,
                        "class c: tag 'n:{n}': the entry has 16 tags already, which is the limit");
    fb_loaded_release(&loaded);
    memset(text, 'x', 126);
    text[126] = '\0';
    assert_ok(fb_class_row_tags(f.class_, &f.bound, field_of, &(row){fields}, &loaded));
    assert_int_equal(fb_loaded_tag_at(&loaded, 0).len, FB_TAG_LEN_MAX);
    text[126] = 'x';
    text[127] = '\0';
    assert_result(fb_class_row_tags(f.class_, &f.bound, field_of, &(row){fields}, &loaded),
                  FB_EINVAL);
    assert_string_equal(loaded.error, "class c: tag 'n:{n}': it would be longer than 128 bytes");
    fb_loaded_release(&loaded);
    done(&f);
}

// Neither an index's tag nor a media type, which go the same way.
static void test_class__no_value_makes_a_tag_that_is_forebays_own(void **state) {
    char *tags[] = {TEXT("{n}")};
    fixture f = with(
        (fb_class_options){.name = TEXT("c"), .key = TEXT("p:x"), .tags = tags, .tag_count = 1});
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    assert_ok(bind(&f, NULL, 0));
    static const char *const wrong[] = {"\x01index", "\x02text/html"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *fields[] = {"n", wrong[i], NULL};
        assert_result(fb_class_row_tags(f.class_, &f.bound, field_of, &(row){fields}, &loaded),
                      FB_EINVAL);
        assert_string_equal(loaded.error, "class c: tag '{n}': it would begin with byte 1 or 2, "
                                          "which are forebay's own");
    }
    assert_int_equal(loaded.tag_count, 0);
    fb_loaded_release(&loaded);
    done(&f);
}

static void test_class__a_set_value_gets_the_tags_of_its_key(void **state) {
    char *tags[] = {TEXT("user:{user_id}"), TEXT("kind:{kind}"), TEXT("q:{query}")};
    fb_param_options declared[] = {class_integer("user_id", 1, 1000), {.name = TEXT("query")}};
    fixture f = with((fb_class_options){.key = TEXT("r:{user_id}:{kind}:{hash}"),
                                        .normalise = FB_NORMALISE_CASEFOLD,
                                        .tags = tags,
                                        .tag_count = 3,
                                        .parameters = declared,
                                        .parameter_count = 2});
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    assert_ok(fb_class_key_tags(f.class_, FB_STR("r:007:N%3AW%:0123456789abcdef0123456789abcdef"),
                                &f.scratch, &loaded));
    // As it can be read: numbers and letters in their form, what is no encoding as it stands.
    assert_tags(&loaded, 2, (const char *const[]){"user:7", "kind:n%3aw%"});
    fb_loaded_release(&loaded);
    assert_ok(fb_class_key_tags(f.class_, FB_STR("r:x:N%3AW:0123456789abcdef0123456789abcdef"),
                                &f.scratch, &loaded));
    assert_tags(&loaded, 2, (const char *const[]){"user:x", "kind:n:w"});
    fb_loaded_release(&loaded);
    assert_ok(fb_class_key_tags(f.class_, FB_STR("r:other"), &f.scratch, &loaded));
    assert_int_equal(loaded.tag_count, 0);
    fb_loaded_release(&loaded);
    done(&f);
}

// ---- without memory

static int whole_life(void *arg) {
    char *tags[] = {TEXT("name:{name}"), TEXT("section:{section}")};
    char *index[] = {TEXT("name")};
    fb_param_options page = class_integer("page", 1, 9);
    page.default_text = TEXT("01");
    fb_class_options options = {.name = TEXT("c"),
                                .key = TEXT("p:{name}:{hash}"),
                                .query = TEXT("…"),
                                .normalise = 7,
                                .tags = tags,
                                .tag_count = 2,
                                .index = index,
                                .index_count = 1,
                                .parameters = &page,
                                .parameter_count = 1};
    fb_str names[] = {FB_STR("name"), FB_STR("page")};
    fb_class *classes[2] = {NULL, NULL};
    fb_catalog *catalog = NULL;
    fb_buf scratch = {0}, tag = {0};
    fb_bound bound;
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    int result = fb_class_new_plain(&classes[0]);
    if (result == FB_OK) {
        result = fb_class_new(&options, 1, names, 2, &classes[1], NULL);
    }
    if (result != FB_OK) {
        fb_class_free(classes[0]);
        return result;
    }
    result = fb_catalog_new(classes, 2, &catalog, NULL);
    if (result != FB_OK) {
        return result;
    }
    const fb_class *class_ = fb_catalog_find(catalog, FB_STR("c"));
    static const char *const fields[] = {"section", "libs", NULL};
    result = fb_class_bind(class_, PARAMS(PARAM("name", " A:  b "), PARAM("page", "02")), &scratch,
                           &bound, NULL);
    if (result == FB_OK) {
        result = fb_class_param_tags(class_, &bound, &loaded);
    }
    if (result == FB_OK) {
        result = fb_class_row_tags(class_, &bound, field_of, &(row){fields}, &loaded);
    }
    if (result == FB_OK) {
        result = fb_class_key_tags(class_, FB_STR("p:X%3A:0123456789abcdef0123456789abcdef"),
                                   &scratch, &loaded);
    }
    if (result == FB_OK) {
        assert_int_equal(loaded.tag_count, 5);
        result = fb_catalog_index_tag(catalog, FB_STR("p:42:*"), &tag);
    }
    fb_buf_release(&tag);
    fb_buf_release(&scratch);
    fb_loaded_release(&loaded);
    fb_catalog_free(catalog);
    return result;
}

static void test_class__every_failing_allocation_is_reported(void **state) {
    assert_true(test_memory_sweep(whole_life, NULL) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_class__key_is_the_pattern_filled_in),
        cmocka_unit_test(test_class__separators_inside_values_are_encoded),
        cmocka_unit_test(test_class__text_is_normalised_as_told),
        cmocka_unit_test(test_class__integers_have_one_form),
        cmocka_unit_test(test_class__numbers_have_one_form),
        cmocka_unit_test(test_class__missing_unknown_and_double_parameters_are_named),
        cmocka_unit_test(test_class__too_long_a_key_is_refused),
        cmocka_unit_test(test_class__hash_covers_what_the_key_does_not_name),
        cmocka_unit_test(test_class__md5_of_one_text_is_that_texts_md5),
        cmocka_unit_test(test_class__open_class_takes_any_parameters),
        cmocka_unit_test(test_class__different_values_never_give_one_key),
        cmocka_unit_test(test_class__random_keys_differ_as_their_values_do),
        cmocka_unit_test(test_class__unbind_gives_only_what_binding_made),
        cmocka_unit_test(test_class__plain_class_has_no_parameters),
        cmocka_unit_test(test_class__malformed_patterns_are_refused),
        cmocka_unit_test(test_class__parameters_must_fit_key_and_query),
        cmocka_unit_test(test_class__mistakes_are_at_the_place_of_their_option),
        cmocka_unit_test(test_class__index_tags_and_batch_name_parameters),
        cmocka_unit_test(test_class__tags_come_from_parameters_then_the_row),
        cmocka_unit_test(test_class__too_many_or_too_long_tags_fail_the_load),
        cmocka_unit_test(test_class__no_value_makes_a_tag_that_is_forebays_own),
        cmocka_unit_test(test_class__a_set_value_gets_the_tags_of_its_key),
        cmocka_unit_test(test_class__every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
