/* doctor.c: see doctor.h. The checks themselves: each looks, and hands what it saw to its judge. */
#include "master/doctor.h"

#include "curl_build.h"
#include "master/control.h"
#include "master/ctl.h"
#include "master/secret.h"
#include "master/spawn.h"
#include "master/tls_pair.h"
#include "shared/dynamic.h"
#include "shared/machine.h"
#include "shared/tickets.h"
#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62 /* Linux 5.1 */
#endif

enum { SERVER_PATIENCE_MS = 3000 };

struct doctor {
    const struct config_flags *flags;
    struct config *config; /* owned; NULL: it is wrong, and only the machine is looked at */
    struct tls_pair *tls;  /* owned; NULL: no listener needs it, or it cannot be read */
    pid_t server;          /* as the control socket says; 0: none runs, or it cannot be reached */
    struct findings found;
};

/* ---- the configuration and the key ----------------------------------------------------------- */

static void look_at_configuration(struct doctor *d)
{
    static const char about[] = "configuration";
    struct buf errors = {0}, warnings = {0};
    d->config = config_load(d->flags, &errors, &warnings);
    findings_add_lines(&d->found, FINDING_FAIL, about, &errors);
    findings_add_lines(&d->found, FINDING_WARN, about, &warnings);
    if (!d->config && errors.len == 0)
        findings_add(&d->found, FINDING_FAIL, about, "it cannot be read: out of memory");
    if (d->config && warnings.len == 0)
        findings_add(&d->found, FINDING_OK, about, "good; %d workers", config_workers(d->config));
    buf_free(&errors);
    buf_free(&warnings);
}

/* Of the file that holds the key, if one does; true when nothing is wrong with it. */
static bool key_file_is_good(struct doctor *d)
{
    const char *database = NULL, *path = d->config->auth_secret_key_file;
    struct buf beside = {0};
    struct stat st;
    bool good = true;
    if (!d->config->auth_secret_key && !path &&
        config_database(d->config, &database) == CONFIG_DATABASE_FILE) {
        const char *slash = strrchr(database, '/');
        buf_printf(&beside, "%.*ssecret.key", slash ? (int)(slash - database) + 1 : 0, database);
        buf_append_char(&beside, '\0');
        path = beside.failed ? NULL : beside.data;
    }
    if (path && stat(path, &st) == 0) {
        size_t before = findings_count(&d->found, FINDING_OK);
        doctor_judge_key_file(&d->found, path, st.st_mode,
                              geteuid() == 0 || st.st_uid == geteuid());
        good = findings_count(&d->found, FINDING_OK) > before;
    }
    buf_free(&beside);
    return good;
}

static void look_at_key(struct doctor *d)
{
    static const char about[] = "key";
    struct buf error = {0}, warnings = {0}, notes = {0};
    struct secret *secret = NULL;
    bool quiet = !key_file_is_good(d);
    enum exit_code code = secret_load(d->config, false, &secret, &error, &warnings, &notes);
    if (code != EXIT_CODE_OK)
        findings_add_lines(&d->found, FINDING_FAIL, about, &error);
    else if (warnings.len > 0 && !quiet)
        findings_add_lines(&d->found, FINDING_WARN, about, &warnings);
    else if (!secret)
        findings_add_lines(&d->found, FINDING_OK, about, &notes);
    else if (secret_previous_count(secret) == 0)
        findings_add(&d->found, FINDING_OK, about, "%zu bytes", secret_key(secret).len);
    else
        findings_add(&d->found, FINDING_OK, about, "%zu bytes; previous keys honoured: %zu",
                     secret_key(secret).len, secret_previous_count(secret));
    secret_free(secret);
    buf_free(&error);
    buf_free(&warnings);
    buf_free(&notes);
}

/* What they hold is judged by the child. */
static void look_at_certificate(struct doctor *d)
{
    static const char about[] = "certificate";
    struct buf errors = {0};
    if (!config_has_tls(d->config)) {
        findings_add(&d->found, FINDING_OK, about, "no listener has tls, so none is needed");
    } else if (tls_pair_load(d->config, &d->tls, &errors) != EXIT_CODE_OK) {
        findings_add_lines(&d->found, FINDING_FAIL, about, &errors);
        findings_remedy(&d->found, "no start and no reload takes it so; what only root or the server's "
                                   "user may read is looked at by running doctor as one of them");
    }
    buf_free(&errors);
}

/* ---- the running server ---------------------------------------------------------------------- */

