#include "CBerthUnpack.h"

#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/// Copies one run of data at the same offset of both files.
static int copy_run(int to, int from, off_t start, off_t end) {
    while (start < end) {
        loff_t in = start, out = start;
        ssize_t count = copy_file_range(from, &in, to, &out, (size_t)(end - start), 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            return -EIO;
        start += count;
    }
    return 0;
}

int berth_copy_data(int to, int from) {
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    struct stat status;
    if (fstat(from, &status) < 0 || ftruncate(to, status.st_size) < 0)
        return -errno;
    off_t at = 0;
    while (at < status.st_size) {
        off_t start = lseek(from, at, SEEK_DATA);
        if (start < 0)
            return errno == ENXIO ? 0 : -errno;
        off_t end = lseek(from, start, SEEK_HOLE);
        if (end < 0)
            return -errno;
        int result = copy_run(to, from, start, end);
        if (result < 0)
            return result;
        at = end;
    }
    return 0;
}

/// Copies the attribute `name`; the value's room is the largest the kernel takes.
static int copy_attribute(int to, int from, const char *name, char *value) {
    ssize_t size = fgetxattr(from, name, value, 65536);
    if (size < 0)
        return errno == ENODATA ? 0 : -errno;
    if (fsetxattr(to, name, value, (size_t)size, 0) < 0 && errno != ENOTSUP)
        return -errno;
    return 0;
}

int berth_copy_attributes(int to, int from) {
    char names[65536];
    ssize_t length = flistxattr(from, names, sizeof(names));
    if (length <= 0)
        return length == 0 || errno == ENOTSUP ? 0 : -errno;
    char *value = malloc(65536);
    if (value == NULL)
        return -ENOMEM;
    int result = 0;
    for (const char *name = names; result == 0 && name < names + length; name += strlen(name) + 1)
        result = copy_attribute(to, from, name, value);
    free(value);
    return result;
}
