// reference_doors: writes docs/commands.md and docs/http.md, the references of the two doors, from
// the tables of commands, routes, results and counters.
//
//   reference_doors commands|http         prints the page
//   reference_doors commands|http FILE    fails where FILE is not that page: a test keeps it true
//
// What the tables cannot say is the text below.

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <forebay/limit.h>
#include <forebay/stats.h>

#include "base/buf.h"
#include "base/str.h"
#include "node/command.h"
#include "node/command_table.h"
#include "node/route.h"

static fb_buf page;

static void add(const char *text) {
    if (fb_buf_append(&page, fb_str_of(text)) != FB_OK) {
        abort();
    }
}

// In a table cell a bar would begin the next one.
static void add_cell(const char *text) {
    for (; *text != '\0'; text++) {
        char byte[3] = {*text == '|' ? '\\' : *text, *text == '|' ? '|' : '\0', '\0'};
        add(byte);
    }
}

// ---- RESP

static const char commands_head[] =
    "# RESP commands\n"
    "\n"
    "This page is made from the command table: `tools/make-reference`.\n"
    "\n"
    "forebay speaks RESP2 and RESP3 (`HELLO 3`), with Redis's own replies and errors, so any "
    "Redis\n"
    "client works. Its own verbs begin with `FB.`; `FB.HELP` prints them. `CL.THROTTLE` is redis-cell's.\n"
    "\n"
    "## Forebay's verbs\n"
    "\n"
    "Option words come first, then the class or the scope, then names and values of any kind. A "
    "class\n"
    "that is called like an option is written after the word `CLASS`.\n";

static const char commands_errors[] =
    "\n## Errors\n"
    "\n"
    "The first word of an error is its code. Those of Redis's commands are Redis's; those of "
    "forebay's\n"
    "verbs are:\n"
    "\n"
    "| code | meaning |\n"
    "|---|---|\n";

static const char commands_replies[] =
    "\n## Replies\n"
    "\n"
    "- `FB.FETCH`: the value; null where a class with `one: true` has no such row. With `WITHMETA` "
    "a\n"
    "  map: `value`, `negative`, `kind`, `tier`, `freshness`, `age_ms`, `ttl_ms`, `version`; of what\n"
    "  does not exist, the first two.\n"
    "- `FB.MFETCH package 1 name bash zsh`: an array with what `FB.FETCH` would have said for each row\n"
    "  of values, in their order; one's error is an error in its place. What is missing is loaded in\n"
    "  batches, where the class has `batch.query`.\n"
    "- `FB.INVALIDATE`: how many entries left; -1 for tags, classes, namespaces, and patterns that a\n"
    "  class's `index` is for, which take effect without visiting their entries. With `SOFT`, those\n"
    "  that left because their class has neither `stale_ttl` nor `fallback_ttl`.\n"
    "- `FB.WARM`: how many loads were lined up; those of a `warm.query`, which is asked in the\n"
    "  background, are not among them: the log tells.\n"
    "- `FB.STATS`, `FB.EXPLAIN`: a map. In RESP2 a map is an array of names and values.\n"
    "\n"
    "What `FB.STATS` counts, of a class or of all:\n"
    "\n"
    "| name | |\n"
    "|---|---|\n";

static const char commands_limits[] =
    "\n## Limits\n"
    "\n"
    "A verdict is a map: `allowed`, `limit`, `remaining`, `retry_ms` (-1: never), `reset_ms`, `rule`,\n"
    "`cost`, `source`, `degraded`, `denied`, `message`; [limits.md](limits.md) says what they are. Truths are\n"
    "1 or 0. What is denied is an answer, not an error.\n"
    "\n"
    "- `FB.LIMIT`: a verdict. With `PEEK` also of a rule of `slots`: how many are free.\n"
    "- `FB.LIMITS`: an array: 1 or 0 for all together, then each one's verdict. `COST` and `TIER` are of all.\n"
    "- `FB.REFUND`: a verdict, as a peek would give it now.\n"
    "- `FB.SLOT ACQUIRE`: an array of a token, or nil where none is free, and a verdict. `RENEW`,\n"
    "  `RELEASE`: 1, or 0 where the lease had ended. `SHOW`: a verdict.\n"
    "- `FB.RULES`: an array of maps, one for each rule; of one rule, its map. `top` is the keys that are\n"
    "  denied most, each with how often, and by how much that may be too high.\n"
    "- `CL.THROTTLE`: 0 allowed or 1 limited, the limit, what remains, after how many seconds to come\n"
    "  again (-1: allowed, or never), after how many all is there again. Seconds are rounded up. Its errors\n"
    "  begin with `Cell error:`.\n"
    "\n"
    "A client address that failed to sign in more often than `listen.auth_limit` allows is told `ERR too\n"
    "many failed authentication attempts`, whatever it sends; one that connects more often than\n"
    "`listen.connect_limit` allows, `ERR max connections rate reached`, and is disconnected.\n"
    "\n"
    "What `FB.RULES` counts:\n"
    "\n"
    "| name | |\n"
    "|---|---|\n";

