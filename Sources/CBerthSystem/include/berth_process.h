#pragma once

#include <sys/types.h>

/// Both ends of a pipe, close-on-exec. 0 or -errno.
int berth_pipe(int ends[2]);

/// A descriptor of a process. The descriptor or -errno.
int berth_pidfd_open(pid_t pid);

/// Makes a network namespace with its loopback interface up and bind-mounts it on the existing file `path`.
/// Runs on a thread of its own, which then ends. 0 or -errno.
int berth_make_network_namespace(const char *path);

/// Forks a process that makes the namespaces of `flags` (CLONE_NEWUSER, CLONE_NEWNET), inside the user namespace
/// `userns` unless that is -1, and holds them until it is killed or the caller ends. The loopback interface of a
/// new network namespace is brought up. The process ID or -errno.
pid_t berth_hold_namespaces(int userns, int flags);

/// Bind-mounts `source` on the existing file `target`. 0 or -errno.
int berth_bind_file(const char *source, const char *target);

/// Starts a program in a process group of its own with default signals, `stdio` as its descriptors 0 to 2, in
/// `folder` unless that is NULL. The process ID or -errno.
pid_t berth_spawn(const char *path, char *const arguments[], char *const environment[], const char *folder,
                  const int stdio[3]);

/// Sets the limit on open files of a process. 0 or -errno.
int berth_limit_open_files(pid_t pid, unsigned long soft, unsigned long hard);

/// CLONE_NEWUSER and CLONE_NEWNET, which the importer drops.
enum { berth_new_user = 0x10000000, berth_new_network = 0x40000000 };
