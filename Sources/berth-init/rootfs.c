// The root itself: propagation, attaching, pivot_root, masked and read-only paths, the private procfs.
#include "plan.h"
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

enum { MASK_EMPTY = AT_EMPTY_PATH, ST_DEV_NULL_MAJOR = 1, ST_DEV_NULL_MINOR = 3, MNT_DETACH_FLAG = 2 };

/// The parts of struct statfs that are read here: the type comes first on both CPUs.
struct fs_info {
    long type;
    long rest[15];
};

static long fs_type(int fd) {
    struct fs_info info;
    long result = SYS(__NR_fstatfs, fd, &info);
    return result < 0 ? result : info.type;
}

static int set_attributes(int fd, const char *path, unsigned flags, uint64_t set) {
    struct mount_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.attr_set = set;
    return (int)SYS(__NR_mount_setattr, fd, path, flags, &attr, sizeof(attr));
}

int op_propagation(struct init *init, struct step *step) {
    return fail(init, SYS(__NR_mount, NULL, step_s1(step), NULL, step->a, NULL), "set propagation of", step_s1(step));
}

/// Attaches the detached root on top of "/": paths from here still mean the host's files below it, until pivot_root.
int op_rootfs(struct init *init, struct step *step) {
    long result = SYS(__NR_move_mount, step->fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
    if (result < 0)
        return fail(init, result, "attach the root file system", "");
    init->root = step->fd;
    return 0;
}

/// pivot_root(".", ".") puts the old root under the new one, from where it is detached at once.
int op_pivot(struct init *init, struct step *step) {
    OWNED old = (int)SYS(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    long result = old < 0 ? old : SYS(__NR_fchdir, init->root);
    if (result < 0)
        return fail(init, result, "enter", "the root file system");
    if (step->a) {
        result = SYS(__NR_mount, ".", "/", NULL, 8192 /* MS_MOVE */, NULL);
        if (result == 0)
            result = SYS(__NR_chroot, ".");
        return fail(init, result < 0 ? result : SYS(__NR_chdir, "/"), "move and enter", "the root file system");
    }
    result = SYS(__NR_pivot_root, ".", ".");
    if (result < 0)
        return fail(init, result, "pivot_root", ".");
    result = SYS(__NR_fchdir, old);
    if (result == 0)
        result = SYS(__NR_umount2, ".", MNT_DETACH_FLAG);
    if (result < 0)
        return fail(init, result, "detach", "the old root");
    return fail(init, SYS(__NR_chdir, "/"), "chdir", "/");
}

int op_setattr(struct init *init, struct step *step) {
    return fail(init, set_attributes(AT_FDCWD, step_s1(step), 0, step->a), "remount", step_s1(step));
}

/// A clone of the host's /dev/null, which is checked to be that device.
static int null_clone(void) {
    struct statx info;
    int fd = (int)SYS(__NR_open_tree, AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0)
        return fd;
    long result = SYS(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &info);
    if (result == 0 && (info.stx_mode & 0170000) == 0020000 && info.stx_rdev_major == ST_DEV_NULL_MAJOR &&
        info.stx_rdev_minor == ST_DEV_NULL_MINOR)
        return fd;
    fd_close(fd);
    return result < 0 ? (int)result : -19;
}

/// One empty read-only tmpfs for all masked directories: made at first, cloned from its first place afterwards.
static int empty_clone(struct init *init) {
    if (init->masked_dir >= 0)
        return (int)SYS(
            __NR_open_tree, init->masked_dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    OWNED context = (int)SYS(__NR_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0)
        return context;
    long result = SYS(__NR_fsconfig, context, FSCONFIG_SET_STRING, "nr_inodes", "1", 0);
    if (result == 0)
        result = SYS(__NR_fsconfig, context, FSCONFIG_SET_STRING, "mode", "755", 0);
    if (result == 0)
        result = SYS(__NR_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    if (result < 0)
        return (int)result;
    return (int)SYS(__NR_fsmount, context, FSMOUNT_CLOEXEC,
                    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

int op_mask(struct init *init, struct step *step) {
    char *path = step_s1(step);
    OWNED target = place_open_existing(init, path, 0);
    if (target < 0)
        return target == -2 || target == -20 ? 0 : fail(init, target, "open masked path", path);
    struct statx info;
    long result = SYS(__NR_statx, target, "", AT_EMPTY_PATH, STATX_TYPE, &info);
    if (result < 0)
        return fail(init, result, "stat masked path", path);
    int directory = (info.stx_mode & 0170000) == 0040000;
    OWNED mount = directory ? empty_clone(init) : null_clone();
    if (mount < 0)
        return fail(init, mount, "open the cover of masked path", path);
    result = SYS(__NR_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    if (result < 0)
        return fail(init, result, "mask", path);
    if (directory && init->masked_dir < 0) {
        init->masked_dir = mount;
        mount = -1;
    }
    return 0;
}

int op_readonly(struct init *init, struct step *step) {
    char *path = step_s1(step);
    OWNED target = place_open_existing(init, path, 0);
    if (target < 0)
        return target == -2 || target == -20 ? 0 : fail(init, target, "open read-only path", path);
    OWNED mount = (int)SYS(
        __NR_open_tree, target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (mount < 0)
        return fail(init, mount, "clone read-only path", path);
    int result = set_attributes(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, MOUNT_ATTR_RDONLY);
    if (result < 0)
        return fail(init, result, "make read-only", path);
    long moved = SYS(__NR_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    return fail(init, moved, "attach read-only path", path);
}

/// A procfs of our own that no mount of the container can cover.
int op_procfs(struct init *init, struct step *step) {
    (void)step;
    OWNED context = (int)SYS(__NR_fsopen, "proc", FSOPEN_CLOEXEC);
    if (context < 0)
        return fail(init, context, "fsopen", "proc");
    long result = SYS(__NR_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    if (result < 0)
        return fail(init, result, "make file system", "proc");
    int proc = (int)SYS(
        __NR_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (proc < 0)
        return fail(init, proc, "fsmount", "proc");
    init->proc = proc;
    return fs_type(proc) == PROC_SUPER_MAGIC ? 0 : fail(init, -22, "verify", "proc");
}

/// Writes a value into a file of the private procfs. `a`: how a refusal is taken (1: a warning), `s2`: the value.
int op_proc_write(struct init *init, struct step *step) {
    char *path = step_s1(step);
    struct open_how how = {
        .flags = O_WRONLY | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT};
    OWNED file = (int)SYS(__NR_openat2, init->proc, path, &how, sizeof(how));
    if (file < 0)
        return fail(init, file, "open /proc", path);
    if (fs_type(file) != PROC_SUPER_MAGIC)
        return fail(init, -22, "verify /proc", path);
    long result = SYS(__NR_write, file, step_s2(step), step->n2);
    if (result < 0 && step->a && (result == -1 || result == -13)) {
        warn(init, step, result, "write /proc", path);
        return 0;
    }
    return fail(init, result, "write /proc", path);
}