static const char commands_queues[] =
    "\n## Queues and mails\n"
    "\n"
    "[queue.md](queue.md) and [mail.md](mail.md) say what they are for. A job's id is `QUEUE.NUMBER`.\n"
    "\n"
    "- `FB.ENQUEUE`: the id; with `WITHNEW` an array of it and 1, or 0 where the unique key had a job\n"
    "  already. `FB.MENQUEUE`: an array of ids.\n"
    "- `FB.RESERVE`: an array, empty where there is nothing, of rows: id, token, attempt, kind, payload.\n"
    "  `BLOCK 0` waits for ever. It holds back what its connection says after it, and nobody else; within\n"
    "  MULTI it does not wait. Who hangs up takes no job along.\n"
    "- `FB.ACK`: 1; of several jobs an array of 1 or 0; with `RESERVE` an array of how many were\n"
    "  acknowledged, and the rows of the next jobs. `FB.FAIL`, `FB.RELEASE`, `FB.EXTEND`, `FB.PROGRESS`:\n"
    "  `OK`. Whose lease is over is told `LEASELOST`, but where there are others in the answer.\n"
    "- `FB.JOB`: a map, or nil. Times are Unix milliseconds, 0 where there is none. What is secret in a mail\n"
    "  (`code`, `link`, `token`, `secret`, `password`, and what ends so, as `reset_link`) is shown as\n"
    "  `(hidden)`. `FB.QUEUE q LIST`, `FB.DEAD`: arrays of such maps without payloads, by number; the next\n"
    "  page is `AFTER` the last id.\n"
    "- `FB.QUEUE`: a map: lengths by state and priority, how old the oldest is, what the process counted and\n"
    "  measured. `PAUSE`, `RESUME`: 1, or 0 where it was so. `PURGE`, `MOVE`, `FB.CANCEL`, `FB.KICK`,\n"
    "  `FB.RETRY`: how many. `FB.QUEUES`: an array of such maps.\n"
    "- `FB.MAIL`: the id of the mail's job. `FB.PREVIEW`: the message. `FB.SUPPRESSED`: since when, in Unix\n"
    "  milliseconds, or nil; with `REMOVE` 1 or 0.\n"
    "- `FB.OTP ISSUE`: a map: `issued` (1 or 0), `expires_ms`, `retry_ms`. `VERIFY`: `verified`, `account`,\n"
    "  `attempts_left`, `limited`, `retry_ms`. `PEEK`: 1 or 0.\n"
    "\n"
    "What `FB.QUEUE` counts:\n"
    "\n"
    "| name | |\n"
    "|---|---|\n";

