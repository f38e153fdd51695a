#include "CBerthClone.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_STACK = 16384, CLOEXEC_RANGE = 4 };

/// clone3, and `run(argument)` on the new stack in the child, from which it must not return.
static long clone_running(struct clone_args *args, void (*run)(void *), void *argument) {
    long result;
#if defined(__x86_64__)
    register void (*r12)(void *) __asm__("r12") = run;
    register void *r13 __asm__("r13") = argument;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)), "r"(r12), "r"(r13)
                     : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_clone3;
    register struct clone_args *x0 __asm__("x0") = args;
    register size_t x1 __asm__("x1") = sizeof(*args);
    register void (*x20)(void *) __asm__("x20") = run;
    register void *x21 __asm__("x21") = argument;
    __asm__ volatile("svc 0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, #0\n\t"
                     "mov x0, x21\n\t"
                     "blr x20\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x20), "r"(x21)
                     : "x30", "memory");
    result = (long)x0;
#else
#error "CBerthClone knows x86_64 and aarch64"
#endif
    return result;
}

static void keep(int fd) {
    syscall(SYS_fcntl, fd, F_SETFD, 0);
}

/// A disposition as the kernel has it.
struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

/// CLONE_CLEAR_SIGHAND leaves what the caller ignores, such as SIGPIPE: a container must not inherit that.
static void reset_signals(void) {
    struct kernel_action fresh;
    memset(&fresh, 0, sizeof(fresh));
    for (int signal = 1; signal <= 64; signal++)
        syscall(SYS_rt_sigaction, signal, &fresh, NULL, sizeof(fresh.mask));
}

/// The child: only system calls, as it shares its memory with a suspended parent of many threads.
static void child(void *argument) {
    struct berth_launch *launch = argument;
    char digits[12];
    char *number = digits + sizeof(digits) - 1;
    *number = 0;
    for (int rest = launch->plan; rest > 0 || *number == 0; rest /= 10)
        *--number = (char)('0' + rest % 10);
    char *argv[] = {(char *)"berth-init", number, NULL};
    char *envp[] = {NULL};
    reset_signals();
    long result = syscall(SYS_close_range, 3 + launch->preserved, ~0u, CLOEXEC_RANGE);
    if (result == 0) {
        keep(launch->plan);
        for (int i = 0; i < launch->kept_count; i++)
            keep(launch->kept[i]);
        syscall(SYS_execveat, launch->program, "", argv, envp, AT_EMPTY_PATH);
    }
    launch->error = errno;
    syscall(SYS_exit, 127);
}

int berth_launch(struct berth_launch *launch) {
    _Alignas(16) char stack[CHILD_STACK];
    struct clone_args args;
    memset(&args, 0, sizeof(args));
    args.flags = launch->flags | CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
    args.pidfd = (uint64_t)(uintptr_t)&launch->pidfd;
    args.exit_signal = SIGCHLD;
    args.stack = (uint64_t)(uintptr_t)stack;
    args.stack_size = sizeof(stack);
    args.cgroup = (uint64_t)launch->cgroup;
    sigset_t all, before;
    sigfillset(&all);
    // Blocked until berth-init's last step: a signal must not run the caller's handlers on shared memory.
    pthread_sigmask(SIG_SETMASK, &all, &before);
    launch->error = 0;
    long result = clone_running(&args, child, launch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result < 0)
        return (int)result;
    launch->pid = (int)result;
    if (launch->error == 0)
        return 0;
    siginfo_t info;
    syscall(SYS_waitid, 3 /* P_PIDFD */, launch->pidfd, &info, WEXITED, NULL);
    close(launch->pidfd);
    return -launch->error;
}
