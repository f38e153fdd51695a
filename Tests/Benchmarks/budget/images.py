"""Images that the benchmark makes: a small one to run, larger ones to pull."""
import gzip
import hashlib
import io
import json
import pathlib
import random
import shutil
import subprocess
import tarfile

PAUSE = r"""
#include <signal.h>
#include <unistd.h>
/* "ready" in the log says that the handler is there: before that, SIGTERM to PID 1 would be dropped. */
static void leave(int number) { (void)number; _exit(0); }
int main(void)
{ signal(SIGTERM, leave); signal(SIGINT, leave); write(1, "ready\n", 6); for (;;) pause(); }
"""


def layer_of(files, links=()):
    """An uncompressed tar of `path: bytes`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        seen = set()
        for path, content in files:
            for parent in reversed(pathlib.PurePath(path).parents):
                if str(parent) not in seen and str(parent) != ".":
                    seen.add(str(parent))
                    entry = tarfile.TarInfo(str(parent))
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(entry)
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        for path, target in links:
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


class Layout:
    """An OCI image layout in a folder, pushed by skopeo."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "blobs/sha256").mkdir(parents=True)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.manifests = []

    def blob(self, content, kind):
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    def image(self, tag, tars, compression, command):
        layers = []
        for tar in tars:
            layers.append(self.blob(compress(tar, compression), f"application/vnd.oci.image.layer.v1.tar+{compression}"))
        config = {
            "architecture": "amd64", "os": "linux", "config": {"Cmd": command, "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]},
        }
        manifest = {
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"), "layers": layers,
        }
        descriptor = self.blob(json.dumps(manifest).encode(), manifest["mediaType"])
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": tag}
        self.manifests.append(descriptor)
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.manifests}))
        return sum(layer["size"] for layer in layers)


def compress(tar, compression):
    if compression == "gzip":
        return gzip.compress(tar, 6, mtime=0)
    return subprocess.run(["zstd", "-q", "-3", "-c"], input=tar, stdout=subprocess.PIPE, check=True).stdout


def runnable(folder):
    """The files of the image that pods run: busybox, and a program that ends on SIGTERM."""
    source = pathlib.Path(folder) / "pause.c"
    source.write_text(PAUSE)
    subprocess.run(["cc", "-static", "-Os", "-s", "-o", f"{folder}/pause", source], check=True)
    files = [("pause", pathlib.Path(folder, "pause").read_bytes()), ("workload", pathlib.Path(folder, "pause").read_bytes()),
             ("bin/busybox", pathlib.Path("/bin/busybox").read_bytes()), ("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")]
    return layer_of(files, [(f"bin/{name}", "busybox") for name in ["sh", "true", "sleep", "cat"]])


def payload(seed, megabytes):
    """Files as a distribution has them: many small ones, some large, that compress to about 40 percent."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randint(3, 12)) for _ in range(4096)]
    pool = b"".join(chance.choice(words) for _ in range(400_000))
    files, left, number = [], megabytes << 20, 0
    while left > 0:
        size = min(left, int(chance.lognormvariate(8.5, 1.6)) + 1)
        start = chance.randrange(max(1, len(pool) - 4096))
        content = (pool[start:] + pool)[:size] if size < len(pool) else (pool * (size // len(pool) + 1))[:size]
        files.append((f"usr/{seed}/{number % 97}/file{number}", content))
        left -= size
        number += 1
    return files


def push(layout, tag, registry, runner):
    subprocess.run(runner + ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout.folder}:{tag}",
                             f"docker://{registry}/{tag}"], check=True, stdout=subprocess.DEVNULL)


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
