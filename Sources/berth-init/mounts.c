// Mounts below the root: file systems made here, detached mounts made by the runtime, device nodes.
#include "plan.h"
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>

static uint64_t mount_id(int fd) {
    struct statx info;
    memset(&info, 0, sizeof(info));
    long result = SYS(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &info);
    return result == 0 && (info.stx_mask & STATX_MNT_ID) ? info.stx_mnt_id : 0;
}

/// Attaches a detached mount at a place below the root, and looks again whether it is there.
static int attach(struct init *init, int mount, const char *path, uint64_t flags) {
    OWNED target = place_open(init, path, flags);
    if (target < 0)
        return fail(init, target, "open mount target", path);
    long result = SYS(__NR_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    if (result < 0)
        return fail(init, result, "mount on", path);
    OWNED again = place_open(init, path, flags & PLACE_NO_SYMLINKS);
    if (again < 0 || mount_id(again) != mount_id(mount))
        return fail(init, again < 0 ? again : -116, "find the mount again at", path);
    return 0;
}

static int configure(int context, char *option) {
    // 'f' and a key for a flag; 's', a key, a NUL and a value for a string.
    char *key = option + 1;
    if (option[0] == 'f')
        return (int)SYS(__NR_fsconfig, context, FSCONFIG_SET_FLAG, key, NULL, 0);
    return (int)SYS(__NR_fsconfig, context, FSCONFIG_SET_STRING, key, key + strlen(key) + 1, 0);
}

/// fsopen, fsconfig, fsmount. `s2` is the type, the source and the options, `b` the number of options.
static int make_fs(struct init *init, struct step *step) {
    char *type = step_s2(step), *end = type + step->n2;
    char *option = type + strlen(type) + 1;
    OWNED context = (int)SYS(__NR_fsopen, type, FSOPEN_CLOEXEC);
    if (context < 0)
        return fail(init, context, "fsopen", type);
    for (uint64_t i = 0; i < step->b && option < end; i++) {
        int result = configure(context, option);
        if (result < 0)
            return fail(init, result, "set mount option", option + 1);
        int string = option[0] == 's';
        option += strlen(option) + 1;
        if (string)
            option += strlen(option) + 1;
    }
    long result = SYS(__NR_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    if (result < 0)
        return fail(init, result, "make file system", type);
    result = SYS(__NR_fsmount, context, FSMOUNT_CLOEXEC, step->a);
    return result < 0 ? fail(init, result, "fsmount", type) : (int)result;
}

int op_mount_fs(struct init *init, struct step *step) {
    OWNED mount = make_fs(init, step);
    if (mount < 0)
        return mount;
    int result = attach(init, mount, step_s1(step), step->c);
    if (result == 0 && (step->c & PLACE_DEVPTS)) {
        init->devpts = mount;
        mount = -1;
    }
    return result;
}

int op_mount_fd(struct init *init, struct step *step) {
    OWNED mount = step->fd;
    return attach(init, mount, step_s1(step), step->c);
}

/// The directory of a path, made if missing, and its last component.
static int parent_of(struct init *init, char *path, char **name) {
    size_t slash = strlen(path);
    while (slash > 0 && path[slash] != '/')
        slash--;
    *name = path + slash + 1;
    path[slash] = 0;
    int dir = place_open(init, slash == 0 ? "/" : path, PLACE_DIRECTORY | PLACE_NO_SYMLINKS);
    path[slash] = '/';
    return dir;
}

int op_mknod(struct init *init, struct step *step) {
    char *path = step_s1(step), *name;
    OWNED dir = parent_of(init, path, &name);
    if (dir < 0)
        return fail(init, dir, "open the directory of", path);
    long result = SYS(__NR_mknodat, dir, name, step->a, step->b);
    if (result == -17) {
        struct statx info;
        long again = SYS(__NR_statx, dir, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info);
        unsigned major = (unsigned)(step->b >> 8 & 0xfff);
        unsigned minor = (unsigned)((step->b & 0xff) | (step->b >> 12 & 0xfff00));
        int same = again == 0 && (info.stx_mode & 0170000u) == (step->a & 0170000u) && info.stx_rdev_major == major &&
                   info.stx_rdev_minor == minor;
        // A node that lies in the image already serves if it is the very one; anything else is no device of ours.
        return same ? 0 : fail(init, -17, "make device", path);
    }
    if (result < 0)
        return fail(init, result, "make device", path);
    OWNED node = (int)SYS(__NR_openat, dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (node < 0)
        return fail(init, node, "open device", path);
    result = SYS(__NR_fchownat, node, "", step->c >> 32, step->c & 0xffffffff, AT_EMPTY_PATH);
    // The mode in mknod went through the umask, which is 0 until the last steps.
    return fail(init, result, "change the owner of device", path);
}

int op_symlink(struct init *init, struct step *step) {
    char *path = step_s1(step), *name;
    OWNED dir = parent_of(init, path, &name);
    if (dir < 0)
        return fail(init, dir, "open the directory of", path);
    long result = SYS(__NR_symlinkat, step_s2(step), dir, name);
    return result == -17 ? 0 : fail(init, result, "make link", path);
}

int op_mkdir(struct init *init, struct step *step) {
    OWNED dir = place_open(init, step_s1(step), PLACE_DIRECTORY);
    return fail(init, dir, "make directory", step_s1(step));
}
