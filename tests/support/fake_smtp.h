// fake_smtp.h -- a mail server that does as it is told: any reply at any step, a connection closed at
// any step, silence, one byte at a time; STARTTLS with a certificate made on the spot; AUTH PLAIN and
// LOGIN. It keeps what it took.
//
// Each connection has a thread. Steps are answered by fake_smtp_answer()'s table, read under the lock,
// so that a test may change it between mails.

#ifndef FB_TESTS_FAKE_SMTP_H
#define FB_TESTS_FAKE_SMTP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

typedef enum fake_step {
    FAKE_GREETING, FAKE_HELLO, FAKE_STARTTLS, FAKE_AUTH, FAKE_MAIL, FAKE_RCPT, FAKE_DATA,
    FAKE_BODY,  // when some of the message has come: CLOSE and SILENT only
    FAKE_DOT, FAKE_QUIT, FAKE_OTHER, FAKE_STEPS
} fake_step;
typedef enum fake_way {
    FAKE_USUAL,   // what a server says that likes everything
    FAKE_REPLY,   // `text`
    FAKE_CLOSE,   // without a word
    FAKE_LAST,    // `text`, then closes
    FAKE_SILENT   // nothing, until the other side has gone
} fake_way;

enum { FAKE_MAILS_MAX = 4096, FAKE_LINKS_MAX = 512, FAKE_LINE_SIZE = 4096 };

typedef struct fake_mail {
    char from[400], to[400];  // what stands between < and > and after it
    char *data;               // without the dots that were doubled
    size_t len;
    bool secure, signed_in;
    uint32_t link;            // by which connection
} fake_mail;

typedef struct fake_smtp fake_smtp;
typedef struct fake_link {
    fake_smtp *server;
    pthread_t thread;
    int fd;
    uint32_t number;
    SSL *tls;
    bool signed_in, done, joined;
    char in[FAKE_LINE_SIZE];
    size_t in_len;
} fake_link;

struct fake_smtp {
    int port, listener;
    char folder[64], cert_file[96];
    SSL_CTX *tls;             // NULL: no TLS is offered
    bool direct;              // smtps
    const char *offers;       // more lines of EHLO: "250-SIZE 1000\r\n"
    const char *auth;         // "PLAIN LOGIN", NULL: not offered
    const char *user, *password;
    struct fake_answer {
        fake_way way;
        const char *text;
        uint32_t times;       // then as usual; 0: always
    } answers[FAKE_STEPS];
    unsigned slow_us;         // between bytes
    bool keep_all;            // also what it then refuses
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool stopping;
    fake_link *links[FAKE_LINKS_MAX];
    uint32_t link_count;
    fake_mail mails[FAKE_MAILS_MAX];
    uint32_t mail_count;
    uint32_t steps[FAKE_STEPS];  // how often each came
};

// ---- bytes

static inline bool fake_put(fake_link *link, const char *text, size_t len) {
    while (len > 0) {
        size_t part = link->server->slow_us > 0 ? 1 : len;
        ssize_t done = link->tls != NULL ? SSL_write(link->tls, text, (int)part)
                                         : send(link->fd, text, part, MSG_NOSIGNAL);
        if (done <= 0) {
            return false;
        }
        text += done;
        len -= (size_t)done;
        if (link->server->slow_us > 0) {
            usleep(link->server->slow_us);
        }
    }
    return true;
}

static inline bool fake_say(fake_link *link, const char *text) {
    return fake_put(link, text, strlen(text)) && fake_put(link, "\r\n", 2);
}

static inline bool fake_fill(fake_link *link) {
    size_t room = sizeof link->in - link->in_len;
    ssize_t got = link->tls != NULL ? SSL_read(link->tls, link->in + link->in_len, (int)room)
                                    : recv(link->fd, link->in + link->in_len, room, 0);
    link->in_len += got > 0 ? (size_t)got : 0;
    return got > 0;
}

// A line without its end; false: the other side has gone. Longer ones come in pieces.
static inline bool fake_line(fake_link *link, char *line) {
    for (;;) {
        char *end = memchr(link->in, '\n', link->in_len);
        if (end != NULL || link->in_len == sizeof link->in) {
            size_t len = end != NULL ? (size_t)(end - link->in) + 1 : link->in_len;
            size_t text = end == NULL ? len : len >= 2 && end[-1] == '\r' ? len - 2 : len - 1;
            memcpy(line, link->in, text);
            line[text] = '\0';
            link->in_len -= len;
            memmove(link->in, link->in + len, link->in_len);
            return true;
        }
        if (!fake_fill(link)) {
            return false;
        }
    }
}