static const char commands_differences[] =
    "\n"
    "## Where forebay is not Redis\n"
    "\n"
    "Redis has one thread for all commands; forebay has several loops, and each runs the\n"
    "commands of its own connections. A command on one key is atomic, as in Redis. On several\n"
    "keys:\n"
    "\n"
    "- `MULTI` … `EXEC`: no command of another connection, on whatever loop, and no HTTP request\n"
    "  comes in between; callers of the library and loads may. An `FB.FETCH` in it keeps its own\n"
    "  reply waiting, not the next command; where hundreds of them have to load, the rest runs\n"
    "  as these come in. With a shared tier other connections and nodes do come in between, unless\n"
    "  there was a `WATCH` before. [tracking.md](tracking.md) has all of it, and near caches.\n"
    "- `CLIENT REPLY`, `SUBSCRIBE` and `UNSUBSCRIBE` are refused between `MULTI` and `EXEC`. There\n"
    "  is no channel but that of notices.\n"
    "- With a shared tier, commands of one key ask it where this node's memory does not know.\n"
    "  `KEYS`, `SCAN`, `RANDOMKEY` and `DBSIZE` tell of this node's memory alone.\n"
    "- `MSET` and `DEL` take their keys one by one (`MSET` not with a shared tier). What is sure to\n"
    "  be too large makes `MSET` and `MSETNX` do nothing.\n"
    "- `MSETNX` sets all keys or none, and of several that want the same keys at the same time\n"
    "  one gets them. It, `RENAME`, `RENAMENX` and `COPY` are one step for all connections and nodes,\n"
    "  but while the shared tier is away, and for keys in several slots of a Cluster.\n"
    "- A key and its value together may take an eighth of `memory`.\n"
    "- A time to live of more than 292 years is for ever. There is database 0 alone.\n"
    "\n"
    "A connection may write a pipeline before it reads the first reply: commands that wait may\n"
    "take 256 MiB, and replies are not made much faster than they are read. Who goes beyond\n"
    "that and then takes nothing for a minute is disconnected. One command, one reply and all\n"
    "of `EXEC` may be 1 GiB, one argument and what `MULTI` queues 512 MiB. What looks like HTTP\n"
    "(`POST`, `Host:`) is hung up on, as Redis does.\n";

static void add_command(const fb_command *command, const char *parent) {
    char name[128];
    (void)snprintf(name, sizeof name, "%s%s%s", parent, parent[0] != '\0' ? " " : "",
                   command->name);
    for (char *letter = name; *letter != '\0'; letter++) {
        *letter = (char)toupper((unsigned char)*letter);
    }
    if (command->subcommands == NULL || command->run != NULL) {
        add("| `");
        add_cell(name);
        if (command->syntax[0] != '\0') {
            add(" ");
            add_cell(command->syntax);
        }
        add("` | ");
        add_cell(command->summary);
        add(" |\n");
    }
    for (const fb_command *sub = command->subcommands; sub != NULL && sub->name != NULL; sub++) {
        add_command(sub, name);
    }
}

static void add_group(const char *group, const char *title) {
    if (title != NULL) {
        add("\n### ");
        add(title);
        add("\n");
    }
    add("\n| command | |\n|---|---|\n");
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        if (strcmp(fb_command_at(i)->group, group) == 0) {
            add_command(fb_command_at(i), "");
        }
    }
}

static void add_code_row(int result, const char *text) {
    const char *code = fb_command_code(result);
    if ((result < 0 || result == FB_LOST) && strcmp(code, "ERR") != 0) {
        add("| `");
        add(code);
        add("` | ");
        add_cell(text);
        add(" |\n");
    }
}

static void add_counter(const char *name, const char *help) {
    add("| `");
    add(name);
    add("` | ");
    add_cell(help);
    add(" |\n");
}

static void add_commands(void) {
    add(commands_head);
    add_group("forebay", NULL);
    add(commands_replies);
#define ADD_COUNTER(name, help) add_counter(#name, help);
    FB_CACHE_COUNTERS(ADD_COUNTER)
    add(commands_limits);
    FB_LIMIT_COUNTERS(ADD_COUNTER)
    add(commands_queues);
    FB_QUEUE_COUNTERS(ADD_COUNTER)
#undef ADD_COUNTER
    add(commands_errors);
#define ADD_CODE(name, number, text) add_code_row(number, text);
    FB_RESULTS(ADD_CODE)
#undef ADD_CODE
    add("| `DUPLICATE` | its unique key has another job |\n"
        "| `SUPPRESSED` | no mail goes to this address: mails to it came back |\n");
    add("| `ERR` | everything else: what the caller did wrong |\n\n## Redis's commands\n");
    add_group("string", "Strings");
    add_group("generic", "Keys");
    add_group("connection", "Connections");
    add_group("transactions", "Transactions");
    add_group("server", "The server");
    add(commands_differences);
}

// ---- HTTP

