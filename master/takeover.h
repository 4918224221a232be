/* takeover.h: the verbs by which a program takes the place of another one, or shows that it could
 * (upgrade.h): they read what that one left, understand its command line by this program's *verbs*,
 * and its configurations. Called by main.c. */
#pragma once

#include "master/cli.h"

/* Each an enum exit_code. Rehearsing touches nothing; adopting runs to the end, as "run" does. */
int takeover_rehearse(const struct cli *cli, const struct verb *verbs, size_t verbs_len);
int takeover_adopt(const struct cli *cli, const struct verb *verbs, size_t verbs_len);
