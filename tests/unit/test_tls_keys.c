/* test_tls_keys.c: shared/tls_keys.c. */
#include "shared/tls_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static mono_ms later(int64_t ms)
{
    return mono_add(clock_now(), ms);
}

static void test_turning(void **state)
{
    (void)state;
    int fd;
    struct tls_keys *k = tls_keys_make(&fd);
    struct tls_key keys[6], found;
    assert_non_null(k);
    tls_keys_newest(k, &keys[0]);
    assert_false(tls_keys_turn(k, later(0), 60000));
    for (int i = 1; i < 6; i++) {
        assert_true(tls_keys_turn(k, later(i * 100000), 60000));
        assert_false(tls_keys_turn(k, later(i * 100000), 60000));
        tls_keys_newest(k, &keys[i]);
        for (int n = 0; n <= i; n++) {
            int age = tls_keys_find(k, keys[n].name, &found);
            assert_int_equal(age, i - n < TLS_KEYS_VALID ? i - n : -1);
            if (age >= 0)
                assert_memory_equal(&found, &keys[n], sizeof found);
            if (n < i)
                assert_memory_not_equal(&keys[n], &keys[i], sizeof found);
        }
    }
    tls_keys_free(k);
    close(fd);
}

/* What one process makes the others find; and the next program. */
static void test_shared(void **state)
{
    (void)state;
    int fd;
    struct tls_keys *k = tls_keys_make(&fd);
    struct tls_key before, after, found;
    tls_keys_newest(k, &before);
    pid_t child = fork();
    if (child == 0)
        _exit(tls_keys_turn(k, later(1000), 0) ? 0 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct tls_keys *again = tls_keys_map(fd);
    assert_non_null(again);
    tls_keys_newest(k, &after);
    assert_memory_not_equal(&before, &after, sizeof after);
    assert_int_equal(tls_keys_find(again, after.name, &found), 0);
    assert_int_equal(tls_keys_find(again, before.name, &found), 1);
    tls_keys_free(again);
    tls_keys_free(k);
    close(fd);
    tls_keys_free(NULL);
}

static void test_not_ours(void **state)
{
    (void)state;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_null(tls_keys_map(null));
    close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turning),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
