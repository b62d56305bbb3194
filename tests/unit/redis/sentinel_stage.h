// sentinel_stage.h -- two Sentinels that may disagree and the two servers they name, all of them
// fakes.

#ifndef FB_TESTS_SENTINEL_STAGE_H
#define FB_TESTS_SENTINEL_STAGE_H

#include "route_rig.h"

static inline int port_of(const rig *r) {
    assert_int_equal(fb_route_server_count(r->route), 1);
    const char *name = fb_route_server_name(fb_route_server_at(r->route, 0));
    return atoi(strrchr(name, ':') + 1);
}

typedef struct stage {
    fake_redis *sentinels[2], *servers[2];
    int named[2];            // which server each Sentinel names; -1: it does not answer
    int epochs[2];
    bool wrong_role;         // ROLE says slave
    bool is_replica;         // HELLO says replica
} stage;

static inline const char *answer_on_stage(fake_redis *fake, const char *words, char *text,
                                          size_t text_size) {
    const stage *s = fake->arg;
    for (int i = 0; i < 2; i++) {
        if (fake == s->sentinels[i] && strncmp(words, "SENTINEL MASTER", 15) == 0) {
            if (s->named[i] < 0) {
                return NULL;
            }
            snprintf(text, text_size,
                     "%%3\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$4\r\nport\r\n$5\r\n%05d\r\n"
                     "$12\r\nconfig-epoch\r\n$1\r\n%d\r\n",
                     s->servers[s->named[i]]->port, s->epochs[i]);
            return text;
        }
    }
    if (strcmp(words, "ROLE") == 0) {
        return s->wrong_role ? "*1\r\n$5\r\nslave\r\n" : "*1\r\n$6\r\nmaster\r\n";
    }
    snprintf(text, text_size, "+%d\r\n", fake == s->servers[1]);
    return text;
}

static inline void prepare_stage(rig *r, stage *s) {
    char url[128];
    for (int i = 0; i < 2; i++) {
        s->sentinels[i] = fake_redis_new(r, answer_on_stage, s);
        s->sentinels[i]->mode = "sentinel";
        s->servers[i] = fake_redis_new(r, answer_on_stage, s);
        s->servers[i]->role = s->is_replica ? "replica" : "master";
    }
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/mine",
             s->sentinels[0]->port, s->sentinels[1]->port);
    rig_set_url(r, url);
}

static inline void open_stage(rig *r, stage *s) {
    prepare_stage(r, s);
    rig_begin(r, FB_CLUSTER_AUTO);
}

static inline void free_stage(stage *s) {
    for (int i = 0; i < 2; i++) {
        fake_redis_free(s->sentinels[i]);
        fake_redis_free(s->servers[i]);
    }
}

static inline void close_stage(rig *r, stage *s) {
    free_stage(s);
    rig_close(r);
}

static inline void announce(stage *s, int sentinel, const char *service) {
    char text[256], words[128];
    snprintf(words, sizeof words, "%s 127.0.0.1 1 127.0.0.1 2", service);
    snprintf(text, sizeof text, ">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%zu\r\n%s\r\n",
             strlen(words), words);
    fake_redis_push(s->sentinels[sentinel], text);
}

#endif
