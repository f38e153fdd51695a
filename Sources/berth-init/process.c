// What the process is: names, limits, identity, capabilities, filter, scheduling.
#include "plan.h"
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/seccomp.h>

int op_identity(struct init *init, struct step *step) {
    char *name = step_s1(step);
    if (step->op == OP_HOSTNAME)
        return fail(init, SYS(__NR_sethostname, name, step->n1), "sethostname", name);
    if (step->op == OP_DOMAINNAME)
        return fail(init, SYS(__NR_setdomainname, name, step->n1), "setdomainname", name);
    // A keyring of its own, so that the runtime's is not shared; kernels without keyrings have nothing to share.
    long result = SYS(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name, 0, 0, 0);
    return result == -38 ? 0 : fail(init, result, "join session keyring", name);
}

/// `a`: the resource, `b`: soft, `c`: hard. Raising a hard limit may be refused: then both are clamped, with a warning.
int op_rlimit(struct init *init, struct step *step) {
    uint64_t limit[2] = {step->b, step->c}, old[2];
    long result = SYS(__NR_prlimit64, 0, step->a, limit, NULL);
    if (result != -1)
        return fail(init, result, "set limit", step_s1(step));
    result = SYS(__NR_prlimit64, 0, step->a, NULL, old);
    if (result < 0)
        return fail(init, result, "read limit", step_s1(step));
    limit[1] = limit[1] > old[1] ? old[1] : limit[1];
    limit[0] = limit[0] > limit[1] ? limit[1] : limit[0];
    result = SYS(__NR_prlimit64, 0, step->a, limit, NULL);
    if (result < 0)
        return fail(init, result, "set limit", step_s1(step));
    warn(init, step, -1, "raise limit", step_s1(step));
    return 0;
}

static int inside_root(struct init *init) {
    long result = SYS(__NR_getcwd, init->path, sizeof(init->path));
    if (result < 0)
        return (int)result;
    // A directory outside the root reads "(unreachable)/…".
    return init->path[0] == '/' ? 0 : -1;
}

/// Enters the working directory by a lookup that follows no magic link, and checks where it came out.
int op_cwd(struct init *init, struct step *step) {
    char *path = step_s1(step);
    OWNED root = (int)SYS(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return fail(init, root, "open", "/");
    int before = init->root;
    init->root = root;
    OWNED dir = place_open_existing(init, path, 0);
    init->root = before;
    long result = dir < 0 ? dir : SYS(__NR_fchdir, dir);
    if (result == 0)
        result = inside_root(init);
    return fail(init, result, "chdir to cwd", path);
}

/// Drops what is not in the mask `a` from the bounding set; `b` is the number of capabilities the kernel has.
int op_bounding(struct init *init, struct step *step) {
    for (uint64_t bit = 0; bit < step->b; bit++) {
        if (step->a >> bit & 1)
            continue;
        long result = SYS(__NR_prctl, PR_CAPBSET_DROP, bit, 0, 0, 0);
        if (result < 0 && SYS(__NR_prctl, PR_CAPBSET_READ, bit, 0, 0, 0) != 0)
            return fail(init, result, "drop", "a capability of the bounding set");
    }
    return 0;
}

/// `a`: uid, `b`: gid, `c`: umask, `s1`: the additional groups; `fd`: 1 if setgroups may be called at all.
int op_user(struct init *init, struct step *step) {
    long result = SYS(__NR_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (result == 0 && step->fd == 1)
        result = SYS(__NR_setgroups, step->n1 / 4, step_s1(step));
    if (result < 0)
        return fail(init, result, "set", "the additional groups");
    result = SYS(__NR_setresgid, step->b, step->b, step->b);
    if (result < 0)
        return fail(init, result, "set", "the group");
    result = SYS(__NR_setresuid, step->a, step->a, step->a);
    if (result < 0)
        return fail(init, result, "set", "the user");
    SYS(__NR_umask, step->c);
    return fail(init, SYS(__NR_prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0), "prctl", "PR_SET_KEEPCAPS");
}

/// `a`: effective, `b`: permitted, `c`: inheritable.
int op_caps(struct init *init, struct step *step) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(step->a >> (half * 32));
        data[half].permitted = (uint32_t)(step->b >> (half * 32));
        data[half].inheritable = (uint32_t)(step->c >> (half * 32));
    }
    return fail(init, SYS(__NR_capset, &header, data), "capset", "");
}

int op_ambient(struct init *init, struct step *step) {
    long result = SYS(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (uint64_t bit = 0; result >= 0 && bit < 64; bit++)
        if (step->a >> bit & 1)
            result = SYS(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0);
    return fail(init, result, "set", "the ambient capabilities");
}

/// `a`: flags of seccomp(2), `s1`: the program. With a listener its descriptor goes to the runtime.
int op_seccomp(struct init *init, struct step *step) {
    struct {
        uint16_t count;
        void *filter;
    } program = {(uint16_t)(step->n1 / 8), step_s1(step)};
    long result = SYS(__NR_seccomp, SECCOMP_SET_MODE_FILTER, step->a, &program);
    if (result < 0 || !(step->a & SECCOMP_FILTER_FLAG_NEW_LISTENER))
        return fail(init, result, "load", "the seccomp filter");
    OWNED listener = (int)result;
    struct message message = {.kind = MESSAGE_SECCOMP, .op = step->op};
    return fail(init, sync_send(init, &message, listener), "send", "the seccomp listener");
}

int op_schedule(struct init *init, struct step *step) {
    switch (step->op) {
    case OP_PERSONALITY:
        return fail(init, SYS(__NR_personality, step->a), "set", "the personality");
    case OP_IOPRIO:
        return fail(init, SYS(__NR_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, step->a), "set", "the I/O priority");
    case OP_SCHED:
        return fail(init, SYS(__NR_sched_setattr, 0, step_s1(step), 0), "set", "the scheduler");
    case OP_MEMPOLICY:
        return fail(init, SYS(__NR_set_mempolicy, step->a, step->n1 ? step_s1(step) : NULL, (uint64_t)step->n1 * 8),
                    "set", "the memory policy");
    default:
        return fail(init, SYS(__NR_sched_setaffinity, 0, step->n1, step_s1(step)), "set", "the CPU affinity");
    }
}
