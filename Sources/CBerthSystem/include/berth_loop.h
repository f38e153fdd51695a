#pragma once
// What a single-threaded control loop needs: epoll, wake-ups, signals as a descriptor, sockets, a detached child.
// The error contract of every function here: the result or 0, or -errno.
#include <stdint.h>
#include <sys/types.h>

/// What is ready at one descriptor; `events` as epoll(7) has them.
struct berth_ready {
    int32_t fd;
    uint32_t events;
};

/// `operation`: 1 add, 2 remove, 3 change.
int berth_epoll_control(int epoll, int operation, int fd, uint32_t events);
/// Waits as berth_epoll_wait does, and reports by descriptor: fills at most `room` entries, at most 64;
/// waits `milliseconds`, for ever if negative.
int berth_epoll_ready(int epoll, struct berth_ready *out, int room, int milliseconds);

/// Adds one.
void berth_eventfd_add(int fd);
/// Takes the count back to zero and returns it.
int64_t berth_eventfd_take(int fd);

/// Blocks the signals a daemon handles (SIGCHLD, SIGTERM, SIGINT, SIGHUP), ignores SIGPIPE, and makes a descriptor from
/// which the blocked ones are read.
int berth_daemon_signals(void);

/// A listening stream socket at `path`, the file with mode 0600. -EADDRINUSE if there is a file.
int berth_listen_stream(const char *path, int backlog);
/// Accepts without waiting; only a peer of our own user, others are turned away (-EACCES).
int berth_accept_own(int fd);
/// Sets O_NONBLOCK.
int berth_set_nonblocking(int fd);
/// Sends without a signal when the peer is gone.
ssize_t berth_send_stream(int fd, const void *bytes, size_t count);

/// Watches a file for changes by inotify: a descriptor.
int berth_watch_file(const char *path);

/// Forks a child that leads a session of its own, with /dev/null as its standard streams. The child's pid in
/// the parent, 0 in the child. Only for programs that have one thread at that time.
pid_t berth_fork_detached(void);
/// The calling process adopts orphans of its descendants.
int berth_become_subreaper(void);
/// Keeps the heap small: one arena, freed memory goes back at once.
void berth_keep_heap_small(void);
/// Gives free heap pages back to the system.
void berth_trim_heap(void);
/// Names the calling thread's process as tools show it.
void berth_set_name(const char *name);

/// The terminal's size. 0 or -errno.
int berth_set_window(int fd, uint16_t rows, uint16_t columns);
/// Starts a program that leads its own process group, with the descriptors `kept` as 0, 1, 2, … and default signals.
pid_t berth_spawn_with(const char *path, char *const arguments[], char *const environment[], const int *kept,
                       int kept_count);
/// Starts a thread with a small stack, which ends by itself.
int berth_start_thread(void (*run)(void *), void *argument, size_t stack);
