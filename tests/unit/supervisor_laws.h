/* supervisor_laws.h: what must hold whatever happens to the supervisor: of each action, judged by
 * what was known when it was decided; after each step; and at rest, when every fork is answered.
 * The first law that does not hold is named in sim->broken. */
#pragma once

#include "supervisor_sim.h"

void laws_before(struct sim *sim, const struct sup_event *event);
void laws_on_action(struct sim *sim, const struct sup_action *action);
void laws_after(struct sim *sim);
void laws_at_rest(struct sim *sim);

/* For the laws themselves. */
void must(struct sim *sim, bool holds, const char *what);
unsigned count_wanted(const struct sim *sim);
