/* test_control_door.c: the control socket's file: where it stands, who may, what is replaced. */
#include "control_tester.h"
#include "master/control_door.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    static struct tester tester;
    tester_init(&tester);
    *state = &tester;
    return 0;
}

static int teardown(void **state)
{
    tester_fini(*state);
    return 0;
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    return st.st_mode & 07777;
}

/* inotify(7) tells of a chmod: without one, the file was made as it is. */
static void test_mode(void **state)
{
    struct tester *t = *state;
    static const mode_t umasks[] = {0, 022, 0077, 0277, 0777};
    for (size_t i = 0; i < sizeof umasks / sizeof umasks[0]; i++) {
        char events[4096];
        int watch = inotify_init1(IN_NONBLOCK);
        assert_true(inotify_add_watch(watch, t->directory, IN_ATTRIB) >= 0);
        mode_t before = umask(umasks[i]);
        tester_open(t, 0);
        assert_int_equal(umask(before), umasks[i]);
        assert_int_equal(mode_of(t->path), 0600);
        bool changed = read(watch, events, sizeof events) > 0;
        assert_int_equal(changed, (umasks[i] & 0700) != 0);
        close(watch);
        control_close(t->control);
        t->control = NULL;
        assert_int_equal(access(t->path, F_OK), -1);
    }
}

