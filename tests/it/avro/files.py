"""Avro files by fastavro, an implementation that shares nothing with ours.

files.py read FILE                 prints each row as the list of its values
files.py schema FILE               prints the schema of the file, as it stands in it
files.py write FILE NAME CODEC     writes the rows NAME, a few in each block
"""

import datetime
import decimal
import json
import sys
import uuid

import fastavro

UTC = datetime.timezone.utc
MOMENT = datetime.datetime(2024, 2, 29, 12, 34, 56, 789123)


def of(avro, logical, **more):
    return dict(type=avro, logicalType=logical, **more)


LOGICAL = {
    "day": of("int", "date"),
    "millis": of("int", "time-millis"),
    "micros": of("long", "time-micros"),
    "at_millis": of("long", "timestamp-millis"),
    "at_micros": ["null", of("long", "timestamp-micros")],
    "at_nanos": of("long", "timestamp-nanos"),
    "local_millis": of("long", "local-timestamp-millis"),
    "local_micros": [of("long", "local-timestamp-micros"), "null"],
    "id": of("string", "uuid"),
    "price": of("bytes", "decimal", precision=12, scale=4),
    "long_price": ["null", of("fixed", "decimal", name="long_price", size=32, precision=76, scale=38)],
    "took": of("fixed", "duration", name="took", size=12),
}
PLAIN = {
    "flag": ["null", "boolean"],
    "small": "int",
    "large": ["long", "null"],
    "single": "float",
    "ratio": ["null", "double"],
    "name": ["null", "string"],
    "raw": "bytes",
    "three": {"type": "fixed", "name": "three", "size": 3},
    "colour": {"type": "enum", "name": "colour", "symbols": ["RED", "GREEN"]},
    "either": ["null", "int", "string"],
    "number": ["int", "long"],
}
NESTED = {
    "list": {"type": "array", "items": ["null", "int"]},
    "map": {"type": "map", "values": "long"},
    "inner": ["null", {"type": "record", "name": "inner", "fields": [
        {"name": "a", "type": "int"},
        {"name": "b", "type": ["null", "string"], "default": None},
    ]}],
    "again": ["null", "inner"],
}


def row(fields, *values):
    assert len(fields) == len(values)
    return dict(zip(fields, values))


ROWS = {
    "logical": (LOGICAL, [
        row(LOGICAL, datetime.date(1969, 12, 31), datetime.time(1, 2, 3, 4000), datetime.time(23, 59, 59, 999999),
            MOMENT.replace(microsecond=789000, tzinfo=UTC), MOMENT.replace(tzinfo=UTC), -1,
            MOMENT.replace(microsecond=789000), MOMENT, uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad91"),
            decimal.Decimal("-12345678.9012"), decimal.Decimal("-" + "9" * 38 + "." + "9" * 38),
            b"\x01\0\0\0\x02\0\0\0\x03\0\0\0"),
        row(LOGICAL, datetime.date(9999, 12, 31), datetime.time(0), datetime.time(0),
            datetime.datetime(1, 1, 1, tzinfo=UTC), None, 1709210096789123456,
            datetime.datetime(9999, 12, 31, 23, 59, 59, 999000), None, uuid.UUID(int=0),
            decimal.Decimal("0.0001"), None, b"\0" * 12),
    ]),
    "plain": (PLAIN, [
        row(PLAIN, True, -2**31, 2**63 - 1, 1.5, -0.0, "say \"hi\", 雪 😀", b"\0\xff", b"abc", "GREEN", 7, 1),
        row(PLAIN, None, 2**31 - 1, None, 0.0, 1e300, "", b"", b"\0\0\0", "RED", "seven", 2**40),
        row(PLAIN, False, 0, -2**63, -1.25, None, None, b"x", b"\\\"\n", "RED", None, -1),
    ]),
    "nested": (NESTED, [
        row(NESTED, [1, None, 3], {"k": 1, "": -1}, {"a": 1, "b": "x"}, None),
        row(NESTED, [], {}, None, {"a": 2, "b": None}),
    ]),
    "many": ({"id": "long", "text": "string"}, [{"id": n, "text": f"text {n}"} for n in range(20_000)]),
}


def main(command, path, *more):
    if command == "read":
        with open(path, "rb") as file:
            for record in fastavro.reader(file):
                print(list(record.values()))
    elif command == "schema":
        with open(path, "rb") as file:
            print(json.dumps(json.loads(fastavro.reader(file).metadata["avro.schema"])))
    elif command == "write":
        name, codec = more
        fields, rows = ROWS[name]
        fields = [{"name": key, "type": value} for key, value in fields.items()]
        schema = {"type": "record", "name": name, "doc": "not ours", "fields": fields}
        with open(path, "wb") as file:
            fastavro.writer(file, schema, rows, codec=codec, sync_interval=200)


main(*sys.argv[1:])
