#pragma once
// What unpacking a layer needs of C: calls and macros that Swift does not import, and the confinement of the helper.
// The error contract of every function here: the result or 0, or -errno.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static inline int berth_make_node(int dir, const char *name, unsigned mode, unsigned major_number,
                                  unsigned minor_number) {
    return mknodat(dir, name, mode, makedev(major_number, minor_number)) < 0 ? -errno : 0;
}

static inline int berth_set_xattr(int fd, const char *name, const void *value, size_t size) {
    return fsetxattr(fd, name, value, size, 0) < 0 ? -errno : 0;
}

/// Sets an attribute of a file that must not be opened (a link, a device): by name in the working directory.
static inline int berth_set_xattr_of_name(const char *file, const char *name, const void *value, size_t size) {
    return lsetxattr(file, name, value, size, 0) < 0 ? -errno : 0;
}

/// Gives the calling thread a working directory and a file mode mask of its own.
int berth_own_working_directory(void);

/// fork(2), for a process with one thread.
static inline int berth_unpack_fork(void) {
    int pid = fork();
    return pid < 0 ? -errno : pid;
}

/// syncfs(2): flushes the file system behind a descriptor.
int berth_sync_file_system(int fd);

/// fsync(2) of a file or a directory.
static inline int berth_sync_file(int fd) {
    return fsync(fd) < 0 ? -errno : 0;
}

/// Copies the data of a file into an empty one: as a clone where the file system can, else without filling holes.
int berth_copy_data(int to, int from);

/// Copies the extended attributes that the target's file system takes.
int berth_copy_attributes(int to, int from);

/// Gives the calling process mount, network, IPC and UTS namespaces of its own. What it is to keep is opened after
/// this: a descriptor of another mount namespace cannot become a root.
int berth_unpack_namespaces(void);

/// Confines the calling process to the directory `target`: as its root, with few capabilities, no new privileges,
/// limits. Sets `*stage` to what was being done.
int berth_unpack_confine(int target, uint64_t address_space, const char **stage);

/// Allows all threads of the process no other system calls than unpacking needs; others fail with EPERM.
int berth_unpack_filter(void);
