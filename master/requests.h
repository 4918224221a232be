/* requests.h: what people ask of the supervisor, by signal or control socket. Pure, a part of
 * supervisor.c. */
#pragma once

#include "master/supervisor.h"

void requests_take(struct supervisor *s, mono_ms now, const struct sup_event *event,
                   struct sup_actions *out);
