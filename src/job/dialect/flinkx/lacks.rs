//! What of job files of `FlinkX` does nothing here, with what is done instead. What stands here is noted where it is given.

use super::super::lacks::{AbsentPlugin, IdleKey, Lacks, idle};

/// Readers of relational databases.
pub(super) const READERS: &str = "readers of databases";
/// The same, where nothing says which rows are new.
pub(super) const WHOLE_READERS: &str = "readers of databases without increColumn";
/// What a reader of tables says of a column.
pub(super) const COLUMNS: &str = "columns of readers of databases";
/// Writers of relational databases.
pub(super) const WRITERS: &str = "writers of databases";
pub(super) const STREAM_READER: &str = "streamreader";
/// What it says of a column.
pub(super) const STREAM_COLUMNS: &str = "columns of streamreader";
pub(super) const STREAM_WRITER: &str = "streamwriter";
/// Readers and writers of text.
pub(super) const TEXT: &str = "readers and writers of text";
pub(super) const TEXT_WRITERS: &str = "writers of text";
/// What stands beside reader and writer of a job.
pub(super) const CONTENT: &str = "job.content";
/// What stands beside `job.content`.
pub(super) const JOB: &str = "job";

/// All of it.
pub(in super::super) const LACKS: Lacks = Lacks { program: "FlinkX and ChunJun", keys: KEYS, plugins: PLUGINS };

const fn absent(name: &'static str, keys: &'static str, instead: &'static str) -> AbsentPlugin {
    AbsentPlugin { name, keys, instead }
}

const THIS_MACHINE: &str = "the files are those of this machine";
const FASTEST: &str = "rows are sent by the fastest way of the database, and all become visible together";
const PLACES: &str = "where a column stands in the list says its place";

const KEYS: &[IdleKey] = &[
    idle(READERS, "fetchSize", "rows come as fast as they are taken, in batches of bounded memory"),
    idle(READERS, "orderByColumn", "rows have no order, and none is needed to go on with a run"),
    idle(READERS, "requestAccumulatorInterval", "the highest value is asked for once, before the readers begin"),
    idle(READERS, "endLocation", "the position that a run reached is printed at its end"),
    idle(READERS, "splitStrategy", "tables are cut by what is fastest, so that each row comes once"),
    idle(WHOLE_READERS, "startLocation", "an increColumn says which column it is a value of"),
    idle(WHOLE_READERS, "useMaxFunc", "an increColumn says of which column"),
    idle(COLUMNS, "index", PLACES),
    idle(COLUMNS, "key", "name says which column it is"),
    idle(COLUMNS, "isPart", "tables of databases have no folders of parts"),
    idle(COLUMNS, "splitter", "values of databases are no lists"),
    idle(COLUMNS, "comment", "a table keeps its own"),
    idle(COLUMNS, "notNull", "the table of the writer says where NULL may stand"),
    idle(WRITERS, "batchSize", FASTEST),
    idle(WRITERS, "insertSqlMode", "rows go into PostgreSQL by COPY, whatever it says"),
    idle(WRITERS, "flushIntervalMills", FASTEST),
    idle(WRITERS, "semantic", "each row is written once, as exactly-once asks for"),
    idle(WRITERS, "preparedStatement", FASTEST),
    idle(STREAM_READER, "permitsPerSecond", "job.setting.speed.bytes slows the rows down"),
    idle(STREAM_COLUMNS, "format", "dates and times are made as such, and a writer says how they stand in text"),
    idle(STREAM_WRITER, "column", "rows are printed with the columns that come"),
    idle(TEXT, "host", THIS_MACHINE),
    idle(TEXT, "port", THIS_MACHINE),
    idle(TEXT, "username", THIS_MACHINE),
    idle(TEXT, "password", THIS_MACHINE),
    idle(TEXT, "timeout", THIS_MACHINE),
    idle(TEXT, "connectPattern", THIS_MACHINE),
    idle(TEXT, "privateKeyPath", THIS_MACHINE),
    idle(TEXT_WRITERS, "column", "text is written with the columns that come, by their places"),
    idle(TEXT_WRITERS, "maxFileSize", "each task writes one file"),
    idle(TEXT_WRITERS, "flushInterval", "files are written in pieces of bounded memory, and seen when they are whole"),
    idle(CONTENT, "writer.table.tableName", "a transformSql gives the rows that are written, and names no target"),
    idle(JOB, "setting.restore.isStream", "a job reads tables and files, and these have an end"),
    idle(
        JOB,
        "setting.restore.maxRowNumForCheckpoint",
        "what is written is noted as each task ends, and all becomes visible together",
    ),
    idle(JOB, "setting.restore.restoreColumnType", "the table says the type of the column"),
    idle(JOB, "setting.dirty.tableName", "rows that are refused go to dirty.path"),
    idle(JOB, "setting.dirty.hadoopConfig", "rows that are refused go to a folder of this machine"),
    idle(JOB, "setting.log.pattern", "a line of the log has a time, a level and what stderr shows"),
    idle(
        JOB,
        "setting.metricPluginConf",
        "metrics are printed at the end, and served while the job runs: etl run --http",
    ),
    idle(
        JOB,
        "setting.metricPluginConfig",
        "metrics are printed at the end, and served while the job runs: etl run --http",
    ),
    idle(JOB, "setting.test.failedPerRecord", "no row fails that is good"),
    idle(JOB, "setting.test.errorMsg", "no row fails that is good"),
];

