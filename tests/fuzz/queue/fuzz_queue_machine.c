// Any bytes as a program of steps: the machine answers what the rules say (queue_model.h), is sound
// after each step, forgets what is undone, and goes on after a restart from what was written.

#include <stdlib.h>

#define QUEUE_MODEL_JOBS 48
#include "queue_disk.h"
#include "queue_program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void compare(fb_machine *machine, queue_program *p, model *m,
                    const fb_store_request *request) {
    static model_reply wanted;
    char why[QUEUE_WHY_SIZE] = "";
    fb_store_reply got;

    model_step(m, request, p->now_ms, &wanted);
    require(fb_machine_step(machine, request, p->now_ms, &got) == FB_OK);
    queue_match match = {.request = request, .wanted = &wanted.reply, .got = &got, .why = why};
    if (!queue_replies_match(&match)) {
        (void)fprintf(stderr, "%s\n", why);
        abort();
    }
    fb_machine_check(machine);
}

static void restart(fb_machine **machine, queue_disk *disk, model *m) {
    fb_rng rng;

    fb_rng_init(&rng, 1);
    fb_machine_free(*machine);
    require(fb_machine_new(machine) == FB_OK && queue_disk_load(disk, &rng, *machine) == FB_OK);
    for (size_t i = 0; i < MODEL_QUEUES; i++) {
        memset(m->queues[i].passed, 0, sizeof(m->queues[i].passed));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static model m, before;
    static queue_program p;
    static queue_disk disk;
    fb_machine *machine = NULL;

    memset(&m, 0, sizeof(m));
    memset(&disk, 0, sizeof(disk));
    disk.names = queue_program_names;
    queue_program_init_bytes(&p, data, size < 2000 ? size : 2000);
    p.parts = true;
    require(fb_machine_new(&machine) == FB_OK);
    while (!queue_program_ends(&p)) {
        uint32_t fate = queue_below(&p, 16);
        if (fate >= 12) {
            before = m;
            for (uint32_t i = fate - 11; i > 0; i--) {
                compare(machine, &p, &m, queue_program_next(&p, &m));
            }
            fb_machine_undo(machine);
            fb_machine_check(machine);
            m = before;
        } else {
            compare(machine, &p, &m, queue_program_next(&p, &m));
            queue_disk_write(&disk, machine);
        }
        if (fate == 0) {
            restart(&machine, &disk, &m);
        }
    }
    fb_machine_free(machine);
    return 0;
}
