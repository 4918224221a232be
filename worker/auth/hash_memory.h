/* hash_memory.h: faster memory for libsodium's Argon2. libsodium maps each hash's memory anew, page by
 * page, and has no way to be given any; measured, that is a third of the time of a hash of 64 MiB and
 * three quarters of one of 8 KiB. So this file's mmap(2) and munmap(2) stand before the C library's, for
 * the whole program (ELF finds the program's own symbols first), and on threads that asked for it they
 * give a mapping that MAP_POPULATE would have filled
 *
 *   - of at most 256 KiB: the same memory each time, wiped when it is given back;
 *   - of 4 MiB and more: huge pages (MADV_HUGEPAGE), new ones each time, so that nothing of a password
 *     outlives its hash.
 *
 * Neither is in core dumps. All other mappings are as the C library makes them; and should libsodium
 * ask for its memory in another way one day, it gets what it gets today. */
#pragma once

/* For the calling thread, until hash_memory_close(), which it must call. Without memory for the small
 * ones these are mapped each time. */
void hash_memory_open(void);
/* Wipes and unmaps what the thread kept. Accepts a thread that has none. */
void hash_memory_close(void);
