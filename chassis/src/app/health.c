// SPDX-License-Identifier: Apache-2.0
// Keeps what is up and what is not. It decides readiness and nothing else; it must never ask a dependency itself, so
// that a probe of /readyz costs nothing and cannot hang.
#include "health.h"

#include "ch/obs.h"

#include <assert.h>
#include <stdatomic.h>

static struct {
    struct {
        const char *name;
        bool is_required;
        atomic_bool is_up;
    } rows[CH_HEALTH_MAX];
    int count; // fixed before other threads start
    atomic_bool is_serving, is_draining;
} health;

void ch_health_register(const char *name, bool is_required)
{
    assert(health.count < CH_HEALTH_MAX);
    health.rows[health.count].name = name;
    health.rows[health.count].is_required = is_required;
    health.count++;
}

void ch_health_set(const char *dependency, bool is_up)
{
    for (int i = 0; i < health.count; i++) {
        if (strcmp(health.rows[i].name, dependency) != 0)
            continue;
        if (atomic_exchange(&health.rows[i].is_up, is_up) != is_up)
            ch_log(is_up ? CH_LOG_INFO : CH_LOG_WARN, NULL, "dependency.changed", CH_LS("dependency", dependency),
                   CH_LB("is_up", is_up));
        return;
    }
}

void ch_health_set_serving(bool is_serving)
{
    atomic_store(&health.is_serving, is_serving);
}

void ch_health_set_draining(void)
{
    atomic_store(&health.is_draining, true);
}

static bool is_all_up(bool is_required)
{
    for (int i = 0; i < health.count; i++)
        if (health.rows[i].is_required == is_required && !atomic_load(&health.rows[i].is_up))
            return false;
    return true;
}

bool ch_health_is_ready(void)
{
    return atomic_load(&health.is_serving) && !atomic_load(&health.is_draining) && is_all_up(true);
}

bool ch_health_are_required_up(void)
{
    return is_all_up(true);
}

bool ch_health_is_up(const char *dependency)
{
    for (int i = 0; i < health.count; i++)
        if (strcmp(health.rows[i].name, dependency) == 0)
            return atomic_load(&health.rows[i].is_up);
    return true;
}

const char *ch_health_status(void)
{
    if (atomic_load(&health.is_draining))
        return "draining";
    if (!atomic_load(&health.is_serving))
        return "starting";
    if (!is_all_up(true))
        return "not_ready";
    return is_all_up(false) ? "ready" : "degraded";
}

bool ch_health_at(int index, struct ch_health_row *ret_row)
{
    if (index >= health.count)
        return false;
    *ret_row = (struct ch_health_row){health.rows[index].name, health.rows[index].is_required,
                                      atomic_load(&health.rows[index].is_up)};
    return true;
}
