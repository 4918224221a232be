/* top.c: see top.h. */
#include "master/top.h"

#include "master/top_facts.h"
#include "master/top_screen.h"
#include "master/top_terminal.h"
#include "shared/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVERY_MS = 1000,
    ANSWER_MAX = 16 << 20, /* of a server that is none */
    TYPED_MAX = 64
};

struct top {
    const struct ctl *ctl;
    const char *path;
    int fd;        /* -1: not connected */
    bool asked;    /* and not answered */
    mono_ms due;   /* ask again, or (asked) complain */
    bool complained;
    struct buf in;
    struct top_facts facts;
    struct top_past past;
    struct top_view view;
    struct top_screen screen;
    bool plain;
    unsigned left; /* plain screens still to be printed */
    struct terminal terminal;
    char typed[TYPED_MAX]; /* not yet understood */
    size_t typed_len;
    bool dirty;
    bool over;
    enum ctl_code code;
    struct buf *error;
};

/* ---- showing --------------------------------------------------------------------------------- */

static void write_all(struct top *t, const struct buf *bytes)
{
    bool good = !bytes->failed && fwrite(bytes->data, 1, bytes->len, stdout) == bytes->len &&
                fflush(stdout) == 0;
    t->over |= !good;
    if (good)
        return;
    t->code = CTL_FAILED;
    buf_printf(t->error, "cannot show it: %s", strerror(bytes->failed ? ENOMEM : errno));
}

static void paint(struct top *t)
{
    struct buf out = {0};
    t->dirty = false;
    terminal_size(&t->view.columns, &t->view.rows);
    top_screen_draw(&t->facts, &t->view, &t->screen);
    top_screen_paint(&t->screen, !getenv("NO_COLOR"), &out); /* no-color.org */
    write_all(t, &out);
    buf_free(&out);
}

/* Screens are set apart by an empty line. */
static void print(struct top *t)
{
    unsigned rows;
    terminal_size(&t->view.columns, &rows);
    if (!isatty(STDOUT_FILENO))
        t->view.columns = TOP_COLUMNS_ALL;
    top_screen_draw(&t->facts, &t->view, &t->screen);
    t->left--;
    if (t->left > 0)
        buf_append_char(&t->screen.text, '\n');
    write_all(t, &t->screen.text);
    t->over |= t->left == 0;
}

static void show(struct top *t)
{
    if (t->plain)
        print(t);
    else
        t->dirty = true;
}

/* ---- the server ------------------------------------------------------------------------------ */

/* Nothing comes from it: a person may wait for it, others get the code. */
static void complain(struct top *t, enum ctl_code code, struct slice why)
{
    if (t->plain) {
        t->over = true;
        t->code = code;
        buf_append_slice(t->error, why);
        return;
    }
    snprintf(t->facts.gone, sizeof t->facts.gone, "%.*s; trying again",
             why.len < 200 ? (int)why.len : 200, why.ptr);
    t->dirty = true;
}

static void lose(struct top *t, struct slice why)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    t->asked = false;
    buf_clear(&t->in);
    t->due = mono_add(clock_now(), EVERY_MS);
    complain(t, CTL_NO_CONNECTION, why);
}

static bool connected(struct top *t)
{
    struct buf why = {0};
    if (t->fd < 0 && ctl_connect(t->path, EVERY_MS, &t->fd, &why) != CTL_DONE)
        lose(t, buf_slice(&why));
    buf_free(&why);
    return t->fd >= 0;
}

/* "status" is what every version understands. */
static void ask(struct top *t)
{
    static const char line[] = "status\n";
    if (!connected(t))
        return;
    if (send(t->fd, line, sizeof line - 1, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof line - 1) {
        lose(t, SLICE("the server takes no command"));
        return;
    }
    t->asked = true;
    t->complained = false;
    t->due = mono_add(clock_now(), t->ctl->timeout_ms);
}

static void complain_late(struct top *t)
{
    char why[64];
    int len = snprintf(why, sizeof why, "no answer within %lld ms", (long long)t->ctl->timeout_ms);
    t->complained = true;
    complain(t, CTL_TIMEOUT, (struct slice){why, (size_t)len});
}

static void take_answer(struct top *t, struct slice line)
{
    struct buf why = {0};
    mono_ms now = clock_now();
    time_t wall = time(NULL);
    struct tm tm;
    t->asked = false;
    t->due = mono_add(now, EVERY_MS);
    if (!top_facts_take(&t->facts, &t->past, line, now, &why)) {
        complain(t, CTL_FAILED, buf_slice(&why));
    } else {
        t->facts.gone[0] = '\0';
        if (localtime_r(&wall, &tm))
            strftime(t->facts.time, sizeof t->facts.time, "%H:%M:%S", &tm);
        show(t);
    }
    buf_free(&why);
}

static void hear(struct top *t)
{
    size_t room_len = 64 * 1024;
    char *room = buf_reserve(&t->in, room_len);
    ssize_t n = room ? recv(t->fd, room, room_len, MSG_DONTWAIT) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || t->in.len > ANSWER_MAX) {
        lose(t, SLICE("the server has closed the connection"));
        return;
    }
    const char *end = memchr(t->in.data + t->in.len, '\n', (size_t)n);
    t->in.len += (size_t)n;
    if (!end)
        return;
    take_answer(t, (struct slice){t->in.data, (size_t)(end - t->in.data)});
    buf_clear(&t->in); /* one question, one line */
}

