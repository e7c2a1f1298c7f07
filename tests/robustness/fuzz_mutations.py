"""Ways to spoil files, each of a random generator alone: the same seed spoils alike.

A set of files is {relative path: content}. `spoil` changes one of them, most often as bytes, else by its format's own
structure, so that what lies behind checksums and compression is reached too.
"""

import gzip
import io
import json
import random
import struct
import zipfile
import zlib

import pydicom

Files = dict[str, bytes]
GIB = 2**30
EXTREMES = (0, 1, -1, 2, 7, 127, 255, 256, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
REALS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e30, -1e30, 3e38, 1e308, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "",
    "0",
    "-1",
    "nan",
    "1e999",
    "9" * 300,
    "9" * 5000,
    "../../x",
    "/etc/passwd",
    "a\nb",
    "\x1b[2J",
    "\u0663",
    "<b>",
)
NAMES = ("../x", "/x", "a/../../x", "..\\x", "C:x", "\u00b2", "\u00b21", "1\u00b2", "\n", "x" * 200, ".x", "con")
VALUES = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**64,
        10**400,
        1.5,
        float("nan"),
        float("inf"),
        [],
        {},
        [[]],
        [None],
        {"": {}},
    ),
    *({"name": 3}, [1, 2, 3], ["a"] * 3, *TEXTS),
)


def spoil(rng: random.Random, files: Files) -> tuple[Files, str]:
    """The files with one fault, rarely two, and what it is."""
    files, told = dict(files), []
    for _ in range(rng.choice((1, 1, 1, 2))):
        if not files:
            break
        name = rng.choice(sorted(files))
        change = rng.choice((spoil_content, spoil_content, spoil_content, spoil_content, spoil_content, spoil_name))
        told.append(change(rng, files, name))
    return files, "; ".join(told)


def spoil_name(rng: random.Random, files: Files, name: str) -> str:
    """A file goes, comes twice, has the name or the content of another."""
    folder, _, last = name.rpartition("/")
    suffix = last[last.find(".") :] if "." in last else ""
    inside = [each for each in NAMES if each.isprintable() and not set(each) & set("/\\:")]
    fresh = (f"{folder}/" if folder else "") + rng.choice(inside) + suffix
    how = rng.choice(("removed", "renamed", "doubled", "exchanged"))
    if how in ("removed", "renamed") or not files:
        content = files.pop(name)
        if how == "renamed":
            files[fresh] = content
    elif how == "doubled":
        files[fresh] = files[name]
    else:
        files[name] = files[rng.choice(sorted(files))]
    return f"{name} {how}"


def spoil_content(rng: random.Random, files: Files, name: str) -> str:
    """The content of one file changes, by its format where that is known, else as bytes."""
    content = files[name]
    ways = [spoil_bytes]
    for ending, way in BY_ENDING.items():
        if name.lower().endswith(ending):
            ways += [way] * 2
    way = rng.choice(ways) if len(content) < 2**20 else spoil_bytes  # no unpacking of what was made to swell
    try:
        files[name], told = way(rng, content)
    except (
        pydicom.errors.InvalidDicomError,
        pydicom.errors.BytesLengthException,
        RecursionError,
        struct.error,
        NotImplementedError,
        LookupError,
        ValueError,
        OverflowError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        OSError,
    ):
        files[name], told = spoil_bytes(rng, content)  # of a file that was spoilt before
    return f"{name}: {told}"