static const char http_head[] =
    "# HTTP routes\n"
    "\n"
    "This page is made from the route table: `tools/make-reference`. `GET /openapi.json` gives the same as\n"
    "an OpenAPI document with the schemas of all bodies, and a test compares it with real answers.\n"
    "\n"
    "Bodies are JSON. `HEAD` works wherever `GET` does, and `OPTIONS` says what a path takes.\n"
    "Errors are problem documents (RFC 9457): beside those below 400 for a parameter of the query that is unknown\n"
    "or given twice, 405 for a wrong method, 406 where `Accept` does\n"
    "not name what is answered, 415 where a body says that it is no JSON, 413 and 431 for what is too large.\n"
    "Answers about limits carry `RateLimit-Policy`, `RateLimit`, `X-RateLimit-Limit`,\n"
    "`X-RateLimit-Remaining`, `X-RateLimit-Reset` (a Unix time) and, where something is\n"
    "denied, `Retry-After`, all of the tightest limit ([limits.md](limits.md)). A client that connects more\n"
    "often than `listen.connect_limit` allows is answered 429, and disconnected. Bodies have at most 128\n"
    "levels. The routes marked ★ stand below `http.prefix` too.\n"
    "\n"
    "Jobs ([queue.md](queue.md)) come with `payload`, and `payload_encoding`: `json`, or `base64` where the\n"
    "bytes are no JSON. A `reserve` that waits ends when its client hangs up, and takes no job along. Whose\n"
    "lease is over is answered 409 with the code `LEASELOST`. Codes and links are never shown, and a wrong\n"
    "code is an answer: 200 with `verified: false`; too many are 429.\n"
    "\n"
    "| route | |\n"
    "|---|---|\n";