/* ---- the person ------------------------------------------------------------------------------ */

static void leave(struct top *t)
{
    t->over = true;
    t->code = t->facts.gone[0] ? CTL_NO_CONNECTION : CTL_DONE;
}

static void scroll(struct top *t, long by)
{
    long first = (long)t->view.first + by;
    t->view.first = first > 0 ? (size_t)first : 0; /* the other end is top_screen_draw()'s affair */
    t->dirty = true;
}

static void obey(struct top *t, enum terminal_key key)
{
    long page = t->view.rows > 10 ? (long)t->view.rows - 10 : 1;
    switch (key) {
    case KEY_QUIT:
        leave(t);
        return;
    case KEY_UP:
        scroll(t, -1);
        return;
    case KEY_DOWN:
        scroll(t, 1);
        return;
    case KEY_PAGE_UP:
        scroll(t, -page);
        return;
    case KEY_PAGE_DOWN:
        scroll(t, page);
        return;
    case KEY_NONE:
        return;
    }
}

static void read_keys(struct top *t)
{
    if (t->typed_len == TYPED_MAX)
        t->typed_len = 0; /* a sequence without end */
    ssize_t n = read(STDIN_FILENO, t->typed + t->typed_len, TYPED_MAX - t->typed_len);
    if (n <= 0 && errno != EINTR && errno != EAGAIN) {
        leave(t); /* the terminal is gone */
        return;
    }
    struct slice rest = {t->typed, t->typed_len + (n > 0 ? (size_t)n : 0)};
    size_t before;
    do {
        before = rest.len;
        obey(t, terminal_key(&rest));
    } while (rest.len > 0 && rest.len < before);
    memmove(t->typed, rest.ptr, rest.len);
    t->typed_len = rest.len;
}

static void heed(struct top *t)
{
    switch (terminal_signals(&t->terminal)) {
    case TERMINAL_QUIT:
        leave(t);
        return;
    case TERMINAL_CHANGED:
        t->dirty = true;
        return;
    case TERMINAL_NOTHING:
        return;
    }
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void act(struct top *t)
{
    bool due = !mono_before(clock_now(), t->due);
    if (due && !t->asked)
        ask(t);
    else if (due && !t->complained)
        complain_late(t);
    if (t->dirty && !t->over)
        paint(t);
}

static int wait_ms(const struct top *t)
{
    int64_t ms = mono_diff_ms(t->due, clock_now());
    if (t->asked && t->complained)
        return -1;
    return ms > 0 ? (int)ms : 0;
}

static void turn(struct top *t)
{
    struct pollfd fds[] = {
        {.fd = t->fd, .events = POLLIN},
        {.fd = t->plain ? -1 : STDIN_FILENO, .events = POLLIN},
        {.fd = t->plain ? -1 : t->terminal.signals_fd, .events = POLLIN},
    };
    if (poll(fds, sizeof fds / sizeof fds[0], wait_ms(t)) <= 0)
        return;
    if (fds[2].revents)
        heed(t);
    if (fds[1].revents && !t->over)
        read_keys(t);
    if (fds[0].revents && !t->over)
        hear(t);
}

enum ctl_code top_run(const struct ctl *ctl, const char *path, int fd, struct buf *error)
{
    static struct top top; /* its screen is large */
    struct top *t = &top;
    *t = (struct top){.ctl = ctl, .path = path, .fd = fd, .due = clock_now(), .error = error};
    t->left = ctl->count ? ctl->count : 1;
    t->plain = ctl->count > 0 || !terminal_is_able();
    if (!t->plain && terminal_enter(&t->terminal) != 0) {
        buf_printf(error, "cannot use this terminal: %s", strerror(errno));
        t->over = true;
        t->code = CTL_FAILED;
    }
    while (!t->over) {
        act(t);
        if (!t->over)
            turn(t);
    }
    terminal_leave(&t->terminal);
    if (t->fd >= 0)
        close(t->fd);
    if (t->code == CTL_NO_CONNECTION && error->len == 0)
        buf_append_slice(error, slice_of(t->facts.gone));
    buf_free(&t->in);
    top_screen_free(&t->screen);
    top_facts_free(&t->facts);
    top_past_free(&t->past);
    return t->code;
}
