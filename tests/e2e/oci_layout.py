# SPDX-License-Identifier: Apache-2.0
"""Images as folders in OCI's form, for tests that push them."""
import gzip
import hashlib
import io
import json
import os
import tarfile


class Layout:
    """A folder in OCI's form with one image, of layers that are tar streams."""

    def __init__(self, folder, layers, config, compressed=True):
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        stored, ids = [], []
        for layer in layers:
            ids.append("sha256:" + hashlib.sha256(layer).hexdigest())
            kind = "application/vnd.oci.image.layer.v1.tar"
            if compressed:
                kind, layer = kind + "+gzip", gzip.compress(layer, 1, mtime=0)
            stored.append(self.blob(layer, kind))
        whole = {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": ids},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.blob(
                json.dumps(whole).encode(), "application/vnd.oci.image.config.v1+json"
            ),
            "layers": stored,
        }
        one = self.blob(json.dumps(manifest).encode(), manifest["mediaType"])
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [one]}))
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, content, kind):
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs" / "sha256" / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    def __str__(self):
        return str(self.folder)


def tar_of(files):
    """A tar stream of small files by their names."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()
