#include "berth_process.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>

static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, const char *folder,
                   const int stdio[3])
{
    int error = 0;
    for (int target = 0; target < 3 && error == 0; target++)
        error = posix_spawn_file_actions_adddup2(actions, stdio[target], target);
    // A library may have opened a descriptor without close-on-exec: no program of others inherits it.
    if (error == 0)
        error = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    if (error == 0 && folder != NULL)
        error = posix_spawn_file_actions_addchdir_np(actions, folder);
    sigset_t signals;
    sigfillset(&signals);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(attributes, &signals);
    sigemptyset(&signals);
    if (error == 0)
        error = posix_spawnattr_setsigmask(attributes, &signals);
    if (error == 0)
        error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                                         POSIX_SPAWN_SETSIGMASK);
    return error;
}

pid_t berth_spawn(const char *path, char *const arguments[], char *const environment[], const char *folder,
                  const int stdio[3])
{
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        return -error;
    posix_spawnattr_t attributes;
    error = posix_spawnattr_init(&attributes);
    if (error == 0) {
        pid_t pid = 0;
        error = prepare(&actions, &attributes, folder, stdio);
        if (error == 0)
            error = posix_spawn(&pid, path, &actions, &attributes, arguments, environment);
        posix_spawnattr_destroy(&attributes);
        if (error == 0)
            error = -pid;
    }
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

int berth_limit_open_files(pid_t pid, unsigned long soft, unsigned long hard)
{
    struct rlimit limit = { .rlim_cur = soft, .rlim_max = hard };
    return prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0 ? 0 : -errno;
}
