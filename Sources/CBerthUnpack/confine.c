#include "CBerthUnpack.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

int berth_own_working_directory(void) {
    if (unshare(CLONE_FS) < 0)
        return -errno;
    umask(0);
    return 0;
}

int berth_sync_file_system(int fd) {
    return syncfs(fd) < 0 ? -errno : 0;
}

// Values of linux/mount.h, which cannot be included beside sys/mount.h.
enum { OPEN_TREE_CLONE_FLAG = 1, OPEN_TREE_CLOEXEC_FLAG = O_CLOEXEC, EMPTY_PATH = 0x1000 };
enum { MOVE_FROM_EMPTY = 0x4, MOVE_TO_EMPTY = 0x40 };

/// Makes the directory the root of the process: nothing else can be named afterwards.
static int make_root(int target, const char **stage) {
    *stage = "make the mounts private";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    *stage = "clone the mount of the target directory";
    int tree = (int)syscall(SYS_open_tree, target, "", OPEN_TREE_CLONE_FLAG | OPEN_TREE_CLOEXEC_FLAG | EMPTY_PATH);
    if (tree < 0)
        return -errno;
    int result = 0;
    *stage = "attach the clone";
    if (syscall(SYS_move_mount, tree, "", target, "", MOVE_FROM_EMPTY | MOVE_TO_EMPTY) < 0 || fchdir(tree) < 0)
        result = -errno;
    close(tree);
    if (result < 0)
        return result;
    *stage = "make the target directory the root";
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static int keep_capabilities(void) {
    const int kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP, CAP_SYS_ADMIN};
    uint64_t mask = 0;
    for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        mask |= (uint64_t)1 << kept[i];
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -errno;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct now[2];
    if (syscall(SYS_capget, &header, now) < 0)
        return -errno;
    // What the daemon itself lacks cannot be kept: the entry that needs it then fails by name.
    uint64_t held = now[0].permitted | (uint64_t)now[1].permitted << 32;
    mask &= held;
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)mask, .permitted = (uint32_t)mask},
        {.effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32)},
    };
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int lower_limits(uint64_t address_space) {
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return -errno;
    struct rlimit memory;
    if (getrlimit(RLIMIT_AS, &memory) < 0)
        return -errno;
    if (memory.rlim_max > address_space)
        memory.rlim_max = address_space;
    memory.rlim_cur = memory.rlim_max;
    return setrlimit(RLIMIT_AS, &memory) < 0 ? -errno : 0;
}

int berth_unpack_namespaces(void) {
    umask(0);
    return unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0 ? -errno : 0;
}

int berth_unpack_confine(int target, uint64_t address_space, const char **stage) {
    int result = make_root(target, stage);
    if (result < 0)
        return result;
    *stage = "lower the limits";
    result = lower_limits(address_space);
    if (result < 0)
        return result;
    *stage = "drop capabilities";
    result = keep_capabilities();
    if (result < 0)
        return result;
    *stage = "forbid new privileges";
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}
