/* A C node: it connects to a node, calls erlang:node() there as rpc does, and
 * leaves. The lab builds it with libei. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ei.h>

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: %s NAME HOST ADDRESS COOKIE PEER CREATION\n", argv[0]);
        return 2;
    }
    char full[MAXNODELEN + 1];
    struct in_addr address;
    ei_cnode node;
    ei_x_buff arguments, answer;
    int version, at, fd;
    char name[MAXATOMLEN_UTF8];

    if (ei_init() != 0 || inet_aton(argv[3], &address) == 0)
        return 1;
    snprintf(full, sizeof full, "%s@%s", argv[1], argv[2]);
    if (ei_connect_xinit(&node, argv[2], argv[1], full, &address, argv[4], atoi(argv[6])) < 0) {
        fprintf(stderr, "ei_connect_xinit failed\n");
        return 1;
    }
    if ((fd = ei_connect(&node, argv[5])) < 0) {
        fprintf(stderr, "ei_connect failed: %d\n", erl_errno);
        return 1;
    }
    ei_x_new(&arguments);
    ei_x_encode_empty_list(&arguments);
    ei_x_new(&answer);
    if (ei_rpc(&node, fd, "erlang", "node", arguments.buff, arguments.index, &answer) < 0) {
        fprintf(stderr, "ei_rpc failed: %d\n", erl_errno);
        return 1;
    }
    at = 0;
    if (ei_decode_version(answer.buff, &at, &version) < 0)
        at = 0; /* it came without one */
    if (ei_decode_atom(answer.buff, &at, name) < 0) {
        fprintf(stderr, "no atom came back\n");
        return 1;
    }
    printf("connected to %s\n", name);
    fflush(stdout);
    getchar(); /* until the lab has asked the peer about us */
    close(fd);
    return 0;
}
