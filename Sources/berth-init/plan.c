// Reading the plan, and talking to the runtime.
#include "plan.h"
#include <linux/mman.h>
#include <sys/socket.h>

void *memcpy(void *to, const void *from, size_t count) {
    char *out = to;
    const char *in = from;
    while (count--)
        *out++ = *in++;
    return to;
}

void *memset(void *to, int byte, size_t count) {
    char *out = to;
    while (count--)
        *out++ = (char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t count) {
    const unsigned char *left = a, *right = b;
    for (; count--; left++, right++)
        if (*left != *right)
            return *left - *right;
    return 0;
}

size_t strlen(const char *text) {
    size_t count = 0;
    while (text[count])
        count++;
    return count;
}

/// Every length in the plan against the bytes that are there. The plan comes from our parent, so a fault here is ours.
int step_check(struct header *header, size_t size) {
    if (header->magic != PLAN_MAGIC || header->version != PLAN_VERSION || header->size != size)
        return -22;
    size_t at = sizeof(*header);
    for (uint32_t i = 0; i < header->count; i++) {
        if (size - at < sizeof(struct step))
            return -22;
        struct step *step = (struct step *)((char *)header + at);
        if (step->op == 0 || step->op >= OP_COUNT || step->size > size - at || step->size % 8 != 0)
            return -22;
        uint64_t needed = sizeof(*step) + (uint64_t)step->n1 + 1 + (uint64_t)step->n2 + 1;
        if (needed > step->size || step_s1(step)[step->n1] != 0 || step_s2(step)[step->n2] != 0)
            return -22;
        at += step->size;
    }
    return at == size ? 0 : -22;
}

static size_t append(char *out, size_t at, const char *text) {
    while (*text && at < MAX_DETAIL - 1)
        out[at++] = *text++;
    out[at] = 0;
    return at;
}

static void describe(char *out, const char *what, const char *on) {
    size_t at = append(out, 0, what);
    if (on[0] == 0)
        return;
    at = append(out, at, " '");
    at = append(out, at, on);
    append(out, at, "'");
}

/// Keeps what failed for the report; a result that is no error passes through as 0.
int fail(struct init *init, long error, const char *what, const char *on) {
    if (error >= 0)
        return 0;
    describe(init->detail, what, on);
    return (int)error;
}

/// Tells the runtime that something could be done in part only; the plan goes on.
void warn(struct init *init, struct step *step, long error, const char *what, const char *on) {
    struct message message = {.kind = MESSAGE_WARNING, .error = (int32_t)-error, .op = step->op};
    describe(message.detail, what, on);
    sync_send(init, &message, -1);
}

int sync_send(struct init *init, struct message *message, int fd) {
    struct {
        long length;
        int level, type, fd, pad;
    } control = {.length = 20, .level = SOL_SOCKET, .type = SCM_RIGHTS, .fd = fd};
    struct {
        void *base;
        size_t size;
    } part = {message, offsetof(struct message, detail) + strlen(message->detail)};
    struct {
        void *name;
        unsigned name_size;
        void *parts;
        size_t part_count;
        void *control;
        size_t control_size;
        int flags;
    } header = {.parts = &part, .part_count = 1};
    if (fd >= 0) {
        header.control = &control;
        header.control_size = sizeof(control);
    }
    long result = SYS(__NR_sendmsg, init->sync, &header, MSG_NOSIGNAL);
    return result < 0 ? (int)result : 0;
}

/// Waits for the runtime's answer, and keeps the container's state if that is what it holds. The end of the runtime is
/// an error: nobody would ever reap or report what we became.
int sync_wait(struct init *init) {
    long count;
    do
        count = SYS(__NR_read, init->sync, init->state, MAX_STATE);
    while (count == -4);
    if (count <= 0)
        return fail(init, count < 0 ? count : -32, "wait for", "the runtime");
    init->state_size = (int)count;
    return 0;
}

void *allocate(size_t size) {
    long at = SYS(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at < 0 && at > -4096 ? NULL : (void *)at;
}

/// An array of pointers to the strings of a block in which each ends with a NUL.
int split(char *blob, uint32_t size, uint64_t count, char ***out) {
    if (count > size)
        return -22;
    char **list = allocate((size_t)(count + 1) * sizeof(char *));
    if (list == NULL)
        return -12;
    uint32_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (at >= size)
            return -22;
        list[i] = blob + at;
        at += (uint32_t)strlen(blob + at) + 1;
    }
    list[count] = NULL;
    *out = list;
    return at == size ? 0 : -22;
}
