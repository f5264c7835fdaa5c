"""A server in Python, guarded by zmq.auth.thread.ThreadAuthenticator: lets one client in and tells what it says.

usage: server.py PATTERN DIRECTORY: one of grasslands, strawhouse, woodhouse, stonehouse, ironhouse. For the CURVE patterns
DIRECTORY has server.key_secret and the directory clients.

Prints its endpoint, then the message it receives, or "silence".
"""
import pathlib
import sys

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

pattern, directory = sys.argv[1], pathlib.Path(sys.argv[2])
context = zmq.Context()
auth = ThreadAuthenticator(context)
auth.start()
try:
    server = context.socket(zmq.PULL)
    if pattern != "grasslands":
        server.zap_domain = b"global"
    if pattern == "strawhouse":
        auth.allow("127.0.0.1")
    elif pattern == "woodhouse":
        auth.configure_plain(domain="global", passwords={"ann": "secret"})
        server.plain_server = True
    elif pattern in ("stonehouse", "ironhouse"):
        location = zmq.auth.CURVE_ALLOW_ANY if pattern == "stonehouse" else str(directory / "clients")
        auth.configure_curve(domain="global", location=location)
        server.curve_publickey, server.curve_secretkey = zmq.auth.load_certificate(directory / "server.key_secret")
        server.curve_server = True
    server.bind("tcp://127.0.0.1:*")
    print(server.last_endpoint.decode().rstrip("\0"), flush=True)
    print(server.recv_string() if server.poll(20_000) else "silence", flush=True)
finally:  # or its thread keeps the process alive
    auth.stop()
    context.destroy(linger=0)
