"""Runs a command in a network of its own, in which every packet is noted: ``unshare -n python sealed.py REPORT COMMAND...``.

The network has a loopback device and nothing else, and all addresses of the world lead there, so that a look-up or a
connection is seen whoever makes it, C++ libraries among them. REPORT gets a JSON list of what was not for this machine:
"udp 10.0.0.1:53", say; loopback counts too where it is a look-up (port 53). Exits as COMMAND does.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

_SIOCADDRT, _SIOCSIFFLAGS = 0x890B, 0x8914
_IFF_UP, _IFF_LOOPBACK, _IFF_RUNNING, _RTF_UP = 0x1, 0x8, 0x40, 0x1
_IPV4, _IPV6 = 0x0800, 0x86DD
_PROTOCOLS = {6: "tcp", 17: "udp"}


def main() -> int:
    report, *command = sys.argv[1:]
    _open_loopback()
    found: list[str] = []
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))  # all protocols
    threading.Thread(target=_listen, args=(listener, found), daemon=True).start()
    status = subprocess.run(command, check=False).returncode
    time.sleep(0.2)
    Path(report).write_text(json.dumps(found))
    return status


def _open_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        flags = _IFF_UP | _IFF_LOOPBACK | _IFF_RUNNING
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags))
        anywhere = struct.pack("=HH4s8x", socket.AF_INET, 0, bytes(4))
        device = ctypes.create_string_buffer(b"lo")
        # struct rtentry: destination, gateway and mask behind a pad, flags, pads, metric, device, mtu, window, irtt
        entry = struct.pack("@L16s16s16sHhLPhPLLH", 0, *[anywhere] * 3, _RTF_UP, 0, 0, 0, 0, ctypes.addressof(device), 0, 0, 0)
        fcntl.ioctl(sock, _SIOCADDRT, entry)


def _listen(listener: socket.socket, found: list[str]) -> None:
    while True:
        packet, (_, protocol, kind, *_) = listener.recvfrom(65535)
        if kind != socket.PACKET_OUTGOING:  # each is seen twice
            continue
        if protocol == _IPV4 and len(packet) >= 24:
            head, carried, family, to = (packet[0] & 15) * 4, packet[9], socket.AF_INET, packet[16:20]
        elif protocol == _IPV6 and len(packet) >= 44:
            head, carried, family, to = 40, packet[6], socket.AF_INET6, packet[24:40]
        else:
            continue
        address, port = socket.inet_ntop(family, to), struct.unpack_from("!H", packet, head + 2)[0]
        is_local = address.startswith("127.") or address == "::1" or carried not in _PROTOCOLS
        if not is_local or port == 53:
            found.append(f"{_PROTOCOLS.get(carried, carried)} {address}:{port}")


if __name__ == "__main__":
    raise SystemExit(main())
