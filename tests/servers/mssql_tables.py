"""What the stand-in for SQL Server holds: types and how their values go over the wire, tables, and the statements that it knows."""

import copy
import json
import re
import struct
import threading
from datetime import date
from decimal import Context, Decimal
from uuid import UUID

from pytds import tds_base, tds_types
from pytds.collate import Collation

COLLATION = Collation(0x409, 0, True, False, True, True, False, False, 0)
FACTORY = tds_types.SerializerFactory(tds_base.TDS74)


# Types: how a value goes over the wire. In tables values are as JSON has them: decimals and times as text, bytes as digits.


def increments(text, scale):
    """`HH:MM:SS.fffffff` in steps of its scale."""
    clock, _, fraction = text.partition(".")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * 10**scale + int((fraction + "0" * 7)[:scale] or 0)


def clock(steps, scale):
    seconds, fraction = divmod(steps, 10**scale)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{fraction:0{scale}}" if scale else text


def day_number(text):
    return date.fromisoformat(text).toordinal() - 1


def day(number):
    return date.fromordinal(number + 1).isoformat()


def take(reader, size):
    return int.from_bytes(tds_base.readall(reader, size), "little")


class Temporal:
    """Date, time, datetime2 and datetimeoffset, as [MS-TDS] 2.2.5.5.1 has them."""

    def __init__(self, name, scale):
        self.name, self.scale = name, scale
        self.type = {"date": 0x28, "time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}[name]
        self.time_bytes = 0 if name == "date" else 3 if scale < 3 else 4 if scale < 5 else 5

    @classmethod
    def from_stream(cls, name, reader):
        return cls(name, 0 if name == "date" else reader.get_byte())

    def write_info(self, writer):
        if self.name != "date":
            writer.put_byte(self.scale)

    def write(self, writer, value):
        if value is None:
            return writer.put_byte(0)
        parts = b""
        if self.name == "datetimeoffset":
            moment, offset = value.rsplit(" ", 1)
            sign = -1 if offset[0] == "-" else 1
            minutes = sign * (int(offset[1:3]) * 60 + int(offset[4:6]))
            the_day, time = moment.split(" ")
            total = day_number(the_day) * 86400 * 10**self.scale + increments(time, self.scale)
            days, steps = divmod(total - minutes * 60 * 10**self.scale, 86400 * 10**self.scale)
            parts = steps.to_bytes(self.time_bytes, "little") + days.to_bytes(3, "little") + struct.pack("<h", minutes)
        else:
            the_day, _, time = value.partition(" ") if self.name == "datetime2" else (value, "", value)
            if self.name != "date":
                parts += increments(time, self.scale).to_bytes(self.time_bytes, "little")
            if self.name != "time":
                parts += day_number(the_day).to_bytes(3, "little")
        writer.put_byte(len(parts))
        writer.write(parts)

    def read(self, reader):
        size = reader.get_byte()
        if size == 0:
            return None
        assert size == self.time_bytes + {"date": 3, "time": 0, "datetime2": 3, "datetimeoffset": 5}[self.name], size
        steps = take(reader, self.time_bytes)
        assert steps < 86400 * 10**self.scale, steps
        if self.name == "time":
            return clock(steps, self.scale)
        days = take(reader, 3)
        if self.name == "date":
            return day(days)
        if self.name == "datetime2":
            return f"{day(days)} {clock(steps, self.scale)}"
        offset = struct.unpack("<h", tds_base.readall(reader, 2))[0]
        assert offset == 0, "instants are written in UTC"
        return f"{day(days)} {clock(steps, self.scale)} +00:00"


class Old:
    """datetime and smalldatetime: days since 1900, and 1/300 s or minutes."""

    type = 0x6F

    def __init__(self, size):
        self.size = size

    def write_info(self, writer):
        writer.put_byte(self.size)

    def write(self, writer, value):
        if value is None:
            return writer.put_byte(0)
        the_day, time = value.split(" ")
        days, millis = day_number(the_day) - day_number("1900-01-01"), increments(time, 3)
        writer.put_byte(self.size)
        if self.size == 8:
            writer.write(struct.pack("<iI", days, round(millis * 3 / 10)))
        else:
            writer.write(struct.pack("<HH", days, millis // 60000))


class Plain:
    """Any other type, by python-tds."""

    def __init__(self, declared, serializer=None):
        self.declared = declared
        if serializer is None:
            sql_type = tds_types.sql_type_by_declaration(declared.replace("binary(", "varbinary(").replace("varvar", "var"))
            serializer = FACTORY.serializer_by_type(sql_type=sql_type, collation=COLLATION)
        self.inner, self.type = serializer, serializer.type

    def write_info(self, writer):
        self.inner.write_info(writer)

    def write(self, writer, value):
        name = self.declared.split("(")[0]
        if value is not None:
            if name in ("decimal", "numeric", "money", "smallmoney"):
                value = Decimal(value)
            elif name in ("binary", "varbinary", "image", "rowversion"):
                value = bytes.fromhex(value)
            elif name == "uniqueidentifier":
                value = UUID(value)
        self.inner.write(writer, value)

    def read(self, reader):
        value = self.inner.read(reader)
        if isinstance(value, (bytes, bytearray)):
            return bytes(value).hex()
        if isinstance(value, Decimal):
            # With all digits of its scale, which python-tds leaves out.
            exact = Context(prec=40).quantize(value, Decimal(1).scaleb(-self.inner.scale))
            return format(abs(exact) if exact == 0 else exact, "f")
        return str(value) if isinstance(value, UUID) else value


def type_of(declared):
    declared = "binary(8)" if declared == "rowversion" else declared
    name, _, arguments = declared.partition("(")
    if name in ("date", "time", "datetime2", "datetimeoffset"):
        return Temporal(name, int(arguments.rstrip(")") or 7) if name != "date" else 0)
    if name in ("datetime", "smalldatetime"):
        return Old(8 if name == "datetime" else 4)
    return Plain(declared)


def type_from_stream(reader):
    """TYPE_INFO, as it stands before a parameter or in COLMETADATA."""
    number = reader.get_byte()
    temporal = {0x28: "date", 0x29: "time", 0x2A: "datetime2", 0x2B: "datetimeoffset"}.get(number)
    if temporal:
        return Temporal.from_stream(temporal, reader)
    if number == 0x1F:
        return None
    return Plain("", FACTORY.get_type_serializer(number).from_stream(reader))


# Tables.


class Refusal(Exception):
    def __init__(self, number, message):
        super().__init__(message)
        self.number = number


class Table:
    def __init__(self, columns, key=(), rows=(), options=()):
        self.columns = [tuple(column) for column in columns]
        self.key, self.rows, self.options = list(key), [list(row) for row in rows], dict(options)

    def place(self, name):
        for place, (known, _) in enumerate(self.columns):
            if known == name:
                return place
        raise Refusal(207, f"Invalid column name '{name}'.")


class Database:
    def __init__(self):
        self.lock = threading.RLock()
        self.tables, self.log, self.snapshots = {}, [], True

    def table(self, name):
        name = plain(name)
        if name not in self.tables:
            raise Refusal(208, f"Invalid object name '{name}'.")
        return self.tables[name]


def plain(name):
    """`[dbo].[t]` and `t` are `t`."""
    parts = re.findall(r"\[((?:[^\]]|\]\])*)\]|(\w+)", name)
    return [(bracketed.replace("]]", "]") or word) for bracketed, word in parts][-1]


NAME = r"(?:\[(?:[^\]]|\]\])*\]|\w+)"
TABLE = rf"({NAME}(?:\.{NAME})?)"


def text(literal):
    return literal.replace("''", "'")


def columns_of_create(body):
    """Names and types between the parentheses of CREATE TABLE, and the columns of its key."""
    key = re.search(r"PRIMARY KEY \(([^()]*)\)", body)
    columns = []
    for line in re.split(r",(?![^(]*\))", body):
        found = re.match(rf"\s*({NAME})\s+([a-z0-9_]+(?:\([^)]*\))?)", line)
        if found and not line.strip().startswith("PRIMARY"):
            columns.append((plain(found.group(1)), found.group(2)))
    names = [plain(name) for name in key.group(1).split(", ")] if key else []
    return columns, names


class Session:
    """The statements of one connection. Each answer is a list of columns, rows, and a count."""

    def __init__(self, database):
        self.database, self.saved, self.bulk = database, None, None

    def run(self, sql):
        with self.database.lock:
            self.database.log.append(sql)
            return self.answer(sql)

    def answer(self, sql):
        if sql.startswith("TEST "):
            return self.test(sql[5:])
        if "BEGIN TRANSACTION" in sql:
            self.saved = copy.deepcopy(self.database.tables)
        if re.search(r"\bROLLBACK\b", sql) and self.saved is not None:
            self.database.tables, self.saved = self.saved, None
        if re.search(r"\bCOMMIT\b", sql):
            self.saved = None
        for pattern, handle in HANDLERS:
            found = re.search(pattern, sql, re.DOTALL)
            if found:
                return handle(self, *found.groups())
        # The last two are those of python-tds as a client.
        if re.match(r"\s*(SET|BEGIN|COMMIT|IF @@TRANCOUNT|EXEC sp_releaseapplock|USE|ROLLBACK)\b", sql, re.IGNORECASE):
            return None
        raise Refusal(102, f"Incorrect syntax near '{sql[:60]}'.")

    def test(self, rest):
        word, _, argument = rest.partition(" ")
        if word == "TABLE":
            spec = json.loads(argument)
            name = spec.pop("name")
            self.database.tables[name] = Table(**spec)
            return None
        if word == "SNAPSHOTS":
            self.database.snapshots = argument == "on"
            return None
        if word == "LOG":
            return [("line", "nvarchar(max)")], [[line] for line in self.database.log], None
        table = self.database.table(argument)
        rows = [[json.dumps(row, ensure_ascii=False)] for row in table.rows]
        head = [[json.dumps(table.columns, ensure_ascii=False)]]
        return [("line", "nvarchar(max)")], head + rows, None

    # Of the catalog.

    def find(self, name):
        shape = [("s", "nvarchar(128)"), ("o", "nvarchar(128)"), ("t", "nvarchar(2)"), ("r", "bigint"), ("b", "bigint")]
        name = plain(text(name))
        if name not in self.database.tables:
            return shape, [], None
        rows = len(self.database.tables[name].rows)
        pages = self.database.tables[name].options.get("pages", rows // 100)
        return shape, [["dbo", name, "U", rows, pages]], None

    def columns(self, name):
        table = self.database.table(text(name))
        shape = [("n", "nvarchar(128)"), ("t", "nvarchar(128)")] + [(str(at), "bigint") for at in range(7)]
        rows = []
        for column, declared in table.columns:
            base, _, arguments = declared.partition("(")
            numbers = [-1 if part == "max" else int(part) for part in arguments.rstrip(")").split(",") if part]
            size, digits = 0, (0, 0)
            if base in ("decimal", "numeric"):
                digits = tuple(numbers)
            elif base in ("time", "datetime2", "datetimeoffset"):
                digits = (0, numbers[0])
            elif numbers:
                size = numbers[0] * (2 if base in ("nchar", "nvarchar") and numbers[0] > 0 else 1)
            is_identity = column in table.options.get("identity", [])
            nullable = column not in table.key
            rows.append([column, "timestamp" if base == "rowversion" else base, size, *digits, nullable, is_identity,
                         base == "rowversion", 0, "Latin1_General_CI_AS" if base in ("char", "varchar") else None])
        rows = [[int(value) if isinstance(value, bool) else value for value in row] for row in rows]
        return shape + [("c", "nvarchar(128)")], rows, None

    def key(self, name):
        return [("n", "nvarchar(128)")], [[column] for column in self.database.table(text(name)).key], None

    def exists(self, name):
        return [("n", "bigint")], [[1 if plain(text(name)) in self.database.tables else None]], None

    def beside(self, start):
        names = sorted(name for name in self.database.tables if name.startswith(text(start)))
        return [("n", "nvarchar(128)")], [[name] for name in names], None

    def describe(self, query):
        # The only query: columns of one table, of which one may come again; one that is cast has no name.
        chosen, name = re.search(rf"^SELECT (.*) FROM {TABLE}", text(query)).groups()
        columns, _, _ = self.select(None, chosen, name, None)
        shape = [("n", "nvarchar(128)"), ("t", "nvarchar(128)"), ("u", "bigint"), ("e", "nvarchar(128)")]
        unnamed = {place for place, item in enumerate(items(chosen)) if item.startswith("CAST(")}
        named = [(None if place in unnamed else name, declared) for place, (name, declared) in enumerate(columns)]
        return shape, [[name, declared, 1, None] for name, declared in named], None

    # Definitions and rows.

    def create(self, name, body):
        if plain(name) in self.database.tables:
            raise Refusal(2714, f"There is already an object named '{plain(name)}' in the database.")
        columns, key = columns_of_create(body)
        self.database.tables[plain(name)] = Table(columns, key)

    def drop(self, name):
        self.database.table(name)
        del self.database.tables[plain(name)]

    def delete(self, name):
        if plain(name) != "etl_commits":
            self.database.table(name).rows.clear()

    def mark(self, name, token):
        self.database.table(name).rows.append([text(token), None])

    def is_marked(self, name, token):
        rows = [row for row in self.database.table(name).rows if row[0] == text(token)]
        return [("n", "bigint")], [[len(rows)]], None

    def count(self, name):
        return [("n", "bigint")], [[len(self.database.table(name).rows)]], None

    def fill(self, target, columns, places, source):
        target, source = self.database.table(target), self.database.table(source)
        into = [target.place(plain(column)) for column in columns.split(", ")]
        out_of = [source.place(plain(column)) for column in places.split(", ")]
        for row in source.rows:
            new = [None] * len(target.columns)
            for to, place in zip(into, out_of):
                new[to] = row[place]
            target.rows.append(new)
        return [("n", "bigint")], [[len(source.rows)]], None

    def lost(self, name, column):
        table = self.database.table(name)
        place = table.place(plain(column))

        def changes(value):
            return value is not None and value.encode("cp1252", "replace").decode("cp1252") != value

        return [("n", "int")], [[1] for row in table.rows if changes(row[place])][:1], None

    def ends(self, column, name):
        table = self.database.table(name)
        values = [row[table.place(plain(column))] for row in table.rows]
        return [("a", "bigint"), ("b", "bigint")], [[min(values, default=None), max(values, default=None)]], None

    def top(self, name):
        return [("n", "int")], [[1] for _ in self.database.table(name).rows[:1]], None

    def select(self, top, chosen, name, condition):
        table = self.database.table(name)
        rows = table.rows
        for column, sign, number in re.findall(rf"({NAME}) (>=|<) (-?\d+)", condition or ""):
            place, number = table.place(plain(column)), int(number)
            rows = [row for row in rows if (row[place] >= number if sign == ">=" else row[place] < number)]
        if top:
            rows = rows[:int(top)]
        if chosen == "*":
            return table.columns, rows, None
        shape, places = [], []
        for item in items(chosen):
            cast = re.match(rf"CAST\(({NAME}) AS (.*)\)$", item)
            if not cast and item == "1":
                return [("n", "int")], [[1] for _ in rows], None
            place = table.place(plain(cast.group(1) if cast else item))
            places.append(place)
            shape.append((table.columns[place][0], cast.group(2) if cast else table.columns[place][1]))
        return shape, [[row[place] for place in places] for row in rows], None

    def begin_bulk(self, name, columns):
        declared = re.findall(rf"({NAME}) ([a-z0-9]+(?:\([^)]*\))?)", columns.lower().replace(", ", ",").replace(",[", ", ["))
        table = self.database.table(name)
        said = [(plain(column), re.sub(r"^(time|datetimeoffset)$", r"\1(7)", kind)) for column, kind in declared]
        if said != table.columns:
            raise Refusal(4816, f"Invalid column type from bcp client: {said} for {table.columns}.")
        self.bulk = table

    def insert(self, name, columns, values):
        table = self.database.table(name)
        assert [plain(column) for column in columns.split(", ")] == [column for column, _ in table.columns]
        table.rows.append(values)


def items(chosen):
    return re.split(r", (?![^(]*\))", chosen)


LITERAL = r"N'((?:[^']|'')*)'"
HANDLERS = [
    (rf"^SELECT s\.name, o\.name, RTRIM.*OBJECT_ID\({LITERAL}\)", Session.find),
    (rf"^SELECT c\.name, CASE .*OBJECT_ID\({LITERAL}\)", Session.columns),
    (rf"^SELECT c\.name FROM sys\.indexes.*OBJECT_ID\({LITERAL}\)", Session.key),
    (rf"^SELECT CAST\(OBJECT_ID\({LITERAL}, N'U'\)", Session.exists),
    (rf"^SELECT o\.name FROM sys\.objects .*LEFT\(o\.name, \d+\) = {LITERAL}", Session.beside),
    (rf"dm_exec_describe_first_result_set\({LITERAL},", Session.describe),
    (r"^SELECT s\.name, o\.name FROM sys\.objects", lambda session: (
        [("s", "nvarchar(128)"), ("o", "nvarchar(128)")],
        [["dbo", name] for name in sorted(session.database.tables)], None)),
    (r"^SELECT SCHEMA_NAME\(\)$", lambda session: ([("n", "nvarchar(128)")], [["dbo"]], None)),
    (r"^SELECT CAST\(snapshot_isolation_state", lambda session: (
        [("a", "bigint"), ("b", "bigint")], [[int(session.database.snapshots), 0]], None)),
    (r"^SELECT CAST\(SERVERPROPERTY", lambda session: (
        [("v", "nvarchar(128)"), ("u", "nvarchar(128)"), ("d", "nvarchar(128)"), ("s", "nvarchar(128)"), ("i", "bigint"),
         ("c", "nvarchar(128)")],
        [["16.0.0.0", "sa", "shop", "dbo", int(session.database.snapshots), "Latin1_General_CI_AS"]], None)),
    (r"sp_getapplock", lambda session: ([("n", "bigint")], [[0]], None)),
    (r"^SELECT 1$", lambda session: ([("n", "int")], [[1]], None)),
    (rf"^CREATE TABLE {TABLE} \((.*)\)$", Session.create),
    (rf"^DROP TABLE {TABLE}$", Session.drop),
    (rf"^DELETE FROM {TABLE}", Session.delete),
    (rf"^INSERT INTO {TABLE} \(token\) VALUES \({LITERAL}\)$", Session.mark),
    (rf"^SELECT COUNT_BIG\(\*\) FROM {TABLE} WITH \(UPDLOCK, HOLDLOCK\) WHERE token = {LITERAL}$", Session.is_marked),
    (rf"^SELECT COUNT_BIG\(\*\) FROM {TABLE}$", Session.count),
    (rf"^INSERT INTO {TABLE}(?: WITH \(TABLOCK\))? \((.*)\) SELECT (.*) FROM {TABLE}; SELECT ROWCOUNT_BIG\(\)$", Session.fill),
    (rf"^SELECT TOP \(1\) 1 FROM {TABLE} WHERE .*<> ({NAME}) COLLATE", Session.lost),
    (rf"^SELECT CAST\(MIN\(({NAME})\) AS bigint\), .* FROM {TABLE}$", Session.ends),
    (rf"SELECT TOP \(1\) 1 FROM {TABLE}", Session.top),
    (rf"^INSERT BULK {TABLE}\s*\((.*)\)(?: WITH \(TABLOCK\))?\s*$", Session.begin_bulk),
    (rf"^SELECT (?:TOP \(?(\d+)\)? )?(.*) FROM {TABLE}(?: WHERE (.*))?$", Session.select),
]
