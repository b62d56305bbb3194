// The set of users in force.
//
// A list behind one lock: who signs in takes a reference and does the slow part, hashing, without
// it. Sessions do not ask here for every command: they keep their user, and look again when
// node->users_version has moved. Who a user is, beyond its name, is its identity: a change keeps it,
// so that the sessions of a user that was deleted are ended even where another of that name came
// before they said a word. "default" is the same for ever (0).
//
// A token is looked for among those of all users, each compared in full: a table by its hash would
// be quicker with thousands of them, and tell by its time which ones are there.

#include "node/users.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "node/user_rules.h"

enum { SAME_ENTRY_US = 60 * 1000000 };

struct fb_users {
    pthread_mutex_t lock;
    fb_user **items;  // by name
    size_t count;
    uint64_t last_identity;
    fb_users_entry log[FB_USERS_LOG_MAX];  // the newest first
    size_t log_count;
};

static void lock(fb_users *users) {
    int result = pthread_mutex_lock(&users->lock);
    FB_ASSERT(result == 0);
}

static void unlock(fb_users *users) {
    int result = pthread_mutex_unlock(&users->lock);
    FB_ASSERT(result == 0);
}

// ---- "default" of a node without users

static fb_user anybody = {.name = (char *)(uintptr_t) "default"};
static pthread_once_t anybody_made = PTHREAD_ONCE_INIT;

static void make_anybody(void) {
    atomic_init(&anybody.references, 1);
    anybody.on = anybody.no_password = true;
    anybody.all_keys = anybody.all_channels = true;
    anybody.all_commands = anybody.all_from = true;
    memset(anybody.commands, 0xff, sizeof anybody.commands);
}

static fb_user *take_anybody(void) {
    (void)pthread_once(&anybody_made, make_anybody);
    return fb_user_take(&anybody);
}

// ---- the list

// Where the name is, or would be.
static size_t place_of(const fb_users *users, fb_str name, bool *found) {
    size_t low = 0;
    size_t high = users->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = fb_str_compare(fb_str_of(users->items[middle]->name), name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static fb_user *find(const fb_users *users, fb_str name) {
    bool found;
    size_t place = place_of(users, name, &found);
    return found ? users->items[place] : NULL;
}

// Takes the caller's reference; the one that was there before comes back, or NULL.
static int put(fb_users *users, fb_user *user, fb_user **before) {
    bool found;
    size_t place = place_of(users, fb_str_of(user->name), &found);
    *before = NULL;
    if (found) {
        *before = users->items[place];
        users->items[place] = user;
        return FB_OK;
    }
    if (users->count >= FB_USERS_MAX) {
        return FB_ETOOBIG;
    }
    fb_user **grown = fb_mem_resize(users->items, (users->count + 1) * sizeof *grown);
    if (grown == NULL) {
        return FB_ENOMEM;
    }
    users->items = grown;
    memmove(&grown[place + 1], &grown[place], (users->count - place) * sizeof *grown);
    grown[place] = user;
    users->count++;
    return FB_OK;
}

static void changed(fb_node *node) {
    atomic_fetch_add_explicit(&node->users_version, 1, memory_order_release);
}

static bool is_default(fb_str name) {
    return fb_str_equal(name, FB_STR("default"));
}

// ---- its life

static int add_default(fb_users *users) {
    static const fb_str WORDS[] = {
        FB_STR_INIT("on"),      FB_STR_INIT("nopass"),      FB_STR_INIT("allcommands"),
        FB_STR_INIT("allkeys"), FB_STR_INIT("allchannels"),
    };
    fb_error error;
    fb_user *before;
    fb_user *user = fb_user_new(FB_STR("default"));
    int result = user != NULL ? FB_OK : FB_ENOMEM;
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0] && result == FB_OK; i++) {
        result = fb_user_rule(user, WORDS[i], &error);
    }
    if (result == FB_OK) {
        result = put(users, user, &before);
    }
    if (result < 0) {
        fb_user_give(user);
    }
    return result;
}

static fb_users *new_empty(void) {
    fb_users *users = fb_mem_zero(1, sizeof *users);
    if (users != NULL && pthread_mutex_init(&users->lock, NULL) != 0) {
        fb_mem_free(users);
        return NULL;
    }
    return users;
}

