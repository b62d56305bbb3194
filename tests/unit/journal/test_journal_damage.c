// Bytes of the file, or of its log, are not what was written: opening says so, or what is there is
// told; nothing else happens. And where the log alone is damaged, what was stored before it is
// there.

#include "journal_disk.h"
#include "journal_rig.h"

typedef struct fixture {
    rig rig;
    test_disk disk;
    disk_image sound[2];         // the file and its log
} fixture;

static void quiet(void *arg, fb_log_level level, const char *event, const char *fields) {
}

// SQLite removes a log beside an empty file.
static disk_file *file_of(fixture *own, int which) {
    char path[160];
    (void)snprintf(path, sizeof path, "%s%s", own->rig.file, which == 0 ? "" : "-wal");
    disk_file *file = disk_find(&own->disk, path);
    return file != NULL ? file : disk_make(&own->disk, path);
}

static void keep_image(disk_image *to, const disk_image *from) {
    to->len = 0;
    image_size(to, from->len);
    memcpy(to->bytes, from->bytes, from->len);
}

static void put_some(rig *own, int count) {
    static char big[9000];
    memset(big, 'b', sizeof big - 1);
    for (int i = 0; i < count; i++) {
        (void)rig_put(own, i % 5 == 4 ? big : "small");
    }
}

// Some are in the file proper, some in the log: too few for a checkpoint, of which half would be
// there.
static int setup(void **state) {
    fixture *own = calloc(1, sizeof *own);
    told_answer answer;
    static told_items items;
    rig_init(&own->rig);
    disk_init(&own->disk);
    own->rig.options.vfs = "test-disk";
    own->rig.options.log_bytes = 0;  // so large that it is not emptied meanwhile
    rig_open(&own->rig);
    fb_store_request mark = {.verb = FB_STORE_MARK_SET, .queue = WORK, .mark = FB_STR("m"),
                             .mark_value = 3};
    assert_int_equal(rig_ask(&own->rig, &mark, &items, &answer), FB_STORE_DONE);
    told_release(&answer);
    put_some(&own->rig, 40);
    rig_close(&own->rig);
    rig_open(&own->rig);
    put_some(&own->rig, 8);
    assert_int_equal(rig_reserve(&own->rig, 10, &answer), FB_STORE_DONE);
    told_release(&answer);
    pthread_mutex_lock(&own->disk.lock);
    keep_image(&own->sound[0], &file_of(own, 0)->live);
    keep_image(&own->sound[1], &file_of(own, 1)->live);
    pthread_mutex_unlock(&own->disk.lock);
    rig_close(&own->rig);
    while (own->sound[1].bytes[own->sound[1].len - 1] == 0) {
        own->sound[1].len--;
    }
    own->rig.options.log_bytes = 1;  // the least: there is less to do for each try
    *state = own;
    return 0;
}

static int teardown(void **state) {
    fixture *own = *state;
    rig_release(&own->rig);
    disk_release(&own->disk);
    free(own->sound[0].bytes);
    free(own->sound[1].bytes);
    free(own);
    return 0;
}

static void restore(fixture *own) {
    for (int i = 0; i < 2; i++) {
        ops_drop(file_of(own, i));
        keep_image(&file_of(own, i)->live, &own->sound[i]);
        keep_image(&file_of(own, i)->safe, &own->sound[i]);
    }
}

static void answered(void *arg, const fb_store_reply *reply) {
    // FAILED where it cannot be read; whatever it says, it can be read.
    atomic_int *count = arg;
    size_t bytes = strlen(reply->text);
    for (size_t i = 0; i < reply->job_count; i++) {
        for (size_t k = 0; k < reply->jobs[i].payload.len; k++) {
            bytes += (unsigned char)reply->jobs[i].payload.ptr[k];
        }
    }
    atomic_fetch_add(count, bytes > 0 ? 1 : 1);
}

