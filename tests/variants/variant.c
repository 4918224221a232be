/* variant.c: what a program does that goes wrong when it takes over. Which of these is one stands at
 * the end of its own file, as "VARIANT:late_crash" (ELF does not look there); nothing there: it is
 * well. The linker lets these functions stand before the real ones (ld(1), --wrap). */
#include "master/estate.h"
#include "master/master.h"
#include "shared/config.h"
#include "shared/entry.h"
#include "shared/message.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char mark[] = "VARIANT:";

unsigned __real_alarm(unsigned seconds);
unsigned __wrap_alarm(unsigned seconds);
bool __real_config_kept_next(const struct config *c, size_t *at, struct config_kept *kept_r);
bool __wrap_config_kept_next(const struct config *c, size_t *at, struct config_kept *kept_r);
enum exit_code __real_estate_adopt(struct estate *e, size_t slots_len, const struct state *state);
enum exit_code __wrap_estate_adopt(struct estate *e, size_t slots_len, const struct state *state);
int __real_master_run(const struct master_options *options);
int __wrap_master_run(const struct master_options *options);
int __real_message_send(int fd, enum message_type type, unsigned generation, int64_t value);
int __wrap_message_send(int fd, enum message_type type, unsigned generation, int64_t value);
int __real_worker_main(const struct entry *entry);
int __wrap_worker_main(const struct entry *entry);

static bool is(const char *name)
{
    char tail[64] = {0};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        abort();
    if (lseek(fd, -(off_t)(sizeof tail - 1), SEEK_END) < 0 || read(fd, tail, sizeof tail - 1) < 0)
        abort();
    close(fd);
    const char *at = memmem(tail, sizeof tail, mark, strlen(mark));
    return at && strcmp(at + strlen(mark), name) == 0;
}

static void die_of(int number)
{
    signal(number, SIG_DFL); /* no sanitizer's comment */
    raise(number);
}

/* ---- taking over ----------------------------------------------------------------------------- */

static int overflow(int depth)
{
    volatile char room[4096];
    room[depth % 4096] = (char)depth;
    return depth < 1 << 30 ? overflow(depth + 1) + room[depth % 4096] : 0;
}

int __wrap_master_run(const struct master_options *options)
{
    if (options->state && is("adopt_crash"))
        raise(SIGSEGV);
    if (options->state && is("adopt_abort"))
        abort();
    if (options->state && is("adopt_overflow"))
        exit(overflow(0));
    if (options->state && is("adopt_exit"))
        exit(3);
    while (options->state && is("adopt_hang"))
        pause();
    return __real_master_run(options);
}

enum exit_code __wrap_estate_adopt(struct estate *e, size_t slots_len, const struct state *state)
{
    return is("adopt_fail") ? EXIT_CODE_INTERNAL : __real_estate_adopt(e, slots_len, state);
}

/* Patience is not what is tested. */
unsigned __wrap_alarm(unsigned seconds)
{
    return __real_alarm(seconds && is("adopt_hang") ? 1 : seconds);
}

/* ---- what it hands on ------------------------------------------------------------------------ */

/* Behind the last: an option that only this version has, or a value that only this version takes. */
bool __wrap_config_kept_next(const struct config *c, size_t *at, struct config_kept *kept_r)
{
    enum { BEHIND = 1 << 20 };
    if (*at < BEHIND && __real_config_kept_next(c, at, kept_r))
        return true;
    if (*at < BEHIND && is("own_key"))
        *kept_r = (struct config_kept){SLICE("server"), SLICE("shoe_size"), SLICE("44")};
    else if (*at < BEHIND && is("own_value"))
        *kept_r = (struct config_kept){SLICE("database"), SLICE("url"), SLICE("clay://tablet")};
    else
        return false;
    *at = BEHIND;
    return true;
}

/* ---- serving --------------------------------------------------------------------------------- */

int __wrap_worker_main(const struct entry *entry)
{
    if (entry->role == ROLE_SERVE && is("boot_crash"))
        die_of(SIGABRT);
    return __real_worker_main(entry);
}

int __wrap_message_send(int fd, enum message_type type, unsigned generation, int64_t value)
{
    if (type == MESSAGE_READY && is("never_ready"))
        return 0;
    int result = __real_message_send(fd, type, generation, value);
    if (type == MESSAGE_READY && generation > 1 && is("late_crash")) {
        signal(SIGALRM, SIG_DFL);
        __real_alarm(1);
    }
    return result;
}
