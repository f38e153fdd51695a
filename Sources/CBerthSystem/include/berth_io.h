#pragma once
// What one epoll thread needs. Every function answers with the result or 0, or with -errno.
#include <stdint.h>

int berth_epoll_create(void);
/// Watches a descriptor for `events`, edge-triggered if `edge`, until it is forgotten.
int berth_epoll_watch(int epoll, int fd, uint32_t events, int edge, uint64_t token);
int berth_epoll_forget(int epoll, int fd);

struct berth_event {
    uint64_t token;
    uint32_t events;
};
enum { BERTH_MAX_EVENTS = 128 };

/// At most BERTH_MAX_EVENTS events; their number, which is 0 after `milliseconds` or a signal.
int berth_epoll_wait(int epoll, struct berth_event *out, int milliseconds);

/// An eventfd, non-blocking and close-on-exec.
int berth_eventfd(void);
/// Accepts a connection, non-blocking and close-on-exec.
int berth_accept(int socket);
/// The process at the other end of a unix socket; -EOPNOTSUPP for other sockets.
int berth_peer(int socket, int32_t *pid, uint32_t *uid, uint32_t *gid);
/// Names the calling thread, cut to 15 bytes.
void berth_name_thread(const char *name);
