#pragma once
#include <stdint.h>

/// How to start berth-init. `error` is 0 or the errno of what failed in the child before its execve.
struct berth_launch {
    /// CLONE_NEW… and CLONE_INTO_CGROUP.
    uint64_t flags;
    /// The program, executed by its descriptor.
    int program;
    /// The cgroup for CLONE_INTO_CGROUP.
    int cgroup;
    /// The descriptor of the plan; it and `kept` stay open in the child, all others close.
    int plan;
    const int *kept;
    int kept_count;
    /// How many descriptors from 3 on belong to the user and stay open as well.
    int preserved;
    int pid;
    int pidfd;
    int error;
};

/// Starts a child that executes the program at once. The caller is suspended until then: the child runs on memory
/// shared with it, which spares the copy of the page tables. 0 with `pid` and `pidfd`, or -errno.
int berth_launch(struct berth_launch *launch);
