// berth-init: obeys a plan. It becomes a container's process (its last step is execve) or a pod's reaper.
#include "plan.h"
#include <linux/prctl.h>
#include <linux/mman.h>

static int op_nondumpable(struct init *init, struct step *step) {
    (void)step;
    return fail(init, SYS(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl", "PR_SET_DUMPABLE");
}

static int op_sync(struct init *init, struct step *step) {
    struct message message = {.kind = MESSAGE_SYNC, .op = step->op, .value = (uint32_t)step->a};
    int result = sync_send(init, &message, -1);
    return result < 0 ? fail(init, result, "report to", "the runtime") : sync_wait(init);
}

static int op_argv(struct init *init, struct step *step) {
    return fail(init, split(step_s1(step), step->n1, step->a, &init->argv), "read", "the arguments");
}

static int op_env(struct init *init, struct step *step) {
    return fail(init, split(step_s1(step), step->n1, step->a, &init->envp), "read", "the environment");
}

static int op_ready(struct init *init, struct step *step) {
    struct message message = {.kind = MESSAGE_READY, .op = step->op};
    return fail(init, sync_send(init, &message, -1), "report to", "the runtime");
}

static int op_no_new_privs(struct init *init, struct step *step) {
    (void)step;
    return fail(init, SYS(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS");
}

static int op_cloexec(struct init *init, struct step *step) {
    // After this come only the filter and execve: the filter may refuse any other call.
    uint64_t none = 0;
    SYS(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, sizeof(none));
    // CLOSE_RANGE_CLOEXEC is 4: the descriptors still serve until execve succeeds.
    return fail(init, SYS(__NR_close_range, step->a, ~0u, 4), "close_range", "");
}

typedef int (*handler)(struct init *, struct step *);

static const handler handlers[OP_COUNT] = {
    [OP_NONDUMPABLE] = op_nondumpable,
    [OP_CGROUP] = op_cgroup,
    [OP_SETNS] = op_setns,
    [OP_UNSHARE] = op_unshare,
    [OP_MAP] = op_map,
    [OP_FORK] = op_fork,
    [OP_SYNC] = op_sync,
    [OP_PROPAGATION] = op_propagation,
    [OP_ROOTFS] = op_rootfs,
    [OP_MOUNT_FS] = op_mount_fs,
    [OP_MOUNT_FD] = op_mount_fd,
    [OP_MKNOD] = op_mknod,
    [OP_SYMLINK] = op_symlink,
    [OP_CONSOLE] = op_console,
    [OP_MASK] = op_mask,
    [OP_READONLY] = op_readonly,
    [OP_PIVOT] = op_pivot,
    [OP_SETATTR] = op_setattr,
    [OP_PROCFS] = op_procfs,
    [OP_PROC_WRITE] = op_proc_write,
    [OP_HOSTNAME] = op_identity,
    [OP_DOMAINNAME] = op_identity,
    [OP_KEYRING] = op_identity,
    [OP_RLIMIT] = op_rlimit,
    [OP_SETSID] = op_stdio,
    [OP_STDIO] = op_stdio,
    [OP_CTTY] = op_stdio,
    [OP_CWD] = op_cwd,
    [OP_MKDIR] = op_mkdir,
    [OP_BOUNDING] = op_bounding,
    [OP_USER] = op_user,
    [OP_CAPS] = op_caps,
    [OP_AMBIENT] = op_ambient,
    [OP_NO_NEW_PRIVS] = op_no_new_privs,
    [OP_SECCOMP] = op_seccomp,
    [OP_PERSONALITY] = op_schedule,
    [OP_IOPRIO] = op_schedule,
    [OP_SCHED] = op_schedule,
    [OP_MEMPOLICY] = op_schedule,
    [OP_AFFINITY] = op_schedule,
    [OP_HOOK] = op_hook,
    [OP_ARGV] = op_argv,
    [OP_ENV] = op_env,
    [OP_FIND] = op_find,
    [OP_READY] = op_ready,
    [OP_START] = op_start,
    [OP_CLOEXEC] = op_cloexec,
    [OP_EXEC] = op_exec,
    [OP_REAP] = op_reap,
    [OP_LOOPBACK] = op_loopback,
};

static void report(struct init *init, struct step *step, int error) {
    struct message message = {.kind = MESSAGE_ERROR, .error = -error, .op = step->op};
    memcpy(message.detail, init->detail, sizeof(message.detail));
    sync_send(init, &message, -1);
}

static int exit_status(int error) {
    // The shell's numbers: not found, found but not executable.
    return error == -2 ? 127 : error == -13 ? 126 : 1;
}

static struct header *map_plan(int fd, size_t *size) {
    long end = SYS(__NR_lseek, fd, 0, 2);
    if (end < (long)sizeof(struct header))
        return NULL;
    long at = SYS(__NR_mmap, 0, end, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    fd_close(fd);
    *size = (size_t)end;
    return at < 0 && at > -4096 ? NULL : (struct header *)at;
}

static int number(const char *text) {
    int value = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (*text - '0');
    return value;
}

static struct init shared;

__attribute__((noreturn, used)) void berth_main(long *stack) {
    char **argv = (char **)(stack + 1);
    size_t size = 0;
    struct header *header = stack[0] == 2 ? map_plan(number(argv[1]), &size) : NULL;
    if (header == NULL || step_check(header, size) < 0)
        SYS(__NR_exit_group, 125);
    shared.root = shared.proc = shared.devpts = shared.console = shared.masked_dir = -1;
    shared.sync = header->sync;
    SYS(__NR_umask, 0);
    struct step *step = (struct step *)(header + 1);
    for (uint32_t i = 0; i < header->count; i++) {
        shared.detail[0] = 0;
        int result = handlers[step->op](&shared, step);
        if (result < 0) {
            report(&shared, step, result);
            SYS(__NR_exit_group, exit_status(result));
        }
        step = (struct step *)((char *)step + step->size);
    }
    SYS(__NR_exit_group, 0);
    __builtin_unreachable();
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall berth_main\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tb berth_main\n");
#endif
