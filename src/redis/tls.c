// TLS by OpenSSL over sockets that do not block.
//
// The socket is read and written through a BIO of our own rather than OpenSSL's: that one uses
// write(), and a peer that has gone would end a program that does not ignore SIGPIPE.
//
// Errors are OpenSSL's, whose words are for those who wrote it; the ones that people meet are said
// in ours. What TLS 1.3 refuses of a client (its certificate) is only heard when it reads for the
// first time, so reads say such things as well.

#include "redis/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "redis/dial.h"

struct fb_redis_tls {
    SSL_CTX *context;
    BIO_METHOD *method;
};

struct fb_tls_session {
    SSL *ssl;
    int fd;
    int system_error;  // of the last call on the socket; 0: none
    bool wants_write;
    bool shaken;       // hands, and since then nothing has failed
};

// ---- the socket as OpenSSL sees it

static int move_done(BIO *bio, ssize_t moved) {
    fb_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    session->system_error = moved < 0 ? errno : 0;
    return (int)moved;
}

static bool is_later(int system_error) {
    return system_error == EAGAIN || system_error == EWOULDBLOCK || system_error == EINTR;
}

static int read_socket(BIO *bio, char *bytes, int len) {
    const fb_tls_session *session = BIO_get_data(bio);
    int moved = move_done(bio, recv(session->fd, bytes, (size_t)len, 0));
    if (moved < 0 && is_later(session->system_error)) {
        BIO_set_retry_read(bio);
    }
    return moved;
}

static int write_socket(BIO *bio, const char *bytes, int len) {
    const fb_tls_session *session = BIO_get_data(bio);
    int moved = move_done(bio, send(session->fd, bytes, (size_t)len, MSG_NOSIGNAL));
    if (moved < 0 && is_later(session->system_error)) {
        BIO_set_retry_write(bio);
    }
    return moved;
}

static long control_socket(BIO *bio, int command, long number, void *ptr) {
    (void)bio, (void)number, (void)ptr;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *new_method(void) {
    int index = BIO_get_new_index();
    BIO_METHOD *method =
        index < 0 ? NULL : BIO_meth_new(index | BIO_TYPE_SOURCE_SINK, "forebay socket");
    if (method == NULL) {
        return NULL;
    }
    if (BIO_meth_set_read(method, read_socket) != 1 ||
        BIO_meth_set_write(method, write_socket) != 1 ||
        BIO_meth_set_ctrl(method, control_socket) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

// ---- what all connections have in common

// OpenSSL would ask on the terminal.
static int no_passphrase(char *text, int size, int writing, void *arg) {
    (void)text, (void)size, (void)writing, (void)arg;
    return 0;
}

static const char *reason(void) {
    unsigned long code = ERR_peek_error();  // the first says more than those that follow from it
    if (ERR_SYSTEM_ERROR(code)) {
        return strerror(ERR_GET_REASON(code));
    }
    const char *text = ERR_reason_error_string(code);
    return text != NULL ? text : "no reason given";
}

static int refuse_file(fb_error *error, const char *what, const char *file) {
    return fb_error_set(error, FB_EINVAL, "%s %s cannot be used: %s", what, file, reason());
}

static bool is_set(const char *text) {
    return text != NULL && text[0] != '\0';
}

static int load_files(SSL_CTX *context, const fb_redis_tls_options *options, fb_error *error) {
    if (is_set(options->ca_file)) {
        if (SSL_CTX_load_verify_file(context, options->ca_file) != 1) {
            return refuse_file(error, "the CA certificate", options->ca_file);
        }
    } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
        return fb_error_set(error, FB_EINVAL, "the system's CA certificates cannot be used: %s",
                            reason());
    }
    if (is_set(options->cert_file) != is_set(options->key_file)) {
        return fb_error_set(error, FB_EINVAL,
                            "a client certificate and its private key come together");
    }
    if (!is_set(options->cert_file)) {
        return FB_OK;
    }
    if (SSL_CTX_use_certificate_chain_file(context, options->cert_file) != 1) {
        return refuse_file(error, "the certificate", options->cert_file);
    }
    if (SSL_CTX_use_PrivateKey_file(context, options->key_file, SSL_FILETYPE_PEM) != 1) {
        return refuse_file(error, "the private key", options->key_file);
    }
    return FB_OK;
}

// OpenSSL works out what a certificate says when it is first asked, and keeps that with it. So all
// that the connections of several loops share is asked here, before there are any. (OpenSSL would
// cope; but by means that the thread sanitizer cannot see in a library that was built without it.)
static void work_out(X509 *certificate) {
    if (certificate != NULL) {
        (void)X509_check_purpose(certificate, -1, 0);
    }
}

static void work_out_all(SSL_CTX *context) {
    STACK_OF(X509) *chain = NULL;
    const STACK_OF(X509_OBJECT) *trusted =
        X509_STORE_get0_objects(SSL_CTX_get_cert_store(context));
    for (int i = 0; i < sk_X509_OBJECT_num(trusted); i++) {
        work_out(X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i)));
    }
    (void)SSL_CTX_get0_chain_certs(context, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        work_out(sk_X509_value(chain, i));
    }
    work_out(SSL_CTX_get0_certificate(context));
    ERR_clear_error();
}

