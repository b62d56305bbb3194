// Greeting a server.
//
// HELLO 3 with AUTH and SETNAME, CLIENT KILL of the connection before, and SELECT, one behind the
// other without waiting: one round trip. Each reply
// that is not what we want is turned into a sentence that a person can act on. The server's own
// words are quoted only where they cannot hold the password: old servers repeat the arguments of a
// command that they do not know, and HELLO's are user and password.

#include "redis/hello.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"

enum { QUOTE_LEN_MAX = 120 };

static bool is_set(const char *text) {
    return text != NULL && text[0] != '\0';
}

static bool refuse(fb_hello_verdict *verdict, bool fatal, const char *text) {
    verdict->fatal = fatal;
    (void)snprintf(verdict->text, sizeof verdict->text, "%s", text);
    return false;
}

// ---- what servers say

typedef struct saying {
    fb_str start;
    bool fatal;
    const char *meaning;
} saying;

static const saying sayings[] = {
    {FB_STR_INIT("WRONGPASS"), true, "wrong user or password"},
    {FB_STR_INIT("NOAUTH"), true, "it wants a password"},
    {FB_STR_INIT("ERR invalid password"), true, "wrong user or password"},
    {FB_STR_INIT("ERR AUTH"), true, "it does not take this user and password"},
    {FB_STR_INIT("NOPROTO"), true, "it speaks RESP2 only; forebay needs RESP3"},
    {FB_STR_INIT("ERR unknown command"), true,
     "it does not know HELLO, so it speaks RESP2 only; forebay needs RESP3 (Redis 7, Valkey)"},
    {FB_STR_INIT("ERR max number of clients"), false, "it has as many clients as it takes"},
    {FB_STR_INIT("DENIED"), true,
     "it is in protected mode and takes connections from its own machine only"},
    {FB_STR_INIT("NOPERM"), true, "this user may not do what is needed"},
    {FB_STR_INIT("LOADING"), false, "it is loading its data"},
    {FB_STR_INIT("BUSY"), false, "it is busy running a script"},
    {FB_STR_INIT("MASTERDOWN"), false, "it is a replica that has lost its master"},
};

static const saying *find_saying(fb_str said) {
    for (size_t i = 0; i < sizeof sayings / sizeof sayings[0]; i++) {
        if (fb_str_starts(said, sayings[i].start)) {
            return &sayings[i];
        }
    }
    return NULL;
}

// Whether an error can hold what it was given.
static bool repeats_arguments(fb_str said) {
    return memmem(said.ptr, said.len, "args", 4) != NULL ||
           memmem(said.ptr, said.len, "unknown", 7) != NULL;
}

static bool refuse_error(fb_str said, fb_hello_verdict *verdict) {
    const saying *known = find_saying(said);
    if (known != NULL) {
        return refuse(verdict, known->fatal, known->meaning);
    }
    if (repeats_arguments(said)) {
        return refuse(verdict, false, "it refuses the greeting");
    }
    char quoted[QUOTE_LEN_MAX + 1];
    verdict->fatal = false;
    (void)snprintf(verdict->text, sizeof verdict->text, "it refuses the greeting: %s",
                   fb_hello_quote(said, quoted, QUOTE_LEN_MAX));
    return false;
}

static bool has_text(const fb_resp_value *value) {
    return value->type == FB_RESP_STRING || value->type == FB_RESP_SIMPLE ||
           value->type == FB_RESP_VERBATIM;
}

static void keep_field(fb_str name, const fb_resp_value *value, fb_conn_server *server) {
    struct {
        fb_str name;
        char *text;
        size_t size;
    } fields[] = {
        {FB_STR("version"), server->version, sizeof server->version},
        {FB_STR("server"), server->software, sizeof server->software},
        {FB_STR("mode"), server->mode, sizeof server->mode},
        {FB_STR("role"), server->role, sizeof server->role},
    };
    for (size_t i = 0; has_text(value) && i < sizeof fields / sizeof fields[0]; i++) {
        if (fb_str_equal(name, fields[i].name)) {
            (void)fb_hello_quote(value->text, fields[i].text, fields[i].size - 1);
        }
    }
}

// ---- public

static int write_kill(fb_buf *out, const fb_hello_former *former) {
    char id[24];
    (void)snprintf(id, sizeof id, "%lld", (long long)former->id);
    const fb_str args[] = {FB_STR("CLIENT"), FB_STR("KILL"),      FB_STR("ID"),
                           fb_str_of(id),    FB_STR("ADDR"), fb_str_of(former->address)};
    return fb_resp_write_command(out, args, former->address[0] != '\0' ? 6 : 4);
}

