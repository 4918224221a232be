/* signals.c: see signals.h. */
#include "master/signals.h"

#include "shared/fault.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const struct row {
    int number;
    enum signal_meaning meaning;
} rows[] = {
    {SIGCHLD, SIGNAL_CHILD},   {SIGTERM, SIGNAL_STOP},   {SIGINT, SIGNAL_INTERRUPT},
    {SIGQUIT, SIGNAL_QUICK},   {SIGHUP, SIGNAL_RELOAD},  {SIGUSR1, SIGNAL_REOPEN},
    {SIGUSR2, SIGNAL_UPGRADE}, {SIGTTIN, SIGNAL_MORE},   {SIGTTOU, SIGNAL_LESS},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static const int ignored_in_background[] = {SIGINT,  SIGHUP,  SIGTTIN, SIGTTOU,
                                            SIGUSR1, SIGUSR2, SIGPIPE};

static sigset_t ours(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ROWS; i++)
        sigaddset(&set, rows[i].number);
    return set;
}

/* A terminal that hangs up means nobody here: nohup(1). The disposition itself says so from then on, also to
 * the program that takes this one's place; it is no hindrance, since what is blocked comes all the same
 * (signalfd(2)). */
static bool hangs_up_unheard(void)
{
    struct sigaction action;
    return sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* All but one (0: all). */
static void reset_dispositions(int but)
{
    for (int number = 1; number < NSIG; number++)
        if (number != but)
            signal(number, SIG_DFL); /* KILL, STOP and libc's own refuse: as they should */
}

void signals_prepare(void)
{
    sigset_t set = ours();
    reset_dispositions(hangs_up_unheard() ? SIGHUP : 0);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

int signals_open(struct signals *s)
{
    sigset_t set = ours();
    s->fd = FAULT_CALL(signalfd, -1, signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    if (s->fd < 0)
        return -1;
    sigprocmask(SIG_BLOCK, &set, NULL);
    /* An ignored SIGCHLD, inherited, would make the kernel reap for us: signal(2). */
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

void signals_close(struct signals *s)
{
    close(s->fd);
    s->fd = -1;
}

/* A HUP of the kernel's own (si_code SI_KERNEL) is a terminal that hung up: nobody asks for a
 * reload then, and if it is to be ignored it is none at all. */
static struct signal_report interpret(const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;
    struct signal_report r = {.number = number, .sender = (pid_t)info->ssi_pid, .sender_uid = (uid_t)info->ssi_uid};
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].number == number)
            r.meaning = rows[i].meaning;
    if (number == SIGHUP && info->ssi_code == SI_KERNEL)
        r.meaning = hangs_up_unheard() ? SIGNAL_NONE : SIGNAL_STOP;
    return r;
}

struct signal_report signals_next(struct signals *s)
{
    struct signalfd_siginfo info;
    struct signal_report r;
    do {
        ssize_t n;
        do {
            n = read(s->fd, &info, sizeof info);
        } while (n < 0 && errno == EINTR);
        if (n != (ssize_t)sizeof info)
            return (struct signal_report){.meaning = SIGNAL_NONE};
        r = interpret(&info);
    } while (r.meaning == SIGNAL_NONE);
    return r;
}

void signals_reset_in_child(bool background)
{
    reset_dispositions(0);
    if (background)
        for (size_t i = 0; i < sizeof ignored_in_background / sizeof ignored_in_background[0]; i++)
            signal(ignored_in_background[i], SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
