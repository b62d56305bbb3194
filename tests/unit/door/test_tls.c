// Certificates of the doors that are exchanged while connections have them. What OpenSSL holds is
// counted by the blocks that it takes.

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "door/tls.h"
#include "support.h"

static _Atomic long blocks;

static void *take(size_t len, const char *file, int line) {
    (void)file, (void)line;
    void *block = malloc(len);
    atomic_fetch_add(&blocks, block != NULL);
    return block;
}

static void give(void *block, const char *file, int line) {
    (void)file, (void)line;
    atomic_fetch_sub(&blocks, block != NULL);
    free(block);
}

static void *take_again(void *block, size_t len, const char *file, int line) {
    if (len == 0) {
        give(block, file, line);
        return NULL;
    }
    void *moved = realloc(block, len);
    atomic_fetch_add(&blocks, block == NULL && moved != NULL);
    return moved;
}

// ---- certificates that sign themselves

static char folder[64];

typedef struct pair {
    char cert[96], key[96];
    long serial;
} pair;

static pair one, other;

static X509 *new_certificate(EVP_PKEY *key, long serial) {
    X509 *made = X509_new();
    X509_NAME *name = X509_get_subject_name(made);
    assert_int_equal(X509_set_version(made, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(made), serial), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"localhost", -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(made, name), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(made), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(made), 100L * 24 * 3600));
    assert_int_equal(X509_set_pubkey(made, key), 1);
    assert_true(X509_sign(made, key, EVP_sha256()) > 0);
    return made;
}

static void write_pair(pair *two, const char *name, long serial) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = new_certificate(key, serial);
    two->serial = serial;
    (void)snprintf(two->cert, sizeof two->cert, "%s/%s.pem", folder, name);
    (void)snprintf(two->key, sizeof two->key, "%s/%s.key", folder, name);
    FILE *file = fopen(two->cert, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
    file = fopen(two->key, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int up(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/forebay-tls-XXXXXX");
    assert_non_null(mkdtemp(folder));
    write_pair(&one, "one", 1);
    write_pair(&other, "other", 2);
    return 0;
}

static int down(void **state) {
    (void)state;
    assert_int_equal(unlink(one.cert) + unlink(one.key), 0);
    assert_int_equal(unlink(other.cert) + unlink(other.key), 0);
    return rmdir(folder);
}

// ---- what is done with them

static fb_door_tls_context *prepare(const fb_door_tls *tls, const pair *by) {
    fb_door_tls_options options = {.cert = by->cert, .key = by->key};
    fb_door_tls_context *next = NULL;
    fb_error error;
    assert_ok(fb_door_tls_prepare(tls, &options, &next, &error));
    return next;
}

static fb_door_tls *open_with(const pair *by) {
    fb_door_tls_options options = {.cert = by->cert, .key = by->key};
    fb_door_tls *tls = NULL;
    fb_error error;
    assert_ok(fb_door_tls_new(&options, &tls, &error));
    return tls;
}

static long serial_of(fb_door_tls *tls) {
    SSL *ssl = fb_door_tls_accept(tls, -1);
    assert_non_null(ssl);
    long serial = ASN1_INTEGER_get(X509_get0_serialNumber(SSL_get_certificate(ssl)));
    fb_door_tls_end(ssl);
    return serial;
}

static void replace_often(fb_door_tls *tls) {
    for (int i = 0; i < 20; i++) {
        fb_door_tls_publish(tls, prepare(tls, i % 2 == 0 ? &other : &one));
    }
}

static void test_tls__nothing_changes_before_it_is_published(void **state) {
    (void)state;
    fb_door_tls *tls = open_with(&one);
    fb_door_tls_context *next = prepare(tls, &other);
    assert_non_null(next);
    assert_int_equal(serial_of(tls), one.serial);
    fb_door_tls_drop(next);
    assert_int_equal(serial_of(tls), one.serial);
    fb_door_tls_publish(tls, prepare(tls, &other));
    assert_int_equal(serial_of(tls), other.serial);
    assert_null(prepare(tls, &other));  // it is the same
    fb_door_tls_publish(tls, NULL);
    assert_int_equal(serial_of(tls), other.serial);
    fb_door_tls_free(tls);
}

static void test_tls__what_is_replaced_goes_with_its_last_connection(void **state) {
    (void)state;
    fb_door_tls *tls = open_with(&one);
    replace_often(tls);  // what OpenSSL makes once it has made then
    long before = atomic_load(&blocks);
    fb_door_tls_context *next = prepare(tls, &other);
    long each = atomic_load(&blocks) - before;
    fb_door_tls_drop(next);
    assert_true(each > 50);
    replace_often(tls);
    assert_true(atomic_load(&blocks) - before < each / 2);

    SSL *first = fb_door_tls_accept(tls, -1);
    SSL *second = fb_door_tls_accept(tls, -1);
    replace_often(tls);
    assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(SSL_get_certificate(first))),
                     one.serial);
    fb_door_tls_end(first);
    assert_true(atomic_load(&blocks) - before > each);
    SSL_free(second);  // as whoever else ends it does
    assert_true(atomic_load(&blocks) - before < each / 2);
    fb_door_tls_free(tls);
}

static void say_nothing(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg, (void)level, (void)event, (void)fields;
}

int main(void) {
    static const fb_hooks quiet = {.log = say_nothing};
    fb_hooks_set(&quiet);
    if (CRYPTO_set_mem_functions(take, take_again, give) != 1) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tls__nothing_changes_before_it_is_published, up, down),
        cmocka_unit_test_setup_teardown(test_tls__what_is_replaced_goes_with_its_last_connection, up,
                                        down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
