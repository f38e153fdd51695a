// The terminal, and the standard streams.
#include "plan.h"
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/stat.h>

struct window {
    uint16_t rows, columns, x, y;
};

/// The master of a new terminal in the container's own devpts, by the descriptor of that mount if we made it.
static int open_master(struct init *init) {
    struct statx info;
    OWNED place = init->devpts >= 0 ? (int)SYS(__NR_openat, init->devpts, "ptmx", O_PATH | O_NOFOLLOW | O_CLOEXEC)
                                    : place_open_existing(init, "/dev/pts/ptmx", 4 /* RESOLVE_NO_SYMLINKS */);
    if (place < 0)
        return place;
    long result = SYS(__NR_statx, place, "", AT_EMPTY_PATH, STATX_TYPE, &info);
    if (result < 0)
        return (int)result;
    struct {
        long type, rest[15];
    } fs;
    result = SYS(__NR_fstatfs, place, &fs);
    if (result < 0 || fs.type != DEVPTS_SUPER_MAGIC || (info.stx_mode & 0170000) != 0020000 ||
        info.stx_rdev_major != 5 || info.stx_rdev_minor != 2)
        return result < 0 ? (int)result : -19;
    if (init->devpts >= 0)
        return (int)SYS(__NR_openat, init->devpts, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
    OWNED dir = place_open_existing(init, "/dev/pts", 4);
    if (dir < 0)
        return dir;
    int master = (int)SYS(__NR_openat, dir, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
    // Opened a second time: the same checks on what was opened.
    if (master >= 0 && (SYS(__NR_fstatfs, master, &fs) < 0 || fs.type != DEVPTS_SUPER_MAGIC)) {
        fd_close(master);
        return -19;
    }
    return master;
}

/// Binds the peer of the terminal on /dev/console, by descriptors on both sides.
static int bind_console(struct init *init) {
    OWNED target = place_open(init, "/dev/console", PLACE_FILE | PLACE_NO_SYMLINKS);
    if (target < 0)
        return fail(init, target, "open", "/dev/console");
    OWNED mount = (int)SYS(
        __NR_open_tree, init->console, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (mount < 0)
        return fail(init, mount, "clone", "the console");
    long result = SYS(__NR_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    return fail(init, result, "mount on", "/dev/console");
}

/// `a`: bind it on /dev/console too; `b`: rows; `c`: columns.
int op_console(struct init *init, struct step *step) {
    OWNED root = -1;
    if (init->root < 0)
        init->root = root = (int)SYS(__NR_open_tree, AT_FDCWD, "/", OPEN_TREE_CLOEXEC);
    OWNED master = open_master(init);
    int unlock = 0;
    long result = master < 0 ? master : SYS(__NR_ioctl, master, TIOCSPTLCK, &unlock);
    if (result < 0)
        return fail(init, result, "open", "/dev/pts/ptmx");
    struct window window = {.rows = (uint16_t)step->b, .columns = (uint16_t)step->c};
    if (step->b || step->c)
        SYS(__NR_ioctl, master, TIOCSWINSZ, &window);
    init->console = (int)SYS(__NR_ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (init->console < 0)
        return fail(init, init->console, "open", "the console");
    result = step->a ? bind_console(init) : 0;
    if (root >= 0)
        init->root = -1;
    if (result < 0)
        return (int)result;
    struct message message = {.kind = MESSAGE_CONSOLE, .op = step->op};
    return fail(init, sync_send(init, &message, master), "send", "the console");
}

/// setsid, the standard streams (`fd`, `fd2`, `a`; the console if `fd` is negative), the controlling terminal.
int op_stdio(struct init *init, struct step *step) {
    if (step->op == OP_SETSID)
        return SYS(__NR_setsid) < 0 ? 0 : 0;  // EPERM: it leads its session already
    if (step->op == OP_CTTY)
        return fail(init, SYS(__NR_ioctl, 0, TIOCSCTTY, 0), "make the console", "the controlling terminal");
    int from[3] = {step->fd, step->fd2, (int)step->a};
    for (int i = 0; i < 3; i++) {
        int source = step->fd < 0 ? init->console : from[i];
        // dup3 of a descriptor on itself is an error; then only its close-on-exec flag is in the way.
        long result = source == i ? SYS(__NR_fcntl, i, 2 /* F_SETFD */, 0) : SYS(__NR_dup3, source, i, 0);
        if (result < 0)
            return fail(init, result, "duplicate", "a standard stream");
    }
    return 0;
}
