// Hooks, the way to the user's program, and the reaper.
#include "plan.h"
#include <linux/fcntl.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <linux/signal.h>

enum { READABLE = 1, CLOEXEC_SOCKET = 02000000 };

struct poll_entry {
    int fd;
    short events, revents;
};

static void unblock_signals(void) {
    uint64_t none = 0;
    SYS(__NR_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

/// The child's side of a hook: the state on standard input, nothing else inherited.
static void become_hook(struct init *init, struct step *step, char **argv, char **envp, int input) {
    if (SYS(__NR_dup3, input, 0, 0) == 0 && SYS(__NR_close_range, 3, ~0u, 0) == 0) {
        unblock_signals();
        SYS(__NR_execve, step_s1(step), argv, envp);
    }
    (void)init;
    SYS(__NR_exit_group, 127);
}

/// A memory file with the container's state: a pipe might be shorter than the state is long.
static int state_file(struct init *init) {
    int fd = (int)SYS(__NR_memfd_create, "state", 1 /* MFD_CLOEXEC */);
    if (fd < 0)
        return fd;
    long result = SYS(__NR_write, fd, init->state, init->state_size);
    if (result == init->state_size)
        result = SYS(__NR_lseek, fd, 0, 0);
    if (result < 0)
        fd_close(fd);
    return result < 0 ? (int)result : fd;
}

static int wait_hook(struct init *init, struct step *step, int pidfd, long pid) {
    struct poll_entry entry = {.fd = pidfd, .events = READABLE};
    struct {
        long seconds, nanoseconds;
    } limit = {(long)(step->c / 1000), (long)(step->c % 1000) * 1000000};
    long ready = SYS(__NR_ppoll, &entry, 1, step->c ? &limit : NULL, NULL, 0);
    if (ready == 0)
        SYS(__NR_pidfd_send_signal, pidfd, 9, NULL, 0);
    int status = 0;
    long result;
    do
        result = SYS(__NR_wait4, pid, &status, 0, NULL);
    while (result == -4);
    if (ready == 0)
        return fail(init, -110, "run hook", step_s1(step));
    return status == 0 ? 0 : fail(init, -5, "run hook", step_s1(step));
}

/// `s1`: the program, `s2`: `a` arguments and `b` variables, `c`: the time limit in milliseconds, 0 for none.
int op_hook(struct init *init, struct step *step) {
    char **words;
    int result = split(step_s2(step), step->n2, step->a + step->b, &words);
    if (result < 0)
        return fail(init, result, "read hook", step_s1(step));
    char **argv = allocate((size_t)(step->a + 1) * sizeof(char *));
    OWNED input = argv == NULL ? -12 : state_file(init);
    if (input < 0)
        return fail(init, input, "prepare hook", step_s1(step));
    memcpy(argv, words, (size_t)step->a * sizeof(char *));
    OWNED pidfd = -1;
    struct clone_args args;
    memset(&args, 0, sizeof(args));
    args.flags = CLONE_PIDFD;
    args.pidfd = (uint64_t)(uintptr_t)&pidfd;
    args.exit_signal = 17;
    long pid = SYS(__NR_clone3, &args, sizeof(args));
    if (pid < 0)
        return fail(init, pid, "run hook", step_s1(step));
    if (pid == 0)
        become_hook(init, step, argv, words + step->a, input);
    return wait_hook(init, step, pidfd, pid);
}

static int executable(const char *path) {
    long result = SYS(__NR_faccessat2, AT_FDCWD, path, 1 /* X_OK */, AT_EACCESS);
    if (result < 0)
        return (int)result;
    // A directory is searchable, and no program.
    OWNED dir = (int)SYS(__NR_openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return dir >= 0 ? -13 : 0;
}

/// Looks for the program as execvp does: `s1` is the search path. The last refusal wins over "not found".
int op_find(struct init *init, struct step *step) {
    char *name = init->argv[0], *from = step_s1(step);
    size_t length = strlen(name);
    int error = -2;
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '/') {
            init->exec_path = name;
            return fail(init, executable(name), "execute", name);
        }
    }
    while (length > 0 && length < 256) {
        size_t end = 0;
        while (from[end] && from[end] != ':')
            end++;
        if (end + length + 3 < sizeof(init->path)) {
            memcpy(init->path, from, end);
            memcpy(init->path + end, end ? "/" : "./", end ? 1 : 2);
            memcpy(init->path + end + (end ? 1 : 2), name, length + 1);
            int result = executable(init->path);
            if (result == 0) {
                init->exec_path = init->path;
                return 0;
            }
            if (result == -13)
                error = result;
        }
        if (from[end] == 0)
            break;
        from += end + 1;
    }
    return fail(init, error, "execute", name);
}

/// Waits for the word to start: on the runtime's own socket, or (`fd`) from whoever connects to a listener.
int op_start(struct init *init, struct step *step) {
    if (step->fd >= 0) {
        int peer;
        do
            peer = (int)SYS(__NR_accept4, step->fd, NULL, NULL, CLOEXEC_SOCKET);
        while (peer == -4);
        fd_close(step->fd);
        if (peer < 0)
            return fail(init, peer, "wait for", "start");
        fd_close(init->sync);
        init->sync = peer;
    }
    return sync_wait(init);
}

int op_exec(struct init *init, struct step *step) {
    (void)step;
    long result = SYS(__NR_execve, init->exec_path, init->argv, init->envp);
    return fail(init, result, "execute", init->exec_path);
}

/// The pause of a pod: reaps whatever ends below it, and ends itself at SIGTERM or SIGINT.
int op_reap(struct init *init, struct step *step) {
    (void)step;
    uint64_t waited = 1ull << (SIGTERM - 1) | 1ull << (SIGINT - 1) | 1ull << (SIGCHLD - 1);
    SYS(__NR_prctl, 15 /* PR_SET_NAME */, "berth-init", 0, 0, 0);
    // Who may look at this process must find nothing in its hands.
    SYS(__NR_close_range, 0, ~0u, 0);
    init->sync = -1;
    SYS(__NR_rt_sigprocmask, SIG_SETMASK, &waited, NULL, sizeof(waited));
    for (;;) {
        while (SYS(__NR_wait4, -1, NULL, 1 /* WNOHANG */, NULL) > 0)
            continue;
        long signal = SYS(__NR_rt_sigtimedwait, &waited, NULL, NULL, sizeof(waited));
        if (signal == SIGTERM || signal == SIGINT)
            SYS(__NR_exit_group, 0);
    }
}
