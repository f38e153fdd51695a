#include "CBerthSystem.h"
#include <malloc.h>
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

int berth_epoll_control(int epoll, int operation, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    return berth_result(epoll_ctl(epoll, operation, fd, &event));
}

int berth_epoll_ready(int epoll, struct berth_ready *out, int room, int milliseconds) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, room < 64 ? room : 64, milliseconds);
    for (int i = 0; i < count; i++)
        out[i] = (struct berth_ready){events[i].data.fd, events[i].events};
    return berth_result(count);
}

void berth_eventfd_add(int fd) {
    uint64_t one = 1;
    // Full counts as awake: there is nothing to do about an error.
    if (write(fd, &one, sizeof(one)) < 0)
        return;
}

int64_t berth_eventfd_take(int fd) {
    uint64_t count = 0;
    return read(fd, &count, sizeof(count)) == sizeof(count) ? (int64_t)count : 0;
}

int berth_daemon_signals(void) {
    signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    return berth_result(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int berth_listen_stream(const char *path, int backlog) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(name.sun_path))
        return -ENAMETOOLONG;
    memcpy(name.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    // The mode of a bound socket comes from the descriptor's own mode before bind.
    int result = fchmod(fd, 0600);
    if (result == 0)
        result = bind(fd, (struct sockaddr *)&name, sizeof(name));
    if (result == 0)
        result = listen(fd, backlog);
    if (result == 0)
        return fd;
    result = -errno;
    close(fd);
    return result;
}

int berth_accept_own(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid() || peer.uid == 0))
        return fd;
    close(fd);
    return -EACCES;
}

int berth_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -errno : berth_result(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

ssize_t berth_send_stream(int fd, const void *bytes, size_t count) {
    ssize_t result = send(fd, bytes, count, MSG_NOSIGNAL);
    return result < 0 ? -errno : result;
}

int berth_watch_file(const char *path) {
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (inotify_add_watch(fd, path, IN_MODIFY | IN_DELETE_SELF) >= 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

pid_t berth_fork_detached(void) {
    pid_t pid = fork();
    if (pid != 0)
        return pid < 0 ? -errno : pid;
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        if (null > 2)
            close(null);
    }
    return 0;
}

int berth_become_subreaper(void) {
    return berth_result(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
}

void berth_keep_heap_small(void) {
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 65536);
    mallopt(M_TOP_PAD, 4096);
    mallopt(M_MMAP_THRESHOLD, 65536);
}

void berth_trim_heap(void) {
    malloc_trim(0);
}

void berth_set_name(const char *name) {
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

int berth_set_window(int fd, uint16_t rows, uint16_t columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return berth_result(ioctl(fd, TIOCSWINSZ, &size));
}

static int add_descriptors(posix_spawn_file_actions_t *actions, const int *kept, int count) {
    int error = 0;
    // Through high numbers first: a target may be the source of a later one.
    for (int i = 0; i < count && error == 0; i++)
        error = posix_spawn_file_actions_adddup2(actions, kept[i], 200 + i);
    for (int i = 0; i < count && error == 0; i++)
        error = posix_spawn_file_actions_adddup2(actions, 200 + i, i);
    if (error == 0)
        error = posix_spawn_file_actions_addclosefrom_np(actions, count);
    return error;
}

static int set_attributes(posix_spawnattr_t *attributes) {
    sigset_t signals;
    sigfillset(&signals);
    int error = posix_spawnattr_setsigdefault(attributes, &signals);
    sigemptyset(&signals);
    if (error == 0)
        error = posix_spawnattr_setsigmask(attributes, &signals);
    return error != 0 ? error
                      : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                                                 POSIX_SPAWN_SETSIGMASK);
}

pid_t berth_spawn_with(const char *path, char *const arguments[], char *const environment[], const int *kept,
                       int kept_count) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    pid_t pid = 0;
    int error = posix_spawnattr_init(&attributes);
    if (error == 0) {
        error = add_descriptors(&actions, kept, kept_count);
        if (error == 0)
            error = set_attributes(&attributes);
        if (error == 0)
            error = posix_spawn(&pid, path, &actions, &attributes, arguments, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error != 0 ? -error : pid;
}

struct thread_start {
    void (*run)(void *);
    void *argument;
};

static void *enter(void *argument) {
    struct thread_start start = *(struct thread_start *)argument;
    free(argument);
    start.run(start.argument);
    return NULL;
}

int berth_start_thread(void (*run)(void *), void *argument, size_t stack) {
    struct thread_start *start = malloc(sizeof(*start));
    if (start == NULL)
        return -ENOMEM;
    *start = (struct thread_start){run, argument};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, enter, start);
    pthread_attr_destroy(&attributes);
    if (error != 0)
        free(start);
    return -error;
}
