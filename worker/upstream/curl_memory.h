/* curl_memory.h: where libcurl keeps what it has, the upstream's key in each of its requests too: memory
 * that core dumps do not have, wiped when it is given back (shared/private.h). For library.c, which hands
 * these to curl_global_init_mem(3). They do as their namesakes without "curl_memory_"; any thread: names
 * are looked up on libcurl's own. What was once taken from the kernel is kept for reuse. */
#pragma once

#include <stddef.h>

void *curl_memory_malloc(size_t len);
void curl_memory_free(void *memory);
void *curl_memory_realloc(void *memory, size_t len);
void *curl_memory_calloc(size_t count, size_t len);
char *curl_memory_strdup(const char *text);
