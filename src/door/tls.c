// TLS for the doors, by OpenSSL.
//
// What all connections share is a context. A reload makes another and, when all else of the reload is
// known to succeed, puts it in the first one's place; each connection holds the one it began with, so
// the last of them takes it along. Holds are counted here, beside OpenSSL's own count, because the
// thread sanitizer cannot see that one in a library that was built without it.
//
// Off, because nothing here needs it and each has been a hole: renegotiation, compression,
// sessions kept in memory. (Clients may resume by tickets, which cost us nothing.) An end of the
// connection without TLS's own goodbye is taken for one: commands and bodies say how long they are,
// so nobody can cut one short unnoticed. Records are read one at a time, so that whatever has not
// been read is still in the socket, and the loop knows of it; buffers are freed while nothing is in
// them.

#include "door/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

enum { SOON_S = 14 * 24 * 3600, FILES = 3, PATH_SIZE = 4096 };

// What a file was when it was read.
typedef struct stamp {
    char path[PATH_SIZE];
    struct stat info;  // zeros: there was none
} stamp;

struct fb_door_tls_context {
    _Atomic size_t holds;  // by connections, and by whom it is in force for or made by
    SSL_CTX *ssl;
    stamp files[FILES];
    fb_door_tls_auth auth;
    bool only_13;
};

typedef fb_door_tls_context context;

struct fb_door_tls {
    pthread_mutex_t lock;
    context *now;
};

// ---- files

const char *fb_door_tls_words(unsigned long code) {
    if (ERR_SYSTEM_ERROR(code)) {
        return strerror(ERR_GET_REASON(code));
    }
    const char *text = ERR_reason_error_string(code);
    return text != NULL ? text : "no reason given";
}

// The first error says more than those that follow from it.
static const char *reason(void) {
    return fb_door_tls_words(ERR_peek_error());
}

static bool is_set(const char *text) {
    return text != NULL && text[0] != '\0';
}

static void stamp_file(stamp *one, const char *path) {
    (void)snprintf(one->path, sizeof one->path, "%s", is_set(path) ? path : "");
    if (!is_set(path) || stat(path, &one->info) != 0) {
        memset(&one->info, 0, sizeof one->info);
    }
}

static bool is_same_file(const stamp *a, const stamp *b) {
    return strcmp(a->path, b->path) == 0 && a->info.st_dev == b->info.st_dev &&
           a->info.st_ino == b->info.st_ino && a->info.st_size == b->info.st_size &&
           a->info.st_mtim.tv_sec == b->info.st_mtim.tv_sec &&
           a->info.st_mtim.tv_nsec == b->info.st_mtim.tv_nsec;
}

static int refuse(fb_error *error, const char *option, const char *file) {
    return fb_error_set(error, FB_EINVAL, "%s: %s cannot be used: %s", option, file, reason());
}

// OpenSSL would ask on the terminal.
static int no_passphrase(char *text, int size, int writing, void *arg) {
    (void)text, (void)size, (void)writing, (void)arg;
    return 0;
}

static int load_own(SSL_CTX *ssl, const fb_door_tls_options *options, fb_error *error) {
    if (!is_set(options->cert) || !is_set(options->key)) {
        return fb_error_set(error, FB_EINVAL, "TLS needs tls.cert and tls.key");
    }
    if (SSL_CTX_use_certificate_chain_file(ssl, options->cert) != 1) {
        return refuse(error, "tls.cert", options->cert);
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, options->key, SSL_FILETYPE_PEM) != 1) {
        unsigned long code = ERR_peek_error();
        if (ERR_GET_LIB(code) == ERR_LIB_X509 &&
            ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH) {
            return fb_error_set(error, FB_EINVAL, "tls.key: %s is not the key of %s", options->key,
                                options->cert);
        }
        return refuse(error, "tls.key", options->key);
    }
    if (SSL_CTX_check_private_key(ssl) != 1) {
        return fb_error_set(error, FB_EINVAL, "tls.key: %s is not the key of %s", options->key,
                            options->cert);
    }
    return FB_OK;
}

