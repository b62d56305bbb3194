// Runs a fuzz target over every file of the folders and files named on the command line: its corpus
// as an ordinary test, with any compiler.

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t run_count;

static void run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size_t len = 0;
    uint8_t *data = malloc(1 << 20);
    if (data == NULL) {
        exit(1);
    }
    len = fread(data, 1, 1 << 20, file);
    fclose(file);
    // A block of the exact size, so that a sanitizer sees a read past the end.
    uint8_t *exact = malloc(len > 0 ? len : 1);
    if (exact == NULL) {
        exit(1);
    }
    memcpy(exact, data, len);
    free(data);
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    run_count++;
}

static void run_path(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) {
        return;  // a target without a corpus still runs the empty input below
    }
    if (!S_ISDIR(info.st_mode)) {
        run_file(path);
        return;
    }
    DIR *folder = opendir(path);
    for (struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            char inside[4096];
            snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
            run_path(inside);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

int main(int argc, char **argv) {
    (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        run_path(argv[i]);
    }
    printf("%zu inputs\n", run_count);
    return 0;
}