fb_users *fb_users_new(void) {
    fb_users *users = new_empty();
    if (users != NULL && add_default(users) < 0) {
        fb_users_free(users);
        return NULL;
    }
    return users;
}

static void release_entry(fb_users_entry *entry) {
    fb_mem_free(entry->object);
    fb_mem_free(entry->user);
    fb_mem_free(entry->client);
}

void fb_users_free(fb_users *users) {
    if (users == NULL) {
        return;
    }
    for (size_t i = 0; i < users->count; i++) {
        fb_user_give(users->items[i]);
    }
    for (size_t i = 0; i < users->log_count; i++) {
        release_entry(&users->log[i]);
    }
    fb_mem_free(users->items);
    (void)pthread_mutex_destroy(&users->lock);
    fb_mem_free(users);
}

// ---- from the configuration

typedef struct reading {
    fb_users *users;
    fb_error *error;
} reading;

static int refuse_rule(fb_error *error, int result, const char *name, const fb_config_rule *rule,
                       const char *why) {
    bool secret = fb_user_rule_is_secret(rule->word);
    (void)fb_error_set(error, result, "users.%s.%s: %s%.*s%s%s", name, rule->option,
                       secret ? "" : "'", secret ? 0 : (int)rule->word.len, rule->word.ptr,
                       secret ? "" : "': ", why);
    if (rule->file != NULL) {
        fb_error_place(error, rule->file, rule->line, rule->column);
    }
    return result;
}

static int add_user(void *arg, const char *name, const fb_config_rule *rules, size_t count) {
    reading *into = arg;
    fb_error why = {.text = ""};
    fb_user *before;
    fb_user *user = fb_user_new(fb_str_of(name));
    int result = user != NULL ? FB_OK : FB_ENOMEM;
    for (size_t i = 0; i < count && result == FB_OK; i++) {
        result = fb_user_rule(user, rules[i].word, &why);
        if (result == FB_EINVAL) {
            result = refuse_rule(into->error, result, name, &rules[i], why.text);
        }
    }
    if (result == FB_OK) {
        result = put(into->users, user, &before);
    }
    if (result < 0) {
        fb_user_give(user);
    } else {
        fb_user_give(before);
    }
    return result;
}

int fb_users_read(const fb_config *config, fb_users **users, fb_error *error) {
    *users = fb_users_new();
    reading into = {.users = *users, .error = error};
    int result = *users != NULL ? FB_OK : FB_ENOMEM;
    if (result == FB_OK && config != NULL) {
        result = fb_config_users(config, add_user, &into);
    }
    if (result == FB_ENOMEM) {
        (void)fb_error_set(error, result, "out of memory");
    }
    if (result < 0) {
        fb_users_free(*users);
        *users = NULL;
    }
    return result;
}

// Those of the same name are the same, and others new.
static void identify(fb_users *users, fb_users *before) {
    for (size_t i = 0; i < users->count; i++) {
        fb_user *user = users->items[i];
        const fb_user *was = find(before, fb_str_of(user->name));
        if (!is_default(fb_str_of(user->name))) {
            user->identity = was != NULL && was != user ? was->identity : ++before->last_identity;
        }
    }
}

void fb_users_put(fb_node *node, fb_users *users) {
    if (node->users == NULL) {
        identify(users, users);
        node->users = users;
        changed(node);
        return;
    }
    fb_users *own = node->users;
    lock(own);
    identify(users, own);
    fb_user **items = own->items;
    size_t count = own->count;
    own->items = users->items;
    own->count = users->count;
    users->items = items;
    users->count = count;
    changed(node);
    unlock(own);
    fb_users_free(users);
}

// ---- who is who

fb_user *fb_users_find(fb_node *node, fb_str name) {
    if (node->users == NULL) {
        return is_default(name) ? take_anybody() : NULL;
    }
    lock(node->users);
    fb_user *user = fb_user_take(find(node->users, name));
    unlock(node->users);
    return user;
}

fb_user *fb_user_first(fb_node *node) {
    fb_user *user = fb_users_find(node, FB_STR("default"));
    if (!fb_user_is_open(user)) {
        fb_user_give(user);
        return NULL;
    }
    return user;
}

