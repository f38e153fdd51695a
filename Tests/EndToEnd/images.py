"""Builds small images as OCI layouts, without any tool: busybox and nothing else."""
import gzip
import hashlib
import io
import json
import pathlib
import tarfile

APPLETS = (
    "sh ls cat echo ip hostname sleep id true false touch dd seq date mkdir rm ps kill head tail wc env nc test "
    "stat sync mount umount ping yes tr sort grep sysctl pwd printf trap nproc free df chmod ln find"
).split()


def _add(archive, name, data=None, link=None, mode=0o755, kind=None):
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if link is not None:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
    elif data is None:
        entry.type = kind or tarfile.DIRTYPE
    else:
        entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data) if data is not None else None)


def busybox_layer():
    """The bytes of one tar with busybox, its applets and a passwd."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in ("bin", "etc", "tmp", "root", "home", "proc", "sys", "dev", "var", "var/lib"):
            _add(archive, folder, mode=0o1777 if folder == "tmp" else 0o755)
        _add(archive, "bin/busybox", pathlib.Path("/bin/busybox").read_bytes())
        for applet in APPLETS:
            _add(archive, f"bin/{applet}", link="busybox")
        _add(archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n", mode=0o644)
        _add(archive, "etc/group", b"root:x:0:\nuser:x:1000:\nextra:x:2000:user\n", mode=0o644)
    return out.getvalue()


def filler_layer(name, size, seed=1):
    """One file of `size` bytes that does not compress well."""
    out = io.BytesIO()
    block = b"".join(hashlib.sha256(f"{seed}/{n}".encode()).digest() for n in range(2048))
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, name, (block * (size // len(block) + 1))[:size], mode=0o644)
    return out.getvalue()


def write_layout(folder, layers, config=None):
    """An OCI layout with one image in it; `layers` are tars, bottom first. Returns the manifest's digest."""
    folder = pathlib.Path(folder)
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return f"sha256:{digest}"

    descriptors, diffs = [], []
    for layer in layers:
        packed = gzip.compress(layer, compresslevel=1, mtime=0)
        descriptors.append(
            {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": put(packed), "size": len(packed)}
        )
        diffs.append("sha256:" + hashlib.sha256(layer).hexdigest())
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], **(config or {})},
        "rootfs": {"type": "layers", "diff_ids": diffs},
        "history": [],
    }
    data = json.dumps(document).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": put(data), "size": len(data)},
        "layers": descriptors,
    }
    data = json.dumps(manifest).encode()
    digest = put(data)
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": manifest["mediaType"],
                "digest": digest,
                "size": len(data),
                "annotations": {"org.opencontainers.image.ref.name": "v1"},
            }
        ],
    }
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return digest
