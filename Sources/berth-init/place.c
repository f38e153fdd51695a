// Places below the container's root: each is opened once, under rules for links, and then used by descriptor only.
#include "plan.h"
#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

enum { MAX_DANGLING_LINKS = 16, RACE_RETRIES = 64 };

static int open2(int dir, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    long result;
    int tries = 0;
    // EAGAIN: a rename raced with the lookup of "..".
    do
        result = SYS(__NR_openat2, dir, path, &how, sizeof(how));
    while (result == -11 && ++tries < RACE_RETRIES);
    return (int)result;
}

static int is_link(int fd) {
    struct statx info;
    long result = SYS(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &info);
    return result == 0 && (info.stx_mode & 0170000) == 0120000;
}

/// Opens what exists at `path` (O_PATH); absolute links and `..` stay below the root.
int place_open_existing(struct init *init, const char *path, uint64_t resolve) {
    return open2(init->root, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve);
}

static int make(int dir, const char *name, int file) {
    long result;
    if (file) {
        result = SYS(__NR_openat, dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0644);
        if (result >= 0)
            fd_close((int)result);
    } else {
        result = SYS(__NR_mkdirat, dir, name, 0755);
    }
    return result < 0 ? (int)result : 0;
}

/// Puts the target of the dangling link `name` in `dir` into the path, in place of the component that ends at `end`.
/// 1: try again with the new path.
static int follow(struct init *init, int dir, const char *name, size_t start, size_t end) {
    char target[1024];
    long count = SYS(__NR_readlinkat, dir, name, target, sizeof(target) - 1);
    if (count <= 0)
        return count < 0 ? (int)count : -2;
    size_t tail = strlen(init->path + end), base = target[0] == '/' ? 0 : start;
    if (base + (size_t)count + tail + 1 > sizeof(init->path))
        return -36;
    memcpy(init->prefix, init->path + end, tail + 1);
    memcpy(init->path + base, target, (size_t)count);
    memcpy(init->path + base + (size_t)count, init->prefix, tail + 1);
    return 1;
}

/// Makes the component of `init->path` from `start` to `end`, below a descriptor of the directory before it.
static int make_component(struct init *init, size_t start, size_t end, int file, uint64_t resolve) {
    char name[256];
    if (end - start >= sizeof(name))
        return -36;
    memcpy(name, init->path + start, end - start);
    name[end - start] = 0;
    memcpy(init->prefix, init->path, end);
    init->prefix[start] = 0;
    uint64_t rules = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve;
    OWNED dir = open2(init->root, start == 0 ? "." : init->prefix, O_PATH | O_DIRECTORY, rules);
    if (dir < 0)
        return dir;
    int result = make(dir, name, file);
    if (result != -17)
        return result;
    OWNED made = open2(dir, name, O_PATH | O_NOFOLLOW, 0);
    if (made < 0 || !is_link(made))
        return made < 0 ? made : 0;
    if (resolve & RESOLVE_NO_SYMLINKS)
        return -40;
    init->prefix[start] = name[0];
    init->prefix[end] = 0;
    OWNED there = open2(init->root, init->prefix, O_PATH, rules);
    return there >= 0 ? 0 : follow(init, dir, name, start, end);
}

/// Makes what is missing of `init->path`. 1: a dangling link was put into the path, try again.
static int make_missing(struct init *init, int file, uint64_t resolve) {
    size_t end = 0;
    for (;;) {
        size_t start = end, rest;
        while (init->path[start] == '/')
            start++;
        if (init->path[start] == 0)
            return 0;
        for (end = start; init->path[end] && init->path[end] != '/';)
            end++;
        for (rest = end; init->path[rest] == '/';)
            rest++;
        int last = init->path[rest] == 0;
        int result = make_component(init, start, end, file && last, resolve);
        if (result != 0)
            return result;
    }
}

/// Opens the place at `path`, made as a directory or a file if the flags say so and it is missing.
int place_open(struct init *init, const char *path, uint64_t flags) {
    uint64_t resolve = flags & PLACE_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS : 0;
    int fd = place_open_existing(init, path, resolve);
    if (fd != -2 || !(flags & (PLACE_DIRECTORY | PLACE_FILE)))
        return fd;
    size_t length = strlen(path);
    if (length >= sizeof(init->path))
        return -36;
    memcpy(init->path, path, length + 1);
    int result = 1;
    for (int i = 0; result == 1 && i < MAX_DANGLING_LINKS; i++)
        result = make_missing(init, (flags & PLACE_FILE) != 0, resolve);
    if (result != 0)
        return result < 0 ? result : -40;
    return place_open_existing(init, init->path, resolve);
}
