"""With this folder on PYTHONPATH, Python reaches nothing but this machine, as if the network cable were out.

Python runs a module of this name at start, so notebook kernels and the processes they start are covered. Programs
that are not written in Python are not.
"""

import sys

LOCAL = ("127.", "localhost", "::1", "0.0.0.0")
LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
SENDS = {"socket.connect", "socket.sendto", "socket.sendmsg"}


def refuse(event, args):
    if event in LOOKUPS:
        host = args[0]
    elif event in SENDS and isinstance(args[1], tuple):  # a Unix socket has a file name instead
        host = args[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host and not host.startswith(LOCAL):
        raise OSError(f"the network is off for this test: {event} {host}")


sys.addaudithook(refuse)
