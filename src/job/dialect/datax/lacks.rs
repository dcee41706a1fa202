//! What of job files of `DataX` does nothing here, with what is done instead. What stands here is noted where it is given.

use super::super::lacks::{AbsentPlugin, IdleKey, Lacks, idle};

/// Readers of relational databases.
pub(super) const READERS: &str = "readers of databases";
/// The same, where queries are named.
pub(super) const QUERY_READERS: &str = "readers of databases with querySql";
/// Writers of relational databases.
pub(super) const WRITERS: &str = "writers of databases";
pub(super) const STREAM_WRITER: &str = "streamwriter";
pub(super) const TEXT_READER: &str = "txtfilereader";
pub(super) const TEXT_WRITER: &str = "txtfilewriter";
/// What stands beside reader and writer.
pub(super) const JOB: &str = "job";
/// What `core.json` has, and a job may have beside `job`.
pub(super) const CORE: &str = "core.json";

/// All of it.
pub(in super::super) const LACKS: Lacks = Lacks { program: "DataX", keys: KEYS, plugins: PLUGINS };

const fn absent(name: &'static str, keys: &'static str, instead: &'static str) -> AbsentPlugin {
    AbsentPlugin { name, keys, instead }
}

const KEYS: &[IdleKey] = &[
    idle(READERS, "fetchSize", "rows come as fast as they are taken, in batches of bounded memory"),
    idle(
        READERS,
        "splitPk",
        "tables are cut by what is fastest, so that each row comes once, those without a key among them",
    ),
    idle(READERS, "splitFactor", "tables are cut by what is fastest, so that each row comes once"),
    idle(READERS, "samplePercentage", "tables are cut by what is fastest, so that each row comes once"),
    idle(READERS, "readByPartition", "tables are cut by what is fastest, so that each row comes once"),
    idle(READERS, "partitionName", "all partitions are read: choose rows by where"),
    idle(READERS, "partitionType", "tables are cut by what is fastest, so that each row comes once"),
    idle(READERS, "mandatoryEncoding", "texts come in the encoding that the server says, and NULL stays NULL"),
    idle(READERS, "preSql", "no query checks the source: of several URLs the first that answers is taken"),
    idle(READERS, "checkSlave", "a replica is read as it is"),
    idle(READERS, "hint", "the database plans by itself: write a hint into querySql"),
    idle(READERS, "weakRead", "rows are read as the server gives them to any client"),
    idle(READERS, "readBatchSize", "rows come as fast as they are taken, in batches of bounded memory"),
    idle(READERS, "obCompatibilityMode", "the driver sees the mode of the server"),
    idle(QUERY_READERS, "column", "the query says the columns, as in DataX"),
    idle(QUERY_READERS, "where", "the query says which rows, as in DataX"),
    idle(WRITERS, "batchSize", "statements have the size that is fastest, and all become visible together"),
    idle(WRITERS, "batchByteSize", "statements have the size that is fastest, and all become visible together"),
    idle(STREAM_WRITER, "encoding", "rows are printed in UTF-8, as in DataX"),
    idle(STREAM_WRITER, "recordNumBeforeSleep", "a speed in job.setting.speed slows the rows down"),
    idle(STREAM_WRITER, "sleepTime", "a speed in job.setting.speed slows the rows down"),
    idle(TEXT_READER, "bufferSize", "buffers have the size that is fastest"),
    idle(TEXT_READER, "csvReaderConfig.safetySwitch", "fields may be of any length"),
    idle(TEXT_READER, "csvReaderConfig.captureRawRecord", "a record that is refused is always kept as it came"),
    idle(TEXT_READER, "csvReaderConfig.caseSensitive", "columns are found by their places"),
    idle(TEXT_WRITER, "suffix", "only ftpwriter and osswriter have it"),
    idle(JOB, "jobInfo", "a run is known by its own id: etl jobs"),
    idle(JOB, "preHandler", "programs of DataX do not run here"),
    idle(JOB, "postHandler", "programs of DataX do not run here"),
    idle(JOB, "setting.keyVersion", "encrypted values are not decrypted: put variables in their place"),
    idle(CORE, "entry.jvm", "there is no Java machine"),
    idle(CORE, "common.column.datetimeFormat", "a writer says dateFormat, and a column of text its format"),
    idle(CORE, "common.column.dateFormat", "a writer says dateFormat, and a column of text its format"),
    idle(CORE, "common.column.timeFormat", "a writer says dateFormat, and a column of text its format"),
    idle(CORE, "common.column.encoding", "a plugin says its encoding"),
    idle(CORE, "common.column.locale", "names of months and days are English"),
    idle(CORE, "core.dataXServer.address", "no server is told of jobs"),
    idle(CORE, "core.dataXServer.timeout", "no server is told of jobs"),
    idle(CORE, "core.dataXServer.reportDataxLog", "no server is told of jobs"),
    idle(CORE, "core.dataXServer.reportPerfLog", "no server is told of jobs"),
    idle(CORE, "core.transport.channel.class", "rows travel in Arrow batches"),
    idle(CORE, "core.transport.channel.flowControlInterval", "a limit of speed is kept all the time"),
    idle(CORE, "core.transport.channel.capacity", "what waits between reader and writer is bounded in bytes"),
    idle(
        CORE,
        "core.transport.channel.byteCapacity",
        "what waits between reader and writer is bounded by the memory of the job",
    ),
    idle(CORE, "core.transport.exchanger.class", "rows travel in Arrow batches"),
    idle(CORE, "core.transport.exchanger.bufferSize", "rows travel in Arrow batches"),
    idle(CORE, "core.transport.record.class", "rows travel in Arrow batches"),
    idle(CORE, "core.container.job.id", "a run is known by its own id: etl jobs"),
    idle(CORE, "core.container.job.sleepInterval", "the end of a job is seen at once"),
    idle(CORE, "core.container.taskGroup.id", "groups are numbered from 0"),
    idle(CORE, "core.container.taskGroup.sleepInterval", "the end of a task is seen at once"),
    idle(
        CORE,
        "core.container.taskGroup.reportInterval",
        "core.container.job.reportInterval says how often lines are printed",
    ),
    idle(
        CORE,
        "core.container.task.failOver.maxWaitInMsec",
        "an attempt that failed is swept before the next one counts",
    ),
    idle(CORE, "core.container.trace.enable", "etl run -v says who waited for whom"),
    idle(CORE, "core.container.model", "a job is run whole"),
    idle(CORE, "core.statistics.collector.plugin.taskClass", "dirty rows are counted"),
    idle(CORE, "core.statistics.collector.plugin.maxDirtyNumber", "dirty rows are counted"),
];