const CHANGES: &str = "nothing here follows changes yet: read tables by increColumn and polling";
const QUEUE: &str = "nothing here reads or writes queues";
const DRIVER: &str = "use etl copy with odbc: and the driver of the database";
const HADOOP: &str = "copy the files with hdfs dfs -get or -put; etl copy reads and writes Parquet, Avro and text";
const LOADED: &str = "write CSV, and load it with a stream load";
const FETCHED: &str = "fetch the answer with curl, and copy the JSON lines";

/// Where a name has no word for its side, all that begin so are meant.
const PLUGINS: &[AbsentPlugin] = &[
    absent(
        "binlogreader",
        "host port username password jdbcUrl start journalName position timestamp table filter cat pavingData \
         bufferSize slaveId detectingEnable enableTsdb parallel parallelThreadSize isGTIDMode splitUpdate \
         timestampFormat",
        CHANGES,
    ),
    absent("mysqlcdc", "", CHANGES),
    absent(
        "pgwalreader",
        "username password jdbcUrl tableList cat statusInterval lsn slotName allowCreateSlot temporary pavingData",
        CHANGES,
    ),
    absent("oraclelogminer", "", CHANGES),
    absent("logminer", "", CHANGES),
    absent("sqlservercdc", "", CHANGES),
    absent("oceanbasecdc", "", CHANGES),
    absent(
        "mongodboplogreader",
        "hostPorts username password authenticationMechanism monitorDatabases monitorCollections operateType \
         clusterMode pavingData excludeDocId",
        CHANGES,
    ),
    absent("oplog", "", CHANGES),
    absent("kafkareader", "topic codec encoding consumerSettings", QUEUE),
    absent("kafkawriter", "topic brokerList producerSettings timezone encoding", QUEUE),
    absent("upsert-kafka", "", QUEUE),
    absent("emqxreader", "broker topic isCleanSession qos codec", QUEUE),
    absent("emqxwriter", "broker topic isCleanSession qos codec", QUEUE),
    absent("pulsar", "", QUEUE),
    absent("rabbitmq", "", QUEUE),
    absent("rocketmq", "", QUEUE),
    absent("socket", "", QUEUE),
    absent("hdfsreader", "path defaultFS fileType column fieldDelimiter encoding hadoopConfig", HADOOP),
    absent(
        "hdfswriter",
        "fileName path defaultFS fileType column fullColumnName fullColumnType writeMode compress rowGroupSize \
         maxFileSize flushInterval fieldDelimiter encoding hadoopConfig",
        HADOOP,
    ),
    absent(
        "hivewriter",
        "jdbcUrl username password partition partitionType analyticalRules tablesColumn defaultFS fileType writeMode \
         compress maxFileSize fieldDelimiter encoding hadoopConfig",
        HADOOP,
    ),
    absent("carbondata", "", HADOOP),
    absent("hudi", "", HADOOP),
    absent("iceberg", "", HADOOP),
    absent("arctic", "", HADOOP),
    absent(
        "odpsreader",
        "accessId accessKey project table partition column",
        "use tunnel download or upload of odpscmd, and copy the files",
    ),
    absent(
        "odpswriter",
        "accessId accessKey project table partition column writeMode bufferSize",
        "use tunnel download or upload of odpscmd, and copy the files",
    ),
    absent(
        "hbasereader",
        "hbaseConfig table encoding range startRowkey endRowkey isBinaryRowkey column",
        "export the table to files, and copy these",
    ),
    absent(
        "hbasewriter",
        "hbaseConfig table rowkeyColumn versionColumn nullMode writeBufferSize walFlag column",
        "write CSV, and load it with ImportTsv",
    ),
    absent("phoenix", "", DRIVER),
    absent(
        "kudureader",
        "masterAddresses table readMode where batchSizeBytes column",
        "read the table with impala-shell, and copy the CSV files",
    ),
    absent(
        "kuduwriter",
        "masterAddresses table writeMode flushMode batchInterval column",
        "write Parquet, and load it with Impala",
    ),
    absent(
        "cassandrareader",
        "host port username password keyspace table column where allowFiltering consistancyLevel",
        "use COPY of cqlsh, and copy the CSV files",
    ),
    absent(
        "cassandrawriter",
        "host port username password keyspace table column asyncWrite batchSize consistancyLevel",
        "write CSV, and load it with COPY of cqlsh",
    ),
    absent(
        "mongodbreader",
        "hostPorts username password database collectionName column splitter filter fetchSize",
        "export the collection with mongoexport, and copy the JSON lines",
    ),
    absent(
        "mongodbwriter",
        "hostPorts username password database collectionName column splitter writeMode replaceKey batchSize",
        "write JSON lines, and load them with mongoimport",
    ),
    absent("elasticsearch", "", "write JSON lines, and load them with the bulk interface"),
    absent(
        "esreader",
        "address username password index type query batchSize timeout column",
        "export the index to JSON lines, and copy these",
    ),
    absent(
        "eswriter",
        "address username password index type idColumns bulkAction timeout column",
        "write JSON lines, and load them with the bulk interface",
    ),
    absent("solr", "", "write JSON lines, and post them to its update handler"),
    absent(
        "rediswriter",
        "hostPort database password keyIndexes keyFieldDelimiter valueFieldDelimiter type mode expireTime timeout \
         dateFormat writeMode",
        "write text, and load it with redis-cli --pipe",
    ),
    absent("http", "", FETCHED),
    absent("restapi", "", FETCHED),
    absent("s3", "", "copy the objects with the tool of their store, and read them with textfilereader"),
    absent("oss", "", "copy the objects with ossutil, and read them with textfilereader"),
    absent("influxdb", "", "nothing here speaks with a time series database"),
    absent("nebula", "", "nothing here reads or writes graph databases"),
    absent("doris", "", LOADED),
    absent("starrocks", "", LOADED),
    absent("selectdb", "", "write CSV, and load it with COPY INTO"),
    absent("gbase", "", DRIVER),
    absent("saphana", "", DRIVER),
    absent("teradata", "", DRIVER),
    absent("vertica", "", DRIVER),
    absent("sybase", "", DRIVER),
    absent("inceptor", "", DRIVER),
    absent("metadata", "", "etl schema shows the columns of a table"),
];