static int load_authorities(SSL_CTX *ssl, const fb_door_tls_options *options, fb_error *error) {
    int mode = options->auth == FB_DOOR_TLS_AUTH_OFF        ? SSL_VERIFY_NONE
               : options->auth == FB_DOOR_TLS_AUTH_OPTIONAL ? SSL_VERIFY_PEER
                                                            : SSL_VERIFY_PEER |
                                                       SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ssl, mode, NULL);
    if (is_set(options->ca)) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(options->ca);
        if (names == NULL || SSL_CTX_load_verify_file(ssl, options->ca) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            return refuse(error, "tls.ca", options->ca);
        }
        SSL_CTX_set_client_CA_list(ssl, names);  // asked for by name: clients choose by that
    } else if (mode != SSL_VERIFY_NONE && SSL_CTX_set_default_verify_paths(ssl) != 1) {
        return fb_error_set(error, FB_EINVAL, "the system's authorities cannot be used: %s",
                            reason());
    }
    return FB_OK;
}

// OpenSSL works out what a certificate says when it is first asked, and keeps that with it. All
// that loops share is asked here, before they do.
static void work_out(X509 *certificate) {
    if (certificate != NULL) {
        (void)X509_check_purpose(certificate, -1, 0);
    }
}

static void work_out_all(SSL_CTX *ssl) {
    STACK_OF(X509) *chain = NULL;
    const STACK_OF(X509_OBJECT) *trusted = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ssl));
    for (int i = 0; i < sk_X509_OBJECT_num(trusted); i++) {
        work_out(X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i)));
    }
    (void)SSL_CTX_get0_chain_certs(ssl, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        work_out(sk_X509_value(chain, i));
    }
    work_out(SSL_CTX_get0_certificate(ssl));
}

static void tell(SSL_CTX *ssl, const char *file) {
    char name[256] = "", until[32] = "";
    int days = 0, seconds = 0;
    struct tm end;
    X509 *certificate = SSL_CTX_get0_certificate(ssl);
    const ASN1_TIME *time = X509_get0_notAfter(certificate);
    (void)X509_NAME_oneline(X509_get_subject_name(certificate), name, sizeof name);
    if (ASN1_TIME_to_tm(time, &end) == 1) {
        (void)strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &end);
    }
    (void)ASN1_TIME_diff(&days, &seconds, NULL, time);
    int64_t left_s = (int64_t)days * 86400 + seconds;
    const char *event = left_s <= 0       ? "tls_certificate_expired"
                        : left_s < SOON_S ? "tls_certificate_expires"
                                          : "tls_certificate";
    fb_log(left_s < SOON_S ? FB_LOG_WARN : FB_LOG_INFO, event, "file=%s subject=%s until=%s",
           fb_log_quote(fb_str_of(file), FB_LOG_KEY_MAX).text,
           fb_log_quote(fb_str_of(name), FB_LOG_KEY_MAX).text, until);
}

// ---- contexts

static void set_up(SSL_CTX *ssl, bool only_13) {
    (void)SSL_CTX_set_min_proto_version(ssl, only_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"forebay", 7);
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
}

static void let_go(context *one) {
    if (one != NULL && atomic_fetch_sub(&one->holds, 1) == 1) {
        SSL_CTX_free(one->ssl);
        fb_mem_free(one);
    }
}

// ---- what a connection holds: OpenSSL says when it ends, whoever ends it

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int held_index = -1;

static void on_end(void *ssl, void *held, CRYPTO_EX_DATA *all, int index, long number, void *arg) {
    (void)ssl, (void)all, (void)index, (void)number, (void)arg;
    let_go(held);
}

static void make_index(void) {
    held_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_end);
}

