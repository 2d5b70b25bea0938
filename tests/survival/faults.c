/* Calls of one process tree that fail, fall short or kill it, as a file says; loaded by LD_PRELOAD.
 *
 * The file is named by FAULTS and read at every call, so a fault can come and go while the program runs. Each line is a
 * rule: CALL WHAT AFTER TIMES PATH. CALL is write (and pwrite), sync (fsync and fdatasync), open (to write or to make a
 * file), rename, unlink, or any. WHAT is the number of an error; `short`, for half of what was to be written; or `kill`.
 * AFTER is how many such calls go well first, TIMES how many do not then (-1: all). PATH is a part of the path. Counts
 * begin again when the file changes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RULES 8
#define TEXT 2048

enum { FINE = 0, SHORT = -1 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char known[TEXT];
static int seen[RULES];

static void path_of(int fd, const char *name, char *path) {
    char link[64];
    ssize_t length = 0;
    path[0] = 0;
    if (name != NULL && (name[0] == '/' || fd == AT_FDCWD)) {
        snprintf(path, PATH_MAX, "%s", name);
        return;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    if (name != NULL)
        snprintf(path + strlen(path), PATH_MAX - strlen(path), "/%s", name);
}

static int judge(const char *call, const char *path) {
    char text[TEXT], copy[TEXT], *line, *rest;
    int found = FINE, number = 0;
    const char *control = getenv("FAULTS");
    int fd = control == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return FINE;
    ssize_t length = syscall(SYS_read, fd, text, TEXT - 1);
    syscall(SYS_close, fd);
    text[length > 0 ? length : 0] = 0;
    pthread_mutex_lock(&lock);
    if (strcmp(text, known) != 0) {
        strcpy(known, text);
        memset(seen, 0, sizeof seen);
    }
    strcpy(copy, text);
    for (line = strtok_r(copy, "\n", &rest); line != NULL && number < RULES; line = strtok_r(NULL, "\n", &rest), number++) {
        char which[16], what[16], part[512];
        int after, times;
        if (sscanf(line, "%15s %15s %d %d %511s", which, what, &after, &times, part) != 5)
            continue;
        if ((strcmp(which, call) != 0 && strcmp(which, "any") != 0) || strstr(path, part) == NULL)
            continue;
        int count = seen[number]++;
        if (count < after || (times >= 0 && count >= after + times))
            continue;
        if (strcmp(what, "kill") == 0)
            syscall(SYS_kill, (pid_t)syscall(SYS_getpid), SIGKILL);
        found = strcmp(what, "short") == 0 ? SHORT : atoi(what);
        break;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static int fault(const char *call, int fd, const char *name) {
    char path[PATH_MAX];
    int before = errno;
    path_of(fd, name, path);
    int found = judge(call, path);
    errno = before;
    return found;
}

static long done(long result) {
    return result; /* syscall() has set errno */
}

ssize_t write(int fd, const void *data, size_t size) {
    int found = fault("write", fd, NULL);
    if (found > 0) {
        errno = found;
        return -1;
    }
    if (found == SHORT && size > 1)
        size /= 2;
    return done(syscall(SYS_write, fd, data, size));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    int found = fault("write", fd, NULL);
    if (found > 0) {
        errno = found;
        return -1;
    }
    if (found == SHORT && size > 1)
        size /= 2;
    return done(syscall(SYS_pwrite64, fd, data, size, at));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

static int synced(int fd, long number) {
    int found = fault("sync", fd, NULL);
    if (found > 0) {
        errno = found;
        return -1;
    }
    return (int)done(syscall(number, fd));
}

int fsync(int fd) { return synced(fd, SYS_fsync); }

int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int opened(int directory, const char *name, int flags, mode_t mode) {
    if (flags & (O_CREAT | O_WRONLY | O_RDWR)) {
        int found = fault("open", directory, name);
        if (found > 0) {
            errno = found;
            return -1;
        }
    }
    return (int)done(syscall(SYS_openat, directory, name, flags, mode));
}

#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = va_arg(more, mode_t);                                                                                   \
        va_end(more);                                                                                                  \
    }

int open(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }

int open64(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode); }

int openat(int at, const char *name, int flags, ...) { MODE(flags) return opened(at, name, flags, mode); }

int openat64(int at, const char *name, int flags, ...) { MODE(flags) return opened(at, name, flags | O_LARGEFILE, mode); }

static int renamed(int from, const char *old, int to, const char *new) {
    int found = fault("rename", from, old);
    if (found > 0) {
        errno = found;
        return -1;
    }
    return (int)done(syscall(SYS_renameat, from, old, to, new));
}

int rename(const char *old, const char *new) { return renamed(AT_FDCWD, old, AT_FDCWD, new); }

int renameat(int from, const char *old, int to, const char *new) { return renamed(from, old, to, new); }

static int unlinked(int directory, const char *name, int flags) {
    int found = fault("unlink", directory, name);
    if (found > 0) {
        errno = found;
        return -1;
    }
    return (int)done(syscall(SYS_unlinkat, directory, name, flags));
}

int unlink(const char *name) { return unlinked(AT_FDCWD, name, 0); }

int unlinkat(int directory, const char *name, int flags) { return unlinked(directory, name, flags); }
