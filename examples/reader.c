// A cache for application processes: what is in the daemon's memory is read there in place, the
// rest is asked over its socket; and where no daemon runs, the process has a small cache of its
// own.
//
//     cc reader.c $(pkg-config --cflags --libs forebay-client) -o reader
//     ./reader unix:/run/forebay/forebay.sock
//
// It prints, where no daemon runs:
//
//     user:1 = {"name": "Ada"}, by a request
//     user:1 is not there
//     visit 1; 0 hits without a system call, 0 requests; daemon: away, so all this was private

#include <forebay/client.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void warn(void *arg, const char *event, const char *text) {
    (void)arg;
    fprintf(stderr, "%s: %s\n", event, text);
}

// The way of a hot path: first memory alone, into a buffer at hand; only what is not there costs a
// system call.
static int show(fb_client *client, fb_str key, fb_error *error) {
    char bytes[4096];
    fb_value value;
    int result = fb_client_peek(client, key, bytes, sizeof bytes, &value);
    const char *from = "the daemon's memory";
    if (result != FB_OK) {
        from = "a request";
        result = fb_client_get(client, key, &value, error);
    }
    if (result == FB_OK) {
        printf("%.*s = %.*s, by %s\n", (int)key.len, key.ptr, (int)value.data.len, value.data.ptr,
               from);
    } else if (result == FB_MISS) {
        printf("%.*s is not there\n", (int)key.len, key.ptr);
    }
    fb_value_release(&value);
    return result;
}

static int run(fb_client *client, fb_error *error) {
    const fb_str user = FB_STR("user:1"), visits = FB_STR("visits");
    int64_t count = 0;
    if (fb_client_set(client, user, FB_STR("{\"name\": \"Ada\"}"), 60000, error) < 0 ||
        show(client, user, error) < 0 || fb_client_del(client, user, error) < 0 ||
        show(client, user, error) < 0 ||
        fb_client_incr(client, visits, 1, &count, error) < 0) {
        return 1;
    }
    fb_client_figures figures;
    fb_client_figures_read(client, &figures);
    printf("visit %" PRId64 "; %" PRIu64 " hits without a system call, %" PRIu64
           " requests; daemon: %s\n",
           count, figures.region_hits, figures.requests,
           figures.daemon_there ? "there" : "away, so all this was private");
    return 0;
}

int main(int arg_count, char **args) {
    const char *url = arg_count > 1 ? args[1] : "unix:/run/forebay/forebay.sock";
    fb_client_options options = {.url = {url, strlen(url)}, .warn = warn};
    fb_client *client;
    fb_error error;
    if (fb_client_open(&options, &client, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    int status = run(client, &error);
    if (status != 0) {
        fprintf(stderr, "%s\n", error.text);
    }
    fb_client_close(client);
    return status;
}