fb_user *fb_user_sign_in(fb_node *node, fb_str name, fb_str password) {
    static const fb_user_hashes NONE = {NULL, 0};
    fb_user *user = fb_users_find(node, name);
    fb_user_hash hash;
    bool hashed = fb_user_hash_of(password, &hash);
    bool known = hashed && fb_user_hashes_have(user != NULL ? &user->passwords : &NONE, &hash);
    if (user != NULL && user->on && (user->no_password || (known || !FB_RULE(user_password)))) {
        return user;
    }
    fb_user_give(user);
    return NULL;
}

fb_user *fb_user_by_token(fb_node *node, fb_str token) {
    fb_user *user = NULL;
    fb_user_hash hash;
    if (node->users == NULL || token.len == 0 || !fb_user_hash_of(token, &hash)) {
        return NULL;
    }
    lock(node->users);
    for (size_t i = 0; i < node->users->count; i++) {
        fb_user *one = node->users->items[i];
        bool has = fb_user_hashes_have(&one->tokens, &hash);
        user = has && one->on ? one : user;
    }
    (void)fb_user_take(user);
    unlock(node->users);
    return user;
}

fb_user *fb_user_current(fb_node *node, const fb_user *user) {
    fb_user *now = NULL;
    if (node->users == NULL) {
        return take_anybody();
    }
    lock(node->users);
    now = find(node->users, fb_str_of(user->name));
    now = fb_user_take(now != NULL && now->identity == user->identity ? now : NULL);
    unlock(node->users);
    return now;
}

int fb_users_list(fb_node *node, fb_user ***list, size_t *count) {
    fb_users *users = node->users;
    *count = users == NULL ? 1 : 0;
    if (users == NULL) {
        *list = fb_mem_new(sizeof **list);
        if (*list != NULL) {
            (*list)[0] = take_anybody();
        }
        return *list != NULL ? FB_OK : FB_ENOMEM;
    }
    lock(users);
    *list = fb_mem_new(users->count * sizeof **list);
    for (; *list != NULL && *count < users->count; (*count)++) {
        (*list)[*count] = fb_user_take(users->items[*count]);
    }
    unlock(users);
    return *list != NULL ? FB_OK : FB_ENOMEM;
}

// ---- changes

// A copy of the one there is, or a new one.
static fb_user *begin(fb_users *users, fb_str name) {
    const fb_user *was = find(users, name);
    fb_user *user = was != NULL ? fb_user_copy(was) : fb_user_new(name);
    if (user != NULL && was == NULL) {
        user->identity = ++users->last_identity;
    }
    return user;
}

int fb_users_set(fb_node *node, fb_str name, const fb_str *words, size_t count, size_t *wrong,
                 fb_error *error) {
    if (node->users == NULL) {  // of tests and embedders, before anything runs
        node->users = fb_users_new();
        if (node->users == NULL) {
            return fb_error_set(error, FB_ENOMEM, "out of memory");
        }
    }
    fb_users *users = node->users;
    fb_user *before = NULL;
    lock(users);
    fb_user *user = begin(users, name);
    int result = user != NULL ? FB_OK : fb_error_set(error, FB_ENOMEM, "out of memory");
    for (size_t i = 0; i < count && result == FB_OK; i++) {
        *wrong = i;
        result = fb_user_rule(user, words[i], error);
    }
    if (result == FB_OK) {
        result = put(users, user, &before);
    }
    if (result == FB_OK) {
        changed(node);
    }
    unlock(users);
    fb_user_give(result == FB_OK ? before : user);
    return result;
}

int fb_users_delete(fb_node *node, fb_str name) {
    fb_users *users = node->users;
    bool found;
    FB_ASSERT(!is_default(name));
    if (users == NULL) {
        return FB_MISS;
    }
    lock(users);
    size_t place = place_of(users, name, &found);
    fb_user *user = found ? users->items[place] : NULL;
    if (found) {
        users->count--;
        memmove(&users->items[place], &users->items[place + 1],
                (users->count - place) * sizeof users->items[0]);
        changed(node);
    }
    unlock(users);
    fb_user_give(user);
    return found ? FB_OK : FB_MISS;
}

