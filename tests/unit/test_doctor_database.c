/* test_doctor_database.c: doctor's judges of what is around a database: file system, space, files,
 * disk; and who holds it open or locked. */
#include "findings_tester.h"

#include "worker/store/holders.h"
#include "worker/tools/doctor_judge.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (INT64_C(1) << 20)

static void filesystems(void **state)
{
    (void)state;
    static const struct {
        uint64_t type;
        enum finding_level level;
        const char *word;
    } cases[] = {
        {0xef53, FINDING_OK, "ext4"},
        {0x58465342, FINDING_OK, "XFS"},
        {0x9123683e, FINDING_OK, "Btrfs"},
        {0x6969, FINDING_FAIL, "NFS"},
        {0xff534d42, FINDING_FAIL, "CIFS"},
        {UINT64_C(0xffffffffff534d42), FINDING_FAIL, "CIFS"}, /* f_type is a signed long */
        {0x01021997, FINDING_FAIL, "9p"},
        {0x65735546, FINDING_WARN, "FUSE"},
        {0x794c7630, FINDING_WARN, "overlayfs"},
        {0x01021994, FINDING_WARN, "tmpfs"},
        {0x12345678, FINDING_OK, "0x12345678"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct findings f = {0};
        doctor_judge_filesystem(&f, cases[i].type, "/data");
        assert_said(&f, cases[i].level, cases[i].word);
    }
}

static void space(void **state)
{
    (void)state;
    struct findings f = {0};
    doctor_judge_space(&f, 1000 * MIB, 20 * MIB, 10, 100);
    assert_said(&f, FINDING_OK, "1000 MiB free; the database takes 20 MiB");
    doctor_judge_space(&f, 1000 * MIB, 2000 * MIB, 10, 100);
    assert_said(&f, FINDING_WARN, "another copy");
    doctor_judge_space(&f, 255 * MIB, 0, 10, 100);
    assert_said(&f, FINDING_WARN, "255 MiB free");
    doctor_judge_space(&f, 16 * MIB - 1, 0, 10, 100);
    assert_said(&f, FINDING_FAIL, "15 MiB free: writes are about to fail");
    doctor_judge_space(&f, 1000 * MIB, 0, 0, 100);
    assert_said(&f, FINDING_FAIL, "no file can be made");
    doctor_judge_space(&f, 1000 * MIB, 0, 0, 0); /* Btrfs counts none */
    assert_said(&f, FINDING_OK, "1000 MiB");
}

static void files(void **state)
{
    (void)state;
    struct findings f = {0};
    const struct doctor_file good = {"d", 0100640, 7, 7, true, 1000};
    struct doctor_file file = good;
    doctor_judge_file(&f, &file, 1000);
    assert_said(&f, FINDING_OK, "d (user 7, mode 0640)");
    file.mode = 0100644;
    doctor_judge_file(&f, &file, 1000);
    assert_said(&f, FINDING_WARN, "chmod o= d");
    file = good;
    file.owner = 0;
    doctor_judge_file(&f, &file, 1000);
    assert_said(&f, FINDING_FAIL, "chown 7 d");
    file = good;
    file.accessible = false;
    doctor_judge_file(&f, &file, 1000);
    assert_said(&f, FINDING_FAIL, "cannot be read and written");
    file = good;
    doctor_judge_file(&f, &file, 1000 - 60);
    assert_said(&f, FINDING_OK, "d (");
    doctor_judge_file(&f, &file, 1000 - 61);
    assert_said(&f, FINDING_WARN, "61 seconds in the future");
}

static void disk(void **state)
{
    (void)state;
    struct findings f = {0};
    doctor_judge_sync(&f, 2500);
    assert_said(&f, FINDING_OK, "2.5 ms");
    doctor_judge_sync(&f, 31000);
    assert_said(&f, FINDING_WARN, "durability");
}

/* ---- holders ---- */

static char database[64], lock_file[80];

static int open_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

/* A child that has the database open, and the lock file if *with_lock*, held if *held*. */
static pid_t child_with(bool with_lock, bool held)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        open_file(database);
        int lock = with_lock ? open_file(lock_file) : -1;
        if (held && flock(lock, LOCK_EX | LOCK_NB))
            _exit(1);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

struct seen {
    pid_t pid;
    int count;
};

static void see(void *ctx, pid_t pid)
{
    struct seen *s = ctx;
    s->pid = pid;
    s->count++;
}

static struct seen look_around(void)
{
    struct seen s = {0, 0};
    holders_foreign(database, see, &s);
    return s;
}

static void holders(void **state)
{
    (void)state;
    char directory[] = "/tmp/test_doctor-XXXXXX";
    assert_non_null(mkdtemp(directory));
    snprintf(database, sizeof database, "%s/d.db", directory);
    snprintf(lock_file, sizeof lock_file, "%s.lock", database);
    assert_int_equal(look_around().count, 0); /* no such file */
    assert_int_equal(holders_of_lock(database), 0);
    close(open_file(database));
    close(open_file(lock_file));
    assert_int_equal(look_around().count, 0);
    assert_int_equal(holders_of_lock(database), 0);

    pid_t ours = child_with(true, false), foreign = child_with(false, false);
    struct seen s = look_around();
    assert_int_equal(s.count, 1);
    assert_int_equal(s.pid, foreign);
    assert_int_equal(holders_of_lock(database), 0);
    pid_t holder = child_with(true, true);
    assert_int_equal(holders_of_lock(database), holder);
    end(holder);
    assert_int_equal(holders_of_lock(database), 0);
    end(ours);
    end(foreign);
    assert_int_equal(look_around().count, 0);
    unlink(database);
    unlink(lock_file);
    rmdir(directory);
}

static void names(void **state)
{
    (void)state;
    struct buf out = {0};
    char want[64];
    holders_name(&out, getpid());
    buf_append_char(&out, '\0');
    snprintf(want, sizeof want, "process %d (", (int)getpid());
    assert_int_equal(strncmp(out.data, want, strlen(want)), 0);
    assert_non_null(strstr(out.data, "test_doctor_database"));
    out.len = 0;
    holders_name(&out, 0x7ffffff0); /* nobody */
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, "process 2147483632");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filesystems), cmocka_unit_test(space),   cmocka_unit_test(files),
        cmocka_unit_test(disk),        cmocka_unit_test(holders), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
