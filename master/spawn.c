/* spawn.c: see spawn.h. */
#include "master/spawn.h"

#include "master/signals.h"
#include "shared/audit.h"
#include "shared/fault.h"
#include "shared/log.h"
#include "shared/title.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const role_names[] = {
#define X(name, text) [ROLE_##name] = text,
    ROLES(X)
#undef X
};

void spawn_name(enum role role, int slot, char name_r[static SPAWN_NAME_MAX])
{
    if (slot >= 0)
        snprintf(name_r, SPAWN_NAME_MAX, "%s %d", role_names[role], slot);
    else
        snprintf(name_r, SPAWN_NAME_MAX, "%s", role_names[role]);
}

static void introduce(const struct entry *entry)
{
    char name[SPAWN_NAME_MAX];
    spawn_name(entry->role, entry->slot, name);
    log_set_role(name);
    audit_after_fork();
    if (entry->slot >= 0)
        title_set("%s gen %u", name, entry->generation);
    else
        title_set("%s", name);
}

/* The signal of the master's death is TERM, not KILL: an orphan answers what it has begun. It is
 * sent only for a death after prctl, hence the second look (prctl(2), PR_SET_PDEATHSIG). */
static void follow_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        exit(EXIT_CODE_OK);
}

static void become(const struct spawn_order *order)
{
    if (!order->identity || identity_assume(order->identity))
        return;
    log_error("%s cannot become user %s: %s; it leaves", role_names[order->entry.role],
              order->identity->user, strerror(errno));
    exit(EXIT_CODE_INTERNAL);
}

/* Leaves with exit(3), not _exit(2): leak checkers and coverage report there. */
static _Noreturn void be_child(const struct spawn_order *order, pid_t parent, int channel_fd)
{
    if (order->background)
        setpgid(0, 0);
    signals_reset_in_child(order->background);
    become(order); /* before the next line, which it would undo */
    follow_parent(parent);
    if (order->drop_inherited)
        order->drop_inherited(order->ctx);
    struct entry entry = order->entry;
    entry.channel_fd = channel_fd;
    entry.master_pid = parent;
    introduce(&entry);
    exit(order->run ? order->run(order->ctx) : worker_main(&entry));
}

static int make_channel(bool wanted, int pair_r[2])
{
    pair_r[0] = pair_r[1] = -1;
    if (!wanted)
        return 0;
    return FAULT_CALL(channel_socketpair, -1,
                      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                                 pair_r));
}

/* Keeps errno. */
static void close_channel(int fd)
{
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
}

int spawn_child(const struct spawn_order *order, struct child *child_r)
{
    int pair[2];
    if (make_channel(order->with_channel, pair) < 0)
        return -1;
    fflush(NULL); /* or both processes would write what stdio still holds */
    pid_t parent = getpid();
    pid_t pid = FAULT_CALL(fork, -1, fork());
    if (pid == 0) {
        close_channel(pair[0]);
        be_child(order, parent, pair[1]);
    }
    close_channel(pair[1]);
    if (pid < 0) {
        close_channel(pair[0]);
        return -1;
    }
    *child_r = (struct child){.pid = pid, .channel_fd = pair[0]};
    return 0;
}

/* While a child talks to the terminal, its keys are the child's affair, as in system(3): whoever
 * started us must find the terminal as it was, so we do not end before the child has tidied up. */
static void leave_keys_to_child(void)
{
    const int keys[] = {SIGINT, SIGQUIT, SIGTSTP};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (signal(keys[i], SIG_IGN) == SIG_ERR)
            log_warning("cannot leave signal %d to the child: %s", keys[i], strerror(errno));
}

/* The child has tidied up and stopped (Ctrl-Z): so do we, for the shell waits for us; then both go
 * on. */
static void stop_with_child(pid_t pid)
{
    raise(SIGSTOP);
    kill(pid, SIGCONT);
}

/* Its end; -1 with errno. */
static pid_t await_end(pid_t pid, bool terminal, int *status_r)
{
    for (;;) {
        pid_t got = waitpid(pid, status_r, terminal ? WUNTRACED : 0);
        if (got == pid && WIFSTOPPED(*status_r))
            stop_with_child(pid);
        else if (got >= 0 || errno != EINTR)
            return got;
    }
}

/* Whoever started us shall see what the child died of: a shell stops its script at a Ctrl-C. */
static void end_as_child(int signal_number)
{
    if (signal(signal_number, SIG_DFL) != SIG_ERR)
        raise(signal_number);
}

int spawn_and_wait(const struct spawn_order *order)
{
    struct child child;
    if (order->terminal)
        leave_keys_to_child();
    if (spawn_child(order, &child) < 0) {
        log_error("cannot start a process: %s", strerror(errno));
        return EXIT_CODE_FAILED;
    }
    int status = 0;
    pid_t pid = await_end(child.pid, order->terminal, &status);
    if (pid == child.pid && WIFEXITED(status))
        return WEXITSTATUS(status);
    if (order->terminal && pid == child.pid &&
        (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGQUIT))
        end_as_child(WTERMSIG(status));
    log_error("%s did not end by itself: signal %d", role_names[order->entry.role],
              pid == child.pid ? WTERMSIG(status) : 0);
    return EXIT_CODE_FAILED;
}
