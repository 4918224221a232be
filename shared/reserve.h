/* reserve.h: memory for libev, which ends the process when it is refused any (ev(3), ev_set_allocator):
 * no worker and no master shall die because its loop wanted room for one descriptor more. When the
 * heap has none left, a reserve helps out, pages that cost nothing until then: enough for the arrays
 * of thousands of connections. The log says so once; if the reserve runs out too, libev aborts. */
#pragma once

/* realloc(3), and free(3) when *size* is 0; NULL only if the reserve is used up. Any thread. */
void *reserve_realloc(void *p, long size);
