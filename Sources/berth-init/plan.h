#pragma once
// The plan: what the parent wants done, as flat steps in one block of memory. Version and operations are shared with
// BerthRuntime's InitPlan.swift, where each operation's arguments are described.
#include "sys.h"

enum { PLAN_MAGIC = 0x42455249, PLAN_VERSION = 1, MAX_DETAIL = 512, MAX_STATE = 65536 };

enum op {
    OP_NONDUMPABLE = 1,
    OP_CGROUP = 2,
    OP_SETNS = 3,
    OP_UNSHARE = 4,
    OP_MAP = 5,
    OP_FORK = 6,
    OP_SYNC = 7,
    OP_PROPAGATION = 8,
    OP_ROOTFS = 9,
    OP_MOUNT_FS = 10,
    OP_MOUNT_FD = 11,
    OP_MKNOD = 12,
    OP_SYMLINK = 13,
    OP_CONSOLE = 14,
    OP_MASK = 15,
    OP_READONLY = 16,
    OP_PIVOT = 17,
    OP_SETATTR = 18,
    OP_PROCFS = 19,
    OP_PROC_WRITE = 20,
    OP_HOSTNAME = 21,
    OP_DOMAINNAME = 22,
    OP_KEYRING = 23,
    OP_RLIMIT = 24,
    OP_SETSID = 25,
    OP_STDIO = 26,
    OP_CTTY = 27,
    OP_CWD = 28,
    OP_MKDIR = 29,
    OP_BOUNDING = 30,
    OP_USER = 31,
    OP_CAPS = 32,
    OP_AMBIENT = 33,
    OP_NO_NEW_PRIVS = 34,
    OP_SECCOMP = 35,
    OP_PERSONALITY = 36,
    OP_IOPRIO = 37,
    OP_SCHED = 38,
    OP_MEMPOLICY = 39,
    OP_AFFINITY = 40,
    OP_HOOK = 41,
    OP_ARGV = 42,
    OP_ENV = 43,
    OP_FIND = 44,
    OP_READY = 45,
    OP_START = 46,
    OP_CLOEXEC = 47,
    OP_EXEC = 48,
    OP_REAP = 49,
    OP_LOOPBACK = 50,
    OP_COUNT = 51
};

struct header {
    uint32_t magic, version, size, count;
    int32_t sync;
    uint32_t reserved;
};

/// One step; `s1` and `s2` follow it in memory, each ended by a NUL that its count leaves out.
struct step {
    uint32_t op, size;
    int32_t fd, fd2;
    uint64_t a, b, c;
    uint32_t n1, n2;
};

static inline char *step_s1(struct step *step) {
    return (char *)(step + 1);
}
static inline char *step_s2(struct step *step) {
    return step_s1(step) + step->n1 + 1;
}

/// Bits of `c` in steps that open a place below the root.
enum {
    PLACE_DIRECTORY = 1,
    PLACE_FILE = 2,
    PLACE_NO_SYMLINKS = 4,
    PLACE_DEVPTS = 8,
};

enum message_kind {
    MESSAGE_ERROR = 1,
    MESSAGE_WARNING = 2,
    MESSAGE_PID = 3,
    MESSAGE_MAP = 4,
    MESSAGE_SYNC = 5,
    MESSAGE_CONSOLE = 6,
    MESSAGE_SECCOMP = 7,
    MESSAGE_READY = 8
};

struct message {
    uint32_t kind;
    int32_t error;
    uint32_t op, value;
    char detail[MAX_DETAIL];
};

/// All that one step leaves for later ones.
struct init {
    int sync;
    int root;
    int proc;
    int devpts;
    int console;
    int masked_dir;
    int state_size;
    char **argv, **envp;
    char *exec_path;
    char detail[MAX_DETAIL];
    char state[MAX_STATE];
    char path[4096];
    char prefix[4096];
};

int step_check(struct header *header, size_t size);
int fail(struct init *init, long error, const char *what, const char *on);
void warn(struct init *init, struct step *step, long error, const char *what, const char *on);
int sync_send(struct init *init, struct message *message, int fd);
int sync_wait(struct init *init);
int split(char *blob, uint32_t size, uint64_t count, char ***out);
void *allocate(size_t size);

int place_open(struct init *init, const char *path, uint64_t flags);
int place_open_existing(struct init *init, const char *path, uint64_t resolve);

int op_setns(struct init *, struct step *);
int op_unshare(struct init *, struct step *);
int op_map(struct init *, struct step *);
int op_fork(struct init *, struct step *);
int op_cgroup(struct init *, struct step *);
int op_propagation(struct init *, struct step *);
int op_rootfs(struct init *, struct step *);
int op_mount_fs(struct init *, struct step *);
int op_mount_fd(struct init *, struct step *);
int op_mknod(struct init *, struct step *);
int op_symlink(struct init *, struct step *);
int op_console(struct init *, struct step *);
int op_mask(struct init *, struct step *);
int op_readonly(struct init *, struct step *);
int op_pivot(struct init *, struct step *);
int op_setattr(struct init *, struct step *);
int op_procfs(struct init *, struct step *);
int op_proc_write(struct init *, struct step *);
int op_mkdir(struct init *, struct step *);
int op_cwd(struct init *, struct step *);
int op_identity(struct init *, struct step *);
int op_rlimit(struct init *, struct step *);
int op_stdio(struct init *, struct step *);
int op_bounding(struct init *, struct step *);
int op_user(struct init *, struct step *);
int op_caps(struct init *, struct step *);
int op_ambient(struct init *, struct step *);
int op_seccomp(struct init *, struct step *);
int op_schedule(struct init *, struct step *);
int op_hook(struct init *, struct step *);
int op_find(struct init *, struct step *);
int op_start(struct init *, struct step *);
int op_exec(struct init *, struct step *);
int op_reap(struct init *, struct step *);
int op_loopback(struct init *, struct step *);