static const char http_examples[] =
    "\n"
    "## Values, caches and conditions\n"
    "\n"
    "What comes from memory says how old it is and what may be done with it, so that a proxy or a browser in front\n"
    "needs no settings of its own. A class with `ttl: 2s`, `stale_ttl: 30s`, `fallback_ttl: 10m`, at first and three\n"
    "seconds later:\n"
    "\n"
    "```text\n"
    "$ curl -si 'http://127.0.0.1:8080/v1/fetch/fruit?name=plum'\n"
    "HTTP/1.1 200 OK\n"
    "Content-Type: application/json\n"
    "ETag: \"5d9a2339c9a18f5a3038f2897a4059be\"\n"
    "Age: 0\n"
    "Cache-Control: max-age=1, stale-while-revalidate=30, stale-if-error=630\n"
    "Cache-Status: forebay; fwd=miss; stored; ttl=1; key=\"fruit:plum\"\n"
    "...\n"
    "Age: 3\n"
    "Cache-Control: max-age=3, stale-while-revalidate=30, stale-if-error=630\n"
    "Cache-Status: forebay; hit; ttl=0; key=\"fruit:plum\"; detail=stale\n"
    "```\n"
    "\n"
    "- `Age` is counted from the load, so `max-age` is the whole of a value's time, of which caches take the age away\n"
    "  (RFC 9111). A key without an end is `no-cache`: it may change at any time, and is asked for again with its tag.\n"
    "- `Cache-Status` (RFC 9211): `hit`, or why the source was asked: `fwd=miss`, `request` (`_refresh=1`), `stale` (it\n"
    "  failed, and the old value serves); `stored`, `collapsed` (another request had begun that load), `ttl` in\n"
    "  seconds, `key`, `detail`: `stale`, `shared`, `negative`, `miss`, `source-failed`.\n"
    "- `If-None-Match` with a list of tags, weak ones too, or `*`: 304 without the body.\n"
    "- A `PUT` or `DELETE` with `If-Match` or `If-None-Match` is one atomic step, on all nodes: 412 where the condition\n"
    "  does not hold, with the tag of what is there. Without `ttl` it leaves the key's time, and always its media type.\n"
    "  What is no list of tags in quotes is 400. `GET` and `HEAD` do not look at `If-Match`.\n"
    "- What is no value is `no-store`: figures, keys by pattern, answers about limits.\n"
    "\n"
    "```text\n"
    "$ curl -si -X PUT 'http://127.0.0.1:8080/v1/keys/page?ttl=5m' -H 'Content-Type: text/html' -d '<p>one</p>'\n"
    "HTTP/1.1 204 No Content\n"
    "ETag: \"ca3be6559cd07a08c722fad8121c427b\"\n"
    "\n"
    "$ curl -si -X PUT http://127.0.0.1:8080/v1/keys/page -H 'If-None-Match: *' -d '<p>two</p>'\n"
    "HTTP/1.1 412 Precondition Failed\n"
    "Content-Type: application/problem+json\n"
    "ETag: \"ca3be6559cd07a08c722fad8121c427b\"\n"
    "\n"
    "{\"title\":\"Precondition Failed\",\"status\":412,\"detail\":\"the key has another value by now\"}\n"
    "\n"
    "$ curl -si http://127.0.0.1:8080/v1/keys/page\n"
    "HTTP/1.1 200 OK\n"
    "Content-Type: text/html\n"
    "X-Content-Type-Options: nosniff\n"
    "Content-Security-Policy: sandbox\n"
    "ETag: \"ca3be6559cd07a08c722fad8121c427b\"\n"
    "Age: 0\n"
    "Cache-Control: max-age=300\n"
    "Cache-Status: forebay; hit; ttl=299\n"
    "\n"
    "<p>one</p>\n"
    "```\n"
    "\n"
    "The media type that a `PUT` says is kept with the value, up to 120 bytes, also on other nodes; a `SET` by RESP\n"
    "ends it, edits (`APPEND`, `INCR`, `EXPIRE`) leave it. Without one JSON is `application/json`, everything else\n"
    "`application/octet-stream` (as are values that came as `application/x-www-form-urlencoded`, which is what curl\n"
    "says unless told otherwise). Bytes are never looked into: what was compressed is given back compressed, with the\n"
    "type that it came with. A `Content-Encoding` is not kept, so a body that says one is refused (415); one with a\n"
    "`Content-Range`, a part of something, is 400. What a browser finds here it treats as a stranger's\n"
    "(`Content-Security-Policy: sandbox`, `X-Content-Type-Options: nosniff`).\n"
    "\n"
    "## Many at once\n"
    "\n"
    "`POST /v1/keys/get`, `/set`, `/delete` and `POST /v1/fetch` take up to 1000 of what they do, and answer 200 with a\n"
    "`results` list: of each its `status`, and what a request for it alone would have been answered. Values have\n"
    "`value` and `value_encoding`: `json` (it stands there as it is), `text`, `base64`. A key is a string, or\n"
    "`{\"base64\": \"…\"}`.\n"
    "\n"
    "```text\n"
    "$ curl -s http://127.0.0.1:8080/v1/fetch -d '{\"requests\": [{\"class\": \"fruit\", \"params\": {\"name\": \"plum\"}}, {\"class\": \"x\"}]}'\n"
    "{\"results\":[{\"status\":200,\"value\":{\"name\":\"plum\",\"price\":2.25,\"colour\":\"blue\"},\"value_encoding\":\"json\",\n"
    "\"etag\":\"\\\"5d9a2339c9a18f5a3038f2897a4059be\\\"\",\"tier\":\"source\",\"freshness\":\"fresh\",\"age_ms\":0,\"ttl_ms\":281670},\n"
    "{\"status\":404,\"title\":\"Not Found\",\"detail\":\"there is no class 'x'\",\"code\":\"NOCLASS\"}]}\n"
    "```\n"
    "\n"
    "## Live figures\n"
    "\n"
    "`GET /v1/events` sends what `GET /v1/stats` has in short (the server, all classes since the start, and over the last\n"
    "minute) as an event each second, or `?every=` so often, until the client hangs up or the server stops. All\n"
    "listeners of a second are sent the same bytes. Who does not read is cut off when 256 KiB wait for him.\n"
    "When the users change, all are cut off: who listens comes again, and is asked again who he is.\n"
    "\n"
    "## Limits, and what is refused\n"
    "\n"
    "| option | default | beyond it |\n"
    "|---|---|---|\n"
    "| `http.timeout` | 10s | a request that has not come in: 408; an answer that is not taken: closed. Each 32 KiB that get through add a second |\n"
    "| `http.idle` | 1m | a connection on which nothing is asked for: closed |\n"
    "| `http.max_header` | 64KiB | the request line and the headers: 431 |\n"
    "| `http.max_body` | 64MiB | a body: 413, once it has come in |\n"
    "| `http.max_bodies` | 256MiB | what all requests hold together that are not answered yet: 503 |\n"
    "\n"
    "All of them take effect at a reload, `http.max_header` and `http.max_body` for connections made from then on.\n"
    "\n"
    "A key stands percent-encoded behind `/v1/keys/`, any bytes, at least one: `%00` and `%2F` are decoded, a slash may\n"
    "stand as it is, `+` is a plus, and a `%` without two digits behind it a `%`. `Range` is ignored. What RFC 9112 does\n"
    "not allow is refused with 400 and the end of the connection: HTTP/1.1 without `Host`, or with two; a length that is\n"
    "said twice, or not in digits; a space before a colon. So is a `Transfer-Encoding` other than `chunked` (501), and\n"
    "chunks with extensions (413). A body that comes with `GET`, `HEAD`, `DELETE` or `OPTIONS` is not read: the connection\n"
    "ends with the answer.\n"
    "\n"
    "## Pages of other sites\n"
    "\n"
    "No page of another site may read an answer, unless `http.cors` lists its origin (or `*`, without credentials). What\n"
    "would change something and comes from a page of another site, as browsers say in `Sec-Fetch-Site`, is refused with\n"
    "403, but for the links of mails.\n"
    "\n"
    "## What HTTP has not\n"
    "\n"
    "Regions (`FB.REGION`): a process on this host that reads them has the Unix socket beside them. Objects that are\n"
    "made once per process and loaders of the caller's own (`fb_registry`, `fb_dedupe`): they are pointers of a program.\n"
    "Strings' parts (`APPEND`, `SETRANGE` …) and transactions are RESP's.\n";

