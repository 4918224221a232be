/* upgrade.c: see upgrade.h. execveat(2), memfd_create(2), signal-safety(7). */
#include "master/upgrade.h"

#include "master/signals.h"
#include "master/state.h"
#include "shared/config.h"
#include "shared/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ADOPT_S = 10, SAID_MAX = 64 * 1024, STATE_MAX = 64 * 1024 * 1024 };
static const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

/* ---- the state as a file --------------------------------------------------------------------- */

static int write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        bytes = (struct slice){bytes.ptr + n, bytes.len - (size_t)n};
    }
    return 0;
}

static int sealed_file(struct slice bytes)
{
    int fd = memory_file("colmeia-state");
    if (fd < 0)
        return -1;
    if (write_all(fd, bytes) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int upgrade_write_state(const struct state *s)
{
    struct buf bytes = {0};
    if (buf_reserve(&bytes, state_room(s))) /* it holds keys, which are not left in places outgrown */
        state_encode(s, &bytes);
    int fd = -1;
    errno = ENOMEM;
    if (!s->failed && !bytes.failed)
        fd = sealed_file(buf_slice(&bytes));
    int saved = errno;
    if (bytes.data)
        explicit_bzero(bytes.data, bytes.len);
    buf_free(&bytes);
    errno = saved;
    return fd;
}

static bool is_sealed(int fd)
{
    return (fcntl(fd, F_GET_SEALS) & seals) == seals && fcntl(fd, F_GET_SEALS) >= 0;
}

static bool refuse(struct buf *error, const char *why)
{
    buf_printf(error, "the state of another program: %s", why);
    return false;
}

bool upgrade_read_state(int fd, struct buf *bytes_r, struct buf *error)
{
    struct stat st;
    if (!is_sealed(fd))
        return refuse(error, "there is none; this verb is not for people");
    if (fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > STATE_MAX)
        return refuse(error, "it has no size");
    char *room = buf_reserve(bytes_r, (size_t)st.st_size);
    if (!room)
        return refuse(error, "out of memory");
    if (pread(fd, room, (size_t)st.st_size, 0) != st.st_size)
        return refuse(error, "it cannot be read");
    bytes_r->len += (size_t)st.st_size;
    return true;
}

void upgrade_word(struct slice state, char word_r[static UPGRADE_WORD_MAX])
{
    uint64_t sum = 0;
    if (state.len >= 32)
        memcpy(&sum, state.ptr + 24, sizeof sum); /* the checksum in its head: state.c */
    snprintf(word_r, UPGRADE_WORD_MAX, "colmeia takes over %016llx", (unsigned long long)sum);
}

/* ---- the environment ------------------------------------------------------------------------- */

static char **original; /* NULL: as it is now. Kept to the end */

void upgrade_keep_environment(char **environment)
{
    size_t len = 0;
    while (environment[len])
        len++;
    char **copy = calloc(len + 1, sizeof copy[0]);
    bool good = copy;
    for (size_t i = 0; good && i < len; i++) {
        char *text = copy[i] = strdup(environment[i]);
        good = text;
        if (good && config_hide_variable(&copy[i]))
            free(text);
    }
    for (size_t i = 0; copy && !good && i < len; i++)
        free(copy[i]);
    if (good)
        original = copy;
    else
        free(copy);
}

void upgrade_forget_environment(void)
{
    if (original)
        config_forget_environment(original);
}

/* ---- execve ---------------------------------------------------------------------------------- */

static void set_cloexec(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags >= 0)
        fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
}

static void leave_open(void *ctx, int fd)
{
    (void)ctx;
    set_cloexec(fd, false);
}

static void close_again(void *ctx, int fd)
{
    (void)ctx;
    set_cloexec(fd, true);
}

/* Only what signal-safety(7) allows. *exe_fd* -1: this very program. */
static void execute(int exe_fd, char *const argv[])
{
    if (exe_fd < 0)
        execve("/proc/self/exe", argv, original ? original : environ);
    else
        execveat(exe_fd, "", argv, original ? original : environ, AT_EMPTY_PATH);
}

int upgrade_exec(const char *argv0, int exe_fd, const struct state *s)
{
    char number[16], previous[16];
    static char verb[] = "adopt";
    int fd = upgrade_write_state(s);
    if (fd < 0)
        return errno;
    int back = s->master[0].previous;
    snprintf(number, sizeof number, "%d", fd);
    snprintf(previous, sizeof previous, "%d", back >= 0 ? back : 0);
    char *argv[] = {(char *)(uintptr_t)argv0, verb, number, previous, NULL};
    state_each_fd(s, leave_open, NULL);
    set_cloexec(fd, false);
    fflush(NULL);
    execute(exe_fd, argv);
    int error = errno;
    state_each_fd(s, close_again, NULL);
    close(fd);
    return error;
}

/* ---- rehearsal ------------------------------------------------------------------------------- */

/* The child's child: it ends with us, who may be ended for taking too long. */
static _Noreturn void be_rehearsed(const char *argv0, int exe_fd, int state_fd, int out,
                                   pid_t parent)
{
    static char verb[] = "rehearse";
    char number[16];
    snprintf(number, sizeof number, "%d", state_fd);
    char *argv[] = {(char *)(uintptr_t)argv0, verb, number, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0) {
        set_cloexec(state_fd, false);
        execute(exe_fd, argv);
        dprintf(STDERR_FILENO, "cannot be executed: %s\n", strerror(errno));
    }
    _exit(127);
}

static void hear(int fd, struct buf *said)
{
    char room[4096];
    while (said->len < SAID_MAX) {
        ssize_t n = read(fd, room, sizeof room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        buf_append(said, room, (size_t)n);
    }
}

/* The last line is the word, and goes. */
static bool took_the_word(struct buf *said, const char *word)
{
    size_t len = strlen(word);
    if (said->len < len + 1 || said->data[said->len - 1] != '\n' ||
        memcmp(said->data + said->len - len - 1, word, len) != 0)
        return false;
    said->len -= len + 1;
    return true;
}

static bool word_of(int state_fd, char word_r[static UPGRADE_WORD_MAX])
{
    struct buf bytes = {0}, error = {0};
    bool good = upgrade_read_state(state_fd, &bytes, &error);
    upgrade_word(buf_slice(&bytes), word_r);
    buf_free(&bytes);
    buf_free(&error);
    return good;
}

static void say_status(const char *path, int status, struct buf *said)
{
    if (WIFSIGNALED(status))
        buf_printf(said, "%s: killed by signal %d (SIG%s) in its rehearsal\n", path,
                   WTERMSIG(status), sigabbrev_np(WTERMSIG(status)));
    else
        buf_printf(said, "%s: it does not take over as colmeia does (exit code %d)\n", path,
                   WEXITSTATUS(status));
}

bool upgrade_rehearse(const char *argv0, const char *path, int exe_fd, int state_fd,
                      struct buf *said)
{
    char word[UPGRADE_WORD_MAX];
    int ends[2], status = 0;
    if (!word_of(state_fd, word) || pipe2(ends, O_CLOEXEC) != 0) {
        buf_printf(said, "%s: cannot be rehearsed: %s\n", path, strerror(errno));
        return false;
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        be_rehearsed(argv0, exe_fd, state_fd, ends[1], parent);
    close(ends[1]);
    if (pid > 0) {
        hear(ends[0], said);
        if (said->len >= SAID_MAX)
            kill(pid, SIGKILL); /* our child, not yet reaped */
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    close(ends[0]);
    bool good = pid > 0 && took_the_word(said, word) && status == 0;
    if (!good && (said->len == 0 || WIFSIGNALED(status)))
        say_status(path, pid > 0 ? status : 0, said);
    return good;
}

/* ---- the net --------------------------------------------------------------------------------- */

static const int crashes[] = {SIGALRM, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
enum { CRASHES = sizeof crashes / sizeof crashes[0] };

/* Who comes back and lacks something has nobody behind: it begins anew, for some seconds. */
enum { RETURNS_MAX = 40, RETURN_PAUSE_MS = 250 };

/* The arguments of the way back, made beforehand; empty: there is none. */
static struct {
    char *argv[7];
    /* what they point to: no memory is asked for, which may be what is lacking */
    char program[PATH_MAX], number[16], why[1024], returns[16];
    int exe_fd, state_fd;
    char stack[16 * 1024]; /* a stack that overflowed is none to run on */
} net;

static const char killed[] = "it was killed by signal 00 while it took over";
static const char late[] = "it did not take over within 10 s";

/* What became of the other program stays the reason, whatever happens to the one that comes back. */
static void go_back(const char *why)
{
    if (net.exe_fd >= 0)
        net.argv[4] = (char *)(uintptr_t)why;
    else
        poll(NULL, 0, RETURN_PAUSE_MS);
    execute(net.exe_fd, net.argv);
}

static void on_crash(int number)
{
    static char why[sizeof killed];
    int saved = number;
    memcpy(why, killed, sizeof killed);
    char *digits = why + sizeof "it was killed by signal " - 1;
    digits[0] = (char)('0' + saved / 10 % 10);
    digits[1] = (char)('0' + saved % 10);
    go_back(number == SIGALRM ? late : why);
    _exit(128 + number);
}

/* Also of a library that thinks it may. */
static void on_exit_in_the_net(void)
{
    upgrade_fall_back("it left while it took over");
}

static void catch_crashes(void)
{
    stack_t stack = {.ss_sp = net.stack, .ss_size = sizeof net.stack};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_NODEFER};
    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < CRASHES; i++)
        sigaction(crashes[i], &action, NULL);
    alarm(ADOPT_S);
}

static int number_of(const char *text)
{
    uint64_t value;
    return slice_to_u64(slice_of(text), INT32_MAX, &value) ? (int)value : 0;
}

/* The same program once more: what it was told, and the how manieth time it is. */
static bool again(int argc, char **argv)
{
    int returns = argc > 5 ? number_of(argv[5]) : 0;
    net.exe_fd = -1;
    snprintf(net.why, sizeof net.why, "%s", argc > 4 ? argv[4] : "");
    snprintf(net.returns, sizeof net.returns, "%d", returns + 1);
    return returns < RETURNS_MAX;
}

void upgrade_net_up(int argc, char **argv)
{
    static char verb[] = "adopt", nobody[] = "0";
    if (argc < 4 || strcmp(argv[1], verb) != 0 || !is_sealed(number_of(argv[2])))
        return;
    alarm(0);
    signals_prepare();
    net.state_fd = number_of(argv[2]);
    net.exe_fd = number_of(argv[3]);
    if (net.exe_fd == 0 && !again(argc, argv))
        return;
    snprintf(net.program, sizeof net.program, "%s", argv[0]); /* the title will be written over it */
    snprintf(net.number, sizeof net.number, "%s", argv[2]);
    char *back[] = {net.program, verb, net.number, nobody, NULL, NULL, NULL};
    if (net.exe_fd < 0) {
        back[4] = net.why;
        back[5] = net.returns;
    }
    memcpy(net.argv, back, sizeof net.argv);
    atexit(on_exit_in_the_net); /* if that fails, there is one hole more in the net */
    catch_crashes();
}

void upgrade_net_down(void)
{
    alarm(0);
    if (net.state_fd > 0)
        close(net.state_fd);
    net.state_fd = 0;
    if (!net.argv[0])
        return;
    for (size_t i = 0; i < CRASHES; i++)
        signal(crashes[i], SIG_DFL);
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    memset(net.argv, 0, sizeof net.argv);
}

void upgrade_fall_back(const char *why)
{
    if (!net.argv[0])
        return;
    fflush(NULL);
    go_back(why);
}
