// SPDX-License-Identifier: Apache-2.0
// Named steps: what the environment may say, and that each action strikes at its pass, once, after saying so. What ends
// or stops a process runs in a child.
#include "cases.h"
#include "ch/base.h"
#include "ch/point.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_point__refuses_a_wrong_value(void **state)
{
    static const struct {
        const char *value;
        enum ch_err want;
    } cases[] = {
        {"", CH_OK},
        {"RELAY_READ", CH_ERR_INVALID},
        {"RELAY_READ:die", CH_ERR_INVALID},
        {"RELAY_READ:die:", CH_ERR_INVALID},
        {"RELAY_READ:die:0", CH_ERR_INVALID},
        {"RELAY_READ:die:-1", CH_ERR_INVALID},
        {"RELAY_READ:die:1:2", CH_ERR_INVALID},
        {"RELAY_READ:DIE:1", CH_ERR_INVALID},
        {"relay_read:die:1", CH_ERR_INVALID},
        {"RELAY_REA:die:1", CH_ERR_INVALID},
        {":die:1", CH_ERR_INVALID},
        {"::", CH_ERR_INVALID},
        {" RELAY_READ:die:1", CH_ERR_INVALID},
    };
    char text[256];

    (void)state;
    FOR_EACH(c, cases)
    {
        FILE *out = fmemopen(text, sizeof(text), "w");
        memset(text, 0, sizeof(text));
        assert_int_equal(setenv("CH_POINT", c->value, 1), 0);
        CHECK(c->value, ch_point_setup(out) == c->want);
        fclose(out);
        CHECK(c->value, (strncmp(text, "CH_POINT: ", 10) == 0) == (c->want != CH_OK));
    }
    assert_int_equal(unsetenv("CH_POINT"), 0);
    assert_int_equal(ch_point_setup(stderr), CH_OK);
    assert_int_equal(CH_POINT(RELAY_MARKED), CH_OK); // another than below: passes count in a fork, too
}

struct child {
    pid_t pid;
    int said; // its stderr
};

// A child that passes RELAY_READ three times and exits with a bit for each that failed.
static struct child start_child(const char *value)
{
    struct child child;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    child.pid = fork();
    if (child.pid == 0) {
        int failed = 0;
        if (dup2(ends[1], STDERR_FILENO) < 0 || setenv("CH_POINT", value, 1) || ch_point_setup(stderr))
            _exit(99);
        for (int i = 0; i < 3; i++) {
            if (CH_POINT(RELAY_PUBLISHED))
                _exit(98); // another's order
            failed |= (CH_POINT(RELAY_READ) == CH_ERR_UNAVAILABLE) << i;
        }
        _exit(failed);
    }
    close(ends[1]);
    child.said = ends[0];
    return child;
}

static void check_said(const struct child *child, const char *want)
{
    char text[256] = "";

    assert_true(read(child->said, text, sizeof(text) - 1) >= 0);
    CHECK_TEXT("what it says", text, want);
    close(child->said);
}

static void test_point__fails_once_at_its_pass(void **state)
{
    const struct child child = start_child("RELAY_READ:fail:2");
    int status;

    (void)state;
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1 << 1);
    check_said(&child, "{\"event\":\"point.hit\",\"point\":\"RELAY_READ\",\"action\":\"fail\",\"pass\":2}\n");
}

static void test_point__dies(void **state)
{
    const struct child child = start_child("RELAY_READ:die:3");
    int status;

    (void)state;
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    check_said(&child, "{\"event\":\"point.hit\",\"point\":\"RELAY_READ\",\"action\":\"die\",\"pass\":3}\n");
}

static void test_point__stalls_and_goes_on(void **state)
{
    const struct child child = start_child("RELAY_READ:stall:1");
    int status;

    (void)state;
    assert_int_equal(waitpid(child.pid, &status, WUNTRACED), child.pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(kill(child.pid, SIGCONT), 0);
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    check_said(&child, "{\"event\":\"point.hit\",\"point\":\"RELAY_READ\",\"action\":\"stall\",\"pass\":1}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_point__refuses_a_wrong_value),
        cmocka_unit_test(test_point__fails_once_at_its_pass),
        cmocka_unit_test(test_point__dies),
        cmocka_unit_test(test_point__stalls_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
