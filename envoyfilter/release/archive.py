"""Packs files into archives that depend on their contents and names alone."""

import io
import tarfile
import zlib


def tar(files: dict[str, bytes], time: int) -> bytes:
    """Returns a tar archive of the files, by their names and in this order.

    Owner and group are 0; `time` is when each was changed, in seconds since 1970.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            file = tarfile.TarInfo(name)
            file.size, file.mode, file.mtime = len(content), 0o644, time
            archive.addfile(file, io.BytesIO(content))
    return packed.getvalue()


def gzip(content: bytes) -> bytes:
    """Returns the content compressed, with no time and no name in its head."""
    return zlib.compress(content, level=9, wbits=16 + zlib.MAX_WBITS)
