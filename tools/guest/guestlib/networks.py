# SPDX-License-Identifier: Apache-2.0
"""Networks of guests, and a place on the host where they harm nobody."""

import ctypes
import dataclasses
import os
import pathlib
import subprocess

from guestlib.processes import GuestError

CLONE_NEWNET = 0x40000000


@dataclasses.dataclass
class Network:
    """One vhost-user-net device; without a `back_end` on a tap interface of its name."""

    name: str
    mac: str = "52:54:00:00:00:11"
    pairs: int = 1
    socket: pathlib.Path = None  # the vhost-user socket; set when it is added
    back_end: dict = None  # a network of another kind, as the configuration has it


def may_have_taps():
    """Whether this process may make tap interfaces, in a network namespace of its own."""
    return os.geteuid() == 0 and os.access("/dev/net/tun", os.R_OK | os.W_OK)


def enter_network_of_our_own():
    """From now on this process and its children are in a network namespace that nobody else is in."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNET) != 0:
        raise GuestError(f"a network namespace of our own: {os.strerror(ctypes.get_errno())}")
    ip("link", "set", "lo", "up")


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, stdout=subprocess.PIPE)