static int fill_context(context *one, const fb_door_tls_options *options, fb_error *error) {
    ERR_clear_error();
    one->ssl = SSL_CTX_new(TLS_server_method());
    if (one->ssl == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    set_up(one->ssl, options->only_13);
    int result = load_own(one->ssl, options, error);
    if (result == FB_OK) {
        result = load_authorities(one->ssl, options, error);
    }
    if (result == FB_OK) {
        work_out_all(one->ssl);
    }
    ERR_clear_error();
    return result;
}

// Its files as they are now, not read.
static context *new_context(const fb_door_tls_options *options) {
    context *one = fb_mem_zero(1, sizeof *one);
    if (one != NULL) {
        atomic_init(&one->holds, 1);
        stamp_file(&one->files[0], options->cert);
        stamp_file(&one->files[1], options->key);
        stamp_file(&one->files[2], options->ca);
        one->auth = options->auth;
        one->only_13 = options->only_13;
    }
    return one;
}

static bool is_same(const context *a, const context *b) {
    bool same = a->auth == b->auth && a->only_13 == b->only_13;
    for (size_t i = 0; i < FILES; i++) {
        same = same && is_same_file(&a->files[i], &b->files[i]);
    }
    return same;
}

int fb_door_tls_prepare(const fb_door_tls *tls, const fb_door_tls_options *options,
                        fb_door_tls_context **out, fb_error *error) {
    context *next = new_context(options);
    *out = NULL;
    if (next == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    if (tls->now != NULL && is_same(tls->now, next)) {
        let_go(next);
        return FB_OK;
    }
    int result = fill_context(next, options, error);
    if (result < 0) {
        let_go(next);
        return result;
    }
    *out = next;
    return FB_OK;
}

void fb_door_tls_publish(fb_door_tls *tls, fb_door_tls_context *next) {
    if (next == NULL) {
        return;
    }
    tell(next->ssl, next->files[0].path);
    pthread_mutex_lock(&tls->lock);
    context *before = tls->now;
    tls->now = next;
    pthread_mutex_unlock(&tls->lock);
    let_go(before);
}

void fb_door_tls_drop(fb_door_tls_context *next) {
    let_go(next);
}

int fb_door_tls_new(const fb_door_tls_options *options, fb_door_tls **out, fb_error *error) {
    fb_door_tls *tls = fb_mem_zero(1, sizeof *tls);
    context *first = NULL;
    *out = NULL;
    if (tls == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    pthread_mutex_init(&tls->lock, NULL);
    (void)pthread_once(&once, make_index);
    int result = held_index < 0 ? fb_error_set(error, FB_ENOMEM, "out of memory")
                                : fb_door_tls_prepare(tls, options, &first, error);
    if (result < 0) {
        fb_door_tls_free(tls);
        return result;
    }
    fb_door_tls_publish(tls, first);
    *out = tls;
    return FB_OK;
}

void fb_door_tls_free(fb_door_tls *tls) {
    if (tls == NULL) {
        return;
    }
    let_go(tls->now);
    pthread_mutex_destroy(&tls->lock);
    fb_mem_free(tls);
}

// ---- one connection

SSL *fb_door_tls_accept(fb_door_tls *tls, int fd) {
    pthread_mutex_lock(&tls->lock);
    context *held = tls->now;
    atomic_fetch_add(&held->holds, 1);
    pthread_mutex_unlock(&tls->lock);
    SSL *ssl = SSL_new(held->ssl);
    if (ssl == NULL || SSL_set_ex_data(ssl, held_index, held) != 1) {
        let_go(held);
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    if (fd >= 0 && SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}

int fb_door_tls_shake(SSL *ssl, bool *write, const char **why) {
    ERR_clear_error();
    int result = SSL_do_handshake(ssl);
    int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, result);
    *write = error == SSL_ERROR_WANT_WRITE;
    if (result == 1) {
        return 1;
    }
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        return 0;
    }
    *why = ERR_peek_error() != 0 ? reason() : "the client hung up";
    ERR_clear_error();
    return -1;
}

bool fb_door_tls_is_shaken(const SSL *ssl) {
    return SSL_is_init_finished(ssl) != 0;
}

static ssize_t judge(SSL *ssl, int result) {
    if (result > 0) {
        return result;
    }
    int error = SSL_get_error(ssl, result);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN) {
        return 0;
    }
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

static int at_most(size_t len) {
    return len > INT32_MAX ? INT32_MAX : (int)len;
}

ssize_t fb_door_tls_recv(SSL *ssl, char *into, size_t len) {
    ERR_clear_error();
    return judge(ssl, SSL_read(ssl, into, at_most(len)));
}

ssize_t fb_door_tls_send(SSL *ssl, const char *from, size_t len) {
    ERR_clear_error();
    ssize_t sent = judge(ssl, SSL_write(ssl, from, at_most(len)));
    if (sent == 0) {
        errno = ECONNRESET;
        return -1;
    }
    return sent;
}

void fb_door_tls_goodbye(SSL *ssl) {
    ERR_clear_error();
    if (SSL_is_init_finished(ssl)) {
        (void)SSL_shutdown(ssl);
    }
    ERR_clear_error();
}

void fb_door_tls_end(SSL *ssl) {
    if (ssl != NULL) {
        fb_door_tls_goodbye(ssl);
        SSL_free(ssl);
    }
}
