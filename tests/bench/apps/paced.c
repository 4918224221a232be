/* paced.c: reads at a given pace over a few connections, whatever the server does.
 * usage: paced PORT PATH READS_PER_SECOND CONNECTIONS SECONDS
 *
 * Each connection has a timetable of its own: the pauses between two due times are random, half to one
 * and a half of their mean. A read that falls due while the one before is unanswered waits for it, and
 * its time counts from when it was due; else it counts from when it was sent. So a server that stands
 * still cannot hide the reads that were not sent meanwhile. Prints one line of JSON, in which "due"
 * counts all that fell due and "served" those answered with 200 by the end. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, ANSWER_MAX = 16384, SAMPLES_MAX = 1 << 20 };

struct connection {
    int fd;
    bool waiting;          /* for an answer */
    int64_t due_ns;        /* of the next read */
    int64_t counts_ns;     /* from when the read in flight counts */
    int64_t free_ns;       /* when the last answer came */
    size_t len;
    char in[ANSWER_MAX];
};

static struct connection connections[CONNECTIONS_MAX];
static uint32_t samples_us[SAMPLES_MAX];
static size_t due, served, refused, errors;
static int port, count;
static char request[512];
static int64_t pause_ns;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t next_pause(void)
{
    return pause_ns / 2 + (int64_t)((double)pause_ns * random() / RAND_MAX);
}

static void connect_one(struct connection *c)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    c->waiting = false;
    c->len = 0;
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof at)) {
        perror("connect");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void fail(struct connection *c)
{
    errors++;
    close(c->fd);
    connect_one(c);
}

static void send_due(struct connection *c, int64_t now)
{
    bool was_free = c->free_ns <= c->due_ns;
    c->counts_ns = was_free ? now : c->due_ns;
    c->due_ns += next_pause();
    due++;
    c->waiting = true;
    if (send(c->fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
        fail(c);
}

/* Bytes of the whole answer in c->in, 0 while it is not there. */
static size_t whole(struct connection *c)
{
    char *blank = memmem(c->in, c->len, "\r\n\r\n", 4), *field = strcasestr(c->in, "\r\ncontent-length:");
    size_t all = blank && field ? (size_t)(blank + 4 - c->in) + strtoul(field + 17, NULL, 10) : 0;
    return all && all <= c->len ? all : 0;
}

static void take(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - 1 - c->len, 0);
    if (n <= 0) {
        fail(c);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = 0;
    if (!whole(c))
        return;
    c->free_ns = now_ns();
    if (strncmp(c->in + strlen("HTTP/1.1"), " 200", 4) != 0)
        refused++;
    else if (served < SAMPLES_MAX)
        samples_us[served++] = (uint32_t)((c->free_ns - c->counts_ns) / 1000);
    c->waiting = false;
    c->len = 0;
}

/* The nearest due time of those that wait for it. */
static int64_t nearest(int64_t end)
{
    for (int i = 0; i < count; i++)
        if (!connections[i].waiting && connections[i].due_ns < end)
            end = connections[i].due_ns;
    return end;
}

static void turn(int64_t end)
{
    struct pollfd polled[CONNECTIONS_MAX];
    int64_t now = now_ns(), left = nearest(end) - now;
    struct timespec wait = {0};
    if (left > 0) {
        wait.tv_sec = left / 1000000000;
        wait.tv_nsec = left % 1000000000;
    }
    for (int i = 0; i < count; i++)
        polled[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
    if (ppoll(polled, (nfds_t)count, &wait, NULL) < 0 && errno != EINTR) {
        perror("ppoll");
        exit(1);
    }
    for (int i = 0; i < count; i++)
        if (polled[i].revents)
            take(&connections[i]);
    now = now_ns();
    for (int i = 0; i < count; i++)
        if (!connections[i].waiting && connections[i].due_ns <= now && now < end)
            send_due(&connections[i], now);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static unsigned quantile(double q)
{
    return served ? samples_us[(size_t)(q * (double)(served - 1) + 0.5)] : 0;
}

int main(int argc, char **argv)
{
    if (argc != 6 || (count = atoi(argv[4])) < 1 || count > CONNECTIONS_MAX || atof(argv[3]) <= 0) {
        fprintf(stderr, "usage: paced PORT PATH READS_PER_SECOND CONNECTIONS SECONDS\n");
        return 2;
    }
    port = atoi(argv[1]);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[2]);
    pause_ns = (int64_t)(1e9 * count / atof(argv[3]));
    prctl(PR_SET_TIMERSLACK, 1);
    int64_t begin = now_ns(), end = begin + (int64_t)(atof(argv[5]) * 1e9);
    for (int i = 0; i < count; i++) {
        connect_one(&connections[i]);
        connections[i].due_ns = begin + next_pause();
    }
    while (now_ns() < end)
        turn(end);
    for (int i = 0; i < count; i++)      /* those that could not be sent fell due all the same */
        for (; connections[i].due_ns < end; connections[i].due_ns += next_pause())
            due++;
    qsort(samples_us, served, sizeof *samples_us, by_value);
    printf("figures {\"requests\":%zu,\"seconds\":%.6f,\"p50_us\":%u,\"p99_us\":%u,\"errors\":%zu,"
           "\"refused\":%zu,\"due\":%zu,\"served\":%zu}\n", served + refused, (double)(now_ns() - begin) / 1e9,
           quantile(0.5), quantile(0.99), errors, refused, due, served);
    return 0;
}
