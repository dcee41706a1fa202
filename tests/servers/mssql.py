"""A stand-in for SQL Server: TDS of version 7.4 as `python-tds` reads and writes it, over tables in memory.

    python mssql.py [CERTIFICATE KEY]

It prints its port and ends with its standard input. It is no database: it knows the statements of `etl` by their shape, and shows that
what goes over the wire is what an independent codec takes it for. Types of dates and times are read and written by `mssql_tables`,
since `python-tds` has microseconds and no more. What a transaction or a lock of the real one does, it does not prove.

Statements of the tests: `TEST TABLE {"name", "columns": [[name, type]], "key", "rows", "options"}`, `TEST SHOW name`, `TEST LOG`,
`TEST SNAPSHOTS on`.
"""

import re
import socket
import socketserver
import ssl
import struct
import sys
import threading
from types import SimpleNamespace

from mssql_tables import COLLATION, TABLE, Database, Refusal, Session, take, type_from_stream, type_of
from pytds import tds_base
from pytds.tds_reader import _TdsReader
from pytds.tds_writer import _TdsWriter

USERS = {"sa": "s3cret,/?"}
BATCH, RPC, ATTENTION, BULK, LOGIN, PRELOGIN, ANSWER = 1, 3, 6, 7, 16, 18, 4
NULLABLE, UPDATEABLE = 1, 8


class Peer:
    """What python-tds asks of the session that a reader and a writer belong to."""

    tds_version = tds_base.TDS74
    tzinfo_factory = None
    use_tz = None
    _tds = SimpleNamespace(_login=SimpleNamespace(bytes_to_unicode=True))


class Plaintext:
    def __init__(self, connection):
        self.connection = connection

    def sendall(self, data, flags=0):
        self.connection.sendall(data)

    def recv_into(self, buffer, size=0, flags=0):
        return self.connection.recv_into(buffer, size)


class Packets:
    """The bytes of a TLS handshake in packets of TDS; when it is over, as they are."""

    def __init__(self, connection, context):
        self.connection = connection
        self.coming, self.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.coming, self.going, server_side=True)
        while True:
            try:
                self.tls.do_handshake()
                self.flight()
                return
            except ssl.SSLWantReadError:
                self.flight()
                header = exactly(connection, 8)
                assert header[0] == PRELOGIN, header
                self.coming.write(exactly(connection, struct.unpack(">H", header[2:4])[0] - 8))

    def flight(self):
        data = self.going.read()
        if data:
            self.connection.sendall(struct.pack(">BBHHBB", PRELOGIN, 1, len(data) + 8, 0, 0, 0) + data)

    def sendall(self, data, flags=0):
        self.tls.write(bytes(data))
        self.connection.sendall(self.going.read())

    def recv_into(self, buffer, size=0, flags=0):
        while True:
            try:
                return self.tls.read(size, buffer)
            except ssl.SSLWantReadError:
                data = self.connection.recv(1 << 16)
                if not data:
                    return 0
                self.coming.write(data)


def exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise tds_base.ClosedConnectionError()
        data += piece
    return data