static inline void fake_listen_to_nothing(fake_link *link) {
    do {
        link->in_len = 0;
    } while (fake_fill(link));
}

// ---- answers

// What is said at this step; false: the connection is over. *done: it was answered.
static inline bool fake_answer_step(fake_link *link, fake_step step, const char *usual) {
    fake_smtp *server = link->server;
    pthread_mutex_lock(&server->lock);
    struct fake_answer answer = server->answers[step];
    if (answer.times > 0 && --server->answers[step].times == 0) {
        server->answers[step].way = FAKE_USUAL;
    }
    server->steps[step]++;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    switch (answer.way) {
    case FAKE_REPLY:
        return fake_say(link, answer.text);
    case FAKE_CLOSE:
        return false;
    case FAKE_LAST:
        (void)fake_say(link, answer.text);
        return false;
    case FAKE_SILENT:
        fake_listen_to_nothing(link);
        return false;
    default:
        return usual == NULL || fake_say(link, usual);
    }
}

static inline bool fake_is_usual(fake_smtp *server, fake_step step) {
    pthread_mutex_lock(&server->lock);
    bool usual = server->answers[step].way == FAKE_USUAL;
    pthread_mutex_unlock(&server->lock);
    return usual;
}

static inline bool fake_hello(fake_link *link) {
    fake_smtp *server = link->server;
    char text[1024];
    (void)snprintf(text, sizeof text, "250-mail.example.org\r\n%s%s%s%s%s250 HELP",
                   server->tls != NULL && link->tls == NULL ? "250-STARTTLS\r\n" : "",
                   server->auth != NULL ? "250-AUTH " : "",
                   server->auth != NULL ? server->auth : "", server->auth != NULL ? "\r\n" : "",
                   server->offers != NULL ? server->offers : "");
    return fake_answer_step(link, FAKE_HELLO, text);
}

static inline bool fake_starttls(fake_link *link) {
    bool usual = fake_is_usual(link->server, FAKE_STARTTLS);
    if (!fake_answer_step(link, FAKE_STARTTLS, "220 go ahead")) {
        return false;
    }
    if (usual) {
        link->tls = SSL_new(link->server->tls);
        SSL_set_fd(link->tls, link->fd);
        link->in_len = 0;
        return SSL_accept(link->tls) == 1;
    }
    return true;
}

static inline void fake_encode(const char *text, size_t len, char *out) {
    (void)EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
}

static inline bool fake_expect(fake_link *link, const char *word, const char *text, size_t len) {
    char encoded[1024];
    (void)link;
    fake_encode(text, len, encoded);
    return strcmp(word, encoded) == 0;
}

static inline bool fake_auth(fake_link *link, char *line) {
    fake_smtp *server = link->server;
    char plain[512];
    bool right = false;
    size_t len = (size_t)snprintf(plain, sizeof plain, "%c%s%c%s", 0, server->user, 0,
                                  server->password);
    if (!fake_is_usual(server, FAKE_AUTH)) {
        return fake_answer_step(link, FAKE_AUTH, NULL);
    }
    char *word = strncmp(line, "AUTH PLAIN ", 11) == 0   ? line + 11
                 : strncmp(line, "AUTH LOGIN ", 11) == 0 ? line + 11
                                                         : NULL;
    if (strncmp(line, "AUTH PLAIN", 10) == 0) {
        if (word == NULL && (!fake_say(link, "334 ") || !fake_line(link, line))) {
            return false;
        }
        right = fake_expect(link, word != NULL ? word : line, plain, len);
    } else if (strncmp(line, "AUTH LOGIN", 10) == 0) {
        if (word == NULL && (!fake_say(link, "334 VXNlcm5hbWU6") || !fake_line(link, line))) {
            return false;
        }
        right = fake_expect(link, word != NULL ? word : line, server->user, strlen(server->user));
        if (!fake_say(link, "334 UGFzc3dvcmQ6") || !fake_line(link, line)) {
            return false;
        }
        right = fake_expect(link, line, server->password, strlen(server->password)) && right;
    }
    link->signed_in = right;
    return fake_answer_step(link, FAKE_AUTH, right ? "235 welcome" : "535 5.7.8 no");
}

