#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "CBerthSystem.h"

int berth_epoll_create(void) {
    return berth_result(epoll_create1(EPOLL_CLOEXEC));
}

int berth_epoll_watch(int epoll, int fd, uint32_t events, int edge, uint64_t token) {
    struct epoll_event event = {.events = events | (edge ? EPOLLET : 0), .data.u64 = token};
    return berth_result(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

int berth_epoll_forget(int epoll, int fd) {
    return berth_result(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
}

int berth_epoll_wait(int epoll, struct berth_event *out, int milliseconds) {
    struct epoll_event ready[BERTH_MAX_EVENTS];
    int count = epoll_wait(epoll, ready, BERTH_MAX_EVENTS, milliseconds);
    for (int i = 0; i < count; i++)
        out[i] = (struct berth_event){.token = ready[i].data.u64, .events = ready[i].events};
    return count < 0 ? 0 : count;
}

int berth_eventfd(void) {
    return berth_result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

int berth_accept(int socket) {
    return berth_result(accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

int berth_peer(int socket, int32_t *pid, uint32_t *uid, uint32_t *gid) {
    int domain = 0;
    socklen_t size = sizeof(domain);
    if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
        return -errno;
    if (domain != AF_UNIX)
        return -EOPNOTSUPP;
    struct ucred credentials;
    size = sizeof(credentials);
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return -errno;
    *pid = credentials.pid;
    *uid = credentials.uid;
    *gid = credentials.gid;
    return 0;
}

void berth_name_thread(const char *name) {
    char cut[16];
    snprintf(cut, sizeof(cut), "%s", name);
    pthread_setname_np(pthread_self(), cut);
}
