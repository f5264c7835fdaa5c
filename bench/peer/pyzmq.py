"""pyzmq's ThreadAuthenticator under measurement: pyzmq.py LIBRARY DOMAIN DIRECTORY LOOKUP

The library is the load generator. If LOOKUP is more than 0 seconds, a callback that takes that long accepts every key.
"""

import ctypes
import os
import sys
import time

import zmq
from zmq.auth.thread import ThreadAuthenticator

library, domain, directory, lookup = sys.argv[1:]


class Provider:
    def callback(self, domain, key):
        time.sleep(float(lookup))
        return True


context = zmq.Context()
authenticator = ThreadAuthenticator(context)
authenticator.start()
with open(os.path.join(directory, "passwords")) as file:
    authenticator.configure_plain(domain, dict(line.rstrip("\n").split("=", 1) for line in file))
if float(lookup) > 0:
    authenticator.configure_curve_callback(domain, credentials_provider=Provider())
else:
    authenticator.configure_curve(domain, os.path.join(directory, "clients"))
serve = ctypes.CDLL(library).loadgen_serve  # ctypes releases the interpreter for the authenticator meanwhile
serve.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
error = serve(context.underlying, domain.encode(), 0, 1)
authenticator.stop()
sys.exit(error)