int fb_hello_write(fb_buf *out, const fb_conn_options *options, const fb_hello_former *former,
                   uint32_t *count) {
    fb_str args[7] = {FB_STR("HELLO"), FB_STR("3")};
    size_t arg_count = 2;
    if (is_set(options->user) || is_set(options->password)) {
        args[arg_count++] = FB_STR("AUTH");
        args[arg_count++] = is_set(options->user) ? fb_str_of(options->user) : FB_STR("default");
        args[arg_count++] = fb_str_of(is_set(options->password) ? options->password : "");
    }
    if (is_set(options->client_name)) {
        args[arg_count++] = FB_STR("SETNAME");
        args[arg_count++] = fb_str_of(options->client_name);
    }
    FB_ASSERT(arg_count <= sizeof args / sizeof args[0]);
    int result = fb_resp_write_command(out, args, arg_count);
    *count = 1;
    if (result == FB_OK && former->id != 0) {
        result = write_kill(out, former);
        ++*count;
    }
    if (result == FB_OK && options->db != 0) {
        char number[16];
        (void)snprintf(number, sizeof number, "%u", options->db);
        const fb_str select[] = {FB_STR("SELECT"), fb_str_of(number)};
        result = fb_resp_write_command(out, select, 2);
        ++*count;
    }
    return result;
}

bool fb_hello_accept(const fb_resp_value *reply, fb_conn_server *server, int64_t *id,
                     fb_hello_verdict *verdict) {
    *id = 0;
    if (reply->type == FB_RESP_ERROR) {
        return refuse_error(reply->text, verdict);
    }
    int64_t proto = 0;
    fb_conn_server said = {0};
    for (size_t i = 0; reply->type == FB_RESP_MAP && i + 1 < reply->child_count; i += 2) {
        const fb_resp_value *name = &reply->children[i];
        const fb_resp_value *value = &reply->children[i + 1];
        if (!has_text(name)) {
            continue;
        }
        if (fb_str_equal(name->text, FB_STR("proto")) && value->type == FB_RESP_INTEGER) {
            proto = value->integer;
        } else if (fb_str_equal(name->text, FB_STR("id")) && value->type == FB_RESP_INTEGER) {
            *id = value->integer;
        }
        keep_field(name->text, value, &said);
    }
    if (proto != 3) {
        return refuse(verdict, true, "it does not answer HELLO as a server that speaks RESP3 does");
    }
    *server = said;
    return true;
}

bool fb_hello_accept_select(const fb_resp_value *reply, uint32_t db, fb_hello_verdict *verdict) {
    if (reply->type == FB_RESP_SIMPLE) {
        return true;
    }
    const saying *known = reply->type == FB_RESP_ERROR ? find_saying(reply->text) : NULL;
    if (known != NULL) {
        return refuse(verdict, known->fatal, known->meaning);
    }
    char quoted[QUOTE_LEN_MAX + 1];
    fb_str said = reply->type == FB_RESP_ERROR ? reply->text : FB_STR("a strange answer");
    verdict->fatal = true;
    (void)snprintf(verdict->text, sizeof verdict->text, "database %u is not to be had: %s", db,
                   fb_hello_quote(said, quoted, QUOTE_LEN_MAX));
    return false;
}

void fb_hello_explain(fb_str bytes, fb_hello_verdict *verdict) {
    // A TLS record of type alert, or of a handshake: a server that was met by plain text.
    if (bytes.len >= 2 && (bytes.ptr[0] == 0x15 || bytes.ptr[0] == 0x16) && bytes.ptr[1] == 3) {
        (void)refuse(verdict, true, "it speaks TLS (rediss:// instead of redis://)");
        return;
    }
    if (fb_str_starts(bytes, FB_STR("HTTP/"))) {
        (void)refuse(verdict, true, "it is an HTTP server, not Redis");
        return;
    }
    char quoted[41];
    verdict->fatal = true;
    (void)snprintf(verdict->text, sizeof verdict->text, "it does not answer as Redis does: \"%s\"",
                   fb_hello_quote(bytes, quoted, sizeof quoted - 1));
}

char *fb_hello_quote(fb_str said, char *text, size_t len_max) {
    size_t len = said.len < len_max ? said.len : len_max;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)said.ptr[i];
        text[i] = byte < ' ' || byte > '~' ? '?' : said.ptr[i];
    }
    text[len] = '\0';
    return text;
}
