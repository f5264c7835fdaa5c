"""pyzmq's ThreadAuthenticator under measurement: pyzmq.py LIBRARY DOMAIN DIRECTORY, the library with the load generator."""

import ctypes
import os
import sys

import zmq
from zmq.auth.thread import ThreadAuthenticator

library, domain, directory = sys.argv[1:]
context = zmq.Context()
authenticator = ThreadAuthenticator(context)
authenticator.start()
with open(os.path.join(directory, "passwords")) as file:
    authenticator.configure_plain(domain, dict(line.rstrip("\n").split("=", 1) for line in file))
authenticator.configure_curve(domain, os.path.join(directory, "clients"))
serve = ctypes.CDLL(library).loadgen_serve  # which leaves the interpreter to the authenticator
serve.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
error = serve(context.underlying, 0, 1)
authenticator.stop()
sys.exit(error)
