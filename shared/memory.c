/* memory.c: see memory.h. */
#include "shared/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

/* Linux before 6.3 does not know the flag; later ones can be told (vm.memfd_noexec) to demand it. */
int memory_file(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

static size_t page_len(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Its length lies in a page of this process's own before it, which nobody writes to any more. */
static void *map(int fd, size_t len)
{
    size_t page = page_len();
    char *own = mmap(NULL, page + len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (own == MAP_FAILED)
        return NULL;
    *(size_t *)own = len;
    if (mmap(own + page, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED &&
        mprotect(own, page, PROT_READ) == 0)
        return own + page;
    int saved = errno;
    munmap(own, page + len);
    errno = saved;
    return NULL;
}

size_t memory_len(const void *memory)
{
    return *(const size_t *)((const char *)memory - page_len());
}

void memory_free(void *memory)
{
    if (memory)
        munmap((char *)memory - page_len(), page_len() + memory_len(memory));
}

void *memory_new(const char *name, size_t len, int *fd_r)
{
    int fd = memory_file(name);
    if (fd < 0)
        return NULL;
    void *memory = NULL;
    if (ftruncate(fd, (off_t)len) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0)
        memory = map(fd, len);
    if (memory) {
        *fd_r = fd;
        return memory;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return NULL;
}

void *memory_map(int fd, size_t *len_r)
{
    struct stat st;
    int sealed = fcntl(fd, F_GET_SEALS);
    if (sealed < 0 || fstat(fd, &st) != 0)
        return NULL;
    if (!(sealed & F_SEAL_SHRINK) || st.st_size <= 0) {
        errno = EINVAL;
        return NULL;
    }
    *len_r = (size_t)st.st_size;
    return map(fd, *len_r);
}

void *memory_map_exact(int fd, size_t len)
{
    size_t found = 0;
    void *memory = memory_map(fd, &found);
    if (!memory || found == len)
        return memory;
    memory_free(memory);
    errno = EINVAL;
    return NULL;
}

void memory_undo(void *memory, int *fd_r)
{
    int saved = errno;
    memory_free(memory);
    close(*fd_r);
    *fd_r = -1;
    errno = saved;
}
