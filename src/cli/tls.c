// The client's side of TLS, by OpenSSL: one context for each link, since a program that asks one
// thing has one. The server's certificate must be for the host in the address, and signed by an
// authority of `?ca=`, or else of the system (SSL_CERT_FILE names another file of those).

#include "cli/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/error.h"

static const char *reason(void) {
    unsigned long code = ERR_peek_error();
    if (ERR_SYSTEM_ERROR(code)) {
        return strerror(ERR_GET_REASON(code));
    }
    const char *text = ERR_reason_error_string(code);
    return text != NULL ? text : "it closed the connection";
}

static int load(SSL_CTX *context, const fb_address *to, fb_error *error) {
    bool ca = to->tls_ca[0] != '\0';
    bool cert = to->tls_cert[0] != '\0';
    SSL_CTX_set_verify(context, to->tls_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (ca ? SSL_CTX_load_verify_file(context, to->tls_ca) != 1
           : SSL_CTX_set_default_verify_paths(context) != 1) {
        return fb_error_set(error, FB_EINVAL, "the authorities in %s cannot be used: %s",
                            ca ? to->tls_ca : "the system's files", reason());
    }
    if (cert != (to->tls_key[0] != '\0')) {
        return fb_error_set(error, FB_EINVAL, "cert= and key= come together");
    }
    if (cert && (SSL_CTX_use_certificate_chain_file(context, to->tls_cert) != 1 ||
                 SSL_CTX_use_PrivateKey_file(context, to->tls_key, SSL_FILETYPE_PEM) != 1)) {
        return fb_error_set(error, FB_EINVAL, "%s and %s cannot be used: %s", to->tls_cert,
                            to->tls_key, reason());
    }
    return FB_OK;
}

static bool set_host(SSL *ssl, const char *host) {
    struct in6_addr any;
    if (inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    }
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int begin(int fd, const fb_address *to, void **session, fb_error *error) {
    ERR_clear_error();
    (void)signal(SIGPIPE, SIG_IGN);  // OpenSSL writes with write()
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(context,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    int result = load(context, to, error);
    SSL *ssl = result == FB_OK ? SSL_new(context) : NULL;
    SSL_CTX_free(context);
    if (result == FB_OK && (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || !set_host(ssl, to->host))) {
        SSL_free(ssl);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    *session = ssl;
    return result;
}

static int shake(void *session, short *events, fb_error *error) {
    ERR_clear_error();
    int result = SSL_connect(session);
    int what = SSL_get_error(session, result);
    if (result == 1) {
        return FB_OK;
    }
    if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE) {
        *events = what == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        return FB_PENDING;
    }
    long verified = SSL_get_verify_result(session);
    if (verified != X509_V_OK) {
        return fb_error_set(error, FB_EDENIED, "its certificate is not to be trusted: %s",
                            X509_verify_cert_error_string(verified));
    }
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_WRONG_VERSION_NUMBER) {
        return fb_error_set(error, FB_EIO, "it does not speak TLS (forebay:// instead of "
                                           "forebays://)");
    }
    return fb_error_set(error, FB_EIO, "the TLS handshake failed: %s", reason());
}

static ssize_t judge(SSL *ssl, int result) {
    if (result > 0) {
        return result;
    }
    int what = SSL_get_error(ssl, result);
    if (what == SSL_ERROR_ZERO_RETURN) {
        return 0;
    }
    errno = what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE ? EAGAIN
            : what == SSL_ERROR_SSL                                     ? EPROTO
                                                                        : ECONNRESET;
    return -1;
}

static int at_most(size_t len) {
    return len > INT32_MAX ? INT32_MAX : (int)len;
}

static ssize_t receive(void *session, char *into, size_t len) {
    ERR_clear_error();
    return judge(session, SSL_read(session, into, at_most(len)));
}

static ssize_t transmit(void *session, const char *from, size_t len) {
    ERR_clear_error();
    return judge(session, SSL_write(session, from, at_most(len)));
}

static void end(void *session) {
    ERR_clear_error();
    (void)SSL_shutdown(session);
    SSL_free(session);
    ERR_clear_error();
}

const fb_link_tls FB_CLI_TLS = {
    .begin = begin, .shake = shake, .recv = receive, .send = transmit, .end = end};
