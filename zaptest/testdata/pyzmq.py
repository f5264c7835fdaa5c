"""Takes ZAP requests at an endpoint for pyzmq's ThreadAuthenticator. It sets that up from a directory if one is given:

    pyzmq.py ENDPOINT [DIRECTORY REFUSED-ADDRESS]

It prints "ready" and its version, and ends with its standard input.
"""

import os
import sys
import threading

import zmq
from zmq.auth.thread import ThreadAuthenticator


def end_with_input():
    sys.stdin.buffer.read()
    os._exit(0)


def set_up(authenticator, directory, refused):
    authenticator.deny(refused)
    with open(os.path.join(directory, "passwords")) as file:
        authenticator.configure_plain("global", dict(line.rstrip("\n").split("=", 1) for line in file))
    authenticator.configure_curve("global", os.path.join(directory, "clients"))


def open_socket(context, kind):
    socket = context.socket(kind)
    socket.sndhwm = socket.rcvhwm = 0
    return socket


context = zmq.Context()
authenticator = ThreadAuthenticator(context)
authenticator.start()
if len(sys.argv) == 4:
    set_up(authenticator, *sys.argv[2:])
servers, handler = open_socket(context, zmq.ROUTER), open_socket(context, zmq.DEALER)
servers.bind(sys.argv[1])
handler.connect("inproc://zeromq.zap.01")
threading.Thread(target=end_with_input, daemon=True).start()
print("ready pyzmq", zmq.__version__, flush=True)
zmq.proxy(servers, handler)