static const char http_errors[] =
    "\n## Statuses of errors\n"
    "\n"
    "A value that is known not to exist is 404 as well; an unknown route 404, a wrong method 405 "
    "with\n"
    "`Allow`.\n"
    "\n"
    "| status | `code` | meaning |\n"
    "|---|---|---|\n";

static void add_route(const fb_route *route) {
    add("| `");
    add(route->method);
    add(" ");
    add_cell(route->path);
    add((route->flags & FB_ROUTE_MONITORING) != 0 ? "` ★ | " : "` | ");
    add_cell(route->summary);
    for (const fb_route_param *param = route->params; param != NULL && param->name != NULL;
         param++) {
        add("<br>`");
        add(param->name);
        add("`: ");
        add_cell(param->help);
    }
    add(" |\n");
}

// What a request is answered that ends so, by asking the code that answers.
static void add_status(int result, const char *text) {
    fb_http_response response = {0};
    char row[160];
    if (result >= 0 && result != FB_LOST) {
        return;
    }
    fb_http_failure(&response, result, NULL);
    const char *code = fb_command_code(result);
    bool named = strcmp(code, "ERR") != 0;
    (void)snprintf(row, sizeof row, "| %d | %s%s%s | %s |\n", response.status, named ? "`" : "",
                   named ? code : "", named ? "`" : "", text);
    add(row);
    fb_http_response_release(&response);
}

static void add_http(void) {
    add(http_head);
    for (const fb_route *route = FB_ROUTES; route->method != NULL; route++) {
        add_route(route);
    }
    add(http_examples);
    add(http_errors);
#define ADD_STATUS(name, number, text) add_status(number, text);
    FB_RESULTS(ADD_STATUS)
#undef ADD_STATUS
}

// ---- the page

static int compare(const char *name) {
    FILE *file = fopen(name, "rb");
    static char text[1 << 18];
    size_t len = file != NULL ? fread(text, 1, sizeof text, file) : 0;
    if (file != NULL) {
        (void)fclose(file);
    }
    if (!fb_str_equal(fb_str_make(text, len), fb_buf_str(&page))) {
        fprintf(stderr, "%s is not what the tables say: run tools/make-reference\n", name);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    int status = 0;
    bool commands = argc > 1 && strcmp(argv[1], "commands") == 0;
    if (!commands && (argc < 2 || strcmp(argv[1], "http") != 0)) {
        fprintf(stderr, "usage: reference_doors commands|http [FILE]\n");
        return 2;
    }
    if (commands) {
        add_commands();
    } else {
        add_http();
    }
    if (argc > 2) {
        status = compare(argv[2]);
    } else {
        (void)fwrite(page.ptr, 1, page.len, stdout);
    }
    fb_buf_release(&page);
    return status;
}
