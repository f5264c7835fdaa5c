"""A client in Python. It connects, prints how its handshake ended, and sends a message if it got in.

usage: client.py ENDPOINT MECHANISM [X-Property:value...]

The client reads its credentials from standard input, one a line:

    NULL    none
    PLAIN   the name, the password
    CURVE   the server's public key, the client's public key, the client's secret key

It prints 200, the status of a refusal, "cut" if the connection was cut off without a status, or
"silence" if nothing happened.
"""
import sys

import zmq
from zmq.utils.monitor import recv_monitor_message

endpoint, mechanism, *properties = sys.argv[1:]
credentials = sys.stdin.buffer.read().splitlines()
context = zmq.Context()
socket = context.socket(zmq.PUSH)
for text in properties:
    socket.setsockopt(zmq.METADATA, text.encode())
if mechanism == "PLAIN":
    socket.plain_username, socket.plain_password = credentials
elif mechanism == "CURVE":
    socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = credentials

endings = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: lambda _: "200",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: str,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: lambda _: "cut",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: lambda _: "cut",
}
monitor = socket.get_monitor_socket()
socket.connect(endpoint)
outcome = "silence"
while outcome == "silence" and monitor.poll(10_000):
    event = recv_monitor_message(monitor)
    if event["event"] in endings:
        outcome = endings[event["event"]](event["value"])
if outcome == "200":
    socket.send(b"hello from Python")
socket.disable_monitor()
context.destroy(linger=5000)
print(outcome)