int fb_redis_tls_new(const fb_redis_tls_options *options, fb_redis_tls **out, fb_error *error) {
    *out = NULL;
    int result = FB_ENOMEM;
    fb_redis_tls *tls = fb_mem_zero(1, sizeof *tls);
    if (tls == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    ERR_clear_error();
    tls->context = SSL_CTX_new(TLS_client_method());
    tls->method = new_method();
    if (tls->context == NULL || tls->method == NULL) {
        (void)fb_error_set(error, FB_ENOMEM, "out of memory");
        goto fail;
    }
    (void)SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                             SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                             SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(tls->context, no_passphrase);
    SSL_CTX_set_verify(tls->context, options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    result = load_files(tls->context, options, error);
    if (result != FB_OK) {
        goto fail;
    }
    work_out_all(tls->context);
    *out = tls;
    return FB_OK;
fail:
    fb_redis_tls_free(tls);
    ERR_clear_error();
    return result;
}

void fb_redis_tls_free(fb_redis_tls *tls) {
    if (tls == NULL) {
        return;
    }
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    fb_mem_free(tls);
}

// ---- one session

static bool is_address(const char *host) {
    struct in6_addr any;
    return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

// Whom the certificate must be for, and for names whom we ask for (SNI).
static bool set_peer(SSL *ssl, const char *host) {
    if (is_address(host)) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    }
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

int fb_tls_session_new(const fb_redis_tls *tls, int fd, const char *host,
                       fb_tls_session **out) {
    *out = NULL;
    fb_tls_session *session = fb_mem_zero(1, sizeof *session);
    if (session == NULL) {
        return FB_ENOMEM;
    }
    session->fd = fd;
    session->ssl = SSL_new(tls->context);
    BIO *bio = session->ssl != NULL ? BIO_new(tls->method) : NULL;
    if (bio == NULL) {
        goto fail;
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_connect_state(session->ssl);
    if (host != NULL && !set_peer(session->ssl, host)) {
        goto fail;
    }
    *out = session;
    return FB_OK;
fail:
    fb_tls_session_free(session);
    ERR_clear_error();
    return FB_ENOMEM;
}

void fb_tls_session_free(fb_tls_session *session) {
    if (session == NULL) {
        return;
    }
    if (session->shaken) {
        ERR_clear_error();
        (void)SSL_shutdown(session->ssl);
        ERR_clear_error();
    }
    SSL_free(session->ssl);
    fb_mem_free(session);
}

typedef struct meaning {
    int reason;
    int code;
    const char *text;
} meaning;

static const meaning meanings[] = {
    {SSL_R_WRONG_VERSION_NUMBER, FB_EDENIED,
     "it does not speak TLS (redis:// instead of rediss://)"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, FB_EDENIED, "it wants a client certificate"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, FB_EDENIED,
     "it refuses the TLS handshake (it may want a client certificate)"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, FB_EDENIED, "it does not trust our client certificate"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, FB_EDENIED, "it does not trust our client certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, FB_EDENIED, "our client certificate has expired"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, FB_EDENIED, "it speaks none of the TLS versions we speak"},
    {SSL_R_UNSUPPORTED_PROTOCOL, FB_EDENIED, "it speaks none of the TLS versions we speak"},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, FB_EIO, "it closed the connection"},
};

// What the call that returned `result` failed of.
static int explain(fb_tls_session *session, fb_error *error) {
    session->shaken = false;
    unsigned long code = ERR_peek_error();
    long verified = SSL_get_verify_result(session->ssl);
    if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
        ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        return fb_error_set(error, FB_EDENIED, "its certificate is not to be trusted: %s",
                            X509_verify_cert_error_string(verified));
    }
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == meanings[i].reason) {
            return fb_error_set(error, meanings[i].code, "%s", meanings[i].text);
        }
    }
    if (code == 0 && session->system_error != 0) {
        return fb_error_set(error, FB_EIO, "%s", fb_dial_words(session->system_error));
    }
    if (code == 0) {
        return fb_error_set(error, FB_EIO, "it closed the connection");
    }
    return fb_error_set(error, FB_EIO, "TLS: %s", reason());
}

// Bytes moved, or what a result of 0 or less means.
static int judge(fb_tls_session *session, int result, fb_error *error) {
    session->wants_write = false;
    if (result > 0) {
        return result;
    }
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_WRITE:
        session->wants_write = true;
        return FB_TLS_AGAIN;
    case SSL_ERROR_WANT_READ:
        return FB_TLS_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return FB_TLS_CLOSED;
    default:
        (void)explain(session, error);
        ERR_clear_error();
        return FB_TLS_FAILED;
    }
}

int fb_tls_shake_hands(fb_tls_session *session, fb_error *error) {
    ERR_clear_error();
    int result = judge(session, SSL_do_handshake(session->ssl), error);
    if (result == FB_TLS_CLOSED) {
        (void)fb_error_set(error, FB_EIO, "it closed the connection");
        return FB_TLS_FAILED;
    }
    session->shaken = result > 0;
    return result;
}

static int at_most(size_t len) {
    return len > INT32_MAX ? INT32_MAX : (int)len;
}

ssize_t fb_tls_read(fb_tls_session *session, void *bytes, size_t len, fb_error *error) {
    ERR_clear_error();
    return judge(session, SSL_read(session->ssl, bytes, at_most(len)), error);
}

ssize_t fb_tls_write(fb_tls_session *session, fb_str bytes, fb_error *error) {
    FB_ASSERT(bytes.len > 0);
    ERR_clear_error();
    ssize_t result =
        judge(session, SSL_write(session->ssl, bytes.ptr, at_most(bytes.len)), error);
    if (result == FB_TLS_CLOSED) {
        (void)fb_error_set(error, FB_EIO, "it closed the connection");
        return FB_TLS_FAILED;
    }
    return result;
}

bool fb_tls_wants_write(const fb_tls_session *session) {
    return session->wants_write;
}

bool fb_tls_has_more(const fb_tls_session *session) {
    return SSL_pending(session->ssl) > 0;
}
