/* orders.c: an upstream for the orders API that costs next to nothing: every order has PACKAGES packages
 * of one item each; the order is answered at once, items after DELAY_MS.
 * usage: orders PORT DELAY_MS PACKAGES
 *
 * One process, one epoll. The delay is the same for all, so that the answers that are due stand in a
 * queue. Nothing here is a server: hardly anything is checked, a client that surprises is dropped. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MAX = 65536, QUEUE_MAX = 65536, REQUEST_MAX = 2048, ORDER_MAX = 65536 };

struct due {
    int fd;
    unsigned birth; /* of the connection: a number may be another's by then */
    int64_t at_ms;
};

static struct due queue[QUEUE_MAX]; /* a ring */
static unsigned queue_first, queue_len;
static unsigned births[FDS_MAX];
static int epoll_fd, listener, delay_ms;
static char order[ORDER_MAX], items[512];

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static void drop(int fd)
{
    births[fd]++;
    close(fd);
}

static void answer(int fd, const char *text)
{
    size_t len = strlen(text);
    if (write(fd, text, len) != (ssize_t)len)
        drop(fd);
}

static void make_answers(int packages)
{
    static char body[ORDER_MAX - 128];
    int n = snprintf(body, sizeof body, "{\"packages\":[");
    for (int i = 0; i < packages && n < (int)sizeof body - 64; i++)
        n += snprintf(body + n, sizeof body - (size_t)n,
                      "%s{\"uuid\":\"00000000-0000-4000-9000-%012d\"}", i ? "," : "", i);
    n += snprintf(body + n, sizeof body - (size_t)n, "]}");
    snprintf(order, sizeof order,
             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", n, body);
    static const char item[] = "[{\"product\":{\"code\":\"229010200\",\"description\":\"x\","
                               "\"image_url\":\"http://img\",\"reference\":\"r\"},\"quantity\":1}]";
    snprintf(items, sizeof items,
             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
             sizeof item - 1, item);
}

static void take_clients(void)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= FDS_MAX || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
            drop(fd);
    }
}

static void take_request(int fd)
{
    char in[REQUEST_MAX + 1];
    ssize_t n = read(fd, in, REQUEST_MAX);
    if (n <= 0) {
        drop(fd);
        return;
    }
    in[n] = 0;
    if (!strstr(in, "\r\n\r\n"))
        drop(fd);
    else if (!strstr(in, "/items HTTP/"))
        answer(fd, order);
    else if (delay_ms == 0 || queue_len == QUEUE_MAX)
        answer(fd, items);
    else
        queue[(queue_first + queue_len++) % QUEUE_MAX] =
            (struct due){fd, births[fd], now_ms() + delay_ms};
}

/* Answers what is due; how long until the next one is, -1: there is none. */
static int answer_due(void)
{
    while (queue_len > 0) {
        struct due *d = &queue[queue_first];
        int64_t left = d->at_ms - now_ms();
        if (left > 0)
            return (int)left;
        if (births[d->fd] == d->birth)
            answer(d->fd, items);
        queue_first = (queue_first + 1) % QUEUE_MAX;
        queue_len--;
    }
    return -1;
}

static int serve(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN}, events[256];
    int one = 1;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    event.data.fd = listener;
    if (epoll_fd < 0 || listener < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event)) {
        perror("orders");
        return 1;
    }
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 256, answer_due());
        if (n < 0 && errno != EINTR)
            return 1;
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                take_clients();
            else
                take_request(events[i].data.fd);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: orders PORT DELAY_MS PACKAGES\n");
        return 2;
    }
    delay_ms = atoi(argv[2]);
    make_answers(atoi(argv[3]));
    return serve(atoi(argv[1]));
}
