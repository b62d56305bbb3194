// The model of the shared tier keeps what sync/port.h promises: the same claims that the driver has
// to pass over real servers.

#include "../unit/sync/port_claims.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/list.h"
#include "model.h"

typedef struct told {  // something that a node is to hear
    fb_list list;
    size_t who;
    enum { TOLD_REPLY, TOLD_RECORD, TOLD_ACK } what;
    fb_sync_reply reply;
    uint32_t log;
    uint64_t epoch, nonce, node;
    fb_record record;
} told;

typedef struct model_rig {
    claims_rig rig;
    struct model_port {
        fb_sync_port port;
        struct model_rig *of;
        size_t who;
    } ports[2];
    fb_sync_events events[2];
    model tier;
    fb_arena memory;
    fb_list queue;
    int64_t now_ns;
} model_rig;

static void add(model_rig *rig, const told *what) {
    told *made = fb_arena_new(&rig->memory, sizeof *made);
    assert_non_null(made);
    *made = *what;
    fb_list_insert(&rig->queue, &made->list);
}

static void published(void *arg, uint32_t log, uint64_t epoch, const fb_record *record) {
    model_rig *rig = arg;
    told what = {.what = TOLD_RECORD, .log = log, .epoch = epoch, .record = *record};
    what.record.name = fb_arena_copy(&rig->memory, record->name);
    add(rig, &what);
}

static void acknowledged(void *arg, uint64_t nonce, uint64_t node) {
    add(arg, &(told){.what = TOLD_ACK, .nonce = nonce, .node = node});
}

static void send(fb_sync_port *port, const fb_sync_request *request) {
    struct model_port *from = (struct model_port *)(void *)port;
    model_rig *rig = from->of;
    told what = {.what = TOLD_REPLY, .who = from->who};
    model_do(&rig->tier, request, rig->now_ns, &rig->memory, &what.reply);
    add(rig, &what);
}

static bool step(claims_rig *claims) {
    model_rig *rig = claims->arg;
    if (fb_list_empty(&rig->queue)) {
        return false;
    }
    told *next = FB_LIST_OF(rig->queue.next, told, list);
    fb_list_remove(&next->list);
    fb_sync_events *to = &rig->events[next->who];
    if (next->what == TOLD_REPLY) {
        to->on_reply(to->arg, &next->reply);
        fb_loaded_release(&next->reply.loaded);
    } else if (next->what == TOLD_RECORD) {
        to->on_record(to->arg, next->log, next->epoch, &next->record);
    } else {
        to->on_ack(to->arg, next->nonce, next->node);
    }
    return true;
}

static void pass(claims_rig *claims, int64_t ms) {
    model_rig *rig = claims->arg;
    rig->now_ns += ms * CLAIMS_MS;
}

static void flush(claims_rig *claims) {
    model_rig *rig = claims->arg;
    model_flushall(&rig->tier);
}

static claims_rig *claims_rig_new(void) {
    model_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    claims_nodes_new(&rig->rig);
    fb_list_init(&rig->queue);
    rig->now_ns = 1000000 * CLAIMS_MS;
    model_init(&rig->tier, CLAIMS_PARTITIONS, CLAIMS_LOG_MAX);
    rig->tier.publish = published;
    rig->tier.ack = acknowledged;
    rig->tier.arg = rig;
    for (size_t i = 0; i < 2; i++) {
        rig->ports[i] = (struct model_port){{send}, rig, i};
        rig->rig.port[i] = &rig->ports[i].port;
        rig->events[i] = claims_events(rig->rig.node[i]);
        rig->rig.node[i]->up = true;
    }
    rig->rig.step = step;
    rig->rig.pass = pass;
    rig->rig.flush = flush;
    rig->rig.arg = rig;
    return &rig->rig;
}

static void claims_rig_free(claims_rig *claims) {
    model_rig *rig = claims->arg;
    while (step(claims)) {
    }
    claims_nodes_free(claims);
    model_release(&rig->tier);
    fb_arena_release(&rig->memory);
    free(rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {PORT_CLAIMS, PORT_CLAIMS_OF_ONE_SERVER};
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