// ---- a mail

static inline void fake_keep(fake_link *link, fake_mail *mail) {
    fake_smtp *server = link->server;
    mail->secure = link->tls != NULL;
    mail->signed_in = link->signed_in;
    mail->link = link->number;
    pthread_mutex_lock(&server->lock);
    if (server->mail_count < FAKE_MAILS_MAX) {
        server->mails[server->mail_count++] = *mail;
    } else {
        free(mail->data);
    }
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    *mail = (fake_mail){.len = 0};
}

static inline bool fake_take_data(fake_link *link, fake_mail *mail) {
    char line[FAKE_LINE_SIZE + 1];
    size_t cap = 0;
    for (;;) {
        if (!fake_is_usual(link->server, FAKE_BODY) && mail->len > 0) {
            return fake_answer_step(link, FAKE_BODY, NULL);
        }
        if (!fake_line(link, line)) {
            return false;
        }
        if (strcmp(line, ".") == 0) {
            return true;
        }
        const char *text = line[0] == '.' ? line + 1 : line;
        size_t len = strlen(text);
        if (mail->len + len + 3 > cap) {
            cap = (mail->len + len + 3) * 2;
            mail->data = realloc(mail->data, cap);
        }
        memcpy(mail->data + mail->len, text, len);
        memcpy(mail->data + mail->len + len, "\r\n", 3);
        mail->len += len + 2;
    }
}

static inline bool fake_data(fake_link *link, fake_mail *mail) {
    bool usual = fake_is_usual(link->server, FAKE_DATA);
    free(mail->data);
    mail->data = NULL;
    mail->len = 0;
    if (!fake_answer_step(link, FAKE_DATA, "354 go ahead")) {
        return false;
    }
    if (!usual) {
        return true;
    }
    if (!fake_take_data(link, mail)) {
        return false;
    }
    if (link->server->keep_all || fake_is_usual(link->server, FAKE_DOT)) {
        fake_keep(link, mail);
    }
    return fake_answer_step(link, FAKE_DOT, "250 2.0.0 Ok: queued as 12345");
}

static inline void fake_copy_path(char *to, size_t size, const char *line) {
    const char *from = strchr(line, '<');
    (void)snprintf(to, size, "%s", from != NULL ? from + 1 : "");
}

static inline bool fake_command(fake_link *link, char *line, fake_mail *mail) {
    if (strncmp(line, "EHLO", 4) == 0 || strncmp(line, "HELO", 4) == 0) {
        return fake_hello(link);
    }
    if (strcmp(line, "STARTTLS") == 0) {
        return fake_starttls(link);
    }
    if (strncmp(line, "AUTH", 4) == 0) {
        return fake_auth(link, line);
    }
    if (strncmp(line, "MAIL", 4) == 0) {
        fake_copy_path(mail->from, sizeof mail->from, line);
        return fake_answer_step(link, FAKE_MAIL, "250 2.1.0 Ok");
    }
    if (strncmp(line, "RCPT", 4) == 0) {
        fake_copy_path(mail->to, sizeof mail->to, line);
        return fake_answer_step(link, FAKE_RCPT, "250 2.1.5 Ok");
    }
    if (strcmp(line, "DATA") == 0) {
        return fake_data(link, mail);
    }
    if (strcmp(line, "QUIT") == 0) {
        (void)fake_answer_step(link, FAKE_QUIT, "221 bye");
        return false;
    }
    return fake_answer_step(link, FAKE_OTHER, "250 fine");
}

static inline void *fake_talk(void *arg) {
    fake_link *link = arg;
    char line[FAKE_LINE_SIZE + 1];
    fake_mail mail = {.len = 0};
    bool on = true;
    if (link->server->direct) {
        link->tls = SSL_new(link->server->tls);
        SSL_set_fd(link->tls, link->fd);
        on = SSL_accept(link->tls) == 1;
    }
    on = on && fake_answer_step(link, FAKE_GREETING, "220 mail.example.org ESMTP");
    while (on && fake_line(link, line)) {
        on = fake_command(link, line, &mail);
    }
    free(mail.data);
    pthread_mutex_lock(&link->server->lock);
    if (link->tls != NULL) {
        SSL_free(link->tls);
        link->tls = NULL;
    }
    (void)shutdown(link->fd, SHUT_RDWR);
    close(link->fd);
    link->done = true;
    pthread_cond_broadcast(&link->server->changed);
    pthread_mutex_unlock(&link->server->lock);
    return NULL;
}