def spoil_bytes(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """Cut off, turned bits, a range of zeros, doubled, removed or random, a number or text of an extreme value."""
    data = bytearray(content)
    if not data:
        return rng.randbytes(rng.choice((1, 100, 4000))), "random bytes"
    # Headers stand in the beginning, directories at the end.
    reach = rng.choice((min(64, len(data)), min(512, len(data)), len(data)))
    at = rng.randrange(reach) if rng.random() < 0.75 else len(data) - 1 - rng.randrange(reach)
    length = min(rng.choice((1, 2, 4, 16, 200, 5000)), len(data) - at)
    how = rng.randrange(10)
    if how == 0:
        return bytes(data[:at]), f"cut off at {at}"
    if how in (1, 2):
        for _ in range(rng.choice((1, 1, 2, 8))):
            place = (at + rng.randrange(length)) % len(data)
            data[place] ^= 1 << rng.randrange(8)
        return bytes(data), f"bits turned at {at}"
    if how == 3:
        data[at : at + length] = bytes(length)
        return bytes(data), f"{length} zeros at {at}"
    if how == 4:
        data[at:at] = data[at : at + length]
        return bytes(data), f"{length} bytes doubled at {at}"
    if how == 5:
        del data[at : at + length]
        return bytes(data), f"{length} bytes removed at {at}"
    if how == 6:
        data[at : at + length] = rng.randbytes(length)
        return bytes(data), f"{length} random bytes at {at}"
    if how == 7:
        text = rng.choice(TEXTS).encode()
        data[at : at + len(text)] = text
        return bytes(data), f"a text at {at}"
    kind = rng.choice(("<H", ">H", "<I", ">I", "<Q", "<f", "<d"))
    value = rng.choice(REALS) if kind[1] in "fd" else rng.choice(EXTREMES) % 256 ** struct.calcsize(kind)
    try:
        number = struct.pack(kind, value)
    except OverflowError:
        number = struct.pack(kind, float("inf"))
    data[at : at + len(number)] = number
    return bytes(data), f"{value} at {at}"


def spoil_json(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A value of a wrong type, a key too few, too many or twice, depth without end."""
    how = rng.randrange(8)
    if how == 0:
        deep = rng.choice((b"[", b'{"a":')) * rng.choice((900, 100_000))
        return deep, "no end to its depth"
    if how == 1:
        return json.dumps(rng.choice(VALUES)).encode(), "another value in all"
    tree = json.loads(content)
    places = list(_places(tree)) if isinstance(tree, dict | list) else []
    if not places:  # an earlier mutation left nothing to spoil
        return content, "nothing"
    holder, key = rng.choice(places)
    if how == 2 and isinstance(holder, dict):
        del holder[key]
        return json.dumps(tree).encode(), f"no {key}"
    value = rng.choice(VALUES)
    holder[key] = value
    return json.dumps(tree).encode(), f"{key} is {str(value)[:20]!r}"


def _places(tree):
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


def spoil_gzip(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """The content is spoilt and packed again, or swells without end."""
    inner = gzip.decompress(content)
    if rng.random() < 0.02:
        shape = rng.choice(((512, 512, 1024), (1024, 1024, 1024), (16384, 16384, 1), (4096, 4096, 16)))
        head = inner[:40] + struct.pack("<hhhh", 3, *shape) + inner[48:352]
        return gzip.compress(head) + zeros_member(2 * GIB), f"swells to 2 GiB, claims {shape}"
    spoilt, told = rng.choice((spoil_nifti, spoil_nifti, spoil_bytes))(rng, inner)
    return gzip.compress(spoilt, 1), f"inside, {told}"


def zeros_member(size: int) -> bytes:
    """A gzip member of so many zeros, made without holding them."""
    step = 2**24
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(step)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + block * (size // step) + b"\x03\0" + bytes(8)


def spoil_nifti(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A field of the header becomes extreme."""
    import nibabel
    import numpy as np

    header = np.frombuffer(content[:348], nibabel.Nifti1Header.template_dtype).copy()
    name = rng.choice([*header.dtype.names, *("dim", "datatype", "bitpix", "vox_offset", "scl_slope", "pixdim") * 3])
    field = header[name].view().reshape(-1)
    if field.dtype.kind == "S":
        field[0] = rng.choice(TEXTS).encode()[: field.dtype.itemsize]
        return header.tobytes() + content[348:], f"another text in {name}"
    known = (2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304) if name == "datatype" else ()
    with np.errstate(all="ignore"):
        for at in rng.sample(range(field.size), rng.choice((1, min(3, field.size)))):
            value = rng.choice(known or (REALS if field.dtype.kind == "f" else EXTREMES))
            field[at] = value if field.dtype.kind == "f" else np.array(value & 2**64 - 1, np.uint64).astype(field.dtype)
    return header.tobytes() + content[348:], f"{name} is {field.tolist()}"


def spoil_png(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A chunk is spoilt, or one too many, its checksum right; the header claims an extreme."""
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + length]])
        at += 12 + length
    how = rng.randrange(5)
    if how in (0, 1):
        header = list(struct.unpack(">IIBBBBB", chunks[0][1]))
        place = rng.randrange(len(header))
        header[place] = abs(rng.choice(EXTREMES if place > 1 else (*EXTREMES, 12_000, 40_000))) % (
            256 if place > 1 else 2**32
        )
        chunks[0][1] = struct.pack(">IIBBBBB", *header)
        told = f"header {header}"
    elif how == 2:
        chunk = rng.choice(chunks)
        chunk[1], told = spoil_bytes(rng, chunk[1])
        told = f"in {chunk[0]}, {told}"
    elif how == 3:
        packed = zeros_member(GIB)[10:-8]
        bomb = rng.choice(
            ((b"zTXt", b"a\0\0x\x9c" + packed), (b"iCCP", b"a\0\0x\x9c" + packed), (b"IDAT", b"x\x9c" + packed))
        )
        chunks.insert(rng.randrange(1, len(chunks)), list(bomb))
        told = f"{bomb[0]} that swells to 1 GiB"
    else:
        kinds = (
            b"acTL\0\0\xff\xff\0\0\0\0",
            b"tRNS\0\1",
            b"PLTE\0\0\0",
            b"gAMA\0\0\0\0",
            b"pHYs",
            b"eXIfII*\0",
            b"IEND",
        )
        kind = rng.choice(kinds)
        chunks.insert(rng.randrange(len(chunks) + 1), [kind[:4], kind[4:]])
        told = f"one more {kind[:4]}"
    pack = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    return content[:8] + b"".join(pack(*chunk) for chunk in chunks), told


def spoil_tiff(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """An entry of the directory becomes extreme."""
    data = bytearray(content)
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    at = start + 2 + 12 * rng.randrange(count)
    offset, kind = rng.choice(((0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<I")))
    value = rng.choice((*EXTREMES, start, 32946, 5, 7, 34712, 50001)) % 256 ** struct.calcsize(kind)
    struct.pack_into(kind, data, at + offset, value)
    return bytes(data), f"directory: {value} at {offset} of entry {(at - start) // 12}"


def spoil_dicom(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """An element is gone or odd, another transfer syntax, a picture that swells."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    settings, before = pydicom.config.settings, pydicom.config.settings.writing_validation_mode
    dataset = pydicom.dcmread(io.BytesIO(content))
    if rng.random() < 0.04:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        head = io.BytesIO()
        del dataset[:]
        dataset.save_as(head)
        return head.getvalue()[:-2] + zeros_member(3 * GIB)[10:-8], "deflated, swells to 3 GiB"
    # Values go in as the bytes of the file, whatever they should be.
    element = rng.choice([each for each in dataset if each.keyword != "PixelData"])
    if rng.random() < 0.15:
        del dataset[element.tag]
        told = f"no {element.keyword}"
    else:
        odd = [struct.pack("<H", value % 65536) for value in EXTREMES]
        if element.VR not in ("US", "SS"):
            odd = [text.encode() for text in TEXTS] + [b"1\\2", b"1\\2\\3", b"0\\0\\0\\0\\0\\0", b"1e300", b"-1e-300"]
        raw = rng.choice(odd)
        value = pydicom.dataelem.RawDataElement(
            element.tag, element.VR, len(raw), raw + b" " * (len(raw) % 2), 0, False, True
        )
        dataset._dict[element.tag] = value
        told = f"{element.keyword} is {raw[:20]!r}"
    if rng.random() < 0.1:
        syntaxes = [uid for uid in pydicom.uid.AllTransferSyntaxes if not uid.is_deflated]
        syntax = rng.choice(syntaxes)
        if syntax.is_little_endian and not syntax.is_implicit_VR and not syntax.is_compressed:
            dataset.file_meta.TransferSyntaxUID = syntax
            told += f", {syntax.name}"
    stream = io.BytesIO()
    try:
        settings.writing_validation_mode = pydicom.config.IGNORE
        dataset.save_as(stream)
    except Exception as error:  # pydicom does not write everything
        raise ValueError(str(error)) from error
    finally:
        settings.writing_validation_mode = before
    return stream.getvalue(), told


def spoil_itk(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A line of the header is gone, doubled, or says something else."""
    begins = [content.find(b"\nElementDataFile"), content.find(b"\n\n")]
    end = content.find(b"\n", max(begins) + 1)
    lines, rest = content[:end].split(b"\n"), content[end:]
    at = rng.randrange(len(lines))
    key, mark, value = lines[at].partition(b"=" if b"=" in lines[at] else b":")
    how = rng.randrange(8)
    if how == 0:
        told = f"no line {lines.pop(at)[:40]!r}"
    elif how == 1:
        lines.insert(at, lines[at])
        told = f"{lines[at][:40]!r} doubled"
    else:
        numbers = [str(number) for number in (*EXTREMES, *REALS, "3 4", "6 7 1000000", "2 2 2 2")]
        words = ("MET_UCHAR", "MET_DOUBLE", "MET_STRING", "double", "block", "LIST", "%03d.raw 1 9 1", "gzip", "bzip2")
        words += ("hex", "ascii", "True", "False", "(nan,0,0) (0,1,0) (0,0,1)", "none", "RAI", "???", "scanner-xyz")
        parts = value.split()
        new = rng.choice((*numbers, *numbers, *words, *TEXTS)).encode()
        if how > 4 and len(parts) > 1:
            parts[rng.randrange(len(parts))] = new
            new = b" ".join(parts)
        lines[at] = key + mark + b" " + new
        told = f"{lines[at][:60]!r}"
    return b"\n".join(lines) + rest, told


def spoil_zip(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A member is spoilt, renamed, doubled, removed, a link, compressed another way, or claims another size."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [[member, archive.read(member)] for member in archive.infolist()]
    at = rng.randrange(len(members))
    how, told = rng.randrange(10), ""
    member, inner = members[at]
    if how <= 3:
        files = {member.filename: inner}
        told = spoil_content(rng, files, member.filename)
        members[at][1] = files[member.filename]
    elif how == 4:
        name = rng.choice((*NAMES, *(other.filename for other, _ in members), "../" * 5 + "x", member.filename + "/"))
        told = f"{member.filename} renamed {name[:20]!r}"
        member.filename = name
    elif how == 5:
        members.insert(rng.randrange(len(members) + 1), [member, rng.choice((inner, b"", b"{}"))])
        told = f"{member.filename} doubled"
    elif how == 6:
        del members[at]
        told = f"{member.filename} removed"
    elif how == 7:
        member.create_system, member.external_attr = 3, rng.choice((0o120777, 0o020666, 0o040755, 0o010644)) << 16
        told = f"{member.filename} is no plain file"
    elif how == 8:
        member.compress_type = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        members[at][1] = rng.choice((inner, inner, bytes(2**26)))
        told = f"{member.filename} compressed by {member.compress_type}, {len(members[at][1])} bytes"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for info, data in members:
            archive.writestr(info, data)
    written = bytearray(stream.getvalue())
    if how == 9:
        # In the member's own header or in the directory: version, flags, method, time, checksum, sizes, lengths.
        mark, first = rng.choice(((b"PK\3\4", 4), (b"PK\1\2", 6), (b"PK\5\6", 4)))
        start = written.rfind(mark) if rng.random() < 0.5 else written.find(mark)
        offset = start + first + rng.choice((0, 2, 4, 10, 14, 16, 18, 22, 24))
        struct.pack_into("<H", written, offset, rng.choice(EXTREMES) % 65536)
        told = f"a field of {mark!r}"
    return bytes(written), told


def spoil_npy(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """The header claims another type, order or shape."""
    (length,) = struct.unpack_from("<H", content, 8)
    dtypes = ("<i8", "<f8", "|u1", "<c16", "|O", "<U9", "|S5", "|V8", "<M8[s]", "<U999999999", "<i4", ">i8", "|b1")
    shapes = ((), (0,), (1,), (-1,), (10**15,), (2**62, 4), (18, 2, 2), (2, 2, 2), (1, 4, 4), (3,), (10**6,) * 5)
    fields = {"descr": rng.choice(dtypes), "fortran_order": rng.choice((True, False)), "shape": rng.choice(shapes)}
    header = str(fields)
    if rng.random() < 0.2:
        header = rng.choice(("[" * 5000, "{}", "__import__('os').abort()", "{" * 60_000, "9" * 9000))
    padded = header.encode().ljust(length)[:65535]
    fits = struct.pack("<H", len(padded))
    return content[:8] + fits + padded + content[10 + length :], f"header {header[:60]}"


def spoil_mat(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A number of the layers' settings becomes extreme."""
    data = bytearray(content)
    at = [place for value in (1.0, 4.0, 6.0) for place in _all(data, struct.pack("<d", value))]
    place, value = rng.choice(at), rng.choice((*REALS, *map(float, EXTREMES), 3000.0, 20_000.0, 3e7, 0.5))
    struct.pack_into("<d", data, place, value)
    return bytes(data), f"{value} at {place}"


def _all(data: bytearray, part: bytes):
    at = data.find(part)
    while at >= 0:
        yield at
        at = data.find(part, at + 1)


BY_ENDING = {
    ".mat": spoil_mat,
    ".json": spoil_json,
    ".nii.gz": spoil_gzip,
    ".nii": spoil_nifti,
    ".png": spoil_png,
    ".tif": spoil_tiff,
    ".dcm": spoil_dicom,
    ".mha": spoil_itk,
    ".mhd": spoil_itk,
    ".nrrd": spoil_itk,
    ".nhdr": spoil_itk,
    ".npy": spoil_npy,
    ".npz": spoil_zip,
    ".zip": spoil_zip,
    ".keras": spoil_zip,
}
