"""memory.py: the memory of a running process, searched for what should not be there, or not where a core
dump would find it (proc(5), /proc/PID/smaps: VmFlags dd)."""

import re

PIECE = 1 << 22
MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+\s*(.*)")
LARGEST = 1 << 32      # a sanitizer's shadow is larger, and holds nothing of ours


def mappings(pid):
    """[(from, to, name, kept from core dumps)] of what can be read and is there."""
    found, current, present = [], None, False
    with open(f"/proc/{pid}/smaps") as rows:
        for row in rows:
            head = MAPPING.match(row)
            if head:
                current = (int(head[1], 16), int(head[2], 16), head[4], "r" in head[3])
            elif row.startswith("Rss:"):
                present = int(row.split()[1]) > 0
            elif row.startswith("VmFlags:") and current[3] and present:
                found.append((*current[:3], "dd" in row.split()))
    return [m for m in found if m[1] - m[0] <= LARGEST and m[2] not in ("[vvar]", "[vsyscall]")]


def pieces(memory, begin, end, overlap):
    """(address, bytes) from begin to end; what spans two pieces is in one of them whole."""
    at = begin
    while at < end:
        memory.seek(at)
        try:
            data = memory.read(min(PIECE, end - at))
        except OSError:      # unmapped meanwhile, or of the kernel
            return
        yield at, data
        at += len(data) if at + len(data) >= end else len(data) - overlap


def search(pid, secrets):
    """[(secret, would a core dump have it, address, mapping, what stands around it)]: the first of each in each
    mapping of the process."""
    found = []
    wanted = [s.encode() for s in secrets]
    overlap = max(map(len, wanted)) - 1
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for begin, end, name, kept in mappings(pid):
            for at, data in pieces(memory, begin, end, overlap):
                for secret in wanted:
                    place = data.find(secret)
                    if place >= 0:
                        around = data[max(0, place - 32):place + len(secret) + 32]
                        found.append((secret.decode(), not kept, hex(at + place), name, around))
    return found
