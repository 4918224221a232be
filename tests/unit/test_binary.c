/* test_binary.c: the program that runs, and files that might take its place. */
#include "master/binary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/colmeia-binary-XXXXXX";

static void write_file(const char *path, const void *bytes, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* Our own header, to be spoilt. */
static Elf64_Ehdr own_head(void)
{
    Elf64_Ehdr head;
    int fd = open("/proc/self/exe", O_RDONLY);
    assert_int_equal(read(fd, &head, sizeof head), sizeof head);
    close(fd);
    return head;
}

static void refuse(const char *path, const char *why)
{
    struct binary b;
    struct buf error = {0};
    assert_false(binary_open(path, &b, &error));
    buf_append_char(&error, '\0');
    if (!strstr(error.data, why) || strncmp(error.data, path, strlen(path)) != 0)
        fail_msg("%s: %s", path, error.data);
    assert_int_equal(b.fd, -1);
    buf_free(&error);
}

static void test_the_one_that_runs(void **state)
{
    (void)state;
    struct binary self;
    struct stat by_fd, by_path;
    assert_int_equal(binary_self(&self), 0);
    assert_int_equal(self.path[0], '/');
    assert_int_equal(fstat(self.fd, &by_fd), 0);
    assert_int_equal(stat(self.path, &by_path), 0);
    assert_int_equal(by_fd.st_ino, by_path.st_ino);
    assert_false(binary_differs(&self, self.path));
    assert_true(binary_differs(&self, "/bin/sh"));
    assert_false(binary_differs(&self, "nowhere"));
    binary_close(&self);
    assert_int_equal(self.fd, -1);
    binary_close(&self);
}

static void test_written_since(void **state)
{
    (void)state;
    Elf64_Ehdr head = own_head();
    struct binary b;
    struct buf error = {0};
    write_file("x", &head, sizeof head, 0755);
    assert_true(binary_open("x", &b, &error));
    assert_false(binary_differs(&b, "x"));
    assert_int_equal(utimensat(AT_FDCWD, "x", (struct timespec[]){{5, 0}, {5, 0}}, 0), 0);
    assert_true(binary_differs(&b, "x"));
    struct binary again = binary_of(b.fd, b.path);
    assert_false(binary_differs(&again, "x"));
    assert_int_equal(rename("x", "y"), 0);
    assert_false(binary_differs(&again, "x"));
    assert_false(binary_differs(&again, "y"));
    binary_close(&again);
}

static void test_path_is_absolute(void **state)
{
    (void)state;
    Elf64_Ehdr head = own_head();
    struct buf error = {0};
    char here[512], want[600];
    write_file("x", &head, sizeof head, 0755);
    assert_non_null(getcwd(here, sizeof here));
    snprintf(want, sizeof want, "%s/x", here);
    static const char *const paths[] = {"x", "./x", "././x", NULL};
    for (int i = 0; i < 4; i++) {
        struct binary b;
        assert_true(binary_open(paths[i] ? paths[i] : want, &b, &error));
        assert_string_equal(b.path, want);
        assert_int_equal(fcntl(b.fd, F_GETFD), FD_CLOEXEC);
        binary_close(&b);
    }
}

static void test_heads(void **state)
{
    (void)state;
    Elf64_Ehdr head = own_head();
    head.e_machine ^= 1;
    write_file("x", &head, sizeof head, 0755);
    refuse("x", "another machine");
    head = own_head();
    head.e_ident[EI_CLASS] ^= 3;
    write_file("x", &head, sizeof head, 0755);
    refuse("x", "another machine");
    head = own_head();
    head.e_ident[EI_DATA] ^= 3;
    write_file("x", &head, sizeof head, 0755);
    refuse("x", "another machine");
    head = own_head();
    head.e_type = ET_CORE;
    write_file("x", &head, sizeof head, 0755);
    refuse("x", "no program");
    write_file("x", "#!/bin/sh\n", 10, 0755);
    refuse("x", "script");
    write_file("x", "\177EL", 3, 0755);
    refuse("x", "no ELF file");
    write_file("x", "", 0, 0755);
    refuse("x", "no ELF file");
}

static void test_files(void **state)
{
    (void)state;
    Elf64_Ehdr head = own_head();
    write_file("x", &head, sizeof head, 0644);
    refuse("x", "may not be executed");
    refuse("nowhere", "No such file");
    refuse(".", "not a regular file");
    assert_int_equal(mkfifo("fifo", 0755), 0);
    refuse("fifo", "not a regular file");
    refuse("/dev/null", "not a regular file");
}

static int set_up(void **state)
{
    (void)state;
    return !mkdtemp(directory) || chdir(directory) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink("x");
    unlink("y");
    unlink("fifo");
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_one_that_runs),
        cmocka_unit_test(test_written_since),
        cmocka_unit_test(test_path_is_absolute),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
