#include "CBerthSystem.h"
#include <pthread.h>
#include <stdio.h>
#include <sys/signalfd.h>

const char *berth_errno_name(int number) {
    return strerrorname_np(number);
}

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * BERTH_MAX_PASSED_FDS)];
};

/// Sends one message with descriptors; the number of bytes, or -errno.
int berth_send(int socket, const void *bytes, size_t count, const int *fds, int fd_count) {
    if (fd_count < 0 || fd_count > BERTH_MAX_PASSED_FDS)
        return -EINVAL;
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    memset(&control, 0, sizeof(control));
    if (fd_count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * (size_t)fd_count);
    }
    return berth_result(sendmsg(socket, &message, MSG_NOSIGNAL));
}

/// Receives one message; descriptors beyond `fd_room` are closed. The number of bytes, or -errno.
int berth_receive(int socket, void *bytes, size_t room, int *fds, int fd_room, int *fd_count) {
    struct iovec part = {.iov_base = bytes, .iov_len = room};
    union control control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    int kept = 0;
    int result = berth_result(recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
    if (result >= 0) {
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        for (; header != NULL; header = CMSG_NXTHDR(&message, header)) {
            if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                continue;
            int count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            for (int i = 0; i < count; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(header) + sizeof(int) * (size_t)i, sizeof(int));
                if (kept < fd_room)
                    fds[kept++] = fd;
                else
                    close(fd);
            }
        }
    }
    if (fd_count != NULL)
        *fd_count = kept;
    return result;
}

static int address(struct sockaddr_un *out, int dir, const char *name) {
    memset(out, 0, sizeof(*out));
    out->sun_family = AF_UNIX;
    int length = dir < 0 ? snprintf(out->sun_path, sizeof(out->sun_path), "%s", name)
                         : snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/%s", dir, name);
    return length < (int)sizeof(out->sun_path) ? 0 : -ENAMETOOLONG;
}

/// A connected stream socket. A descriptor, or -errno.
int berth_connect_stream(const char *path) {
    struct sockaddr_un name_at;
    int result = address(&name_at, -1, path);
    if (result < 0)
        return result;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&name_at, sizeof(name_at)) == 0)
        return fd;
    result = -errno;
    close(fd);
    return result;
}

/// A seqpacket socket at `name` below `dir` (below nothing if negative): listening with `listen_backlog` > 0 and file
/// mode `mode`, connected otherwise. A descriptor, or -errno.
int berth_unix_socket(int dir, const char *name, int listen_backlog, unsigned mode) {
    struct sockaddr_un name_at;
    int result = address(&name_at, dir, name);
    if (result < 0)
        return result;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (listen_backlog > 0) {
        // The mode of a bound socket comes from the descriptor's own mode before bind.
        result = fchmod(fd, mode);
        if (result == 0)
            result = bind(fd, (struct sockaddr *)&name_at, sizeof(name_at));
        if (result == 0)
            result = listen(fd, listen_backlog);
    } else {
        result = connect(fd, (struct sockaddr *)&name_at, sizeof(name_at));
    }
    if (result < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/// Blocks all signals of the calling thread, and makes a descriptor from which they are read. It, or -errno.
int berth_signal_descriptor(void) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    return berth_result(signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
}
