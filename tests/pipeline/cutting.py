"""A way to the product on which connections break: in the middle of what is sent, or of the answer to it."""

import random
import selectors
import socket
import socketserver
import threading


class CuttingProxy:
    """Passes on bytes to `port` and back; every third connection breaks after a number of bytes drawn at random."""

    def __init__(self, port, chance):
        proxy = self
        self.cuts = 0
        self._chance = chance

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.create_connection(("127.0.0.1", port)) as product:
                    proxy._pass_on(self.request, product)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # A product that was killed takes no connection.
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def _pass_on(self, client, product):
        left = self._chance.choice((1 << 60, 1 << 60, self._chance.randrange(60_000)))
        left_back = self._chance.choice((1 << 60, 1 << 60, self._chance.randrange(800)))
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(product, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    body = key.fileobj.recv(65_536)
                    if not body:
                        return
                    if key.fileobj is client:
                        product.sendall(body[:left])
                        left -= len(body)
                    else:
                        client.sendall(body[:left_back])
                        left_back -= len(body)
                    if left < 0 or left_back < 0:
                        self.cuts += 1
                        return


def a_cutting_proxy(port, seed):
    """One whose cuts are drawn from a seed."""
    return CuttingProxy(port, random.Random(seed))
