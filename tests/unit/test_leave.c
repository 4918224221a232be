/* test_leave.c: whole workers (worker_main() in forked children) that are told to leave: what their
 * clients see, what the scoreboard counts, how they exit. The test is their master. */
#include "shared/entry.h"
#include "shared/log.h"
#include "shared/message.h"
#include "worker/net/handover.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define ASK    "GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n"
#define ANSWER "HTTP/1.1 200 OK\r\n"
#define CLOSES "connection: close\r\n"

enum { SLOTS = 3, LISTENERS = 2, PATIENCE_MS = 30000, GENERATION = 7 };

struct rig {
    struct config *config;
    struct scoreboard *scoreboard;
    pid_t master_pid;
    struct listener listeners[LISTENERS];
    int queue[2];
    int channels[SLOTS]; /* this side's; -1: none */
    pid_t pids[SLOTS];   /* 0: none */
    char log_path[64];
    char got[16384];
};

static struct config *load_config(void)
{
    static const char *const words[] = {
        "--database-url", "sqlite:///:memory:", "--workers", "1", "--graceful-timeout", "20s"};
    char *none[] = {NULL};
    struct buf errors = {0}, warnings = {0};
    struct config_flags flags = {
        .argc = sizeof words / sizeof *words, .argv = (char **)(uintptr_t)words, .environ = none};
    struct config *c = config_load(&flags, &errors, &warnings);
    if (!c)
        fail_msg("%.*s", SLICE_ARGS(buf_slice(&errors)));
    buf_free(&errors);
    buf_free(&warnings);
    return c;
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct buf errors = {0};
    struct sock_address any;
    r->config = load_config();
    r->scoreboard = scoreboard_new(SLOTS);
    r->master_pid = getpid();
    assert_true(sock_parse(SLICE("127.0.0.1:0"), &any, &errors));
    for (int i = 0; i < LISTENERS; i++)
        assert_int_equal(listener_open(&any, 64, &r->listeners[i], &errors), 0);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, r->queue), 0);
    for (int i = 0; i < SLOTS; i++)
        r->channels[i] = -1;
    strcpy(r->log_path, "/tmp/test_leave.XXXXXX");
    int fd = mkstemp(r->log_path);
    assert_true(fd >= 0);
    close(fd);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < SLOTS; i++) {
        if (r->pids[i] > 0) {
            kill(r->pids[i], SIGKILL);
            waitpid(r->pids[i], NULL, 0);
        }
        if (r->channels[i] >= 0)
            close(r->channels[i]);
    }
    for (int i = 0; i < LISTENERS; i++)
        listener_close(&r->listeners[i], false);
    close(r->queue[0]);
    close(r->queue[1]);
    unlink(r->log_path);
    scoreboard_free(r->scoreboard);
    config_free(r->config);
    free(r);
    return 0;
}

/* ---- the master's part ----------------------------------------------------------------------- */

static void be_worker(struct rig *r, int slot, int channel, size_t listeners_len)
{
    struct entry entry = {
        .master_pid = r->master_pid,
        .role = ROLE_SERVE,
        .slot = slot,
        .generation = GENERATION,
        .channel_fd = channel,
        .listeners = r->listeners,
        .listeners_len = listeners_len,
        .handover = {r->queue[0], r->queue[1]},
        .config = r->config,
        .secret_key = SLICE("0123456789abcdef0123456789abcdef"),
        .scoreboard = r->scoreboard,
    };
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!freopen(r->log_path, "a", stderr))
        _exit(99);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    _exit(worker_main(&entry));
}

/* Forks a worker; *first* is in its channel before it lives. */
static void spawn(struct rig *r, int slot, size_t listeners_len, enum message_type first)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    if (first)
        assert_int_equal(message_send(pair[0], first, GENERATION, 0), 0);
    scoreboard_use(r->scoreboard, (size_t)slot);
    r->channels[slot] = pair[0];
    r->pids[slot] = fork();
    assert_true(r->pids[slot] >= 0);
    if (r->pids[slot] == 0) {
        for (int i = 0; i < SLOTS; i++) { /* its end-of-file is the test's to give */
            if (r->channels[i] >= 0)
                close(r->channels[i]);
        }
        be_worker(r, slot, pair[1], listeners_len);
    }
    close(pair[1]);
}

static struct message await_message(struct rig *r, int slot)
{
    struct pollfd p = {.fd = r->channels[slot], .events = POLLIN};
    struct message m;
    if (poll(&p, 1, PATIENCE_MS) != 1 || message_receive(p.fd, &m) != MESSAGE_OK)
        fail_msg("worker %d does not say anything", slot);
    return m;
}

static void start(struct rig *r, int slot, size_t listeners_len)
{
    spawn(r, slot, listeners_len, 0);
    assert_int_equal(await_message(r, slot).type, MESSAGE_READY);
    r->scoreboard->slots[slot].state = SLOT_READY;
}

static void tell(struct rig *r, int slot, enum message_type type, int64_t value)
{
    assert_int_equal(message_send(r->channels[slot], type, GENERATION, value), 0);
}

