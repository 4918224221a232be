/* test_calibrate.c: which cost is recommended, and what is a time; memory out of /proc and cgroups.
 */
#include "shared/machine.h"
#include "worker/tools/calibrate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MIB (INT64_C(1) << 20)

/* 1 ms for each MiB and pass. */
static size_t measured(struct calibrate_row rows[static CALIBRATE_ROWS_MAX])
{
    size_t len = calibrate_rows(false, rows);
    for (size_t i = 0; i < len; i++) {
        rows[i].alone_us = rows[i].memory_bytes / MIB * rows[i].passes * 500;
        rows[i].busy_us = 2 * rows[i].alone_us;
    }
    return len;
}

static const struct {
    int64_t target_ms;
    unsigned tickets;
    int64_t memory_max;
    bool fits;
    int memory_mib, passes;
} choices[] = {
    {250, 2, INT64_MAX, true, 128, 1}, /* memory before passes */
    {256, 2, INT64_MAX, true, 256, 1}, /* just */
    {255, 2, INT64_MAX, true, 128, 1},
    {10000, 2, INT64_MAX, true, 256, 4},
    {10000, 2, 512 * MIB, true, 256, 4},
    {10000, 2, 512 * MIB - 1, true, 128, 4}, /* memory of all tickets */
    {10000, 8, 512 * MIB, true, 64, 4},
    {100, 2, INT64_MAX, true, 64, 1},
    {63, 2, INT64_MAX, true, 16, 3},  /* 32m would be 64 ms */
    {47, 2, INT64_MAX, false, 16, 3}, /* 16m and 2 passes are too weak */
    {10, 2, INT64_MAX, false, 16, 3},
    {10000, 2, 1, false, 16, 3},
};

static void choose(void **state)
{
    (void)state;
    struct calibrate_row rows[CALIBRATE_ROWS_MAX];
    size_t len = measured(rows);
    assert_int_equal(len, 20);
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        bool fits;
        const struct calibrate_row *best =
            calibrate_choose(rows, len, choices[i].target_ms * 1000, choices[i].tickets,
                             choices[i].memory_max, &fits);
        assert_non_null(best);
        assert_int_equal(fits, choices[i].fits);
        assert_int_equal(best->memory_bytes / MIB, choices[i].memory_mib);
        assert_int_equal(best->passes, choices[i].passes);
    }
}

static void choose_of_what_was_measured(void **state)
{
    (void)state;
    struct calibrate_row rows[CALIBRATE_ROWS_MAX];
    bool fits;
    size_t len = calibrate_rows(true, rows);
    assert_int_equal(len, 6);
    assert_null(calibrate_choose(rows, len, 250000, 1, INT64_MAX, &fits));
    assert_false(fits);
    rows[1].busy_us = 1000; /* 16m and 3 passes */
    const struct calibrate_row *best = calibrate_choose(rows, len, 250000, 1, INT64_MAX, &fits);
    assert_true(fits && best == &rows[1]);
}

static void targets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us; /* 0: refused */
    } cases[] = {{"250ms", 250000}, {"1s", 1000000}, {"2", 2000000}, {"10ms", 10000},
                 {"10s", 10000000}, {"9ms", 0},      {"11s", 0},     {"", 0},
                 {"ms", 0},         {"s", 0},        {"0.5s", 0},    {"-1s", 0},
                 {"250 ms", 0},     {"1m", 0},       {"10001ms", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t us = 0;
        bool good = calibrate_target(slice_of(cases[i].text), &us);
        assert_int_equal(good, cases[i].us != 0);
        if (good)
            assert_int_equal(us, cases[i].us);
    }
}

static void lines(void **state)
{
    (void)state;
    struct buf out = {0};
    calibrate_line(&out, &(struct calibrate_row){64 * MIB, 3, 100000, 250000}, 4);
    calibrate_line(&out, &(struct calibrate_row){128 * MIB, 1, 0, 0}, 4);
    buf_append_char(&out, '\0');
    assert_string_equal(out.data,
                        "   64m       3    100.0 ms      250.0 ms        16.0           256m\n"
                        "  128m       1           -             -           -           512m\n");
    buf_free(&out);
}

static void meminfo(void **state)
{
    (void)state;
    const char *text = "MemTotal:       16 kB\nMemFree:  2 kB\nMemAvailable:      7 kB\n";
    assert_int_equal(machine_meminfo_bytes(text, "MemTotal"), 16 * 1024);
    assert_int_equal(machine_meminfo_bytes(text, "MemAvailable"), 7 * 1024);
    assert_int_equal(machine_meminfo_bytes(text, "Mem"), -1);
    assert_int_equal(machine_meminfo_bytes("", "MemTotal"), -1);
    assert_true(machine_memory_bytes() >= machine_memory_free_bytes());
    assert_true(machine_memory_free_bytes() > 0);
}

static void put(const char *root, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

static void cgroup(void **state)
{
    (void)state;
    char root[] = "/tmp/test_calibrate-XXXXXX", inner[64], command[96];
    assert_non_null(mkdtemp(root));
    snprintf(inner, sizeof inner, "%s/a/b", root);
    snprintf(command, sizeof command, "mkdir -p %s", inner);
    assert_int_equal(system(command), 0);
    assert_int_equal(machine_cgroup_bytes(root, "/a/b", 0), -1);
    put(root, "a/b/memory.max", "max\n");
    put(root, "a/memory.max", "1000\n");
    put(root, "a/memory.current", "400\n");
    assert_int_equal(machine_cgroup_bytes(root, "/a/b", 0), 1000);
    assert_int_equal(machine_cgroup_bytes(root, "/a/b", 1), 600);
    put(root, "a/b/memory.max", "300\n");
    assert_int_equal(machine_cgroup_bytes(root, "/a/b", 1), 300);
    put(root, "a/memory.current", "2000\n");
    assert_int_equal(machine_cgroup_bytes(root, "/a/b", 1), 0);
    assert_int_equal(machine_cgroup_bytes(root, "/", 1), -1);
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choose),  cmocka_unit_test(choose_of_what_was_measured),
        cmocka_unit_test(targets), cmocka_unit_test(lines),
        cmocka_unit_test(meminfo), cmocka_unit_test(cgroup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
