"""What processes cost: CPU, resident and private memory, as the kernel counts them."""
import os
import pathlib
import time

TICK = os.sysconf("SC_CLK_TCK")


def read(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""


def stat_fields(pid):
    return read(f"/proc/{pid}/stat").rsplit(b")", 1)[-1].split()


def own_cpu(pid):
    """Seconds of CPU of a process and all its threads, ended ones included, to the nanosecond."""
    # The CPU clock of another process. Source: clock_getcpuclockid(3), the kernel's MAKE_PROCESS_CPUCLOCK.
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def cpu(pid):
    """Seconds of CPU of a process and of the children it has waited for."""
    fields = stat_fields(pid)
    return sum(int(value) for value in fields[11:15]) / TICK if fields else 0.0


def tree_cpu(pid):
    """Seconds of CPU of a process, its living descendants, and all they have waited for."""
    return sum(cpu(one) for one in [pid] + descendants(pid))


def descendants(pid):
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(name)
            if fields:
                children.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [pid]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


def rollup(pid):
    """KiB by name of /proc/PID/smaps_rollup."""
    values = {}
    for line in read(f"/proc/{pid}/smaps_rollup").decode().splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith("kB"):
            values[name] = int(rest.split()[0])
    return values


def resident(pid):
    """MiB resident."""
    return rollup(pid).get("Rss", 0) / 1024


def private(pid):
    """MiB that no other process shares."""
    values = rollup(pid)
    return (values.get("Private_Clean", 0) + values.get("Private_Dirty", 0)) / 1024


def proportional(pid):
    """MiB, shared pages divided among those who share them."""
    return rollup(pid).get("Pss", 0) / 1024


def command(pid):
    return read(f"/proc/{pid}/cmdline").decode(errors="replace").split("\0")


def belonging(words):
    """Processes whose command line, or that of a shim above them, has one of the words in it."""
    return [int(name) for name in os.listdir("/proc")
            if name.isdigit() and any(word in " ".join(command(name)) for word in words)]
