#pragma once
// System calls that have no wrapper in every C library, and macros Swift cannot import.
// The error contract of every function here: the result or 0, or -errno.
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int berth_result(long result) {
    return result < 0 ? -errno : (int)result;
}

static inline int berth_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return berth_result(syscall(SYS_openat2, dir, path, &how, sizeof(how)));
}

static inline int berth_open_tree(int dir, const char *path, unsigned flags) {
    return berth_result(syscall(SYS_open_tree, dir, path, flags));
}

static inline int berth_move_mount(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    return berth_result(syscall(SYS_move_mount, from_dir, from, to_dir, to, flags));
}

static inline int berth_fsopen(const char *type, unsigned flags) {
    return berth_result(syscall(SYS_fsopen, type, flags));
}

static inline int berth_fsconfig(int context, unsigned command, const char *key, const void *value, int aux) {
    return berth_result(syscall(SYS_fsconfig, context, command, key, value, aux));
}

static inline int berth_fsmount(int context, unsigned flags, unsigned attributes) {
    return berth_result(syscall(SYS_fsmount, context, flags, attributes));
}

struct berth_mount_attr {
    uint64_t set, clear, propagation, userns;
};

static inline int berth_mount_setattr(int dir, const char *path, unsigned flags, struct berth_mount_attr attr) {
    return berth_result(syscall(SYS_mount_setattr, dir, path, flags, &attr, sizeof(attr)));
}

static inline int berth_start_writeback(int file, int64_t offset, int64_t count) {
    return berth_result(syscall(SYS_sync_file_range, file, offset, count, 2 /* SYNC_FILE_RANGE_WRITE */));
}

static inline int berth_open_pidfd(int pid, unsigned flags) {
    return berth_result(syscall(SYS_pidfd_open, pid, flags));
}

static inline int berth_pidfd_send_signal(int pidfd, int signal) {
    return berth_result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

static inline int berth_setns(int fd, int flags) {
    return berth_result(syscall(SYS_setns, fd, flags));
}

static inline int berth_unshare(int flags) {
    return berth_result(syscall(SYS_unshare, flags));
}

static inline int berth_close_range(unsigned first, unsigned last, unsigned flags) {
    return berth_result(syscall(SYS_close_range, first, last, flags));
}

static inline int berth_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    return berth_result(syscall(SYS_renameat2, from_dir, from, to_dir, to, flags));
}

static inline int berth_bpf(int command, void *attr, unsigned size) {
    return berth_result(syscall(SYS_bpf, command, attr, size));
}

static inline int berth_fcntl(int fd, int command, long argument) {
    return berth_result(fcntl(fd, command, argument));
}

static inline int berth_ioctl_int(int fd, unsigned long request, long argument) {
    return berth_result(ioctl(fd, request, argument));
}

struct berth_wait {
    int32_t pid;
    /// As si_code: CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0 if nothing has ended yet.
    int32_t code;
    int32_t status;
};

/// waitid(2) by pid or pidfd; `type` is P_PID, P_PIDFD or P_ALL.
static inline int berth_waitid(int type, int id, int options, struct berth_wait *out) {
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    long result = syscall(SYS_waitid, type, id, &info, options, NULL);
    if (result < 0)
        return -errno;
    out->pid = info.si_pid;
    out->code = info.si_code;
    out->status = info.si_status;
    return 0;
}

/// The file system's magic number of an open descriptor, or a negative error.
static inline int64_t berth_fs_magic(int fd) {
    struct statfs fs;
    return fstatfs(fd, &fs) < 0 ? -(int64_t)errno : (int64_t)(uint32_t)fs.f_type;
}

static inline int berth_memfd_create(const char *name, unsigned flags) {
    return berth_result(syscall(SYS_memfd_create, name, flags));
}

static inline int berth_pipe2(int *ends, int flags) {
    return berth_result(syscall(SYS_pipe2, ends, flags));
}

enum { BERTH_MAX_PASSED_FDS = 16, BERTH_O_PATH = 010000000, BERTH_AT_EMPTY_PATH = 0x1000 };

/// The symbolic name of an error number, or NULL.
const char *berth_errno_name(int number);

int berth_send(int socket, const void *bytes, size_t count, const int *fds, int fd_count);
int berth_receive(int socket, void *bytes, size_t room, int *fds, int fd_room, int *fd_count);
int berth_connect_stream(const char *path);
int berth_signal_descriptor(void);
int berth_unix_socket(int dir, const char *name, int listen_backlog, unsigned mode);

#include "berth_io.h"
#include "berth_loop.h"
#include "berth_process.h"