const PLUGINS: &[AbsentPlugin] = &[
    absent(
        "adbpgwriter",
        "column insertIgnore host port database schema emptyAsNull ignoreInsert retryTimes retryIntervalTime \
         commitSize parallelNumber shareDataSource",
        "use mysqlwriter or postgresqlwriter for AnalyticDB",
    ),
    absent(
        "adswriter",
        "url username password schema table lifeCycle overWrite writeMode column opIndex emptyAsNull batchSize \
         bufferSize ignoreInsert preSql postSql socketTimeout retryTimes retryIntervalTime urlSuffix partition \
         odpsServer tunnelServer accessId accessKey project truncate",
        "write CSV files, and load them there",
    ),
    absent(
        "cassandrareader",
        "username password host port useSSL keyspace table column where allowFiltering consistancyLevel minToken \
         maxToken name format writetime",
        "use COPY of cqlsh, and copy the CSV files",
    ),
    absent(
        "cassandrawriter",
        "username password host port useSSL keyspace table column writetime asyncWrite consistancyLevel \
         connectionsPerHost maxPendingPerConnection batchSize name format splitter entrySplitter kvSplitter \
         element key value",
        "write CSV, and load it with COPY of cqlsh",
    ),
    absent("clickhousereader", "", "use etl copy with clickhouse://host/database"),
    absent("clickhousewriter", "", "use etl copy with clickhouse://host/database"),
    absent("databendwriter", "writeMode onConflictColumn", "write Parquet, and load it with COPY INTO"),
    absent(
        "datahubreader",
        "endpoint accessId accessKey project topic beginDateTime endDateTime batchSize column shardId timeStampUnit",
        "nothing here reads or writes DataHub",
    ),
    absent(
        "datahubwriter",
        "endpoint accessId accessKey project topic mode shardId maxCommitSize maxRetryCount sequence random \
         maxRetryTime retryInterval column",
        "nothing here reads or writes DataHub",
    ),
    absent("dorisreader", "", "write CSV there, and copy that"),
    absent(
        "doriswriter",
        "loadUrl username password connection column preSql postSql maxBatchRows batchSize maxRetries labelPrefix \
         flushInterval flushQueueLength loadProps",
        "write CSV, and load it with a stream load",
    ),
    absent(
        "elasticsearchwriter",
        "endpoint accessId accessKey username password index type indexType cleanup truncate batchSize trySize \
         tryInterval timeout discovery compression multiThread ignoreWriteError ignoreParseError alias aliasMode \
         settings splitter column dynamic dstDynamic actionType esVersion enableWriteNull versioning \
         primaryKeyInfo esPartitionColumn deleteBy masterTimeout urlParams",
        "write JSON lines, and load them with the bulk interface",
    ),
    absent(
        "ftpreader",
        "protocol host port timeout connectPattern username password maxTraversalLevel",
        "copy the files with sftp or curl, and read them with txtfilereader",
    ),
    absent(
        "ftpwriter",
        "protocol host port timeout connectPattern username password suffix",
        "write the files with txtfilewriter, and copy them with sftp or curl",
    ),
    absent(
        "gdbreader",
        "host port username password labels labelType RangeSplitSize fetchBatchSize column name type columnType",
        "nothing here reads or writes graph databases",
    ),
    absent(
        "gdbwriter",
        "host port username password labelType writeMode idTransRule srcIdTransRule dstIdTransRule label srcLabel \
         dstLabel mapping column name value type columnType id from to properties propertiesJsonStr \
         maxPropertiesBatchNumber maxInProcessPerConnection maxConnectionPoolSize \
         maxSimultaneousUsagePerConnection maxRecordsInBatch session maxStringLengthLimit maxIdStringLengthLimit \
         maxLabelStringLengthLimit maxPropKeyStringLengthLimit maxPropValueStringLengthLimit \
         maxRequestLengthLimit",
        "nothing here reads or writes graph databases",
    ),
    absent(
        "hbase094xreader",
        "hbaseConfig table mode maxVersion encoding column columnFamily name type format value startRowkey \
         endRowkey isBinaryRowkey scanCacheSize scanBatchSize",
        "export the table to files, and copy these",
    ),
    absent(
        "hbase094xwriter",
        "hbaseConfig table mode rowkeyColumn versionColumn encoding column index name type value format nullMode \
         truncate autoFlush walFlag writeBufferSize",
        "write CSV, and load it with ImportTsv",
    ),
    absent(
        "hbase11xreader",
        "hbaseConfig mode table encoding column maxVersion range scanCacheSize scanBatchSize",
        "export the table to files, and copy these",
    ),
    absent(
        "hbase11xsqlreader",
        "phoenixreader phoenixsplit hbaseConfig table column where schema \
         phoenix.schema.isNamespaceMappingEnabled phoenix.schema.mapSystemTablesToNamespace",
        "export the table to files, and copy these",
    ),
    absent(
        "hbase11xsqlwriter",
        "hbaseConfig hbase.thin.connect.url hbase.thin.connect.namespace hbase.thin.connect.username \
         hbase.thin.connect.password table column name nullMode truncate thinClient batchSize",
        "write CSV, and load it with psql.py of Phoenix",
    ),
    absent(
        "hbase11xwriter",
        "hbaseConfig mode table column rowkeyColumn versionColumn nullMode walFlag writeBufferSize encoding truncate",
        "write CSV, and load it with ImportTsv",
    ),
    absent(
        "hbase20xsqlreader",
        "table column queryServerAddress serialization schema splitKey splitPoint where querySql",
        "export the table to files, and copy these",
    ),
    absent(
        "hbase20xsqlwriter",
        "table column queryServerAddress serialization batchSize nullMode schema",
        "write CSV, and load it with psql.py of Phoenix",
    ),
    absent(
        "hdfsreader",
        "path defaultFS fileType column fieldDelimiter encoding nullFormat compress haveKerberos \
         kerberosKeytabFilePath kerberosPrincipal hadoopConfig csvReaderConfig hivePartitionColumn \
         supportAddMiddleColumn skipEmptyOrcFile orcFileEmptySize successOnNoFile pathFilter",
        "copy the files with hdfs dfs -get or -put; etl copy reads and writes Parquet, Avro and text",
    ),
    absent(
        "hdfswriter",
        "defaultFS path fileName fileType column writeMode fieldDelimiter compress encoding hadoopConfig \
         parquetSchema haveKerberos kerberosKeytabFilePath kerberosPrincipal",
        "copy the files with hdfs dfs -get or -put; etl copy reads and writes Parquet, Avro and text",
    ),
    absent(
        "hologresjdbcwriter",
        "jdbcUrl username password table column arrayDelimiter writeMode preSql postSql batchSize batchByteSize \
         emptyAsNull",
        "use postgresqlwriter",
    ),
    absent(
        "kuduwriter",
        "kuduConfig kudu.master_addresses timeout sessionTimeout table partition column name type index \
         primaryKey compress comment encoding replicaCount hash number range lower upper truncate writeMode \
         batchSize bufferSize skipFail",
        "write Parquet, and load it with Impala",
    ),
    absent(
        "loghubreader",
        "endpoint accessId accessKey project logstore topic column batchSize beginTimestampMillis \
         endTimestampMillis beginDateTime endDateTime timeformat source shard",
        "nothing here reads or writes log services",
    ),
    absent(
        "loghubwriter",
        "endpoint accessId accessKey project logstore topic column batchSize time timeformat source hashKey",
        "nothing here reads or writes log services",
    ),
    absent(
        "milvuswriter",
        "username password endpoint token database collection batchSize column schemaCreateMode writeMode \
         partition connectTimeoutMs enableDynamicSchema",
        "write Parquet, and load it with a bulk insert",
    ),
    absent(
        "mongodbreader",
        "address userName userPassword dbName authDb collectionName column query batchSize",
        "export the collection with mongoexport, and copy the JSON lines",
    ),
    absent(
        "mongodbwriter",
        "address userName userPassword dbName collectionName column writeMode preSql batchSize",
        "write JSON lines, and load them with mongoimport",
    ),
    absent(
        "neo4jwriter",
        "uri username password bearerToken kerberosTicket database cypher properties batchDataVariableName \
         batchSize maxTransactionRetryTimeSeconds maxConnectionTimeoutSeconds retryTimes retrySleepMills",
        "write CSV, and load it with LOAD CSV",
    ),
    absent(
        "obhbasereader",
        "hbaseConfig mode maxVersion tetradType encoding table username obSysUser obConfigUrl odpHost odpPort \
         dbName password obSysPassword columnFamily column startRowkey endRowkey isBinaryRowkey scanCache rsUrl \
         maxActiveConnection timeout partitionName jdbcUrl timezone fetchSize readBatchSize session readerHint \
         querySql samplePercentage useSpecialSecret useSqlReader useOdpMode range readByPartition",
        "export the table to files, and copy these",
    ),
    absent(
        "obhbasewriter",
        "hbaseConfig table dbName obConfigUrl jdbcUrl mode rowkeyColumn versionColumn encoding column index name \
         type value format nullMode truncate autoFlush walFlag writeBufferSize maxRetryCount useOdpMode obSysUser \
         obSysPassword odpHost odpPort obhbaseClientWriteBuffer obhbaseHtablePutWriteBufferCheck \
         writeBufferLowMark writeBufferHighMark rpcExecuteTimeout",
        "write CSV, and load it with a tool of OceanBase",
    ),
    absent(
        "ocswriter",
        "username password proxy port writeMode writeFormat fieldDelimiter expireTime batchSize indexes",
        "nothing here writes to memcached",
    ),
    absent(
        "odpsreader",
        "accessId accessKey securityToken project table partition odpsServer tunnelServer column splitMode \
         packageAuthorizedProject isCompress maxRetryTime successOnNoPartition preSql postSql",
        "use tunnel download or upload of odpscmd, and copy the files",
    ),
    absent(
        "odpswriter",
        "odpsServer tunnelServer accessId accessKey securityToken project table partition column truncate \
         maxRetryTime blockSizeInMB emptyAsNull isCompress preSql postSql consistencyCommit uploadId taskCount \
         supportDynamicPartition partitionColumnMapping name srcDateFormat dateFormat writeTimeoutInMs \
         overLengthRule maxFieldLength maxOdpsFieldLength enableOverLengthOutput maxOverLengthOutputCount \
         dynamicPartitionMemUsageFlushIntervalInMinute",
        "use tunnel download or upload of odpscmd, and copy the files",
    ),
    absent(
        "opentsdbreader",
        "endpoint column beginDateTime endDateTime",
        "nothing here speaks with a time series database",
    ),
    absent("oscarwriter", "", "use etl copy with odbc:"),
    absent(
        "ossreader",
        "endpoint accessId accessKey bucket object cname proxyHost proxyPort proxyUsername proxyPassword \
         proxyDomain proxyWorkstation successOnNoObject balanceThreshold hadoopConfig",
        "copy the objects with ossutil, and read them with txtfilereader",
    ),
    absent(
        "osswriter",
        "endpoint accessId accessKey bucket object maxFileSize blockSizeInMB encrypt writeSingleObject \
         generateEmptyFile cname suffix",
        "write the files with txtfilewriter, and copy them with ossutil",
    ),
    absent(
        "otsreader",
        "type value INF_MIN INF_MAX endpoint accessId accessKey instanceName table column range begin end split \
         metaMode mode newVersion isTimeseriesTable measurementName",
        "export the table to files, and copy these",
    ),
    absent("otsstreamreader", "", "export the table to files, and copy these"),
    absent(
        "otswriter",
        "endpoint accessId accessKey instanceName enableAutoIncrement isTimeseriesTable timeunit table primaryKey \
         column writeMode mode newVersion defaultTimestampInMillisecond columnNamePrefixFilter",
        "write CSV, and load it there",
    ),
    absent(
        "selectdbwriter",
        "loadUrl username password connection column preSql postSql clusterName batchSize maxRetries \
         flushInterval loadProps",
        "write CSV, and load it with COPY INTO",
    ),
    absent("starrocksreader", "", "write CSV there, and copy that"),
    absent(
        "starrockswriter",
        "loadUrl username password connection selectedDatabase database table jdbcUrl column preSql postSql \
         maxBatchRows maxBatchSize flushInterval loadProps",
        "write CSV, and load it with a stream load",
    ),
    absent("sybasereader", "", "use etl copy with odbc:"),
    absent("sybasewriter", "", "use etl copy with odbc:"),
    absent(
        "tdenginereader",
        "username password connection column where beginDateTime endDateTime",
        "export the table to CSV, and copy that",
    ),
    absent(
        "tdenginewriter",
        "username password connection batchSize table jdbcUrl column ignoreTagsUnmatched beginDateTime \
         endDateTime where querySql mandatoryEncoding",
        "write CSV, and load it there",
    ),
    absent(
        "tsdbreader",
        "sinkDbType endpoint username password column metric field tag combine splitIntervalMs beginDateTime \
         endDateTime hint TSDB",
        "nothing here speaks with a time series database",
    ),
    absent(
        "tsdbwriter",
        "sourceDbType multiField endpoint username password ignoreWriteError database batchSize maxRetryTime \
         column columnType table",
        "nothing here speaks with a time series database",
    ),
];
