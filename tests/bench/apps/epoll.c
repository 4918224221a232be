/* epoll.c: the floor of system calls: answers a constant to every blank line, parses nothing.
 * usage: epoll PORT WORKERS */
#include "loop.h"

#include <stdio.h>
#include <stdlib.h>

static const char ANSWER[] = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                             "content-length: 25\r\n\r\n{\"message\":\"Ol\xc3\xa1 Mundo!\"}";

static void answer(struct client *c, const char *head, const char *body)
{
    (void)head;
    (void)body;
    client_send(c, ANSWER, sizeof ANSWER - 1);
}

int main(int argc, char **argv)
{
    static const struct app app = {.request = answer};
    if (argc != 3) {
        fprintf(stderr, "usage: epoll PORT WORKERS\n");
        return 2;
    }
    return loop_serve(&app, atoi(argv[1]), atoi(argv[2]));
}