static int exit_code(struct rig *r, int slot)
{
    int status;
    assert_int_equal(waitpid(r->pids[slot], &status, 0), r->pids[slot]);
    r->pids[slot] = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static uint64_t count(struct rig *r, int slot, enum counter c)
{
    return r->scoreboard->slots[slot].counters[c];
}

/* How often the workers wrote that into the log. */
static unsigned logged(struct rig *r, const char *text)
{
    static char all[1 << 16];
    FILE *f = fopen(r->log_path, "r");
    assert_non_null(f);
    all[fread(all, 1, sizeof all - 1, f)] = 0;
    fclose(f);
    unsigned n = 0;
    for (const char *at = all; (at = strstr(at, text)); at++)
        n++;
    return n;
}

/* ---- clients --------------------------------------------------------------------------------- */

static int connect_to(struct rig *r, int listener)
{
    const struct sock_address *a = &r->listeners[listener].address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &a->u.any, a->len), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until *text* has come (NULL: the end); a reset or an early end fails. */
static const char *hear(struct rig *r, int fd, const char *text)
{
    size_t len = 0;
    for (;;) {
        r->got[len] = 0;
        if (text && strstr(r->got, text))
            return r->got;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        ssize_t n = recv(fd, r->got + len, sizeof r->got - 1 - len, 0);
        if (n < 0)
            fail_msg("%s after: %s", strerror(errno), r->got);
        if (n == 0 && text)
            fail_msg("the end came after: %s", r->got);
        if (n == 0)
            return r->got;
        len += (size_t)n;
    }
}

/* The body of /healthcheck ends in a brace. */
static void ask(struct rig *r, int fd)
{
    say(fd, ASK);
    const char *got = hear(r, fd, "}");
    assert_memory_equal(got, ANSWER, sizeof ANSWER - 1);
    assert_null(strstr(got, CLOSES));
}

static void ask_last(struct rig *r, int fd)
{
    say(fd, ASK);
    const char *got = hear(r, fd, NULL);
    assert_memory_equal(got, ANSWER, sizeof ANSWER - 1);
    assert_non_null(strstr(got, CLOSES));
    close(fd);
}

static void begin_body(struct rig *r, int fd)
{
    say(fd,
        "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    hear(r, fd, "100 Continue\r\n\r\n");
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_move(void **state)
{
    struct rig *r = *state;
    start(r, 0, 1);
    int idle = connect_to(r, 0), busy = connect_to(r, 0), fresh = connect_to(r, 0);
    ask(r, idle);
    begin_body(r, busy);
    while (r->scoreboard->slots[0].connections < 3)
        poll(NULL, 0, 1);
    start(r, 1, 1);
    tell(r, 0, MESSAGE_MOVE, 0);
    ask(r, idle);
    ask(r, fresh);
    say(busy, "{}");
    assert_null(strstr(hear(r, busy, "}"), CLOSES));
    assert_int_equal(exit_code(r, 0), EXIT_CODE_OK);
    ask(r, busy);
    ask(r, idle);
    int late = connect_to(r, 0);
    ask(r, late);
    assert_int_equal(count(r, 0, COUNTER_connections_accepted), 3);
    assert_int_equal(count(r, 0, COUNTER_connections_handed_over), 3);
    assert_int_equal(count(r, 0, COUNTER_connections_closed), 0);
    assert_int_equal(count(r, 1, COUNTER_connections_taken_over), 3);
    assert_int_equal(count(r, 1, COUNTER_connections_accepted), 1);
    tell(r, 1, MESSAGE_DRAIN, 0);
    assert_int_equal(exit_code(r, 1), EXIT_CODE_OK);
    assert_string_equal(hear(r, idle, NULL), "");
    close(idle);
    close(busy);
    close(fresh);
    close(late);
}

/* A listener that ends is emptied by those who leave; the one that stays is left alone. */
static void test_move_off_a_listener(void **state)
{
    struct rig *r = *state;
    start(r, 0, 2);
    assert_int_equal(kill(r->pids[0], SIGSTOP), 0);
    int stays = connect_to(r, 0), ends[5];
    for (int i = 0; i < 5; i++)
        ends[i] = connect_to(r, 1);
    tell(r, 0, MESSAGE_MOVE, 2);
    start(r, 1, 1);
    ask(r, stays);
    assert_int_equal(kill(r->pids[0], SIGCONT), 0);
    for (int i = 0; i < 5; i++) {
        ask(r, ends[i]);
        close(ends[i]);
    }
    assert_int_equal(exit_code(r, 0), EXIT_CODE_OK);
    assert_int_equal(count(r, 1, COUNTER_connections_taken_over), 5);
    close(stays);
}

/* Nobody is left who would take what is in the queue: whoever drains does. */
static void test_move_then_drain(void **state)
{
    struct rig *r = *state;
    start(r, 0, 1);
    int idle = connect_to(r, 0), fresh = connect_to(r, 0), busy = connect_to(r, 0);
    ask(r, idle);
    begin_body(r, busy);
    while (r->scoreboard->slots[0].connections < 3)
        poll(NULL, 0, 1);
    tell(r, 0, MESSAGE_MOVE, 0);
    while (count(r, 0, COUNTER_connections_handed_over) < 2)
        poll(NULL, 0, 1);
    assert_int_equal(r->scoreboard->slots[0].connections, 1);
    tell(r, 0, MESSAGE_MOVE, 0); /* again: nothing new */
    tell(r, 0, MESSAGE_DRAIN, 0);
    ask_last(r, fresh);
    assert_string_equal(hear(r, idle, NULL), "");
    close(idle);
    say(busy, "{}");
    assert_non_null(strstr(hear(r, busy, NULL), CLOSES));
    close(busy);
    assert_int_equal(exit_code(r, 0), EXIT_CODE_OK);
    assert_int_equal(count(r, 0, COUNTER_connections_taken_over), 2);
    assert_int_equal(count(r, 0, COUNTER_connections_cut), 0);
}

/* The master is gone: the queue is emptied, then the listener is shut for good. */
static void test_orphan(void **state)
{
    struct rig *r = *state;
    r->master_pid = getpid() + 1; /* not its parent (any more) */
    start(r, 0, 1);
    assert_int_equal(kill(r->pids[0], SIGSTOP), 0);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct parcel p = {.fd = pair[0], .bytes = ASK, .bytes_len = strlen(ASK)};
    p.peer.len = sizeof p.peer.u.any.sa_family;
    p.peer.u.any.sa_family = AF_UNIX;
    assert_int_equal(handover_give(r->queue[1], &p), HANDOVER_GIVEN);
    close(pair[0]);
    int queued = connect_to(r, 0);
    say(queued, ASK);
    close(r->channels[0]);
    r->channels[0] = -1;
    assert_int_equal(kill(r->pids[0], SIGCONT), 0);
    assert_non_null(strstr(hear(r, queued, "}"), ANSWER));
    assert_non_null(strstr(hear(r, pair[1], "}"), ANSWER));
    assert_int_equal(exit_code(r, 0), EXIT_CODE_OK);
    const struct sock_address *a = &r->listeners[0].address;
    int refused = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(refused, &a->u.any, a->len), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(refused);
    close(queued);
    close(pair[1]);
}

/* Only its channel has ended: the listener is still everybody's, and whoever comes waits for the others. */
static void test_end_of_the_channel(void **state)
{
    struct rig *r = *state;
    start(r, 0, 1);
    close(r->channels[0]);
    r->channels[0] = -1;
    assert_int_equal(exit_code(r, 0), EXIT_CODE_OK);
    int queued = connect_to(r, 0);
    say(queued, ASK);
    start(r, 1, 1);
    assert_non_null(strstr(hear(r, queued, "}"), ANSWER));
    close(queued);
}

static void test_while_starting(void **state)
{
    struct rig *r = *state;
    spawn(r, 0, 1, MESSAGE_MOVE);
    assert_int_equal(exit_code(r, 0), EXIT_CODE_OK);
    struct message m;
    assert_int_equal(message_receive(r->channels[0], &m), MESSAGE_CLOSED); /* it never was ready */
}

/* When its time is over it cuts what is left and says so; QUIT makes that time short. */
static void test_cut(void **state)
{
    struct rig *r = *state;
    start(r, 0, 1);
    int busy = connect_to(r, 0);
    begin_body(r, busy);
    tell(r, 0, MESSAGE_MOVE, 0);
    tell(r, 0, MESSAGE_QUIT, 50);
    struct message m = await_message(r, 0);
    assert_int_equal(m.type, MESSAGE_CUT);
    assert_int_equal(m.value, 1);
    assert_int_equal(exit_code(r, 0), EXIT_CODE_CUT);
    close(busy);
}

static void test_dump_and_level(void **state)
{
    struct rig *r = *state;
    start(r, 0, 1);
    int idle = connect_to(r, 0);
    ask(r, idle);
    tell(r, 0, MESSAGE_DUMP, 0);
    tell(r, 0, MESSAGE_LOG_LEVEL, 9);
    tell(r, 0, MESSAGE_LOG_LEVEL, LOG_LEVEL_ERROR);
    tell(r, 0, MESSAGE_DUMP, 0);
    tell(r, 0, MESSAGE_DRAIN, 0);
    assert_int_equal(exit_code(r, 0), EXIT_CODE_OK);
    assert_int_equal(logged(r, "dump: serving, 1 connections, 0 busy, 0 store calls and 0 hashes"),
                     1);
    assert_int_equal(logged(r, "dump: "), 1);
    assert_int_equal(logged(r, "there is no log level 9; ignored"), 1);
    close(idle);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_move),           TEST(test_move_off_a_listener), TEST(test_move_then_drain),
        TEST(test_orphan),         TEST(test_end_of_the_channel), TEST(test_while_starting),      TEST(test_cut),
        TEST(test_dump_and_level),
    };
    return cmocka_run_group_tests_name("leave", tests, NULL, NULL);
}