// ---- the server

static inline void *fake_serve(void *arg) {
    fake_smtp *server = arg;
    for (;;) {
        int fd = accept(server->listener, NULL, NULL);
        pthread_mutex_lock(&server->lock);
        if (fd < 0 || server->stopping || server->link_count == FAKE_LINKS_MAX) {
            pthread_mutex_unlock(&server->lock);
            if (fd >= 0) {
                close(fd);
            }
            return NULL;
        }
        fake_link *link = calloc(1, sizeof *link);
        link->server = server;
        link->fd = fd;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        link->number = server->link_count;
        server->links[server->link_count++] = link;
        (void)pthread_create(&link->thread, NULL, fake_talk, link);
        pthread_mutex_unlock(&server->lock);
    }
}

static inline void fake_certify(fake_smtp *server) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509V3_CTX context;
    assert_int_equal(X509_set_version(cert, 2), 1);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * 365);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *names =
        X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    X509_EXTENSION *basic = X509V3_EXT_conf_nid(NULL, &context, NID_basic_constraints, "CA:TRUE");
    X509_add_ext(cert, names, -1);
    X509_add_ext(cert, basic, -1);
    X509_EXTENSION_free(names);
    X509_EXTENSION_free(basic);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *file = fopen(server->cert_file, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    (void)fclose(file);
    server->tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(server->tls, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->tls, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
}

// What is different from a server without TLS and AUTH is set before this; `server` is zeroed before.
static inline void fake_smtp_start(fake_smtp *server, bool tls) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    (void)signal(SIGPIPE, SIG_IGN);  // OpenSSL's own writes, of this server
    (void)snprintf(server->folder, sizeof server->folder, "/tmp/forebay-smtp-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    (void)snprintf(server->cert_file, sizeof server->cert_file, "%s/cert.pem", server->folder);
    if (tls) {
        fake_certify(server);
    }
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->listener >= 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(server->listener, 128), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&at, &len), 0);
    server->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, fake_serve, server), 0);
}

static inline void fake_smtp_stop(fake_smtp *server) {
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_mutex_unlock(&server->lock);
    (void)shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    for (uint32_t i = 0; i < server->link_count; i++) {
        pthread_mutex_lock(&server->lock);
        if (!server->links[i]->done) {
            (void)shutdown(server->links[i]->fd, SHUT_RDWR);
        }
        pthread_mutex_unlock(&server->lock);
        pthread_join(server->links[i]->thread, NULL);
        free(server->links[i]);
    }
    for (uint32_t i = 0; i < server->mail_count; i++) {
        free(server->mails[i].data);
    }
    SSL_CTX_free(server->tls);
    (void)unlink(server->cert_file);
    (void)rmdir(server->folder);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
}

static inline void fake_smtp_answer(fake_smtp *server, fake_step step, fake_way way,
                                    const char *text, uint32_t times) {
    pthread_mutex_lock(&server->lock);
    server->answers[step] = (struct fake_answer){.way = way, .text = text, .times = times};
    pthread_mutex_unlock(&server->lock);
}

// Everything as usual again.
static inline void fake_smtp_calm(fake_smtp *server) {
    pthread_mutex_lock(&server->lock);
    memset(server->answers, 0, sizeof server->answers);
    pthread_mutex_unlock(&server->lock);
}

// Waits until so many mails have been taken, or so many commands of a step have come.
static inline void fake_smtp_await_mails(fake_smtp *server, uint32_t count) {
    pthread_mutex_lock(&server->lock);
    while (server->mail_count < count) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

static inline void fake_smtp_await_step(fake_smtp *server, fake_step step, uint32_t count) {
    pthread_mutex_lock(&server->lock);
    while (server->steps[step] < count) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

static inline uint32_t fake_smtp_steps(fake_smtp *server, fake_step step) {
    pthread_mutex_lock(&server->lock);
    uint32_t count = server->steps[step];
    pthread_mutex_unlock(&server->lock);
    return count;
}

static inline uint32_t fake_smtp_mails(fake_smtp *server) {
    pthread_mutex_lock(&server->lock);
    uint32_t count = server->mail_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

#endif