/* One line of answer, as far as it fits. False: none within the time. */
static bool ask_status(int fd, struct buf *answer)
{
    struct timeval limit = {.tv_sec = SERVER_PATIENCE_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (send(fd, "status\n", 7, MSG_NOSIGNAL) != 7)
        return false;
    while (answer->len == 0 || answer->data[answer->len - 1] != '\n') {
        char *room = buf_reserve(answer, 4096);
        ssize_t n = room ? recv(fd, room, 4096, 0) : -1;
        if (n <= 0)
            return false;
        answer->len += (size_t)n;
    }
    return true;
}

/* What stands behind "name": in our own server's JSON, up to the next quote or comma. */
static struct slice member(struct slice json, const char *name)
{
    const char *at = memmem(json.ptr, json.len, name, strlen(name));
    if (!at)
        return (struct slice){NULL, 0};
    at += strlen(name);
    size_t len = 0, most = (size_t)(json.ptr + json.len - at);
    while (len < most && !strchr("\",}", at[len]))
        len++;
    return (struct slice){at, len};
}

static void judge_answer(struct doctor *d, struct slice answer)
{
    uint64_t pid = 0;
    slice_to_u64(member(answer, "\"pid\":"), INT32_MAX, &pid);
    d->server = (pid_t)pid;
    doctor_judge_version(&d->found, d->server, member(answer, "\"version\":\""),
                         SLICE(COLMEIA_VERSION));
}

static void look_at_server(struct doctor *d)
{
    static const char about[] = "server";
    struct buf path = {0}, error = {0}, answer = {0};
    int fd = -1;
    if (!control_default_path(d->config, NULL, &path)) {
        findings_add(&d->found, FINDING_OK, about,
                     "the configuration names no control socket to ask");
        buf_free(&path);
        return;
    }
    buf_append_char(&path, '\0');
    enum ctl_code code =
        path.failed ? CTL_FAILED : ctl_connect(path.data, SERVER_PATIENCE_MS, &fd, &error);
    if (code == CTL_DONE && ask_status(fd, &answer)) {
        judge_answer(d, buf_slice(&answer));
    } else if (code == CTL_NO_CONNECTION && access(path.data, F_OK) && errno == ENOENT) {
        findings_add(&d->found, FINDING_OK, about, "none runs (there is no %s)", path.data);
    } else {
        findings_add(&d->found, FINDING_WARN, about, "what answers at %s is not to be had",
                     path.data);
        findings_remedy(&d->found,
                        "if a server should run: look at its log; run doctor as its user or root");
    }
    if (fd >= 0)
        close(fd);
    buf_free(&path);
    buf_free(&error);
    buf_free(&answer);
}

/* ---- the machine ----------------------------------------------------------------------------- */

static int64_t read_number(const char *path)
{
    long long value = -1;
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%lld", &value) != 1)
        value = -1;
    if (file)
        fclose(file);
    return value;
}

static void look_at_backlog(struct doctor *d)
{
    doctor_judge_backlog(&d->found, d->config->server_backlog,
                         read_number("/proc/sys/net/core/somaxconn"));
}

/* Workers raise the soft limit to the hard one. */
static void look_at_descriptors(struct doctor *d)
{
    struct rlimit limit;
    bool theirs = d->server > 0 && prlimit(d->server, RLIMIT_NOFILE, NULL, &limit) == 0;
    if (!theirs && getrlimit(RLIMIT_NOFILE, &limit))
        return;
    int64_t most = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > INT32_MAX
                       ? INT32_MAX
                       : (int64_t)limit.rlim_max;
    doctor_judge_descriptors(&d->found, d->config->limits_max_connections, most,
                             theirs ? "the server's" : "this shell's");
}

static void look_at_memory(struct doctor *d)
{
    doctor_judge_memory(&d->found, d->config->auth_hash_memory, tickets_wanted(),
                        machine_memory_bytes());
}

static void look_at_clock(struct doctor *d)
{
    struct timex t = {.modes = 0};
    int state = adjtimex(&t);
    doctor_judge_clock(&d->found, time(NULL), state >= 0 && state != TIME_ERROR);
}

static void look_at_libraries(struct doctor *d)
{
    static const char about[] = "libcurl";
    struct buf why = {0};
    if (!d->config->orders_upstream) {
        findings_add(&d->found, FINDING_OK, about, "no upstream is set, so it is not needed");
        return;
    }
    enum dynamic_result found = dynamic_probe(CURL_FILE, CURL_SYMBOL, &why);
    if (found == DYNAMIC_GOOD)
        findings_add(&d->found, FINDING_OK, about, "the orders API can load " CURL_FILE);
    else
        findings_add(&d->found, FINDING_FAIL, about, "%.*s", SLICE_ARGS(buf_slice(&why)));
    if (found == DYNAMIC_BAD)
        findings_remedy(&d->found, CURL_REMEDY);
    buf_free(&why);
}

/* Asked, not concluded from a version: distributions carry things back. */
static void look_at_kernel(struct doctor *d)
{
    static const char about[] = "kernel";
    struct utsname name;
    int index;
    socklen_t len = sizeof index;
    const char *release = uname(&name) == 0 ? name.release : "unknown";
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool refuses = fd < 0 || getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, &len) == 0;
    if (pidfd >= 0 && refuses) {
        findings_add(&d->found, FINDING_OK, about, "%s has all that is used", release);
    } else {
        findings_add(&d->found, FINDING_WARN, about, "%s has no %s%s%s", release,
                     pidfd < 0 ? "pidfd_open" : "", pidfd < 0 && !refuses ? " and no " : "",
                     refuses ? "" : "SO_BINDTOIFINDEX");
        findings_remedy(&d->found,
                        "Linux 5.4 or later; until then a stop refuses newcomers less gently");
    }
    if (pidfd >= 0)
        close(pidfd);
    if (fd >= 0)
        close(fd);
}

