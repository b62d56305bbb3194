// The program.

#include "cli/command_line.h"
#include "cli/tls.h"

int main(int argc, char **argv) {
    fb_link_set_tls(&FB_CLI_TLS);
    return fb_cli_main(argc, argv);
}
