// SPDX-License-Identifier: Apache-2.0
/**
 * @file mutant.h
 * @brief Deliberate bugs, the rows of mutants.def: they show that the tests would notice.
 *
 * `if (CH_MUTANT(NAME))` guards the one wrong line. It is the constant false unless the build was made with
 * -Dmutant=NAME, and such a build says so at its start and in --version: it must never serve anybody.
 */
#ifndef CH_MUTANT_H
#define CH_MUTANT_H

#include <stdbool.h>

#ifdef CH_MUTANT_BUILD

#include "ch_mutant_chosen.h" // made by Meson: CH_MUTANT_CHOSEN, CH_MUTANT_CHOSEN_NAME

enum ch_mutant {
#define CH_MUTANT_ROW(name, bug, invariant) CH_MUTANT_##name,
#include "ch/mutants.def"
#undef CH_MUTANT_ROW
};

#define CH_MUTANT(name) (CH_MUTANT_##name == CH_MUTANT_CHOSEN)

#else

#define CH_MUTANT(name) false

#endif
#endif
