"""Talks to a Jupyter kernel through the five sockets of a connection file.

jupyter.py FILE [SERVER_KEY PUBLIC_KEY SECRET_KEY]: with the keys the sockets use CURVE.
Prints what it has seen of each channel.
"""
import sys

import jupyter_client
import zmq
import zmq.asyncio

KEYS = [key.encode() for key in sys.argv[2:5]]


class Keys:
    """Gives a socket the keys when it connects."""

    def connect(self, address):
        if KEYS:
            self.curve_serverkey, self.curve_publickey, self.curve_secretkey = KEYS
        return super().connect(address)


class AsyncSocket(Keys, zmq.asyncio.Socket):
    pass


class AsyncContext(zmq.asyncio.Context):
    _socket_class = AsyncSocket


class Socket(Keys, zmq.Socket):
    pass


class Context(zmq.Context):
    _socket_class = Socket


def main():
    blocking = jupyter_client.version_info >= (8,)
    context = Context() if blocking else AsyncContext()
    client = jupyter_client.BlockingKernelClient(context=context)
    client.load_connection_file(sys.argv[1])
    # The client's own heartbeat only tells when it has failed.
    heart = Socket(zmq.Context.instance(), zmq.REQ)
    heart.linger = 0
    heart.connect(client._make_url("hb"))
    client.start_channels(hb=False)
    client.wait_for_ready(timeout=30)
    print("shell: ready")

    heart.send(b"ping")
    assert heart.poll(30000) and heart.recv() == b"ping"
    print("hb: ping")

    said = []

    def output(message):
        if message["header"]["msg_type"] == "stream":
            said.append(message["content"]["text"])

    def answer(message):
        print("stdin:", message["content"]["prompt"])
        client.input("from stdin")

    reply = client.execute_interactive(
        "print('hello ' + input('who?'))", timeout=30, output_hook=output, stdin_hook=answer)
    assert reply["content"]["status"] == "ok", reply
    print("iopub:", "".join(said).strip())

    client.shutdown()
    reply = client.get_control_msg(timeout=30)
    print("control:", reply["header"]["msg_type"])
    client.stop_channels()


main()
