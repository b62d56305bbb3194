// FB.REGION tells the name of a file, and the generation of the classes in it. The name alone would
// not do: a client in a container, or on another host, may find another daemon's region under that
// name. A generation begins with a random number and is then counted up, so one that is near tells
// the region. That is seen with each new connection, and the reader looks for no other region by
// itself: a daemon that was started anew is known by its ended connections.
//
// A reader that is not needed any more stays until the client is closed, since others may be using
// it; its region's memory is given back at once.

#include "client/follow.h"

#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/exchange.h"
#include "client/reader_inside.h"

#define NEAR (UINT64_C(1) << 20)  // so many reloads a daemon will not have seen

// What the daemon says of its region; the name points into the reply, and is empty where there is
// none.
typedef struct told {
    fb_str file;
    uint64_t generation;
} told;

static bool is_the_daemons(fb_reader *reader, const told *about) {
    uint64_t ahead = fb_reader_generation(reader) - about->generation;
    return ahead < NEAR || -ahead < NEAR;
}

// Under the lock: whether this region is the one that is read already.
static bool is_followed(fb_client *client, const told *about) {
    return client->region_file != NULL &&
           fb_str_equal(fb_str_of(client->region_file), about->file) &&
           is_the_daemons(atomic_load(&client->reader), about);
}

// Once for each change: not again until a region was taken up.
static void say_refused(fb_client *client, const fb_error *error) {
    fb_forked_lock(&client->forked);
    bool first = !client->refused_warned;
    client->refused_warned = true;
    fb_forked_unlock(&client->forked);
    if (first) {
        fb_exchange_say(client, "region_refused", "%s; the daemon is asked over its socket instead",
                        error->text);
    }
}

// Lets the client go on with `reader` (NULL: without), which is what the daemon told of, and takes
// `file` over. Where another thread was first with it, that stays. Where there is no memory to
// remember the older one by, it stays too, but is read no more.
static void go_over(fb_client *client, const told *about, fb_reader *reader, char *file) {
    fb_left *left = fb_mem_zero(1, sizeof *left);
    fb_forked_lock(&client->forked);
    fb_reader *older = atomic_load(&client->reader);
    bool first = !is_followed(client, about);
    if (older != NULL && (left == NULL || !first)) {
        fb_forked_unlock(&client->forked);
        if (first) {
            fb_reader_leave(older);
        }
        fb_reader_close(reader);
        fb_mem_free(file);
        fb_mem_free(left);
        return;
    }
    atomic_store_explicit(&client->reader, reader, memory_order_release);
    if (older != NULL) {
        *left = (fb_left){client->left, older, client->region_file};
        client->left = left;
        left = NULL;
    }
    client->region_file = file;
    client->refused_warned &= reader == NULL;
    fb_forked_unlock(&client->forked);
    fb_mem_free(left);
    if (older != NULL) {
        fb_reader_leave(older);
    }
}

static int ask_region(fb_link *link, told *about, fb_error *error) {
    const fb_str args[] = {FB_STR("FB.REGION")};
    const fb_resp_value *reply;
    *about = (told){0};
    int result = fb_link_call(link, args, 1, &reply, error);
    if (result < 0) {
        return result;
    }
    for (size_t i = 0; reply->type == FB_RESP_MAP && i + 1 < reply->child_count; i += 2) {
        const fb_resp_value *pair = &reply->children[i + 1];
        if (fb_str_equal(reply->children[i].text, FB_STR("file")) &&
            pair->type == FB_RESP_STRING) {
            about->file = pair->text;
        } else if (fb_str_equal(reply->children[i].text, FB_STR("generation"))) {
            about->generation = (uint64_t)pair->integer;
        }
    }
    return FB_OK;
}

static void take_up(fb_client *client, const told *about) {
    fb_error why = {.text = ""};
    struct stat there;
    fb_reader *reader = NULL;
    fb_reader_options options = {.file = about->file, .any_owner = client->any_owner};
    char *name = fb_mem_text(about->file);
    // A file that is not there, or is another daemon's, is nothing to warn of: the daemon is on
    // another host, or one of both is in a container.
    int result = name == NULL || lstat(name, &there) != 0
                     ? FB_MISS
                     : fb_reader_open(&options, &reader, &why);
    if (result == FB_OK && !is_the_daemons(reader, about)) {
        fb_reader_close(reader);
        result = FB_MISS;
    }
    if (result == FB_OK) {
        fb_reader_stay(reader);
        go_over(client, about, reader, name);
        return;
    }
    fb_mem_free(name);
    go_over(client, about, NULL, NULL);
    if (result < 0) {
        say_refused(client, &why);
    }
}

int fb_follow_region(fb_client *client, fb_link *link, fb_error *error) {
    told about;
    int result = ask_region(link, &about, error);
    if (result < 0) {
        return result;
    }
    fb_forked_lock(&client->forked);
    bool followed = is_followed(client, &about);
    bool none = atomic_load(&client->reader) == NULL;
    fb_forked_unlock(&client->forked);
    if (about.file.len > 0 && !followed) {
        take_up(client, &about);
    } else if (about.file.len == 0 && !none) {
        go_over(client, &about, NULL, NULL);
    }
    return FB_OK;
}

void fb_follow_release(fb_client *client) {
    fb_reader_close(atomic_load(&client->reader));
    fb_mem_free(client->region_file);
    while (client->left != NULL) {
        fb_left *left = client->left;
        client->left = left->next;
        fb_reader_close(left->reader);
        fb_mem_free(left->file);
        fb_mem_free(left);
    }
}
