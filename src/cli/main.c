// The program.

#include "cli/command_line.h"

int main(int argc, char **argv) {
    return fb_cli_main(argc, argv);
}