// ---- the log

static bool is_same(const fb_users_entry *entry, const fb_users_event *event, int64_t now_us) {
    return now_us - entry->at_us < SAME_ENTRY_US && strcmp(entry->reason, event->reason) == 0 &&
           strcmp(entry->context, event->context) == 0 &&
           fb_str_equal(fb_str_make(entry->object, entry->object_len), event->object) &&
           fb_str_equal(fb_str_of(entry->user), event->user);
}

static bool fill_entry(fb_users_entry *entry, const fb_users_event *event, int64_t now_us) {
    *entry = (fb_users_entry){
        .count = 1,
        .reason = event->reason,
        .context = event->context,
        .object = fb_mem_text(event->object),
        .object_len = event->object.len,
        .user = fb_mem_text(event->user),
        .client = fb_mem_text(event->client),
        .at_us = now_us,
    };
    if (entry->object == NULL || entry->user == NULL || entry->client == NULL) {
        release_entry(entry);
        return false;
    }
    return true;
}

// The entry at `index` becomes the first.
static void move_to_front(fb_users *users, size_t index) {
    fb_users_entry entry = users->log[index];
    memmove(&users->log[1], &users->log[0], index * sizeof users->log[0]);
    users->log[0] = entry;
}

static void note(fb_users *users, const fb_users_event *event, int64_t now_us) {
    fb_users_entry entry;
    for (size_t i = 0; i < users->log_count; i++) {
        if (is_same(&users->log[i], event, now_us)) {
            users->log[i].count++;
            users->log[i].at_us = now_us;
            move_to_front(users, i);
            return;
        }
    }
    if (!fill_entry(&entry, event, now_us)) {
        return;
    }
    if (users->log_count == FB_USERS_LOG_MAX) {
        release_entry(&users->log[--users->log_count]);
    }
    users->log[users->log_count++] = entry;
    move_to_front(users, users->log_count - 1);
}

void fb_users_note(fb_node *node, const fb_users_event *event) {
    fb_users_event cut = *event;
    if (node->users == NULL) {
        return;
    }
    if (cut.object.len > FB_USERS_LOG_OBJECT_MAX) {
        cut.object.len = FB_USERS_LOG_OBJECT_MAX;
    }
    if (cut.user.len > FB_USERS_LOG_OBJECT_MAX) {
        cut.user.len = FB_USERS_LOG_OBJECT_MAX;
    }
    lock(node->users);
    note(node->users, &cut, node->wall_us());
    unlock(node->users);
}

int fb_users_entries(fb_node *node, size_t max, fb_users_entry **entries, size_t *count) {
    fb_users *users = node->users;
    int result = FB_OK;
    *entries = NULL;
    *count = 0;
    if (users == NULL) {
        return FB_OK;
    }
    lock(users);
    max = max < users->log_count ? max : users->log_count;
    *entries = fb_mem_zero(max, sizeof **entries);
    result = *entries != NULL || max == 0 ? FB_OK : FB_ENOMEM;
    for (size_t i = 0; i < max && result == FB_OK; i++) {
        const fb_users_entry *from = &users->log[i];
        fb_users_event event = {from->reason, from->context,
                                fb_str_make(from->object, from->object_len), fb_str_of(from->user),
                                fb_str_of(from->client)};
        result = fill_entry(&(*entries)[i], &event, from->at_us) ? FB_OK : FB_ENOMEM;
        (*entries)[i].count = from->count;
        *count += result == FB_OK;
    }
    unlock(users);
    if (result < 0) {
        fb_users_entries_free(*entries, *count);
        *entries = NULL;
        *count = 0;
    }
    return result;
}

void fb_users_entries_free(fb_users_entry *entries, size_t count) {
    for (size_t i = 0; i < count; i++) {
        release_entry(&entries[i]);
    }
    fb_mem_free(entries);
}

void fb_users_forget(fb_node *node) {
    if (node->users == NULL) {
        return;
    }
    lock(node->users);
    for (size_t i = 0; i < node->users->log_count; i++) {
        release_entry(&node->users->log[i]);
    }
    node->users->log_count = 0;
    unlock(node->users);
}
