/* mhd.c: GET / on GNU libmicrohttpd, epoll and a pool of threads. usage: mhd PORT THREADS */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct MHD_Response *hello, *not_found;

static struct MHD_Response *json(const char *text)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
    if (!r || MHD_add_response_header(r, "content-type", "application/json") != MHD_YES)
        abort();
    return r;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *c, const char *path, const char *method,
                              const char *version, const char *body, size_t *body_len, void **state)
{
    (void)cls, (void)method, (void)version, (void)body, (void)body_len, (void)state;
    return strcmp(path, "/") == 0 ? MHD_queue_response(c, 200, hello) : MHD_queue_response(c, 404, not_found);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: mhd PORT THREADS\n");
        return 2;
    }
    int port = atoi(argv[1]);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    hello = json("{\"message\":\"Ol\xc3\xa1 Mundo!\"}");
    not_found = json("{\"detail\":\"Not Found\"}");
    if (!MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, (unsigned short)port, NULL, NULL, answer, NULL,
                          MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)atoi(argv[2]),
                          MHD_OPTION_END)) {
        perror("MHD_start_daemon");
        return 1;
    }
    for (;;)
        pause();
}
