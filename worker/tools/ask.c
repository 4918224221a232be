/* ask.c: see ask.h. While a password is typed, signals come by signalfd(2) and are looked at
 * together with the terminal: each finds the terminal restored before it takes its course, and none
 * can slip in between (as it can between a handler's flag and read(2), in readpassphrase(3bsd) as
 * well). */
#include "worker/tools/ask.h"

#include "shared/private.h"
#include "shared/utf8.h"
#include "worker/tools/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum { TRIES = 3 };

struct ask_password {
    size_t len;
    char text[ASK_PASSWORD_MAX + 2]; /* one more than the longest, to see that it is too long */
    char repeated[ASK_PASSWORD_MAX + 2];
};

/* ---- passwords ------------------------------------------------------------------------------- */

void ask_password_free(struct ask_password *p)
{
    private_free(p, sizeof *p);
}

struct slice ask_password_text(const struct ask_password *p)
{
    return (struct slice){p->text, p->len};
}

/* True when it can be a password; else one clause in *why_r. */
static bool is_good(const struct ask_password *p, const char **why_r)
{
    struct slice text = ask_password_text(p);
    *why_r = text.len == 0                 ? "a password must not be empty"
             : text.len > ASK_PASSWORD_MAX ? "the password is too long: at most 4095 bytes"
             : !utf8_is_valid(text) ? "the password is not UTF-8 text, so nobody could log in "
                                      "with it"
                                    : NULL;
    return !*why_r;
}

/* ---- without echo ---- */

struct terminal {
    int fd;      /* /dev/tty; -1: closed */
    int signals; /* signalfd; -1: closed */
    sigset_t caught;
    sigset_t mask_before;
    struct termios before;
};

/* Not TTIN and TTOU: what a background process does to the terminal shall stop it, as ever. */
static const int caught[] = {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP};

static bool terminal_open(struct terminal *t)
{
    sigemptyset(&t->caught);
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
        sigaddset(&t->caught, caught[i]);
    t->signals = -1;
    t->fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (t->fd < 0 || tcgetattr(t->fd, &t->before))
        return false;
    t->signals = signalfd(-1, &t->caught, SFD_CLOEXEC | SFD_NONBLOCK);
    return t->signals >= 0 && sigprocmask(SIG_BLOCK, &t->caught, &t->mask_before) == 0;
}

static void terminal_close(struct terminal *t)
{
    if (t->fd >= 0)
        close(t->fd);
    if (t->signals >= 0)
        close(t->signals);
}

/* Stops us when we are in the background, until somebody calls us to the front. */
static int set_terminal(const struct terminal *t, const struct termios *to)
{
    int rc;
    do {
        rc = tcsetattr(t->fd, TCSAFLUSH, to);
    } while (rc && errno == EINTR);
    return rc;
}