static void look_at_unit(struct doctor *d)
{
    static const char about[] = "systemd";
    static const char *const places[] = {"/etc/systemd/system", "/run/systemd/system",
                                         "/usr/lib/systemd/system", "/lib/systemd/system"};
    char path[128];
    if (access("/run/systemd/system", F_OK)) {
        findings_add(&d->found, FINDING_OK, about, "does not run here, so no unit is needed");
        return;
    }
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/colmeia.service", places[i]);
        if (access(path, F_OK) == 0) {
            findings_add(&d->found, FINDING_OK, about, "unit %s", path);
            return;
        }
    }
    findings_add(&d->found, FINDING_WARN, about,
                 "there is no colmeia.service, so nothing starts it at boot");
    findings_remedy(&d->found, "install the package, or its unit");
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct {
    bool needs_config;
    void (*look)(struct doctor *d);
} checks[] = {
    {false, look_at_configuration}, /* the others need what it loads */
    {true, look_at_key},
    {true, look_at_certificate},
    {true, look_at_server},
    {true, look_at_backlog},
    {true, look_at_descriptors},
    {true, look_at_memory},
    {true, look_at_libraries},
    {false, look_at_clock},
    {false, look_at_kernel},
    {false, look_at_unit},
};

static int print(struct findings *f, bool json)
{
    struct buf out = {0};
    if (json)
        findings_json(f, &out);
    else
        findings_text(f, &out);
    bool ok = !f->failed && !out.failed &&
              fwrite(out.data ? out.data : "", 1, out.len, stdout) == out.len &&
              fflush(stdout) == 0;
    buf_free(&out);
    return ok && findings_count(f, FINDING_FAIL) == 0 ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

/* The child has a copy of what was found; it adds its own and prints what is not printed yet. */
static int go_on_in_child(struct doctor *d, bool json, int argc, char **argv)
{
    struct identity identity;
    struct buf error = {0};
    if (!identity_find(d->config, &identity, &error)) /* it goes on as who asks */
        findings_add(&d->found, FINDING_FAIL, "user", "%.*s", SLICE_ARGS(buf_slice(&error)));
    buf_free(&error);
    int code = json ? EXIT_CODE_OK : print(&d->found, false);
    struct spawn_order order = {.entry = {.role = ROLE_DOCTOR,
                                          .slot = -1,
                                          .config = d->config,
                                          .tls_certificate = tls_pair_certificate(d->tls),
                                          .tls_key = tls_pair_key(d->tls),
                                          .findings = &d->found,
                                          .argc = argc,
                                          .argv = argv},
                                .identity = &identity,
                                .terminal = true};
    int child = spawn_and_wait(&order);
    return child != EXIT_CODE_OK ? child : code;
}

int doctor_main(const struct config_flags *flags, int argc, char **argv)
{
    struct doctor d = {.flags = flags};
    bool json = argc == 1 && strcmp(argv[0], "--json") == 0;
    if (argc > 0 && !json) {
        fprintf(stderr, "colmeia doctor: it takes no %s; try \"colmeia doctor --help\"\n", argv[0]);
        return EXIT_CODE_USAGE;
    }
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (!checks[i].needs_config || d.config)
            checks[i].look(&d);
    int code = d.config ? go_on_in_child(&d, json, argc, argv) : print(&d.found, json);
    findings_free(&d.found);
    tls_pair_free(d.tls);
    config_free(d.config);
    return code;
}