def options_of(message):
    options, at = {}, 0
    while message[at] != 0xFF:
        name, start, size = struct.unpack(">BHH", message[at:at + 5])
        options[name] = message[start:start + size]
        at += 5
    return options


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            self.serve()
        except (tds_base.ClosedConnectionError, ConnectionError, ssl.SSLError):
            pass

    def serve(self):
        connection, server = self.request, self.server
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if connection.recv(1, socket.MSG_PEEK) == b"\x16":
            connection = server.strict.wrap_socket(connection, server_side=True)
            assert connection.selected_alpn_protocol() == "tds/8.0"
        transport = Plaintext(connection)
        header = exactly(connection, 8)
        wanted = options_of(exactly(connection, struct.unpack(">H", header[2:4])[0] - 8))[1][0]
        has_tls = server.inner is not None and wanted in (1, 3)
        message = struct.pack(">BHHBHHB", 0, 11, 6, 1, 17, 1, 0xFF) + b"\x10\0\0\0\0\0" + bytes([1 if has_tls else 2])
        connection.sendall(struct.pack(">BBHHBB", ANSWER, 1, len(message) + 8, 0, 1, 0) + message)
        if has_tls:
            transport = Packets(connection, server.inner)
        self.reader = _TdsReader(Peer(), transport, 4096)
        self.writer = _TdsWriter(transport, 4096, Peer())
        self.session, self.packet_bytes = Session(server.database), 4096
        while True:
            kind = self.reader.begin_response().type
            self.writer.begin_packet(ANSWER)
            if kind == LOGIN:
                self.login()
            elif kind == BATCH:
                self.headers()
                self.batch(self.rest().decode("utf-16-le"))
            elif kind == RPC:
                self.headers()
                self.call()
            elif kind == BULK:
                self.load()
            elif kind == ATTENTION:
                self.rest()
                self.done(0x20)
            else:
                raise ConnectionError(f"a packet of type {kind}")
            self.writer.flush()
            self.writer.bufsize = self.packet_bytes
            # A value that goes on in the next packet is told by the end of the buffer.
            self.reader.set_block_size(self.packet_bytes)

    def rest(self):
        data = b""
        while not self.reader.stream_finished():
            data += self.reader.recv(1 << 15)
        return bytes(data)

    def headers(self):
        tds_base.readall(self.reader, take(self.reader, 4) - 4)

    def done(self, status=0, count=None):
        self.writer.pack(struct.Struct("<BHHQ"), 0xFD, status | (0x10 if count is not None else 0), 0, count or 0)

    def refuse(self, number, message):
        self.writer.put_byte(0xAA)
        body = struct.pack("<iBBH", number, 1, 14, len(message)) + message.encode("utf-16-le")
        body += bytes([4]) + "here".encode("utf-16-le") + bytes([0]) + struct.pack("<i", 1)
        self.writer.put_usmallint(len(body))
        self.writer.write(body)
        self.done(2)

    def login(self):
        message = self.rest()
        size = struct.unpack("<I", message[8:12])[0]

        def field(at):
            start, length = struct.unpack("<HH", message[at:at + 4])
            return message[start:start + 2 * length]

        user = field(40).decode("utf-16-le")
        hidden = bytes(byte ^ 0xA5 for byte in field(44))
        password = bytes((byte << 4 | byte >> 4) & 0xFF for byte in hidden).decode("utf-16-le")
        if USERS.get(user) != password:
            return self.refuse(18456, f"Login failed for user '{user}'.")
        size = min(max(size, 512), 32767) or 4096
        new, old = str(size), "4096"
        change = bytes([4, len(new)]) + new.encode("utf-16-le") + bytes([len(old)]) + old.encode("utf-16-le")
        for change in (change, bytes([7, 5]) + COLLATION.pack() + bytes([0])):
            self.writer.put_byte(0xE3)
            self.writer.put_usmallint(len(change))
            self.writer.write(change)
        name = "Microsoft SQL Server"
        ack = struct.pack(">BI", 1, 0x74000004) + bytes([len(name)]) + name.encode("utf-16-le") + bytes([16, 0, 0, 0])
        self.writer.put_byte(0xAD)
        self.writer.put_usmallint(len(ack))
        self.writer.write(ack)
        self.done()
        self.packet_bytes = size

    def batch(self, sql):
        try:
            answer = self.session.run(sql)
        except Refusal as refusal:
            return self.refuse(refusal.number, str(refusal))
        if answer is None:
            return self.done()
        columns, rows, _ = answer
        self.rows(columns, rows)

    def rows(self, columns, rows):
        writer, types = self.writer, [type_of(declared) for _, declared in columns]
        writer.put_byte(0x81)
        writer.put_usmallint(len(columns))
        for (name, _), kind in zip(columns, types):
            writer.put_uint(0)
            writer.put_usmallint(NULLABLE | UPDATEABLE)
            writer.put_byte(kind.type)
            kind.write_info(writer)
            writer.write_b_varchar(name)
        for row in rows:
            # Where there are NULLs the server tells them by a bitmap.
            nulls = [value is None for value in row]
            if any(nulls):
                writer.put_byte(0xD2)
                bits = sum(1 << at for at, is_null in enumerate(nulls) if is_null)
                writer.write(bits.to_bytes((len(row) + 7) // 8, "little"))
            else:
                writer.put_byte(0xD1)
            for kind, value in zip(types, row):
                if value is not None:
                    kind.write(writer, value)
        self.done(count=len(rows))

    def load(self):
        """Rows of INSERT BULK, as COLMETADATA tells their types."""
        reader, table = self.reader, self.session.bulk
        assert reader.get_byte() == 0x81
        types = []
        for at in range(reader.get_usmallint()):
            reader.get_uint()
            reader.get_usmallint()
            types.append(type_from_stream(reader))
            assert reader.read_ucs2(reader.get_byte()) == table.columns[at][0]
        count = 0
        while True:
            token = reader.get_byte()
            if token == 0xFD:
                tds_base.readall(reader, 12)
                break
            assert token == 0xD1, token
            table.rows.append([kind.read(reader) for kind in types])
            count += 1
        assert reader.stream_finished()
        self.session.bulk = None
        self.done(count=count)

    def call(self):
        """sp_executesql with an INSERT."""
        reader = self.reader
        assert reader.get_smallint() == -1 and reader.get_smallint() == 10
        reader.get_usmallint()
        values = []
        while not reader.stream_finished():
            reader.read_ucs2(reader.get_byte())
            reader.get_byte()
            kind = type_from_stream(reader)
            values.append(None if kind is None else kind.read(reader))
        sql, _, *values = values
        with self.server.database.lock:
            self.server.database.log.append(sql)
            found = re.match(rf"^INSERT INTO {TABLE} \((.*)\) VALUES", sql)
            self.session.insert(*found.groups(), values)
        self.writer.pack(struct.Struct("<BHHQ"), 0xFF, 0x11, 0, 1)
        self.writer.put_byte(0x79)
        self.writer.put_int(0)
        self.writer.pack(struct.Struct("<BHHQ"), 0xFE, 0, 0, 0)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def context(certificate, key):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    return made


def main():
    server = Server(("127.0.0.1", 0), Handler)
    server.database, server.inner, server.strict = Database(), None, None
    if len(sys.argv) > 2:
        server.inner, server.strict = context(*sys.argv[1:3]), context(*sys.argv[1:3])
        server.strict.set_alpn_protocols(["tds/8.0"])
        # As the real one does: what comes after a handshake of 1.3 has no place in packets.
        server.inner.maximum_version = ssl.TLSVersion.TLSv1_2
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
