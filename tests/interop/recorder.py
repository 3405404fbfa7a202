#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""recorder.py --listen SOCKET --connect SOCKET --output FILE [--comment TEXT]...

Sits between a vhost-user front-end and a back-end, passes every message on with its descriptors, and writes the
conversation down, one line a message, as tests/interop/README.md describes. Ends with the first connection.
"""

import argparse
import array
import os
import pathlib
import re
import select
import socket
import struct
import sys

HEADER = struct.Struct("=III")
MAX_FDS = 32
NAMES = """
    - GET_FEATURES SET_FEATURES SET_OWNER RESET_OWNER SET_MEM_TABLE SET_LOG_BASE SET_LOG_FD SET_VRING_NUM SET_VRING_ADDR
    SET_VRING_BASE GET_VRING_BASE SET_VRING_KICK SET_VRING_CALL SET_VRING_ERR GET_PROTOCOL_FEATURES SET_PROTOCOL_FEATURES
    GET_QUEUE_NUM SET_VRING_ENABLE SEND_RARP NET_SET_MTU SET_BACKEND_REQ_FD IOTLB_MSG SET_VRING_ENDIAN GET_CONFIG SET_CONFIG
    CREATE_CRYPTO_SESSION CLOSE_CRYPTO_SESSION POSTCOPY_ADVISE POSTCOPY_LISTEN POSTCOPY_END GET_INFLIGHT_FD SET_INFLIGHT_FD
    GPU_SET_SOCKET RESET_DEVICE VRING_KICK GET_MAX_MEM_SLOTS ADD_MEM_REG REM_MEM_REG SET_STATUS GET_STATUS GET_SHARED_OBJECT
    SET_DEVICE_STATE_FD CHECK_DEVICE_STATE GET_SHMEM_CONFIG GET_VRING_BASE_SKIP_DRAIN
""".split()


def name_of(request):
    return NAMES[request] if 0 < request < len(NAMES) else "UNKNOWN"


def kind_of(fd):
    """What a replay has to make in place of a descriptor."""
    target = os.readlink(f"/proc/self/fd/{fd}")
    if target == "anon_inode:[eventfd]":
        return "eventfd"
    if match := re.match(r"(socket|pipe):", target):
        return match[1]
    return f"file:{os.fstat(fd).st_size}"


def receive_exactly(peer, size):
    data = b""
    while len(data) < size:
        part = peer.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def receive_message(peer):
    """A message as (request, flags, payload, descriptors); EOFError at the end of the stream."""
    room = socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize)
    start, ancillary, _, _ = peer.recvmsg(HEADER.size, room)
    if not start:
        raise EOFError
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    start += receive_exactly(peer, HEADER.size - len(start))
    request, flags, size = HEADER.unpack(start)
    return request, flags, receive_exactly(peer, size), list(fds)


def send_message(peer, request, flags, payload, fds):
    data = HEADER.pack(request, flags, len(payload)) + payload
    sent = socket.send_fds(peer, [data], fds) if fds else peer.send(data)
    peer.sendall(data[sent:])


def line_of(direction, request, flags, payload, fds):
    kinds = ",".join(kind_of(fd) for fd in fds) or "-"
    return f"{direction} {request} {name_of(request)} {flags:#x} {kinds} {payload.hex() or '-'}\n"


def record(front_end, back_end, output):
    """Passes messages on until one side ends the conversation."""
    ways = {front_end: (back_end, ">"), back_end: (front_end, "<")}
    while True:
        for source in select.select(list(ways), [], [])[0]:
            target, direction = ways[source]
            try:
                request, flags, payload, fds = receive_message(source)
            except (EOFError, ConnectionResetError):
                output.write(f"# the {'front' if direction == '>' else 'back'}-end ends the conversation\n")
                return
            # Written before it is sent, so that an answer cannot come before its question.
            output.write(line_of(direction, request, flags, payload, fds))
            output.flush()
            try:
                send_message(target, request, flags, payload, fds)
            except (BrokenPipeError, ConnectionResetError):
                output.write("# it is not received any more\n")
                return
            finally:
                for fd in fds:
                    os.close(fd)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=pathlib.Path, required=True, help="where the front-end connects to")
    parser.add_argument("--connect", type=pathlib.Path, required=True, help="where the back-end listens")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="the recording")
    parser.add_argument("--comment", action="append", default=[], help="a line to begin the recording with")
    options = parser.parse_args()

    with socket.socket(socket.AF_UNIX) as listener, open(options.output, "w", encoding="ascii") as output:
        output.writelines(f"# {comment}\n" for comment in options.comment)
        listener.bind(str(options.listen))
        try:
            listener.listen(1)
            front_end, _ = listener.accept()
            with front_end, socket.socket(socket.AF_UNIX) as back_end:
                back_end.connect(str(options.connect))
                record(front_end, back_end, output)
        finally:
            options.listen.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