static int put(const struct terminal *t, const char *text)
{
    return write(t->fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

static int begin_silence(const struct terminal *t, const char *prompt)
{
    struct termios silent = t->before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    return set_terminal(t, &silent) || put(t, prompt) ? -1 : 0;
}

static void end_silence(const struct terminal *t)
{
    /* a terminal that hung up needs no settings */
    (void)(set_terminal(t, &t->before) || put(t, "\n"));
}

/* The terminal is as before: now the signal takes its course. Comes back if it only stopped us. */
static void obey_signal(const struct terminal *t)
{
    struct signalfd_siginfo info;
    if (read(t->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    raise((int)info.ssi_signo);
    sigprocmask(SIG_SETMASK, &t->mask_before, NULL); /* here */
    sigprocmask(SIG_BLOCK, &t->caught, NULL);
}

enum line { LINE_READ, LINE_SIGNAL, LINE_FAILED };

/* A line without its end, NUL behind it. One that does not fit fills the room. */
static enum line await_line(const struct terminal *t, char *line_r, size_t size)
{
    struct pollfd fds[] = {{.fd = t->signals, .events = POLLIN}, {.fd = t->fd, .events = POLLIN}};
    if (poll(fds, 2, -1) < 0)
        return errno == EINTR ? LINE_SIGNAL : LINE_FAILED;
    if (fds[0].revents)
        return LINE_SIGNAL;
    ssize_t n = read(t->fd, line_r, size - 1);
    if (n <= 0) {
        errno = n == 0 ? ENODATA : errno; /* Ctrl-D */
        return LINE_FAILED;
    }
    size_t len = (size_t)n;
    if (line_r[len - 1] == '\n')
        len--;
    line_r[len] = '\0';
    return LINE_READ;
}

/* 0, or -1 with errno. */
static int read_silently(const char *prompt, char *line_r, size_t size)
{
    struct terminal t;
    enum line line = LINE_FAILED;
    if (terminal_open(&t)) {
        do {
            line = begin_silence(&t, prompt) ? LINE_FAILED : await_line(&t, line_r, size);
            int saved = errno;
            end_silence(&t);
            if (line == LINE_SIGNAL)
                obey_signal(&t);
            errno = saved;
        } while (line == LINE_SIGNAL);
        sigprocmask(SIG_SETMASK, &t.mask_before, NULL);
    }
    int saved = errno;
    terminal_close(&t);
    errno = saved;
    return line == LINE_READ ? 0 : -1;
}

/* ---- twice ---- */

enum asked { ASKED_GOOD, ASKED_AGAIN, ASKED_NOTHING };

static bool ask_once(const char *verb, const char *prompt, char *line_r, size_t size)
{
    if (read_silently(prompt, line_r, size) == 0)
        return true;
    if (errno == ENODATA)
        tool_say(verb, "no password was given");
    else
        tool_say(verb, "cannot read from the terminal: %s", strerror(errno));
    return false;
}

static enum asked ask_twice(struct ask_password *p, const char *verb)
{
    const char *why;
    if (!ask_once(verb, "Password: ", p->text, sizeof p->text))
        return ASKED_NOTHING;
    p->len = strlen(p->text);
    if (!is_good(p, &why)) {
        tool_say(verb, "%s", why);
        return ASKED_AGAIN;
    }
    if (!ask_once(verb, "The same again: ", p->repeated, sizeof p->repeated))
        return ASKED_NOTHING;
    if (strcmp(p->text, p->repeated) == 0)
        return ASKED_GOOD;
    tool_say(verb, "the two are not the same");
    return ASKED_AGAIN;
}

static bool from_terminal(struct ask_password *p, const char *verb)
{
    for (int i = 0; i < TRIES; i++) {
        enum asked asked = ask_twice(p, verb);
        if (asked != ASKED_AGAIN)
            return asked == ASKED_GOOD;
    }
    return false;
}

/* All of standard input as far as it fits; unbuffered, so that no copy stays behind. */
static bool read_input(struct ask_password *p, const char *verb)
{
    while (p->len < sizeof p->text) {
        ssize_t n = read(STDIN_FILENO, p->text + p->len, sizeof p->text - p->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            tool_say(verb, "cannot read the password from standard input: %s", strerror(errno));
        if (n <= 0)
            return n == 0;
        p->len += (size_t)n;
    }
    return true;
}

static bool from_input(struct ask_password *p, const char *verb)
{
    const char *why;
    if (!read_input(p, verb))
        return false;
    if (p->len > 0 && p->text[p->len - 1] == '\n')
        p->len--;
    if (p->len > 0 && p->text[p->len - 1] == '\r')
        p->len--;
    if (!is_good(p, &why))
        tool_say(verb, "%s (it is read from standard input, which is no terminal)", why);
    else if (memchr(p->text, '\n', p->len))
        tool_say(verb, "standard input holds more than one line; give the password alone");
    else
        return true;
    return false;
}

struct ask_password *ask_password(const char *verb)
{
    struct ask_password *p = private_new(sizeof *p);
    if (!p) {
        tool_say(verb, "out of memory");
        return NULL;
    }
    if (isatty(STDIN_FILENO) ? from_terminal(p, verb) : from_input(p, verb))
        return p;
    ask_password_free(p);
    return NULL;
}

/* ---- yes or no ------------------------------------------------------------------------------- */

bool ask_is_possible(void)
{
    return isatty(STDIN_FILENO);
}

bool ask_yes(struct slice question)
{
    char answer[16];
    fprintf(stderr, "%.*s [y/N] ", SLICE_ARGS(question));
    fflush(stderr);
    if (!fgets(answer, sizeof answer, stdin)) {
        fputc('\n', stderr);
        return false;
    }
    struct slice word = slice_trim(slice_of(answer), " \t\r\n");
    return slice_equals_nocase(word, SLICE("y")) || slice_equals_nocase(word, SLICE("yes"));
}
