//! What of job files of `go-etl` does nothing here, with what is done instead. What stands here is noted where it is given.

use super::super::lacks::{IdleKey, Lacks, idle};

/// Each reader and writer.
pub(super) const SIDES: &str = "readers and writers";
/// Readers of relational databases.
pub(super) const READERS: &str = "readers of databases";
/// Writers of relational databases.
pub(super) const WRITERS: &str = "writers of databases";
/// Writers of text and workbooks.
pub(super) const FILES: &str = "writers of files";
/// What stands beside reader and writer.
pub(super) const JOB: &str = "job";
/// What a job has beside `job`.
pub(super) const CORE: &str = "core";

/// All of it.
pub(in super::super) const LACKS: Lacks = Lacks { program: "go-etl", keys: KEYS, plugins: &[] };

const KEYS: &[IdleKey] = &[
    idle(SIDES, "loadBalanceResourceMark", "a task is taken by the channel that is free first"),
    idle(READERS, "split.timeAccuracy", "tables are cut by what is fastest, so that each row comes once"),
    idle(READERS, "split.range.layout", "the ends of a range are written as 2024-01-02 or 2024-01-02 03:04:05"),
    idle(WRITERS, "batchSize", "statements have the size that is fastest, and all become visible together"),
    idle(WRITERS, "batchTimeout", "statements have the size that is fastest, and all become visible together"),
    idle(WRITERS, "bulkOption", "the rules of a table are kept, and NULL is NULL"),
    idle(WRITERS, "trimChar", "a reader trims; in go-etl a writer does not, either"),
    idle(FILES, "batchSize", "files are written in pieces of bounded memory, and seen when they are whole"),
    idle(FILES, "batchTimeout", "files are written in pieces of bounded memory, and seen when they are whole"),
    idle(JOB, "setting.pool", "there are as many connections as channels, and each side has its own"),
    idle(CORE, "core.container.job.reportInterval", "progress is shown every 5 s, or by a bar"),
    idle(CORE, "core.container.job.maxWorkerNumber", "job.setting.speed.channel says how many tasks run at once"),
    idle(CORE, "core.container.taskGroup.maxWorkerNumber", "job.setting.speed.channel says how many tasks run at once"),
    idle(CORE, "core.container.taskGroup.reportInterval", "progress is shown every 5 s, or by a bar"),
    idle(CORE, "core.container.taskGroup.sleepInterval", "the end of a task is seen at once"),
    idle(CORE, "core.container.task.failover.maxRetryTimes", "job.setting.retry says how often a task is begun anew"),
    idle(
        CORE,
        "core.container.task.failover.retryIntervalInMsec",
        "job.setting.retry says after which pause a task is begun anew",
    ),
];