/* Leaves a socket file that nobody listens on. */
static void leave_stale(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_stale(void **state)
{
    struct tester *t = *state;
    leave_stale(t->path);
    tester_open(t, 0);
    int fd = tester_connect(t);
    tester_send_text(t, fd, "status\n");
    tester_expect(t, fd, "{\"ok\":true}");
    close(fd);
}

static void expect_refusal(const char *path, const char *why)
{
    struct listener door;
    struct buf error = {0};
    assert_int_equal(control_door_open(path, &door, &error), -1);
    buf_append_char(&error, '\0');
    if (!strstr(error.data, why) || !strstr(error.data, path) || strchr(error.data, '\n'))
        fail_msg("%s: %s", path, error.data);
    buf_free(&error);
}

static void test_refusals(void **state)
{
    struct tester *t = *state;
    char file[TESTER_PATH_MAX + 8], inside[TESTER_PATH_MAX + 16], deep[300];
    tester_open(t, 0);
    expect_refusal(t->path, "another server answers there");
    int fd = tester_connect(t); /* which it survives */
    tester_send_text(t, fd, "status\n");
    tester_expect(t, fd, "{\"ok\":true}");
    close(fd);
    snprintf(file, sizeof file, "%s/file", t->directory);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    expect_refusal(file, "something that is no socket stands there");
    assert_int_equal(access(file, F_OK), 0);
    snprintf(inside, sizeof inside, "%s/x", file);
    expect_refusal(inside, "Not a directory");
    assert_int_equal(unlink(file), 0);
    expect_refusal(inside, "No such file or directory");
    memset(deep, 'd', sizeof deep);
    deep[108] = '\0';
    expect_refusal(deep, "a socket's path has 1 to 107 bytes, this one has 108");
    expect_refusal("", "this one has 0");
}

static void test_open_error(void **state)
{
    struct tester *t = *state;
    struct buf error = {0};
    assert_null(control_open(
        &(struct control_options){.loop = t->loop, .path = "/nonexistent/ctl.sock"}, &error));
    buf_append_char(&error, '\0');
    assert_string_equal(error.data,
                        "cannot open the control socket /nonexistent/ctl.sock: No such file or "
                        "directory; another place is chosen with --control PATH, none with "
                        "--control \"\"");
    buf_free(&error);
}

/* A successor's socket at the path is not ours to remove. */
static void test_not_ours(void **state)
{
    struct tester *t = *state;
    tester_open(t, 0);
    assert_int_equal(unlink(t->path), 0);
    leave_stale(t->path);
    control_close(t->control);
    t->control = NULL;
    assert_int_equal(access(t->path, F_OK), 0);
}

static void test_descriptors(void **state)
{
    struct tester *t = *state;
    struct listener door;
    struct buf error = {0};
    assert_int_equal(control_door_open(t->path, &door, &error), 0);
    assert_true(fcntl(door.fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(door.fd, F_GETFL) & O_NONBLOCK);
    listener_close(&door, true);
}

/* Someone else, though the file were open to all. Needs root to become someone else. */
static void test_someone_else(void **state)
{
    struct tester *t = *state;
    if (geteuid() != 0)
        skip();
    tester_open(t, 0);
    assert_int_equal(chmod(t->path, 0777) | chmod(t->directory, 0777), 0);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        char answer[256] = "";
        size_t len = 0;
        ssize_t n = 1;
        memcpy(address.sun_path, t->path, strlen(t->path) + 1);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        bool open = setuid(65534) == 0 &&
                    connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                    write(ready[1], "", 1) == 1;
        while (open && n > 0 && len < sizeof answer - 1) {
            n = recv(fd, answer + len, sizeof answer - 1 - len, 0);
            len += n > 0 ? (size_t)n : 0;
        }
        _exit(strcmp(answer, "{\"ok\":false,\"error\":\"only root and the server's own user may "
                             "ask\"}\n") == 0
                  ? 0
                  : 1);
    }
    char byte;
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    tester_turn(t);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---- the default path ------------------------------------------------------------------------ */

#define HASH_A "9e4b9898" /* FNV-1a of the whole name, computed elsewhere */
static const struct path_case {
    const char *control, *bind, *listener, *url, *runtime, *xdg, *want;
} path_cases[] = {
    {"/run/x.sock", "127.0.0.1:8000", NULL, NULL, "/run/colmeia", "/run/user/1", "/run/x.sock"},
    {"", "127.0.0.1:8000", NULL, NULL, "/run/colmeia", "/run/user/1", NULL},
    {NULL, "127.0.0.1:8000", NULL, NULL, "/run/colmeia", "/run/user/1", "/run/colmeia/ctl.sock"},
    {NULL, "127.0.0.1:8000", NULL, NULL, "/run/a:/run/b", NULL, "/run/a/ctl.sock"},
    {NULL, "127.0.0.1:8000", NULL, NULL, NULL, "/run/user/1", "/run/user/1/colmeia-8000.sock"},
    {NULL, "127.0.0.1:0", "127.0.0.1:4711", NULL, "", "/r", "/r/colmeia-4711.sock"},
    {NULL, "[::1]:81", NULL, NULL, NULL, "/r", "/r/colmeia-81.sock"},
    {NULL, "unix:/a/b.sock", NULL, NULL, NULL, "/r", "/r/colmeia-b.sock-" HASH_A ".sock"},
    {NULL, "unix:/a/b.sock", "unix:/a/b.sock", NULL, NULL, "/r",
     "/r/colmeia-b.sock-" HASH_A ".sock"},
    {NULL, "unix:/a/b.sock, :82", NULL, NULL, NULL, "/r", "/r/colmeia-82.sock"},
    {NULL, ":83", NULL, "sqlite:////var/lib/x.db", NULL, NULL, "/var/lib/x.db.ctl.sock"},
    {NULL, ":83", NULL, "sqlite:////var/lib/x.db", "", "", "/var/lib/x.db.ctl.sock"},
    {NULL, ":83", NULL, "sqlite:////var/lib/x.db", NULL, "relative", "/var/lib/x.db.ctl.sock"},
    {NULL, ":83", NULL, "sqlite:///here.db", NULL, NULL, "here.db.ctl.sock"},
    {NULL, ":83", NULL, "sqlite:///:memory:", NULL, NULL, NULL},
};

static void set_environment(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

static struct config *configure(const struct path_case *c)
{
    struct buf ini = {0}, errors = {0}, warnings = {0};
    char *none[] = {NULL}, path[] = "/tmp/colmeia-door-XXXXXX";
    buf_printf(&ini,
               "[supervisor]\n%s%s%s[server]\nbind = %s\n[database]\nurl = %s\n[auth]\n"
               "allow_weak_secret = yes\n",
               c->control ? "control = \"" : "", c->control ? c->control : "",
               c->control ? "\"\n" : "", c->bind, c->url ? c->url : "sqlite:///database.db");
    int fd = mkstemp(path);
    assert_int_equal(write(fd, ini.data, ini.len), (ssize_t)ini.len);
    close(fd);
    struct config_flags flags = {
        .config_path = path, .env_path = "/dev/null", .argv = none, .environ = none};
    struct config *config = config_load(&flags, &errors, &warnings);
    if (!config)
        fail_msg("%.*s", SLICE_ARGS(buf_slice(&errors)));
    unlink(path);
    buf_free(&ini);
    buf_free(&errors);
    buf_free(&warnings);
    return config;
}

static void test_default_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof path_cases / sizeof path_cases[0]; i++) {
        const struct path_case *c = &path_cases[i];
        struct config *config = configure(c);
        struct buf path = {0};
        set_environment("RUNTIME_DIRECTORY", c->runtime);
        set_environment("XDG_RUNTIME_DIR", c->xdg);
        bool found = control_default_path(config, c->listener, &path);
        buf_append_char(&path, '\0');
        assert_int_equal(found, c->want != NULL);
        if (c->want)
            assert_string_equal(path.data, c->want);
        buf_free(&path);
        config_free(config);
    }
}

static void test_path_without_configuration(void **state)
{
    (void)state;
    struct buf path = {0};
    set_environment("RUNTIME_DIRECTORY", NULL);
    set_environment("XDG_RUNTIME_DIR", "/r");
    assert_false(control_default_path(NULL, NULL, &path));
    set_environment("RUNTIME_DIRECTORY", "/run/colmeia");
    assert_true(control_default_path(NULL, NULL, &path));
    assert_true(slice_equals(buf_slice(&path), SLICE("/run/colmeia/ctl.sock")));
    buf_free(&path);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_mode),
        UNIT(test_stale),
        UNIT(test_refusals),
        UNIT(test_open_error),
        UNIT(test_not_ours),
        UNIT(test_descriptors),
        UNIT(test_someone_else),
        cmocka_unit_test(test_default_path),
        cmocka_unit_test(test_path_without_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
