/* loop.c: see loop.h. */
#define _GNU_SOURCE
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 1024 };

static const struct app *app;
static int poller, listener, waker;

static void must(bool good, const char *what)
{
    if (!good) {
        perror(what);
        _exit(1);
    }
}

static int listen_on(int port)
{
    int one = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    must(s >= 0, "socket");
    must(!setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), "SO_REUSEADDR");
    must(!setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), "SO_REUSEPORT");
    must(!bind(s, (struct sockaddr *)&at, sizeof at), "bind");
    must(!listen(s, BACKLOG), "listen");
    return s;
}

static void watch(int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    must(!epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void drop(struct client *c)
{
    if (c->busy && !c->gone) {
        c->gone = true;
        epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
    }
    if (!c->busy) {
        close(c->fd);
        free(c);
    }
}

static void accept_all(void)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct client *c = calloc(1, sizeof *c);
        must(c, "calloc");
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(fd, c);
    }
}

static size_t body_length(const char *head)
{
    const char *field = *head == 'P' ? strcasestr(head, "\r\ncontent-length:") : NULL;
    return field ? strtoul(field + 17, NULL, 10) : 0;
}

/* Hands every whole request in c->in to the app. */
static void requests(struct client *c)
{
    char *at = c->in, *end = c->in + c->len, *blank;
    while (!c->busy && (blank = memmem(at, (size_t)(end - at), "\r\n\r\n", 4))) {
        char *body = blank + 4, *next, kept;
        *blank = 0;
        next = body + body_length(at);
        *blank = '\r';
        if (next > end)
            break;
        kept = *next;
        *next = 0;
        app->request(c, at, body);
        *next = kept;
        at = next;
    }
    c->len = (size_t)(end - at);
    memmove(c->in, at, c->len + 1);
}

static void readable(struct client *c)
{
    ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - 1 - c->len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = 0;
    requests(c);
}

void client_send(struct client *c, const char *data, size_t len)
{
    if (send(c->fd, data, len, MSG_NOSIGNAL) != (ssize_t)len)
        shutdown(c->fd, SHUT_RDWR);
}

void client_answered(struct client *c)
{
    c->busy = false;
    if (c->gone)
        drop(c);
    else if (c->len)
        requests(c);
}

void loop_wake(void)
{
    must(!eventfd_write(waker, 1), "eventfd");
}

static void one_event(void *what)
{
    eventfd_t ignored;
    if (what == &listener) {
        accept_all();
    } else if (what == &waker) {
        eventfd_read(waker, &ignored);
        if (app->woken)
            app->woken();
    } else {
        readable(what);
    }
}

static void work(int port)
{
    struct epoll_event events[EVENTS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    listener = listen_on(port);
    must((poller = epoll_create1(0)) >= 0, "epoll_create1");
    must((waker = eventfd(0, EFD_NONBLOCK)) >= 0, "eventfd");
    watch(listener, &listener);
    watch(waker, &waker);
    if (app->start)
        app->start();
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            one_event(events[i].data.ptr);
        if (app->batch_end)
            app->batch_end();
    }
}

int loop_serve(const struct app *served, int port, int workers)
{
    app = served;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < workers; i++) {
        pid_t pid = fork();
        must(pid >= 0, "fork");
        if (pid == 0)
            work(port);
    }
    wait(NULL); /* a worker never ends by itself; the others go with us (PDEATHSIG) */
    return 1;
}
