#include "berth_process.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int berth_pipe(int ends[2])
{
    return pipe2(ends, O_CLOEXEC) == 0 ? 0 : -errno;
}

int berth_pidfd_open(pid_t pid)
{
    int descriptor = (int)syscall(SYS_pidfd_open, pid, 0);
    return descriptor >= 0 ? descriptor : -errno;
}

int berth_bind_file(const char *source, const char *target)
{
    return mount(source, target, NULL, MS_BIND, NULL) == 0 ? 0 : -errno;
}

/* Brings `lo` of the calling thread's network namespace up. 0 or -errno. */
static int loopback_up(void)
{
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -errno;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    memcpy(request.ifr_name, "lo", 3);
    int result = 0;
    if (ioctl(descriptor, SIOCGIFFLAGS, &request) != 0)
        result = -errno;
    request.ifr_flags |= IFF_UP;
    if (result == 0 && ioctl(descriptor, SIOCSIFFLAGS, &request) != 0)
        result = -errno;
    close(descriptor);
    return result;
}

struct network_job {
    const char *path;
    int result;
};

static void *make_network(void *argument)
{
    struct network_job *job = argument;
    if (unshare(CLONE_NEWNET) != 0) {
        job->result = -errno;
        return NULL;
    }
    job->result = loopback_up();
    if (job->result == 0)
        job->result = berth_bind_file("/proc/thread-self/ns/net", job->path);
    return NULL;
}

int berth_make_network_namespace(const char *path)
{
    struct network_job job = {.path = path, .result = 0};
    pthread_t thread;
    int error = pthread_create(&thread, NULL, make_network, &job);
    if (error != 0)
        return -error;
    pthread_join(thread, NULL);
    return job.result;
}

/* What the holder does: only system calls, because the forking process has other threads. */
static void hold(int userns, int flags, int answer)
{
    int result = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (userns >= 0 && setns(userns, CLONE_NEWUSER) != 0)
        result = -errno;
    if (result == 0 && unshare(flags) != 0)
        result = -errno;
    if (result == 0 && (flags & CLONE_NEWNET) != 0)
        result = loopback_up();
    if (write(answer, &result, sizeof result) != sizeof result || result != 0)
        _exit(1);
    close(answer);
    for (;;)
        pause();
}

pid_t berth_hold_namespaces(int userns, int flags)
{
    int ends[2];
    int result = berth_pipe(ends);
    if (result != 0)
        return result;
    pid_t pid = fork();
    if (pid == 0)
        hold(userns, flags, ends[1]);
    int error = pid < 0 ? -errno : 0;
    close(ends[1]);
    if (pid > 0) {
        ssize_t count;
        do
            count = read(ends[0], &error, sizeof error);
        while (count < 0 && errno == EINTR);
        if (count != sizeof error)
            error = -EIO;
    }
    close(ends[0]);
    return error != 0 ? error : pid;
}
