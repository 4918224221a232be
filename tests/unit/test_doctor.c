/* test_doctor.c: the list of findings as text and JSON, and the judges of the machine's numbers. */
#include "findings_tester.h"

#include "master/doctor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define MIB (INT64_C(1) << 20)

static void rendering(void **state)
{
    (void)state;
    struct findings f = {0};
    struct buf out = {0};
    findings_add(&f, FINDING_OK, "clock", "%d o'clock", 12);
    findings_text(&f, &out);
    findings_add(&f, FINDING_WARN, "disk", "slow");
    findings_remedy(&f, "a %s one", "faster");
    findings_add(&f, FINDING_FAIL, "key", "\"lost\"");
    findings_text(&f, &out);
    findings_text(&f, &out); /* all is printed */
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, "ok    clock: 12 o'clock\n"
                                  "warn  disk: slow — a faster one\n"
                                  "FAIL  key: \"lost\"\n");
    out.len = 0;
    findings_json(&f, &out);
    buf_append_char(&out, '\0');
    assert_string_equal(
        out.data,
        "{\"ok\":1,\"warn\":1,\"fail\":1,\"findings\":["
        "{\"level\":\"ok\",\"about\":\"clock\",\"what\":\"12 o'clock\",\"remedy\":null},"
        "{\"level\":\"warn\",\"about\":\"disk\",\"what\":\"slow\",\"remedy\":\"a faster one\"},"
        "{\"level\":\"fail\",\"about\":\"key\",\"what\":\"\\\"lost\\\"\",\"remedy\":null}]}\n");
    buf_free(&out);
    findings_free(&f);
}

static void many(void **state)
{
    (void)state;
    struct findings f = {0};
    for (int i = 0; i < 100; i++)
        findings_add(&f, FINDING_WARN, "about", "%d", i);
    assert_int_equal(findings_count(&f, FINDING_WARN), 100);
    assert_int_equal(findings_count(&f, FINDING_FAIL), 0);
    findings_free(&f);
}

static void backlog(void **state)
{
    (void)state;
    struct findings f = {0};
    doctor_judge_backlog(&f, 2048, 4096);
    assert_said(&f, FINDING_OK, "2048");
    doctor_judge_backlog(&f, 2048, 2048);
    assert_said(&f, FINDING_OK, "2048");
    doctor_judge_backlog(&f, 2048, 2047);
    assert_said(&f, FINDING_WARN, "net.core.somaxconn=2048");
    doctor_judge_backlog(&f, 2048, -1);
    assert_said(&f, FINDING_WARN, "/proc");
}

static void descriptors(void **state)
{
    (void)state;
    struct findings f = {0};
    doctor_judge_descriptors(&f, 4096, 65536, "this shell's");
    assert_said(&f, FINDING_OK, "65536");
    doctor_judge_descriptors(&f, 900, 1000, "this shell's");
    assert_said(&f, FINDING_OK, "1000");
    doctor_judge_descriptors(&f, 901, 1000, "the server's");
    assert_said(&f, FINDING_WARN, "the server's limit of 1000 descriptors a worker takes 900");
    doctor_judge_descriptors(&f, 4096, 1024, "this shell's");
    assert_said(&f, FINDING_WARN, "LimitNOFILE=4560"); /* of which nine tenths are 4104 */
}

static void memory(void **state)
{
    (void)state;
    struct findings f = {0};
    doctor_judge_memory(&f, 64 * MIB, 8, 1024 * MIB);
    assert_said(&f, FINDING_OK, "512 MiB of the 1024 MiB");
    doctor_judge_memory(&f, 64 * MIB, 9, 1024 * MIB);
    assert_said(&f, FINDING_WARN, "calibrate");
    doctor_judge_memory(&f, 64 * MIB, 15, 1024 * MIB);
    assert_said(&f, FINDING_FAIL, "hash_memory");
    doctor_judge_memory(&f, 64 * MIB, 1, -1);
    assert_said(&f, FINDING_WARN, "/proc");
}

static void clocks(void **state)
{
    (void)state;
    struct findings f = {0};
    doctor_judge_clock(&f, 1800000000, true);
    assert_said(&f, FINDING_OK, "synchronised");
    doctor_judge_clock(&f, 1800000000, false);
    assert_said(&f, FINDING_WARN, "timedatectl");
    doctor_judge_clock(&f, 86400, true);
    assert_said(&f, FINDING_FAIL, "86400");
    doctor_judge_clock(&f, INT64_C(1800000000000), true); /* milliseconds */
    assert_said(&f, FINDING_FAIL, "cannot be the time");
}

static void version(void **state)
{
    (void)state;
    struct findings f = {0};
    doctor_judge_version(&f, 42, SLICE("1.2"), SLICE("1.2"));
    assert_said(&f, FINDING_OK, "process 42, version 1.2");
    doctor_judge_version(&f, 42, SLICE("1.20"), SLICE("1.2"));
    assert_said(&f, FINDING_WARN, "runs version 1.20, this program is 1.2");
    doctor_judge_version(&f, 42, (struct slice){NULL, 0}, SLICE("1.2"));
    assert_said(&f, FINDING_WARN, "unknown");
}

static void key_file(void **state)
{
    (void)state;
    struct findings f = {0};
    doctor_judge_key_file(&f, "k", 0100600, true);
    assert_said(&f, FINDING_OK, "0600");
    doctor_judge_key_file(&f, "k", 0100400, true);
    assert_said(&f, FINDING_OK, "0400");
    doctor_judge_key_file(&f, "k", 0100640, true);
    assert_said(&f, FINDING_FAIL, "chmod 600 k");
    doctor_judge_key_file(&f, "k", 0100604, true);
    assert_said(&f, FINDING_FAIL, "others can sign");
    doctor_judge_key_file(&f, "k", 0100600, false);
    assert_said(&f, FINDING_FAIL, "chown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rendering),   cmocka_unit_test(many),     cmocka_unit_test(backlog),
        cmocka_unit_test(descriptors), cmocka_unit_test(memory),   cmocka_unit_test(clocks),
        cmocka_unit_test(version),     cmocka_unit_test(key_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
