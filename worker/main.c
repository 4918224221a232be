/* main.c: where a forked child becomes what its role says (shared/entry.h). */
#include "shared/check.h"
#include "shared/entry.h"
#include "shared/log.h"
#include "worker/admin/admin.h"
#include "worker/api/site.h"
#include "worker/doors.h"
#include "worker/tools/tool.h"
#include "worker/tools/tools.h"
#include "worker/seccomp.h"
#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* The terminal's Ctrl-C and hang-up are the master's to decide on; broken pipes are seen by the
 * call that meets them. SIGTERM keeps its default until the worker has a loop to obey it with. */
static void settle_signals(void)
{
    const int ignored[] = {SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        ASSERT(signal(ignored[i], SIG_IGN) != SIG_ERR);
    sigset_t none;
    sigemptyset(&none);
    ASSERT(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

/* `colmeia openapi`: the bytes of /openapi.json and a line end. */
static int print_openapi(const struct entry *entry)
{
    tool_obey_keys();
    struct site *site = site_new(entry->config);
    if (!site) {
        tool_say("openapi", "out of memory");
        return EXIT_CODE_FAILED;
    }
    buf_append_char(&site->pages[SITE_OPENAPI], '\n');
    bool printed = tool_print("openapi", &site->pages[SITE_OPENAPI]);
    site_free(site);
    return printed ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

/* Before the first thread. Who cannot have what was asked for does not serve without it. */
static bool restrict_calls(const struct entry *entry)
{
    bool serves = entry->role == ROLE_SERVE || entry->role == ROLE_ADMIN;
    if (!serves || !entry->config->server_seccomp || seccomp_start() == 0)
        return true;
    log_error("[server] seccomp: there is no such filter here: %s", strerror(errno));
    return false;
}

int worker_main(const struct entry *entry)
{
    settle_signals();
    if (!restrict_calls(entry))
        return EXIT_CODE_CONFIG;
    switch (entry->role) {
    case ROLE_SERVE:
        return worker_serve(entry);
    case ROLE_ADMIN:
        return admin_serve(entry);
    case ROLE_CHECK: /* the rest is the master's own */
        return doors_check(entry);
    case ROLE_MIGRATE:
        return tools_migrate(entry);
    case ROLE_CHECKPOINT:
        return tools_checkpoint(entry);
    case ROLE_USER:
        return tools_user(entry);
    case ROLE_BACKUP:
        return tools_backup(entry);
    case ROLE_CALIBRATE:
        return tools_calibrate(entry);
    case ROLE_DOCTOR:
        doors_examine(entry);
        return tools_doctor(entry);
    case ROLE_OPENAPI:
        return print_openapi(entry);
    }
    UNREACHABLE();
}
