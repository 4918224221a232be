/* test_memory.c: pages that two processes share, and that nobody can shorten. */
#include "shared/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void test_two_maps_are_one(void **state)
{
    (void)state;
    int fd = -1;
    size_t len = 0;
    char *one = memory_new("test", 5000, &fd);
    assert_non_null(one);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(one[4999], 0);
    char *two = memory_map(fd, &len);
    assert_non_null(two);
    assert_int_equal(len, 5000);
    one[4999] = 'x';
    assert_int_equal(two[4999], 'x');
    memset(one, 0xff, 5000);
    assert_int_equal(memory_len(one), 5000);
    assert_int_equal(memory_len(two), 5000);
    memory_free(one);
    memory_free(two);
    close(fd);
}

static void test_nobody_shortens_it(void **state)
{
    (void)state;
    int fd = -1;
    char *one = memory_new("test", 100, &fd);
    assert_non_null(one);
    assert_int_equal(ftruncate(fd, 10), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 1000), -1);
    memory_free(one);
    close(fd);
}

static void test_what_is_none_is_refused(void **state)
{
    (void)state;
    size_t len;
    int open_one = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), ends[2];
    assert_int_equal(ftruncate(open_one, 100), 0);
    assert_null(memory_map(open_one, &len));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(pipe(ends), 0);
    assert_null(memory_map(ends[0], &len));
    assert_null(memory_map(-1, &len));
    assert_int_equal(errno, EBADF);
    close(open_one);
    close(ends[0]);
    close(ends[1]);
}

static void test_length_is_known(void **state)
{
    (void)state;
    int fd = -1;
    char *one = memory_new("test", 5000, &fd);
    assert_non_null(one);
    char *two = memory_map_exact(fd, 5000);
    assert_non_null(two);
    one[4999] = 'x';
    assert_int_equal(two[4999], 'x');
    memory_free(two);
    errno = 0;
    assert_null(memory_map_exact(fd, 4999));
    assert_int_equal(errno, EINVAL);
    int before = fd;
    errno = ENOSPC;
    memory_undo(one, &fd);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(before, F_GETFD), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_maps_are_one),
        cmocka_unit_test(test_nobody_shortens_it),
        cmocka_unit_test(test_what_is_none_is_refused),
        cmocka_unit_test(test_length_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
