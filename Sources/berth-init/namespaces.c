// Namespaces, the user's map, the fork into a pid namespace, the cgroup, the loopback interface.
#include "plan.h"
#include <linux/if.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <sys/socket.h>

int op_setns(struct init *init, struct step *step) {
    long result = SYS(__NR_setns, step->fd, step->a);
    fd_close(step->fd);
    return fail(init, result, "setns", step_s1(step));
}

int op_unshare(struct init *init, struct step *step) {
    return fail(init, SYS(__NR_unshare, step->a), "unshare", step_s1(step));
}

/// Asks the runtime to write the maps of our new user namespace, then becomes its root.
int op_map(struct init *init, struct step *step) {
    if (step->a) {
        struct message message = {.kind = MESSAGE_MAP, .op = step->op};
        int result = sync_send(init, &message, -1);
        if (result < 0 || (result = sync_wait(init)) < 0)
            return fail(init, result, "wait for", "the maps of the user namespace");
    }
    long result = SYS(__NR_setresgid, 0, 0, 0);
    if (result == 0)
        result = SYS(__NR_setresuid, 0, 0, 0);
    return fail(init, result, "become", "root of the user namespace");
}

/// Goes on in a child of our parent, in the pid and time namespaces that were made or joined.
int op_fork(struct init *init, struct step *step) {
    struct clone_args args;
    memset(&args, 0, sizeof(args));
    args.flags = CLONE_PARENT | step->a;
    long pid = SYS(__NR_clone3, &args, sizeof(args));
    if (pid < 0)
        return fail(init, pid, "clone3", "");
    if (pid == 0)
        return 0;
    struct message message = {.kind = MESSAGE_PID, .op = step->op, .value = (uint32_t)pid};
    int result = sync_send(init, &message, -1);
    SYS(__NR_exit_group, result < 0 ? 1 : 0);
    __builtin_unreachable();
}

/// Moves itself: a pid written by another process waits for a grace period, "0" by the process itself does not.
static int receive_cgroup(struct init *init);

int op_cgroup(struct init *init, struct step *step) {
    if (step->fd < 0)
        return receive_cgroup(init);
    long result = SYS(__NR_write, step->fd, "0", 1);
    fd_close(step->fd);
    return fail(init, result, "join cgroup", step_s1(step));
}

/// Joins through the files that the runtime sends once they are there, all in one message.
static int receive_cgroup(struct init *init) {
    enum { MAX_FILES = 16 };
    char byte;
    struct {
        void *base;
        size_t size;
    } part = {&byte, 1};
    struct {
        long length;
        int level, type, fds[MAX_FILES + 2];
    } control;
    struct {
        void *name;
        unsigned name_size;
        void *parts;
        size_t part_count;
        void *control;
        size_t control_size;
        int flags;
    } header = {.parts = &part, .part_count = 1, .control = &control, .control_size = sizeof(control)};
    long result;
    do
        result = SYS(__NR_recvmsg, init->sync, &header, 0x40000000 /* MSG_CMSG_CLOEXEC */);
    while (result == -4);
    if (result <= 0 || header.control_size < 16)
        return fail(init, result < 0 ? result : -32, "wait for", "the cgroup");
    int count = (int)((control.length - 16) / (long)sizeof(int));
    for (int i = 0; i < count && i < MAX_FILES; i++) {
        result = SYS(__NR_write, control.fds[i], "0", 1);
        fd_close(control.fds[i]);
        if (result < 0)
            return fail(init, result, "join", "the cgroup");
    }
    return 0;
}

int op_loopback(struct init *init, struct step *step) {
    (void)step;
    OWNED fd = (int)SYS(__NR_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(init, fd, "bring up", "lo");
    struct ifreq request;
    memset(&request, 0, sizeof(request));
    memcpy(request.ifr_name, "lo", 3);
    request.ifr_flags = IFF_UP;
    return fail(init, SYS(__NR_ioctl, fd, SIOCSIFFLAGS, &request), "bring up", "lo");
}