// Everything that reads and writes. How many jobs it has; -1: it was refused.
static int use(fixture *own) {
    fb_error error = {.text = ""};
    atomic_int answers = 0;
    fb_queue_look look;
    int result = fb_journal_new(&own->rig.options, &own->rig.journal, &error);
    if (result != FB_OK) {
        assert_result(result, FB_EIO);
        assert_non_null(strstr(error.text, own->rig.file));
        own->rig.journal = NULL;
        return -1;
    }
    fb_queue_port *port = fb_journal_port(own->rig.journal);
    rig_look(&own->rig, &look);
    fb_store_job job = {.job = {.payload = FB_STR("new"), .attempts = 1, .lease_ms = 1000}};
    fb_store_request requests[] = {
        {.verb = FB_STORE_LIST, .queue = WORK, .state = -1, .count = 1000, .flag = true},
        {.verb = FB_STORE_RESERVE, .queue = WORK, .count = 60, .token = 1000},
        {.verb = FB_STORE_ENQUEUE, .queue = WORK, .jobs = &job, .item_count = 1},
        {.verb = FB_STORE_MARK_LIST, .queue = WORK, .count = 10},
        {.verb = FB_STORE_PURGE, .queue = WORK, .state = FB_JOB_LEASED, .count = 1000}};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        requests[i].policy = &own->rig.policy;
        assert_ok(port->send(port, &requests[i], answered, &answers));
    }
    rig_close(&own->rig);
    assert_int_equal(answers, sizeof requests / sizeof requests[0]);
    return (int)(look.counts[FB_JOB_READY] + look.counts[FB_JOB_LEASED]);
}

static bool is_empty(const char *page) {
    size_t i = 0;
    while (i < 4096 && page[i] == 0) {
        i++;
    }
    return i == 4096;
}

// In a page that has something in it; often at its beginning, where SQLite keeps its structure.
static size_t some_place(fixture *own, const disk_image *image) {
    size_t page = 0;
    do {
        page = fb_rng_below(&own->disk.rng, image->len / 4096) * 4096;
    } while (is_empty(image->bytes + page));
    return page + fb_rng_below(&own->disk.rng, fb_rng_below(&own->disk.rng, 2) == 0 ? 110 : 4096);
}

static void flip(fixture *own, int which, uint64_t most) {
    disk_file *file = file_of(own, which);
    uint64_t count = 1 + fb_rng_below(&own->disk.rng, most);
    for (uint64_t i = 0; i < count; i++) {
        size_t place = some_place(own, &file->live);
        file->live.bytes[place] = (char)(file->live.bytes[place] ^
                                         (1 << fb_rng_below(&own->disk.rng, 8)));
    }
    keep_image(&file->safe, &file->live);
}

static void test_journal_damage__sound_file_has_everything(void **state) {
    fixture *own = *state;
    restore(own);
    assert_int_equal(use(own), 48);
}

static void test_journal_damage__flipped_bytes_do_no_harm(void **state) {
    fixture *own = *state;
    int refused = 0;
    for (int i = 0; i < 150; i++) {
        restore(own);
        image_size(&file_of(own, 1)->live, 0);  // or its pages would cover those of the file
        flip(own, 0, i % 3 == 0 ? 40 : 2);
        refused += use(own) < 0 ? 1 : 0;
    }
    assert_in_range(refused, 1, 149);
}

static void test_journal_damage__torn_log_loses_its_end_alone(void **state) {
    fixture *own = *state;
    for (int i = 0; i < 100; i++) {
        restore(own);
        flip(own, 1, 3);
        int jobs = use(own);
        assert_in_range(jobs, 40, 48);
    }
}

static void test_journal_damage__short_file_is_refused(void **state) {
    fixture *own = *state;
    static const size_t cuts[] = {1, 99, 511, 4095, 4097, 9000, 20000};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        restore(own);
        image_size(&file_of(own, 0)->live, cuts[i]);
        image_size(&file_of(own, 1)->live, 0);
        (void)use(own);
    }
}

int main(void) {
    static const fb_hooks hooks = {.log = quiet};
    fb_hooks_set(&hooks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_journal_damage__sound_file_has_everything, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal_damage__flipped_bytes_do_no_harm, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal_damage__torn_log_loses_its_end_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal_damage__short_file_is_refused, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
