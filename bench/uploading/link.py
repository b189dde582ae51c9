"""A link that is torn again and again: a relay on loopback, as fast as a phone's, that resets both sides after so many
bytes. What the server has not read by then is lost with the connection.
"""

import socket
import struct
import threading
import time
from contextlib import suppress

PIECE, PIECE_SECONDS = 8_192, 0.008  # 8 Mbit/s
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets, and what the other side has not read is lost


class TornLink:
    """Relays to a port; each connection carries at most `bytes_each` towards the server, then it is torn."""

    def __init__(self, port: int, *, bytes_each: int):
        self.to, self.bytes_each, self.carried, self.torn = port, bytes_each, 0, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                phone, _ = self.listening.accept()
                threading.Thread(target=self._relay, args=(phone,), daemon=True).start()

    def _relay(self, phone: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self.to))
        threading.Thread(target=self._back, args=(server, phone), daemon=True).start()
        left = self.bytes_each
        with suppress(OSError):
            while left and (data := phone.recv(min(left, PIECE))):
                server.sendall(data)
                time.sleep(PIECE_SECONDS)
                left -= len(data)
                self.carried += len(data)
        if not left:
            self.torn += 1
            for each in (server, phone):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        for each in (server, phone):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RD)
            each.close()

    def _back(self, server: socket.socket, phone: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                phone.sendall(data)
