"""Other programs on the same way, for the benchmark of databases: DuckDB, ConnectorX and ADBC.

    peer.py check PART...                                 what is missing of duckdb, mysql, postgres, connectorx, adbc; nothing: all is there
    peer.py duckdb FILE SQL [mysql=DSN] [postgres=URL]    one statement, with these servers attached under these names
    peer.py connectorx URL SQL [COLUMN CHANNELS]          all rows as an Arrow table
    peer.py parquet connectorx|adbc URL SQL FILE          all rows into a Parquet file, by pyarrow

Prints seconds, seconds of CPU and the peak of memory in bytes. Importing, and loading of extensions, is not counted; connecting is.
"""

import glob
import importlib.util
import resource
import sys
import time


def extension(con, name):
    """Loads a scanner: out of its package on PyPI, which has to be of DuckDB's version, or as DuckDB finds it."""
    import duckdb

    found = importlib.util.find_spec(f"duckdb_extension_{name}_scanner")
    pattern = f"extensions/v{duckdb.__version__}/*.duckdb_extension"
    folders = found.submodule_search_locations if found else []
    files = [file for folder in folders for file in glob.glob(f"{folder}/{pattern}")]
    if files:
        con.execute(f"load '{files[0]}'")
        return
    try:
        con.execute(f"load {name}")
    except duckdb.Error:
        con.execute(f"install {name}")
        con.execute(f"load {name}")


def lack(part):
    """Why `part` cannot be used, in a sentence, or None."""
    modules = {"connectorx": ["connectorx", "pyarrow"], "adbc": ["adbc_driver_postgresql", "pyarrow"]}
    for needed in modules.get(part, ["duckdb"]):
        if importlib.util.find_spec(needed) is None:
            return f"the Python of ETL_BENCH_PYTHON has no {needed}: pip install {needed.replace('_', '-')}"
    if part in ("mysql", "postgres"):
        import duckdb

        try:
            extension(duckdb.connect(), part)
        except Exception:
            package = f"duckdb-extension-{part}-scanner"
            return (
                f"DuckDB {duckdb.__version__} has no extension {part}: INSTALL {part} on a machine with a network, or "
                f"pip install duckdb and {package} of one and the same version"
            )
    return None


def duckdb_work(file, sql, *servers):
    import duckdb

    con = duckdb.connect(file)
    servers = [server.split("=", 1) for server in servers]
    for name, _ in servers:
        extension(con, name)
    con.execute("set enable_progress_bar = false")

    def run():
        for name, place in servers:
            con.execute(f"attach '{place}' as {name} (type {name})")
            if name == "mysql":
                # Numbers as numbers, as they are with us: the targets have the same columns.
                con.execute("set mysql_tinyint1_as_boolean = false")
        con.execute(sql)
        con.close()

    return run


def connectorx_work(url, sql, column=None, channels=None):
    import connectorx
    import pyarrow  # noqa: F401  connectorx imports it late

    def run():
        cut = {"partition_on": column, "partition_num": int(channels)} if column else {}
        connectorx.read_sql(url, sql, return_type="arrow", protocol="binary", **cut)

    return run


def parquet_work(reader, url, sql, file):
    import pyarrow.parquet as parquet

    def written(schema, batches):
        with parquet.ParquetWriter(file, schema, compression="zstd", compression_level=1) as writer:
            for batch in batches:
                writer.write_batch(batch)

    if reader == "connectorx":
        import connectorx

        def run():
            table = connectorx.read_sql(url, sql, return_type="arrow", protocol="binary")
            written(table.schema, table.to_batches())

        return run

    from adbc_driver_postgresql import dbapi

    def run():
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            reader = cursor.fetch_record_batch()
            written(reader.schema, reader)

    return run


def main():
    what, *words = sys.argv[1:]
    if what == "check":
        print("; ".join(filter(None, map(lack, words))))
        return
    run = {"duckdb": duckdb_work, "connectorx": connectorx_work, "parquet": parquet_work}[what](*words)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    run()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(wall, cpu, after.ru_maxrss * 1024)


main()
