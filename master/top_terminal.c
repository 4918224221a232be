/* top_terminal.c: see top_terminal.h. termios(3), signalfd(2), xterm's control sequences. */
#include "master/top_terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* The alternate screen, no line wrap, no cursor; and back. */
#define ENTER "\033[?1049h\033[?7l\033[?25l\033[2J"
#define LEAVE "\033[?25h\033[?7h\033[?1049l"

bool terminal_is_able(void)
{
    const char *term = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && term[0] &&
           strcmp(term, "dumb") != 0;
}

void terminal_size(unsigned *columns_r, unsigned *rows_r)
{
    struct winsize size;
    *columns_r = 80;
    *rows_r = 24;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        return;
    *columns_r = size.ws_col;
    *rows_r = size.ws_row;
}

static void say(const char *sequence)
{
    fputs(sequence, stdout);
    fflush(stdout);
}

static sigset_t our_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(&set, numbers[i]);
    return set;
}

/* Ctrl-C and Ctrl-Z stay signals. */
static int set_modes(const struct terminal *t)
{
    struct termios modes = t->before;
    modes.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    modes.c_cc[VMIN] = 1;
    modes.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSAFLUSH, &modes);
}

int terminal_enter(struct terminal *t)
{
    sigset_t set = our_signals();
    *t = (struct terminal){.signals_fd = -1};
    if (tcgetattr(STDIN_FILENO, &t->before) != 0)
        return -1;
    t->signals_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (t->signals_fd < 0)
        return -1;
    sigprocmask(SIG_BLOCK, &set, NULL);
    t->entered = true;
    if (set_modes(t) != 0) {
        terminal_leave(t);
        return -1;
    }
    say(ENTER);
    return 0;
}

static void restore(const struct terminal *t)
{
    say(LEAVE);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->before);
}

void terminal_leave(struct terminal *t)
{
    sigset_t set = our_signals();
    if (!t->entered)
        return;
    t->entered = false;
    restore(t);
    close(t->signals_fd);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* Its own death, so that whoever waits for us sees what it was. */
static void die_of(struct terminal *t, int number)
{
    signal(number, SIG_DFL);
    raise(number); /* blocked until the terminal is restored */
    terminal_leave(t);
}

static void pause_here(struct terminal *t)
{
    restore(t);
    raise(SIGSTOP);
    set_modes(t);
    say(ENTER);
}

enum terminal_news terminal_signals(struct terminal *t)
{
    enum terminal_news news = TERMINAL_NOTHING;
    struct signalfd_siginfo info;
    while (read(t->signals_fd, &info, sizeof info) == sizeof info) {
        switch (info.ssi_signo) {
        case SIGINT:
            return TERMINAL_QUIT;
        case SIGTSTP:
            pause_here(t);
            news = TERMINAL_CHANGED;
            break;
        case SIGWINCH:
            news = TERMINAL_CHANGED;
            break;
        default:
            die_of(t, (int)info.ssi_signo);
        }
    }
    return news;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static enum terminal_key letter(char c)
{
    switch (c) {
    case 'q':
    case 'Q':
    case 3: /* Ctrl-C of a terminal that does not make it a signal */
        return KEY_QUIT;
    case 'k':
        return KEY_UP;
    case 'j':
        return KEY_DOWN;
    case ' ':
        return KEY_PAGE_DOWN;
    default:
        return KEY_NONE;
    }
}

/* ESC [ parameters final, or ESC O final (ECMA-48, 5.4). */
static enum terminal_key sequence(struct slice parameters, char final)
{
    if (final == 'A')
        return KEY_UP;
    if (final == 'B')
        return KEY_DOWN;
    if (final == '~' && slice_equals(parameters, SLICE("5")))
        return KEY_PAGE_UP;
    if (final == '~' && slice_equals(parameters, SLICE("6")))
        return KEY_PAGE_DOWN;
    return KEY_NONE;
}

enum terminal_key terminal_key(struct slice *bytes)
{
    size_t at = 2;
    if (bytes->len == 0)
        return KEY_NONE;
    char first = bytes->ptr[0];
    if (first != '\033' || (bytes->len > 1 && bytes->ptr[1] != '[' && bytes->ptr[1] != 'O')) {
        *bytes = (struct slice){bytes->ptr + 1, bytes->len - 1};
        return letter(first);
    }
    while (at < bytes->len && (bytes->ptr[at] < '@' || bytes->ptr[at] > '~'))
        at++;
    if (at >= bytes->len)
        return KEY_NONE;
    enum terminal_key key = sequence((struct slice){bytes->ptr + 2, at - 2}, bytes->ptr[at]);
    *bytes = (struct slice){bytes->ptr + at + 1, bytes->len - at - 1};
    return key;
}
