"""ClickHouse's HTTP interface over the embedded engine: the server of the tests.

    python clickhouse.py FOLDER PORT [CERTIFICATE KEY]

With a certificate it speaks HTTPS as well, on the same port. The engine (PyPI: chdb-core) keeps its data in FOLDER. Each request runs on a connection of its own, as on a server; answers and
the rows of an INSERT are streamed in chunks. What the engine answers is passed on as it is: nothing here looks at a value.
"""

import re
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb.session import Session

# Parameters of a request that are no settings of the engine, or that the embedded one need not be told.
OWN = {"query", "database", "default_format", "query_id", "session_id", "user", "password", "wait_end_of_query"}
INSERT = re.compile(r"\s*insert\s+into\s", re.IGNORECASE)
FORMAT = re.compile(r"\sformat\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
CODE = re.compile(r"Code: (\d+)\.")
USERS = {"default": "", "ada": "s3cret,/?"}


class Connections:
    """Idle connections to the one engine."""

    def __init__(self, folder):
        self.folder = folder
        self.lock = threading.Lock()
        self.idle = []
        # It starts the engine, which would stop with the last connection: a query that fails closes its own, and tables of the
        # engine Memory would be empty.
        self.first = Session(folder)

    def take(self):
        with self.lock:
            if self.idle:
                return self.idle.pop()
            return Session(self.folder)

    def give_back(self, session):
        with self.lock:
            self.idle.append(session)


class Failure(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def failure(error):
    text = str(error)
    # The engine's interface puts words of its own in front.
    start = text.find("Code: ")
    text = text[max(start, 0):]
    code = CODE.match(text)
    return Failure(int(code.group(1)) if code else 1002, text)


ARROW_END = b"\xff\xff\xff\xff\0\0\0\0"


def one_stream(pieces):
    """The embedded engine makes a whole stream of Arrow of each block; a server makes one of all."""
    schema = None
    for piece in pieces:
        if not piece:
            continue
        if schema is None:
            # The first message, which has no body.
            schema = piece[:8 + int.from_bytes(piece[4:8], "little")]
            start = 0
        else:
            start = len(schema)
        if not piece.startswith(schema) or not piece.endswith(ARROW_END):
            raise Failure(1002, "Code: 1002. DB::Exception: a block is no stream of its own. (UNKNOWN_EXCEPTION)")
        yield piece[start:-len(ARROW_END)]
    if schema is not None:
        yield ARROW_END


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ClickHouse"
    connections = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def body(self):
        """The chunks of the request's body."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline() not in (b"\r\n", b"\n", b""):
                        pass
                    return
                left = size
                while left:
                    piece = self.rfile.read(min(left, 1 << 20))
                    if not piece:
                        raise ConnectionError("the body ends too early")
                    left -= len(piece)
                    yield piece
                self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length") or 0)
            while left:
                piece = self.rfile.read(min(left, 1 << 20))
                if not piece:
                    raise ConnectionError("the body ends too early")
                left -= len(piece)
                yield piece

    def answer(self):
        self.started = False
        body = self.body()
        try:
            url = urlsplit(self.path)
            if url.path == "/ping":
                self.whole(b"Ok.\n")
                return
            parameters = dict(parse_qsl(url.query, keep_blank_values=True))
            self.log_in(parameters)
            self.run(parameters, body)
        except Failure as error:
            # What is left of the request is read, so that the next one on this connection is understood.
            for _ in body:
                pass
            self.fail(error)
        except (BrokenPipeError, ConnectionError):
            self.close_connection = True

    def log_in(self, parameters):
        user = self.headers.get("X-ClickHouse-User") or parameters.get("user") or "default"
        password = self.headers.get("X-ClickHouse-Key") or parameters.get("password") or ""
        if USERS.get(user) != password:
            raise Failure(
                516, f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no "
                "user with such name. (AUTHENTICATION_FAILED)")

    def run(self, parameters, body):
        query = parameters.get("query", "")
        if not INSERT.match(query) or not FORMAT.search(query):
            query = "\n".join(part for part in (query, b"".join(body).decode()) if part)
        settings = {name: value for name, value in parameters.items() if name not in OWN}
        session = self.connections.take()
        database = parameters.get("database")
        sound = False
        try:
            if database:
                session.query(f"USE `{database}`")
            if settings:
                quoted = ", ".join(name + " = '" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
                                   for name, value in settings.items())
                session.query(f"SET {quoted}")
            if INSERT.match(query) and FORMAT.search(query) and FORMAT.search(query).group(1).lower() != "values":
                self.insert(session, query, body)
            else:
                self.select(session, query, parameters.get("default_format", "TabSeparated"))
            if settings:
                session.query("SET " + ", ".join(f"{name} = DEFAULT" for name in settings))
            if database:
                session.query("USE default")
            sound = True
        except (BrokenPipeError, ConnectionError):
            raise
        except Failure:
            raise
        except Exception as error:
            raise failure(error) from error
        finally:
            # One that failed keeps its settings: it is not used again.
            if sound:
                self.connections.give_back(session)
            else:
                session.close()

    def insert(self, session, query, body):
        match = FORMAT.search(query)
        inserter = session.send_insert(query[:match.start()], match.group(1))
        try:
            for piece in body:
                inserter.append(piece)
            result = inserter.finish()
        except BaseException:
            inserter.close()
            raise
        summary = f'{{"read_rows":"{result.rows_written}","written_rows":"{result.rows_written}"}}'
        self.whole(b"", {"X-ClickHouse-Summary": summary})

    def select(self, session, query, default_format):
        # Only what reads tables can be streamed.
        word = query.lstrip("( \n\t").split(None, 1)[0].lower() if query.strip() else ""
        if word not in ("select", "with"):
            self.whole(session.query(query, default_format).bytes())
            return
        stream = session.send_query(query, default_format)
        try:
            pieces = (piece.bytes() for piece in stream)
            named = FORMAT.search(query)
            if (named.group(1) if named else default_format).lower() == "arrowstream":
                pieces = one_stream(pieces)
            for data in pieces:
                if data:
                    self.chunk(data)
            if not self.started:
                # Formats with a frame have one for no rows, too.
                self.whole(session.query(query, default_format).bytes())
                return
        except (BrokenPipeError, ConnectionError):
            stream.cancel()
            raise
        finally:
            stream.close()
        self.wfile.write(b"0\r\n\r\n")

    def whole(self, data, headers=None):
        self.send_response(200)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def chunk(self, data):
        if not self.started:
            self.started = True
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("X-ClickHouse-Exception-Tag", "etletletletletle")
            self.end_headers()
        self.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")

    def fail(self, error):
        text = str(error).encode() + b"\n"
        if self.started:
            # As the server does: the exception in the body, and no chunk that ends it.
            block = b"\r\n__exception__\r\netletletletletle\r\n" + text
            block += b"%d etletletletletle\r\n__exception__\r\n" % len(text)
            self.wfile.write(b"%x\r\n" % len(block) + block + b"\r\n")
            self.wfile.flush()
            self.close_connection = True
            return
        self.send_response(403 if error.code == 516 else 404 if error.code in (60, 81) else 500)
        self.send_header("X-ClickHouse-Exception-Code", str(error.code))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    tls = None

    def finish_request(self, request, client_address):
        # So begins a handshake of TLS, and no request.
        if self.tls is None or request.recv(1, socket.MSG_PEEK) != b"\x16":
            super().finish_request(request, client_address)
            return
        try:
            secured = self.tls.wrap_socket(request, server_side=True)
        except OSError:
            # The client does not trust us.
            return
        with secured:
            super().finish_request(secured, client_address)


def main():
    folder, port = sys.argv[1], int(sys.argv[2])
    Handler.connections = Connections(folder)
    server = Server(("127.0.0.1", port), Handler)
    if len(sys.argv) > 3:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(*sys.argv[3:])
    server.serve_forever()


main()
